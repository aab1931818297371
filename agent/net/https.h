/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_HTTPS_H
#define NET_HTTPS_H

#include "agent/base/histogram.h"
#include "agent/base/http.h"

/*
 * HTTP/1.1 over TLS through libcurl: the only includer of <curl/curl.h>. Up to HTTPS_HANDLES
 * keep-alive connections per client (libcurl handles do not share connections across threads);
 * a sequential caller always gets the same one. TLS 1.2 or newer, redirects refused, no cookie
 * engine, no .netrc, no environment: proxies come from *config only.
 */
#define HTTPS_HANDLES 4

struct https; /* opaque, thread-safe */

struct https_config {
	const char *ca_pem;   /* the only roots when given; NULL: the system's */
	const char *proxy;    /* "http://host:port", or NULL: none, whatever the environment says */
	const char *no_proxy; /* comma list as libcurl reads it, or NULL */
	const char *user_agent;
	int64_t connect_ms; /* most time to connect and do TLS; 0: 10 s */
};

/* Everything in *config is copied. Errors: ERR_FORMAT (config.value: ca_pem is no PEM certificate),
 * ERR_NOMEM. */
int https_new(struct https **out, const struct https_config *config, struct err *e) MUST_CHECK;
void https_free(struct https *h);

/* As http_round_trip; ctx is the struct https. */
int https_round_trip(void *ctx, const struct http_request *request, struct http_reply *reply,
		     struct err *e);

/* Connections made since creation, for tests and status. */
uint64_t https_connections(const struct https *h);

/* How long requests took, answered or not, without the wait for a handle. Lives as long as h. */
const struct histogram *https_latency(const struct https *h);

#endif
