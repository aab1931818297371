/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEED_SERVE_H
#define DAEMON_TEED_SERVE_H

#include "agent/base/err.h"
#include "attester/tee_local.h"

#include <sys/types.h>

/*
 * The service of vouchsafe-teed (agent/api/teed.h): one request after the other, each through
 * tee_local(), so that a device that hangs holds up nobody longer than TEE_LOCAL_MS.
 */
#define TEED_CONNECTIONS 8     /* who comes when there are as many waits in the socket's queue */
#define TEED_SPEAK_MS    10000 /* a connection that asks nothing for so long is closed */
#define TEED_IDLE_MS     30000 /* nobody connected for so long: it ends, the socket's unit stays */

struct teed {
	int listen_fd;   /* of SOCK_SEQPACKET; -1: none */
	int pair_fd;     /* one connection that is there from the start; -1: none. Its end ends all */
	int signals;     /* a signalfd: readable means stop; -1: none */
	int64_t idle_ms; /* 0: never */
	const uid_t *uids; /* who may ask, besides root; the pair's end may without */
	size_t n_uids;
	struct tee_local local; /* root_fd and wait_ms from the caller */
};

/*
 * Serve until a signal, the end of the pair, or idleness. Closes what it was given.
 * Errors: ERR_SYSTEM.
 */
int teed_serve(struct teed *t, struct err *e) MUST_CHECK;

/*
 * No capability, no core dumps, no system call beyond those of this service and of tee_local().
 * The last thing before teed_serve(). Errors: ERR_SYSTEM.
 */
int teed_confine(struct err *e) MUST_CHECK;

#endif
