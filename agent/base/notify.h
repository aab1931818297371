/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include "agent/base/err.h"

/*
 * Tell the service manager about our state: the datagram of sd_notify(3), sent to the path in
 * NOTIFY_SOCKET. Source: sd_notify(3), "Notes" (the protocol is guaranteed stable).
 *
 * state  lines as in the manual: "READY=1\nSTATUS=…", "STOPPING=1", "WATCHDOG=1"
 *
 * Does nothing without NOTIFY_SOCKET. Errors: ERR_SYSTEM; no caller needs to stop for it.
 */
int notify_send(const char *state, struct err *e);

/*
 * The same with a descriptor, which the manager duplicates: "FDSTORE=1\nFDNAME=…" puts it into
 * its store, "FDSTOREREMOVE=1\nFDNAME=…" (no descriptor) takes it out. What is sent before the
 * process dies is handled before it is started again.
 *
 * fd       borrowed; -1: none
 * wait_ms  how long to wait for room in the manager's queue; 0: not at all
 *
 * Errors: ERR_NOTFOUND (no NOTIFY_SOCKET), ERR_TIMEOUT (no room), ERR_LIMIT, ERR_SYSTEM.
 */
int notify_send_fd(const char *state, int fd, int wait_ms, struct err *e) MUST_CHECK;

/* Half of WATCHDOG_USEC in milliseconds when it is meant for this process, else 0. */
long notify_watchdog_ms(void);

#endif
