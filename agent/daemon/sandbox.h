/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "agent/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a daemon gives up, in this order: limits first, privilege, then system calls. The filters of
 * system calls are made when the program is built (sandbox_filters.c).
 */

/* The user a daemon becomes when it was started as root without a unit that does it. */
#define SANDBOX_UID 64733
#define SANDBOX_GID 64733

/* The user of vouchsafe-rest: not the one that holds the keys, but of the group that may call it. */
#define SANDBOX_REST_UID 64734

/*
 * No core dumps, no ptrace by equals (PR_SET_DUMPABLE 0), no new privileges.
 * Errors: ERR_SYSTEM.
 */
int sandbox_limits(struct err *e) MUST_CHECK;

/*
 * As root: give up every group, capability and the user id for SANDBOX_UID. As another user:
 * drop what capabilities there are. Errors: ERR_SYSTEM.
 */
int sandbox_drop(struct err *e) MUST_CHECK;

/* The same with another user and group. Errors: ERR_SYSTEM. */
int sandbox_drop_to(uid_t uid, gid_t gid, struct err *e) MUST_CHECK;

/*
 * As root: give up every capability but those of the mask (1 << CAP_…; 0: all), also for what it
 * executes, and stay uid 0, the owner of devices, of configfs, of mount points. As another user:
 * drop what capabilities there are. Errors: ERR_SYSTEM.
 */
int sandbox_keep_powers(uint64_t mask, struct err *e) MUST_CHECK;

/*
 * Let this process lock that many bytes, also after it has given up root. As root it raises the
 * limit if it may; otherwise the unit has said it with LimitMEMLOCK=. Returns the limit in force.
 */
size_t sandbox_memlock(size_t want);

/*
 * Allow the system calls of a threaded network daemon on all threads and answer EPERM to
 * every other: no exec, no new process, no mount, no ptrace, no module. Errors: ERR_SYSTEM.
 */
int sandbox_syscalls(struct err *e) MUST_CHECK;

/*
 * The same for a daemon that has its listening socket already: new sockets are unix sockets,
 * and nothing is bound, so that it connects to nobody outside the guest. Errors: ERR_SYSTEM.
 */
int sandbox_syscalls_local(struct err *e) MUST_CHECK;

/*
 * For what only reaches a TEE's device (teed): files beneath a folder, its unix socket, a child for each
 * request. No new socket, no exec. Errors: ERR_SYSTEM.
 */
int sandbox_syscalls_device(struct err *e) MUST_CHECK;

/*
 * For what maps, formats and mounts volumes, and for mkfs below it: processes, mounts, keys of the
 * kernel, semaphores (libdevmapper waits for udev with one), sockets of AF_UNIX, none that listens. No
 * namespace, no ptrace, no module, no network, no bpf. Errors: ERR_SYSTEM.
 */
int sandbox_syscalls_mount(struct err *e) MUST_CHECK;

#endif
