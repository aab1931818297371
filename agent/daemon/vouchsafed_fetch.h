/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_FETCH_H
#define DAEMON_VOUCHSAFED_FETCH_H

#include "agent/setup/guest.h"

/*
 * Fetch cdh.toml's [[credentials]] on a thread of its own, again and again until all are there:
 * the sockets do not wait for them (kata-agent gives them 6 s), and Trustee may come late.
 * The thread ends with the process. Does nothing where there are none. Errors: ERR_SYSTEM.
 */
int fetch_start(struct guest *g, struct err *e) MUST_CHECK;

#endif
