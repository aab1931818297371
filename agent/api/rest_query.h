/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_REST_QUERY_H
#define API_REST_QUERY_H

#include "agent/base/buf.h"

/*
 * The query of a request target, application/x-www-form-urlencoded. Source:
 * url.spec.whatwg.org, "urlencoded parsing", which upstream's decoder follows.
 */
#define REST_TARGET_MAX 8192                  /* bytes of a request target */
#define REST_VALUE_MAX  (3 * REST_TARGET_MAX) /* bytes of a decoded value: U+FFFD has three */

/* Cut *in at the first c: returns what precedes it, *in becomes what follows (empty: no c). */
struct view rest_cut(struct view *in, uint8_t c);

/*
 * Put the decoded value of a parameter into *out, which is emptied first; the last one of that
 * name counts. Names are decoded too. What is no UTF-8 becomes U+FFFD: the value is text.
 *
 * out    of at least REST_VALUE_MAX; a lack of memory is marked in it
 * query  without its "?", at most REST_TARGET_MAX bytes
 *
 * Returns whether the parameter is there; *out is unchanged when it is not.
 */
bool rest_query_get(struct buf *out, struct view query, const char *name);

#endif
