/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_HEADERS_H
#define NET_HEADERS_H

#include "agent/base/http.h"

/*
 * The header lines of a reply (RFC 9112 5, RFC 9110 5.6.7 and 10.2.3, RFC 6265 5.2), one by one,
 * as libcurl hands them over: a status line, fields, an empty line; interim replies (1xx) before
 * the last one, trailers behind its body.
 */
#define HEADERS_MAX               (64u << 10) /* all lines of one exchange, bytes */
#define HEADERS_RETRY_AFTER_MAX_S 3600        /* a longer Retry-After counts as this */

/* Zeroed before the first line. */
struct headers {
	size_t bytes; /* of all lines so far */
	bool ended;   /* an empty line came: what follows is a trailer until a status line comes */
};

/*
 * Take one line, with or without its line end. A status line forgets what an interim reply said;
 * a field that is malformed, or does not fit, counts as absent.
 *
 * reply  set_cookie, date and retry_after_ms are kept up; the rest is not touched
 *
 * Returns false when the lines exceed HEADERS_MAX; *reply is unchanged then.
 */
bool headers_take(struct headers *h, struct http_reply *reply, struct view line) MUST_CHECK;

/* Seconds since 1970 of an IMF-fixdate ("Sun, 06 Nov 1994 08:49:37 GMT"), 0 for anything else. */
int64_t headers_date(struct view v);

#endif
