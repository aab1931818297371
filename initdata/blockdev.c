/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/blockdev.h"
#include "agent/base/fs.h"
#include "agent/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { HEAD = 16, SECTOR = 512 };

static const char magic[8] = { 'i', 'n', 'i', 't', 'd', 'a', 't', 'a' };

struct names {
	char name[BLOCKDEV_NAMES_MAX][BLOCKDEV_NAME_MAX + 1];
	size_t n;
};

/* All n bytes from offset at, or false: an error or the device's end. */
static bool read_at(int fd, uint8_t *p, size_t n, uint64_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = pread(fd, p + done, n - done, (off_t)(at + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		done += (size_t)k;
	}
	return true;
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

int blockdev_read(struct buf *gzip, int fd, uint64_t size, const char *name, struct err *e)
{
	cleanup_free uint8_t *p = NULL;
	uint8_t head[HEAD];
	uint64_t n;
	int r;

	if (size < HEAD || !read_at(fd, head, HEAD, 0) || memcmp(head, magic, sizeof magic) != 0)
		return 0;
	n = le64(head + 8);
	if (n == 0)
		return err_code(e, CODE_INITDATA_BLOCK, "%s: the length is 0", name);
	if (n > BLOCKDEV_GZIP_MAX)
		return err_code(e, CODE_INITDATA_TOO_LARGE, "%s: the length is %llu, allowed %u",
				name, (unsigned long long)n, BLOCKDEV_GZIP_MAX);
	if (n > size - HEAD)
		return err_code(e, CODE_INITDATA_BLOCK,
				"%s: the length is %llu, but the disk has %llu bytes", name,
				(unsigned long long)n, (unsigned long long)size);
	p = malloc(n);
	if (!p)
		return err_set(e, ERR_NOMEM, "no memory for the initdata disk");
	if (!read_at(fd, p, n, HEAD))
		return err_code(e, CODE_INITDATA_BLOCK, "%s: its %llu bytes cannot be read", name,
				(unsigned long long)n);
	buf_put(gzip, p, n);
	r = buf_check(gzip, "initdata disk", e);
	return r < 0 ? r : 1;
}

static bool is_candidate(const char *name)
{
	return (strncmp(name, "vd", 2) == 0 || strncmp(name, "sd", 2) == 0) &&
	       strlen(name) <= BLOCKDEV_NAME_MAX;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int list(struct names *out, DIR *dev, struct err *e)
{
	const struct dirent *d;

	errno = 0;
	while ((d = readdir(dev))) {
		if (!is_candidate(d->d_name))
			continue;
		if (out->n == BLOCKDEV_NAMES_MAX)
			return err_code(e, CODE_INITDATA_SOURCE, "/dev has over %d disks",
					BLOCKDEV_NAMES_MAX);
		memcpy(out->name[out->n++], d->d_name, strlen(d->d_name) + 1);
	}
	if (errno != 0) {
		(void)err_sys(e, errno, "list /dev");
		return err_wrap_code(e, CODE_INITDATA_SOURCE, "initdata disk");
	}
	qsort(out->name, out->n, sizeof out->name[0], by_name);
	return 0;
}

static bool acceptable(const struct stat *st, bool regular)
{
	return S_ISBLK(st->st_mode) || (regular && S_ISREG(st->st_mode));
}

/* An open descriptor and the size, or -1. Looked at before and after, because opening can act. */
static int open_device(uint64_t *size, int dirfd, const char *name, bool regular)
{
	cleanup_close int fd = -1;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !acceptable(&st, regular))
		return -1;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !acceptable(&st, regular)) {
		log_debug("a disk cannot be opened", "name=%s errno=%d", name, errno);
		return -1;
	}
	*size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, size) < 0)
		return -1;
	return take_fd(fd);
}

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

int blockdev_find(struct blockdev *out, const char *root, bool regular, struct err *e)
{
	__attribute__((cleanup(close_dir))) DIR *dev = NULL;
	cleanup_blockdev struct blockdev b = { .gzip = BUF_MAX(BLOCKDEV_GZIP_MAX) };
	cleanup_free char *path = fs_join(root, "/dev");
	cleanup_free struct names *names = calloc(1, sizeof *names);
	int r;

	if (!path || !names)
		return err_set(e, ERR_NOMEM, "no memory for the names of disks");
	dev = opendir(path);
	if (!dev && errno == ENOENT)
		return 0;
	if (!dev) {
		(void)err_sys(e, errno, "list %s", path);
		return err_wrap_code(e, CODE_INITDATA_SOURCE, "initdata disk");
	}
	r = list(names, dev, e);
	for (size_t i = 0; i < names->n && r == 0; i++) {
		uint64_t size = 0;
		cleanup_close int fd = open_device(&size, dirfd(dev), names->name[i], regular);

		if (fd >= 0)
			r = blockdev_read(&b.gzip, fd, size, names->name[i], e);
		if (r == 1)
			memcpy(b.name, names->name[i], sizeof b.name);
	}
	if (r == 1) {
		*out = b;
		b = (struct blockdev){ 0 };
	}
	return r;
}

int blockdev_image(struct buf *out, struct view gzip, struct err *e)
{
	static const uint8_t zeros[SECTOR];
	uint8_t head[HEAD];

	if (gzip.len > BLOCKDEV_GZIP_MAX)
		return err_set(e, ERR_LIMIT, "initdata of %zu bytes, allowed %u", gzip.len,
			       BLOCKDEV_GZIP_MAX);
	memcpy(head, magic, sizeof magic);
	for (int i = 0; i < 8; i++)
		head[8 + i] = (uint8_t)((uint64_t)gzip.len >> 8 * i);
	buf_put(out, head, sizeof head);
	buf_putv(out, gzip);
	buf_put(out, zeros, (SECTOR - (HEAD + gzip.len) % SECTOR) % SECTOR);
	return buf_check(out, "disk image", e);
}

void blockdev_done(struct blockdev *b)
{
	buf_done(&b->gzip);
	*b = (struct blockdev){ 0 };
}
