/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_STORE_H
#define DAEMON_VOUCHSAFED_STORE_H

#include "agent/api/ttrpc_server.h"
#include "agent/base/listenfds.h"

/*
 * Root's connections in the service manager's store (sd_notify(3), FDSTORE=1), under the names
 * "aa-N" and "cdh-N": the two sockets in the order in which the server listens on them.
 */
enum { STORE_AA, STORE_CDH, STORE_SOCKETS };

/* The callbacks of a server. Without NOTIFY_SOCKET: none, nothing is kept. */
struct ttrpc_store store_callbacks(void);

/* Hand what the manager passed to the server; what is not ours is closed. Says how many. */
void store_adopt(struct ttrpc_server *server, struct listen_fds *handed);

#endif
