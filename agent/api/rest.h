/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_REST_H
#define API_REST_H

#include "agent/api/rest_backend.h"
#include "agent/api/rest_conns.h"
#include "agent/api/rest_pool.h"

/*
 * The REST API of the pod: HTTP/1.1 on a loopback socket. Source: spec/local-api.md 3.
 *
 *   rest_route.c    what a request asks for, and the texts      (with rest_query.c, rest_token.c)
 *   rest_backend.c  one call at vouchsafed, as an answer
 *   rest_pool.c     the threads that make those calls
 *   rest_conns.c    who is connected, and who has to go
 *   rest.c          HTTP: the only file that knows libmicrohttpd
 *
 * One thread does all HTTP and never waits for a backend: a connection sleeps while its call is
 * with the pool. Plaintext comes from the backend's socket into locked memory and leaves from
 * there; it is erased when the client has taken it or is gone.
 *
 *   a request that …                        is answered
 *   comes from no loopback address          403 "Forbidden", whatever it asks
 *   has a target over REST_TARGET_MAX       414
 *   has headers over REST_HEADERS_MAX       431, by the library
 *   has a body over REST_BODY_MAX           413; over REST_DISCARD_MAX: closed
 *   finds REST_*_QUEUE calls before it      503 "Service Unavailable"
 */
#define REST_HEADERS_MAX (32u << 10) /* bytes of memory for a request's line and headers */
#define REST_DISCARD_MAX (1u << 20)  /* bytes of a body that are read only to be dropped */

struct rest_config {
	int listen_fd;   /* a listening TCP socket; rest's from rest_start() on, whatever it returns
			  */
	size_t held_max; /* bytes of plaintext in answers that clients have not taken yet */
	struct rest_backend_config backend;
};

struct rest; /* thread-safe */

/*
 * Serve. Its threads inherit the confinement of the caller and block all signals.
 * config  the strings in it are borrowed until rest_stop()
 * Errors: ERR_NOMEM, ERR_SYSTEM.
 */
int rest_start(struct rest **out, const struct rest_config *config, struct err *e) MUST_CHECK;

/* Cut connections that are over their time; call it every second. */
void rest_sweep(struct rest *r);

struct rest_stats {
	struct rest_conns_stats conns;
	uint64_t requests;
};

void rest_stats(struct rest *r, struct rest_stats *out);

/*
 * Take no more connections, let the requests in flight be answered, and free.
 * Errors: ERR_TIMEOUT: calls are still in flight at the deadline; nothing is freed, and the
 * program ends instead.
 */
int rest_stop(struct rest *r, struct deadline d, struct err *e);

#endif
