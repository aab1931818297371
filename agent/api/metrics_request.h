/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_METRICS_REQUEST_H
#define API_METRICS_REQUEST_H

/* What a collector's request head asks for; private to metrics_server.c, its tests and fuzzer. */
enum metrics_request {
	METRICS_PARTIAL,   /* no empty line yet */
	METRICS_TEXT,      /* GET / or GET /metrics */
	METRICS_NOT_FOUND, /* GET of another path */
	METRICS_METHOD,    /* another method */
	METRICS_MALFORMED, /* no request line */
};

/*
 * Judge a head that is NUL-terminated: METHOD SP target SP HTTP/…; what follows does not matter.
 * A head with a NUL in it ends there, and is never whole or no request.
 */
enum metrics_request metrics_request(const char *head);

#endif
