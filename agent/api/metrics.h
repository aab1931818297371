/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/histogram.h"

#include <sys/types.h>

/*
 * Metrics: a writer of Prometheus' text format (0.0.4) and the unix socket it is read from.
 *
 * The socket speaks as much HTTP/1.0 as a collector needs: one request a connection, then the
 * connection ends. Nothing of a request but method and path is looked at.
 *
 *   GET /metrics, GET /         200, the text
 *   GET of another path         404
 *   another method              405
 *   no request line             400
 *   head over METRICS_HEAD_MAX  431
 *   not asked in METRICS_MS     closed
 *   over METRICS_PEERS at once  the one that connected first is closed
 */
#define METRICS_TEXT_MAX (256u << 10) /* bytes of the whole text */
#define METRICS_HEAD_MAX 4096         /* of a request's head */
#define METRICS_PEERS    8
#define METRICS_MS       5000         /* of a connection, from its first to its last byte */

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* Begin a metric: its # HELP and # TYPE lines. help is one line. */
void metrics_begin(struct buf *out, const char *name, enum metrics_type type, const char *help);

/* A label and its value; lists end with a row whose name is NULL. */
struct metrics_label {
	const char *name;
	const char *value; /* any text: escaped here, and what is no UTF-8 becomes '?' */
};

/* One sample. labels may be NULL. */
void metrics_put(struct buf *out, const char *name, const struct metrics_label *labels,
		 uint64_t value);

/* One sample in seconds. */
void metrics_put_ms(struct buf *out, const char *name, const struct metrics_label *labels,
		    int64_t ms);

/* A metric with one sample without labels: begin and put. */
void metrics_one(struct buf *out, const char *name, enum metrics_type type, const char *help,
		 uint64_t value);

/* A histogram in seconds, with its HELP and TYPE. */
void metrics_histogram(struct buf *out, const char *name, const char *help,
		       const struct histogram *h);

struct metrics_server; /* opaque */

/*
 * Serve on a unix socket, with a thread of its own that all signals are blocked in. What was at
 * path is replaced.
 *
 * path   absolute, at most 107 bytes; its folder is there and only its owner writes to it
 * write  appends the text; called by the thread, for one request after another
 *
 * Errors: ERR_LIMIT (path), ERR_SYSTEM, ERR_NOMEM.
 */
int metrics_serve(struct metrics_server **out, const char *path, mode_t mode,
		  void (*write)(void *ctx, struct buf *out), void *ctx, struct err *e) MUST_CHECK;

/* Remove the socket and end the thread; nobody is answered any more. NULL does nothing. */
void metrics_stop(struct metrics_server *s);

#endif
