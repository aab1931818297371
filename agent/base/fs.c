/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { PIECE = 16384, OPEN_TRIES = 128 };

/* O_PATH opens a link itself, where others fail. */
static int refuse_link(int fd, int flags)
{
	struct stat st;

	if (!(flags & O_PATH) || (fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode)))
		return fd;
	(void)close(fd);
	errno = ELOOP;
	return -1;
}

int fs_walk(int dirfd, const char *path, int flags, mode_t mode)
{
	cleanup_close int at = -1;
	char name[NAME_MAX + 1];

	for (const char *p = path;;) {
		size_t n = strcspn(p, "/");
		const char *next = p + n + strspn(p + n, "/");
		bool last = *next == '\0';
		int fd;

		if (n > NAME_MAX || (n == 2 && p[0] == '.' && p[1] == '.')) {
			errno = n > NAME_MAX ? ENAMETOOLONG : EXDEV;
			return -1;
		}
		(void)snprintf(name, sizeof name, "%.*s", n > 0 ? (int)n : 1, n > 0 ? p : ".");
		do
			fd = openat(at < 0 ? dirfd : at, name,
				    (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC,
				    last ? mode : 0);
		while (fd < 0 && errno == EINTR);
		if (fd < 0)
			return fd;
		if (last)
			return refuse_link(fd, flags);
		if (at >= 0)
			(void)close(at);
		at = fd;
		p = next;
	}
}

int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct err *e)
{
	/* O_TMPFILE has the bit of O_DIRECTORY in it. */
	bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = makes ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	const char *p = path;
	unsigned tries = 0;
	long fd;

	while (*p == '/')
		p++;
	if (*p == '\0')
		p = ".";
	/* EAGAIN: somebody renames on the way; who does so all the time does not hold us. */
	do
		fd = syscall(SYS_openat2, dirfd, p, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < OPEN_TRIES)));
	/* systemd's RestrictSUIDSGID= cannot look into its arguments and refuses it whole. */
	if (fd < 0 && errno == ENOSYS)
		fd = fs_walk(dirfd, p, flags, how.mode);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ERR_NOTFOUND, "%s: not there", path);
	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	return (int)fd;
}

static int read_pieces(struct buf *out, int fd, uint8_t *chunk, size_t max, const char *what, struct err *e)
{
	size_t total = 0;

	for (;;) {
		size_t want = max - total < PIECE - 1 ? max - total + 1 : PIECE;
		ssize_t n = read(fd, chunk, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read %s", what);
		if (n == 0)
			return buf_check(out, what, e);
		if ((size_t)n > max - total)
			return err_set(e, ERR_LIMIT, "%s is over %zu bytes", what, max);
		total += (size_t)n;
		buf_put(out, chunk, (size_t)n);
	}
}

int fs_read_fd(struct buf *out, int fd, size_t max, const char *what, struct err *e)
{
	uint8_t chunk[PIECE];
	int r = read_pieces(out, fd, chunk, max, what, e);

	/* It may have been a secret's file; stacks live on. */
	explicit_bzero(chunk, sizeof chunk);
	return r;
}

int fs_read(struct buf *out, const char *path, size_t max, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ERR_NOTFOUND, "%s: not there", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_FORMAT, "%s is not a regular file", path);
	return fs_read_fd(out, fd, max, path, e);
}

int fs_write_fd(int fd, struct view bytes, const char *what, struct err *e)
{
	size_t done = 0;

	while (done < bytes.len) {
		ssize_t n = write(fd, bytes.p + done, bytes.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "write %s", what);
		done += (size_t)n;
	}
	return 0;
}

static int sync_parent(const char *path, struct err *e)
{
	cleanup_free char *copy = strdup(path);
	cleanup_close int fd = -1;

	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_sys(e, errno, "sync the folder of %s", path);
	return 0;
}

int fs_write(const char *path, struct view bytes, mode_t mode, struct err *e)
{
	cleanup_free char *tmp = NULL;
	cleanup_close int fd = -1;
	int r = 0;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "create a file beside %s", path);
	r = fs_write_fd(fd, bytes, tmp, e);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = err_sys(e, errno, "chmod %s", tmp);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, errno, "sync %s", tmp);
	if (r == 0 && rename(tmp, path) < 0)
		r = err_sys(e, errno, "rename to %s", path);
	if (r < 0) {
		(void)unlink(tmp);
		return r;
	}
	return sync_parent(path, e);
}

int fs_mkdirs(const char *path, mode_t mode, struct err *e)
{
	cleanup_free char *copy = strdup(path);

	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return err_sys(e, errno, "mkdir %s", copy);
		*p = c;
		if (c == '\0')
			return 0;
	}
}

char *fs_join(const char *root, const char *path)
{
	char *s;

	return asprintf(&s, "%s%s", root ? root : "", path) < 0 ? NULL : s;
}

static void close_span(int64_t from, int64_t to)
{
	from = from < 3 ? 3 : from;
	if (from <= to)
		(void)close_range((unsigned)from, (unsigned)to, 0);
}

void fs_close_others(int a, int b)
{
	int64_t low = a < b ? a : b, high = a < b ? b : a;

	close_span(3, low - 1);
	close_span(low + 1, high - 1);
	close_span(high + 1, UINT32_MAX);
}
