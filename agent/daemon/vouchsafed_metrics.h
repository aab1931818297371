/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_METRICS_H
#define DAEMON_VOUCHSAFED_METRICS_H

#include "agent/api/metrics.h"
#include "agent/api/ttrpc_server.h"
#include "agent/daemon/vouchsafed_aa.h"
#include "agent/daemon/vouchsafed_serve.h"

/*
 * What vouchsafed counts and shows on its metrics socket; the names are described in doc/metrics.md.
 * Counts are the process's: they begin at 0 with it.
 */
#define GUEST_METRICS_DIR    "/run/vouchsafe/metrics"
#define GUEST_METRICS_SOCKET GUEST_METRICS_DIR "/metrics.sock"

/* What was done for a caller. */
enum counted {
	COUNTED_UNSEAL_TRUSTEE,
	COUNTED_UNSEAL_CACHE,
	COUNTED_RESOURCE,
	COUNTED_KEY,
	COUNTED_EVIDENCE,
	COUNTED_TOKEN_KBS,
	COUNTED_TOKEN_COCO_AS,
	COUNTED_EVENT,
	COUNTED_VOLUME,
	COUNTED_KINDS
};

/* From any thread. */
void count(enum counted what);
void count_failure(const struct err *e);

/* How long opening a volume took, done or not. */
void count_volume_ms(int64_t ms);

/* Measure how long evidence takes from here on. Before *g serves anybody. */
void count_quotes(struct guest *g);

/* All borrowed until metrics_stop(). */
struct metrics_sources {
	struct guest *guest;
	struct serve *cdh;
	struct serve_aa *aa;
	struct ttrpc_server *server;
	int64_t started_ms; /* clock_boot_ms() */
};

/* Append everything; for metrics_serve(), its ctx is a struct metrics_sources. */
void metrics_write(void *sources, struct buf *out);

#endif
