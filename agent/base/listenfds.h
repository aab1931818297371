/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LISTENFDS_H
#define BASE_LISTENFDS_H

#include "agent/base/err.h"

#include <stddef.h>

/*
 * Descriptors that the service manager hands over at start: its sockets and what its store holds.
 * Source: sd_listen_fds(3).
 *
 *   LISTEN_PID      decimal; another process's: nothing was handed over
 *   LISTEN_FDS      decimal, how many, from descriptor 3 on
 *   LISTEN_FDNAMES  as many names, a colon between them; absent: all are "unknown"
 */
#define LISTEN_FDS_MAX  64
#define LISTEN_NAME_MAX 63 /* bytes; each of 0x21..0x7e without ':' */

struct listen_fds {
	size_t n;
	struct {
		int fd; /* -1: taken */
		char name[LISTEN_NAME_MAX + 1];
	} at[LISTEN_FDS_MAX];
};

/*
 * Take what was handed over; call it before anything else opens a descriptor. They are
 * close-on-exec, and the variables are removed, whatever it returns.
 *
 * out  n is 0 when there is nothing, and on failure
 *
 * Errors: ERR_FORMAT (a variable is malformed; names and count disagree), ERR_LIMIT (over
 * LISTEN_FDS_MAX, a long name), ERR_SYSTEM (one of them is not open). Those that were announced
 * are closed then, as far as their number is known and not over 1024.
 */
int listen_fds_take(struct listen_fds *out, struct err *e) MUST_CHECK;

/* Close those that nobody took. */
void listen_fds_close(struct listen_fds *l);

#endif
