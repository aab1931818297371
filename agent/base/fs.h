/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FS_H
#define BASE_FS_H

#include "agent/base/buf.h"

#include <sys/types.h>

/* Files: capped reads, atomic writes, paths that cannot leave their root. */

/*
 * Open path below dirfd: no component may lead out of it (.., absolute links) and no magic
 * link is followed. O_CLOEXEC is added. Where openat2(2) is refused (in units with
 * RestrictSUIDSGID=) no link at all is followed, and .. is refused.
 *
 * dirfd  a directory, or AT_FDCWD for the current one
 * path   relative to dirfd, or absolute: then its leading slashes are dropped
 *
 * Returns the descriptor, or -ERR_NOTFOUND (nothing there), -ERR_SYSTEM (anything else).
 */
int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct err *e) MUST_CHECK;

/*
 * Open a relative path from dirfd component by component: no symlink is followed, .. is refused.
 * Returns the descriptor, or -1 and errno: EXDEV for "..", ELOOP or ENOTDIR for a symlink.
 */
int fs_walk(int dirfd, const char *path, int flags, mode_t mode) MUST_CHECK;

/*
 * Append what fd has, from its offset to its end, to *out.
 * max  most bytes; one more is ERR_LIMIT
 * what names the thing in messages
 * Errors: ERR_LIMIT, ERR_SYSTEM, ERR_NOMEM.
 */
int fs_read_fd(struct buf *out, int fd, size_t max, const char *what, struct err *e) MUST_CHECK;

/*
 * Append a regular file's content to *out. Links are followed within the rules of the plain
 * open(2): use it for paths that we own. A FIFO or device is ERR_FORMAT and is not waited for.
 * Errors: ERR_NOTFOUND, ERR_LIMIT, ERR_FORMAT, ERR_SYSTEM, ERR_NOMEM.
 */
int fs_read(struct buf *out, const char *path, size_t max, struct err *e) MUST_CHECK;

/*
 * Replace path by a file with exactly these bytes and mode: written beside it, synced,
 * renamed, directory synced. A crash leaves the old file or the new one.
 * Errors: ERR_SYSTEM, naming the step.
 */
int fs_write(const char *path, struct view bytes, mode_t mode, struct err *e) MUST_CHECK;

/* Write all bytes to fd, through short writes and EINTR. Errors: ERR_SYSTEM. */
int fs_write_fd(int fd, struct view bytes, const char *what, struct err *e) MUST_CHECK;

/* Close every descriptor from 3 on but these two, for a child that must not hold its parent's. */
void fs_close_others(int a, int b);

/* Make a directory and its parents; existing ones stay as they are. Errors: ERR_SYSTEM. */
int fs_mkdirs(const char *path, mode_t mode, struct err *e) MUST_CHECK;

/* root + path into a malloc'd string: "" or NULL root gives path itself. NULL only for no memory. */
char *fs_join(const char *root, const char *path);

#endif
