/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "agent/base/err.h"

#include <sys/types.h>

/* What a daemon gives up, in this order: limits first, privilege, then system calls. */

/* The user a daemon becomes when it was started as root without a unit that does it. */
#define SANDBOX_UID 64733
#define SANDBOX_GID 64733

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

/*
 * Allow the system calls of a threaded network daemon on all threads and answer EPERM to
 * every other: no exec, no new process, no mount, no ptrace, no module. Errors: ERR_SYSTEM.
 */
int sandbox_syscalls(struct err *e) MUST_CHECK;

#endif
