/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MOUNTD_SERVE_H
#define DAEMON_MOUNTD_SERVE_H

#include "mounts/volume/volume.h"

/*
 * The service of vouchsafe-mountd (agent/api/mountd.h). Each connection is served by a process of
 * its own: a key lives and dies with it, the library's state too, and a hostile disk that takes
 * it down takes nothing else. Which of them may touch a device first is volume.h's business.
 */
#define MOUNTD_CHILDREN 8 /* requests at a time; one more is told volume.too-many */

struct mountd_source {
	int listen_fd;   /* accepts connections; -1: none */
	int pair_fd;     /* is handed connections; -1: none. Its end ends the service */
	int signals;     /* a signalfd of TERM, INT, HUP and CHLD */
	int64_t idle_ms; /* without a request and without an open volume, until it ends; 0: never */
};

/*
 * Serve until a signal to end, the end of the pair, or idleness. Waits for the requests in hand;
 * volumes stay open. Errors: ERR_SYSTEM.
 */
int mountd_loop(const struct mountd_source *s, const struct volume_rules *rules,
		struct err *e) MUST_CHECK;

#endif
