/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/memfs.h"
#include "agent/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef RAMFS_MAGIC
#define RAMFS_MAGIC 0x858458f6
#endif

enum { MOUNTINFO_MAX = 32 << 20, LEVELS_MAX = 16 };

/* The super options of the mount that fd lies on have the word noswap. */
static bool has_noswap(int fd)
{
	cleanup_buf struct buf text = BUF_MAX(MOUNTINFO_MAX);
	struct statx stx;
	char want[32];
	const char *line;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID) ||
	    fs_read(&text, "/proc/self/mountinfo", MOUNTINFO_MAX - 1, NULL) < 0)
		return false;
	(void)snprintf(want, sizeof want, "%llu ", (unsigned long long)stx.stx_mnt_id);
	for (line = buf_str(&text); line[0]; line += strcspn(line, "\n"), line += line[0] == '\n') {
		size_t n = strcspn(line, "\n");
		const char *super = strncmp(line, want, strlen(want)) == 0 ?
					    memmem(line, n, " - tmpfs ", 9) :
					    NULL;
		const char *word;

		if (!super)
			continue;
		word = memmem(super, n - (size_t)(super - line), ",noswap", 7);
		return word && (word[7] == ',' || word[7] == '\n' || word[7] == '\0');
	}
	return false;
}

bool memfs_never_swaps(int fd)
{
	struct statfs sf;

	if (fstatfs(fd, &sf) < 0)
		return false;
	return (unsigned long)sf.f_type == RAMFS_MAGIC ||
	       ((unsigned long)sf.f_type == TMPFS_MAGIC && has_noswap(fd));
}

bool memfs_is_memory(const char *path)
{
	cleanup_free char *copy = strdup(path[0] ? path : "/");
	struct statfs sf;

	while (copy && copy[0]) {
		char *slash;

		if (statfs(copy, &sf) == 0)
			return (unsigned long)sf.f_type == RAMFS_MAGIC ||
			       (unsigned long)sf.f_type == TMPFS_MAGIC;
		slash = strrchr(copy, '/');
		if (errno != ENOENT || !slash || copy[1] == '\0')
			return false;
		slash[slash == copy] = '\0';
	}
	return false;
}

static int open_dir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int lock_fd(int fd, int64_t wait_ms, struct err *e)
{
	struct deadline until = deadline_in(wait_ms);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "lock the containers' folder");
		if (deadline_left_ms(until) == 0)
			return err_set(e, ERR_TIMEOUT, "another vouchsafe-oci has held the "
						       "containers' folder for %d s",
				       MEMFS_LOCK_WAIT_MS / 1000);
		(void)usleep(2000);
	}
	return 0;
}

static int mount_memory(const char *path, size_t max, struct err *e)
{
	char options[96];

	/*
	 * No nosuid or nodev: in a user namespace the flags of a bind mount's source are locked, and
	 * runc 1.1.5 fails to remount it with the options of the container.
	 */
	(void)snprintf(options, sizeof options, "noswap,mode=0700,size=%zu", max);
	if (mount("vouchsafe", path, "tmpfs", 0, options) == 0)
		return 0;
	if (errno == EPERM || errno == EACCES)
		return err_code(e, CODE_OCI_NEEDS_ROOT, "mount on %s: %s", path,
				strerrorname_np(errno));
	if (mount("vouchsafe", path, "ramfs", 0, "mode=0700") < 0)
		return err_code(e, CODE_OCI_MEMORY, "mount ramfs on %s: %s", path,
				strerrorname_np(errno));
	return 0;
}

static int fill(struct memfs *out, int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat %s", path);
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_code(e, CODE_OCI_MEMORY, "%s can be written by others", path);
	(void)snprintf(out->path, sizeof out->path, "%s", path);
	out->fd = fd;
	return 0;
}

/* Two that find nothing mounted must not mount twice: the second would hide the first's files. */
static int mount_once(const char *path, size_t max, struct err *e)
{
	cleanup_free char *parent = strdup(path);
	cleanup_close int lock = -1, fd = -1;
	char *slash;
	int r;

	if (!parent)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return err_code(e, CODE_OCI_MEMORY, "%s is not a folder two levels down", path);
	*slash = '\0';
	r = fs_mkdirs(parent, 0755, e);
	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "mkdir %s", path);
	lock = open_dir(parent);
	if (lock < 0)
		return err_sys(e, errno, "open %s", parent);
	r = lock_fd(lock, MEMFS_LOCK_WAIT_MS, e);
	if (r < 0)
		return r;
	fd = open_dir(path);
	if (fd >= 0 && memfs_never_swaps(fd))
		return 0;
	return mount_memory(path, max, e);
}

int memfs_open_existing(struct memfs *out, const char *path, struct err *e)
{
	cleanup_close int fd = -1;
	int r;

	if (path[0] != '/' || strlen(path) > MEMFS_PATH_MAX)
		return err_code(e, CODE_CONFIG_VALUE, "memory_dir: an absolute path of at most %d bytes",
				MEMFS_PATH_MAX);
	fd = open_dir(path);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_sys(e, errno, "open %s", path);
	if (fd < 0 || !memfs_never_swaps(fd))
		return err_set(e, ERR_NOTFOUND, "%s is not mounted", path);
	r = fill(out, fd, path, e);
	if (r == 0)
		(void)take_fd(fd);
	return r;
}

int memfs_open(struct memfs *out, const char *path, size_t max, struct err *e)
{
	int r = memfs_open_existing(out, path, e);

	if (r != -(int)ERR_NOTFOUND)
		return r;
	r = mount_once(path, max, e);
	if (r < 0)
		return r;
	r = memfs_open_existing(out, path, e);
	return r == -(int)ERR_NOTFOUND ?
		       err_wrap_code(e, CODE_OCI_MEMORY, "after mounting") :
		       r;
}

void memfs_close(struct memfs *m)
{
	if (m->fd >= 0)
		(void)close(m->fd);
	*m = MEMFS_CLOSED;
}

int memfs_lock(const struct memfs *m, struct err *e)
{
	/* A description of its own: flock belongs to that, and closing it lets go. */
	cleanup_close int fd = openat(m->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "open %s", m->path);
	r = lock_fd(fd, MEMFS_LOCK_WAIT_MS, e);
	return r < 0 ? r : take_fd(fd);
}

int memfs_zero(int fd, struct err *e)
{
	static const uint8_t zeros[4096];
	struct stat st;
	off_t at = 0;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat a file to erase");
	while (at < st.st_size) {
		size_t left = (size_t)(st.st_size - at);
		ssize_t n = pwrite(fd, zeros, left < sizeof zeros ? left : sizeof zeros, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(e, errno, "erase a file");
		at += n;
	}
	return 0;
}

int memfs_erase(int dirfd, const char *name, struct err *e)
{
	cleanup_close int fd =
		openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r = 0;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		r = memfs_zero(fd, e);
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove %s", name);
	return r;
}

static void dir_closep(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int remove_level(int dirfd, const char *name, unsigned level, struct err *e);

static int empty_level(int dirfd, unsigned level, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(dir_closep))) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	struct err ignored;
	int r = 0;

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return err_sys(e, errno, "open a folder to erase");
	}
	while ((errno = 0, d = readdir(dir)) != NULL) {
		struct stat st;
		int k;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
			k = remove_level(dirfd, d->d_name, level + 1, r < 0 ? &ignored : e);
		else
			k = memfs_erase(dirfd, d->d_name, r < 0 ? &ignored : e);
		/* Go on: what can be erased is erased; the first error is told. */
		if (r == 0)
			r = k;
	}
	return r;
}

static int remove_level(int dirfd, const char *name, unsigned level, struct err *e)
{
	cleanup_close int fd =
		openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(e, errno, "open a folder to erase");
	if (level > LEVELS_MAX)
		return err_set(e, ERR_LIMIT, "folders to erase are over %d deep", LEVELS_MAX);
	r = empty_level(fd, level, e);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove %s", name);
	return r;
}

int memfs_remove(int dirfd, const char *name, struct err *e)
{
	return remove_level(dirfd, name, 0, e);
}

int memfs_exec_file(const struct memfs *m, char path[MEMFS_PATH_MAX + 40], struct err *e)
{
	cleanup_close int fd = -1;
	uint64_t id;
	char name[32];

	if (getrandom(&id, sizeof id, 0) != sizeof id)
		return err_sys(e, errno, "getrandom");
	(void)snprintf(name, sizeof name, "x-%016llx", (unsigned long long)id);
	fd = openat(m->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_sys(e, errno, "create a process file in %s", m->path);
	(void)snprintf(path, MEMFS_PATH_MAX + 40, "%s/%s", m->path, name);
	return take_fd(fd);
}

void memfs_sweep_exec_files(const struct memfs *m)
{
	int copy = openat(m->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(dir_closep))) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;

	while (dir && (d = readdir(dir)) != NULL) {
		cleanup_close int fd = -1;

		if (strncmp(d->d_name, "x-", 2) != 0)
			continue;
		fd = openat(m->fd, d->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)memfs_erase(m->fd, d->d_name, NULL);
	}
	if (!dir && copy >= 0)
		(void)close(copy);
}
