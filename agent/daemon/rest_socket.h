/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_REST_SOCKET_H
#define DAEMON_REST_SOCKET_H

#include "agent/base/err.h"

/* The listening socket of vouchsafe-rest: handed over by the service manager, or made here. */
#define REST_SOCKET_TEXT 64 /* "127.0.0.1:8006", "[::1]:8006" */

/*
 * Take the socket that LISTEN_FDS announces to this process (sd_listen_fds(3)), else bind one.
 * Either way it listens on a loopback address, or is refused. The variables are removed.
 *
 * fd     out; close-on-exec
 * bind   IP:PORT, the IP literal, an IPv6 one in brackets; not used when one was handed over
 * where  out: the address it listens on
 *
 * Errors: ERR_USAGE (bind malformed, or no loopback address), ERR_SYSTEM, ERR_FORMAT (what was
 * handed over is not exactly one listening TCP socket, or announced as listenfds.h refuses),
 * ERR_DENIED (it is on no loopback address), ERR_LIMIT and ERR_NOMEM as listen_fds_take().
 */
int rest_socket(int *fd, const char *bind, char where[REST_SOCKET_TEXT], struct err *e) MUST_CHECK;

#endif
