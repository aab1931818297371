/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/lock.h"

#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define POLL_US    20000
#define MINOR_BITS 20

off_t lock_of_device(unsigned major, unsigned minor)
{
	/* Behind the three that are no device's. */
	return 3 + ((off_t)major << MINOR_BITS | (off_t)minor);
}

static int open_file(const char *dir, struct err *e)
{
	cleanup_free char *path = fs_join(dir, "/lock");
	struct err why = { 0 };
	struct stat st;
	int fd;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	if (fs_mkdirs(dir, 0700, &why) < 0)
		return err_code(e, CODE_VOLUME_STATE, "%s", why.msg);
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return err_code(e, CODE_VOLUME_STATE, "%s: is not a folder that only we can write", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd >= 0 ? fd : err_code(e, CODE_VOLUME_STATE, "%s: %s", path, strerrorname_np(errno));
}

static const char *name_of(off_t what)
{
	return what == LOCK_TABLE     ? "the records of volumes are being written" :
	       what == LOCK_MEMORY    ? "another key that takes much memory is being tried" :
	       what == LOCK_TEMPORARY ? "dm-integrity is being formatted" :
					"the device is being opened or closed";
}

int lock_take(const char *dir, off_t what, struct deadline d, struct err *e)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = what, .l_len = 1 };
	cleanup_close int fd = open_file(dir, e);

	if (fd < 0)
		return take_fd(fd);
	while (fcntl(fd, F_OFD_SETLK, &range) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_code(e, CODE_VOLUME_STATE, "%s/lock: %s", dir, strerrorname_np(errno));
		if (deadline_left_ms(d) == 0)
			return err_code(e, CODE_VOLUME_BUSY, "%s by another call", name_of(what));
		(void)usleep(POLL_US);
	}
	return take_fd(fd);
}
