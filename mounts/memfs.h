/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_MEMFS_H
#define MOUNTS_MEMFS_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"

/*
 * The memory-backed folder in which plaintext may lie as a file: tmpfs with noswap (Linux 6.4),
 * else ramfs. Mounted when it is not there yet; one that somebody mounted before is used as it is.
 *
 *   DIR/                 0700 root
 *     <32 hex digits>/   one container's shadow bundle (shadow.h)
 *     x-<random>         the process file of an exec that is about to start
 *
 * Who works on an entry holds flock(2) on it; the kernel lets go when he dies, so an entry whose
 * lock is free and whose work is not finished is what a crash left. Entries are made and swept
 * under the lock of DIR itself.
 */
#define MEMFS_NAME_LEN     32
#define MEMFS_PATH_MAX     64 /* bytes of DIR: a socket's path below it must fit sun_path */
#define MEMFS_LOCK_WAIT_MS 20000

struct memfs {
	int fd; /* DIR, open for reading; -1 when closed */
	char path[MEMFS_PATH_MAX + 1];
};

#define MEMFS_CLOSED    ((struct memfs){ .fd = -1 })
#define cleanup_memfs __attribute__((cleanup(memfs_close)))

/*
 * Open DIR, mounting it where needed.
 *
 * path  absolute, at most MEMFS_PATH_MAX bytes
 * max   size in bytes that a tmpfs gets
 *
 * Errors: oci.no-memory-fs (neither can be mounted, or the folder is not root's alone),
 * oci.needs-root (mounting is not allowed to us), ERR_SYSTEM.
 */
int memfs_open(struct memfs *out, const char *path, size_t max, struct err *e) MUST_CHECK;

/* As memfs_open(), but never mounts. Errors besides: ERR_NOTFOUND when it is not mounted. */
int memfs_open_existing(struct memfs *out, const char *path, struct err *e) MUST_CHECK;

void memfs_close(struct memfs *m);

/* True when fd lies on ramfs, or on tmpfs that never swaps. */
bool memfs_never_swaps(int fd);

/* True when the folder (or its nearest parent that exists) lies on tmpfs or ramfs. */
bool memfs_is_memory(const char *path);

/*
 * Take the lock of DIR (fd of memfs), waiting for at most MEMFS_LOCK_WAIT_MS.
 * Returns a descriptor that holds it until closed, or -ERR_TIMEOUT, -ERR_SYSTEM.
 */
int memfs_lock(const struct memfs *m, struct err *e) MUST_CHECK;

/* Overwrite a regular file with zeros where it stands. Errors: ERR_SYSTEM. */
int memfs_zero(int fd, struct err *e);

/* Zero and unlink one file. A missing one is no error. Errors: ERR_SYSTEM. */
int memfs_erase(int dirfd, const char *name, struct err *e);

/*
 * Zero and remove a folder of our own making and what is in it, at most 16 levels deep. A missing one
 * is no error. Errors: ERR_SYSTEM, ERR_LIMIT.
 */
int memfs_remove(int dirfd, const char *name, struct err *e);

/*
 * Make an empty file of a fresh name "x-…" in DIR, locked, for the process of an exec.
 * path  out: its absolute path, for the runtime's command line
 * Returns the descriptor (open for writing; closing it lets go of the lock). DIR's lock is held by
 * the caller. Errors: ERR_SYSTEM.
 */
int memfs_exec_file(const struct memfs *m, char path[MEMFS_PATH_MAX + 40], struct err *e) MUST_CHECK;

/* Remove the process files whose lock is free. DIR's lock is held by the caller. */
void memfs_sweep_exec_files(const struct memfs *m);

#endif
