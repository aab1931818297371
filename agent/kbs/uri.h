/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KBS_URI_H
#define KBS_URI_H

#include "agent/base/buf.h"

/*
 * Resource URIs: kbs[+plugin]://[host[:port]]/segment[/segment…][?query].
 * Source: spec/trustee.md 5; vectors/trustee/derived/resource-uris.json. What a WHATWG parser
 * would rewrite (dot segments, spaces, quotes, control characters) is refused instead: nothing
 * legitimate needs it.
 */
#define URI_MAX 1024 /* whole text, bytes */

struct uri {
	char plugin[65];      /* "resource" for kbs:// */
	char host[256];       /* "host", "host:port", "[::1]:8080" or "" */
	char path[URI_MAX];   /* "default/key/1": no leading slash */
	char query[URI_MAX];  /* without '?'; "" when none */
	char text[3 * URI_MAX]; /* canonical: kbs+resource:// becomes kbs://, no fragment */
};

/* Errors: ERR_USAGE (kbs.bad-uri), naming what is wrong. *out is set on success only. */
int uri_parse(struct uri *out, struct view text, struct err *e) MUST_CHECK;

/* Append base + "/kbs/v0/{plugin}/{path}[?{query}]"; base has no trailing slash. */
void uri_request_url(struct buf *out, const char *base, const struct uri *u);

#endif
