/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"

/*
 * One HTTP exchange, as plain data. It stands in base so that who speaks a protocol
 * (agent/kbs) and who moves the bytes (agent/net) need not know each other: the mains give
 * the one a callback of the other.
 */

#define HTTP_REPLY_MAX  (8u << 20) /* default cap of a reply's body, bytes */
#define HTTP_COOKIE_MAX 4096       /* all cookies of a reply; what does not fit is left out */

struct http_request {
	const char *method;       /* "GET", "POST", "PUT" */
	const char *url;          /* absolute; borrowed */
	const char *bearer;       /* token for Authorization: Bearer, or NULL; borrowed */
	const char *cookie;       /* "name=value" for Cookie:, or NULL; borrowed */
	const char *content_type; /* or NULL */
	const char *const *headers; /* further lines "Name: value", then NULL; or NULL; borrowed */
	struct view body;         /* borrowed; empty for GET */
	size_t reply_max;         /* cap of the reply's body in bytes; 0 means HTTP_REPLY_MAX */
	struct deadline deadline; /* for the whole exchange */
};

struct http_reply {
	int status;                       /* 100..599 */
	struct buf body;                  /* owned; release with http_reply_done() */
	char set_cookie[HTTP_COOKIE_MAX]; /* "name=value" of each Set-Cookie, joined by "; "; "" when none */
	int64_t date;                     /* the peer's Date header, seconds since 1970; 0 when none */
	int64_t retry_after_ms;           /* of Retry-After in seconds; 0 when none */
};

/*
 * Carry out one exchange. *reply must be zeroed by the caller; it is filled on success only,
 * whatever the status (a 401 is a success of the transport).
 *
 * Errors: ERR_NETWORK (net.*, tls.failed: may be retried), ERR_TIMEOUT (the deadline),
 * ERR_VERIFY (tls.untrusted, tls.name, tls.expired, clock.skew), ERR_LIMIT (net.too-large),
 * ERR_FORMAT (net.http, net.redirect).
 */
typedef int http_round_trip(void *ctx, const struct http_request *request,
			    struct http_reply *reply, struct err *e);

/* Erases: the body may hold a token, the cookie is as good as one. */
static inline void http_reply_done(struct http_reply *r)
{
	if (r->body.p)
		explicit_bzero(r->body.p, r->body.len);
	buf_done(&r->body);
	explicit_bzero(r->set_cookie, sizeof r->set_cookie);
}

#define cleanup_http_reply __attribute__((cleanup(http_reply_done)))

#endif
