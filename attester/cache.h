/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_CACHE_H
#define ATTESTER_CACHE_H

#include "agent/base/buf.h"

/*
 * A few public values that are dear to fetch and change rarely (a VCEK certificate; which platform
 * the HCL report names), kept for the life of the process. Nothing secret goes in. Thread-safe.
 * A cache of NULL is a cache that never has anything.
 */
#define ATTESTER_CACHE_ENTRIES 8    /* the one used longest ago gives way */
#define ATTESTER_CACHE_KEY     128  /* bytes of a key */
#define ATTESTER_CACHE_VALUE   (16u << 10) /* bytes of a value; larger ones are not kept */

struct attester_cache; /* opaque */

/* Errors: ERR_NOMEM. */
int attester_cache_new(struct attester_cache **out, struct err *e) MUST_CHECK;
void attester_cache_free(struct attester_cache *c);

/* Append the value to *out. False when there is none, or it does not fit. */
bool attester_cache_get(struct attester_cache *c, struct view key, struct buf *out);

/* Keep a copy, in place of an older value of that key. Without memory nothing is kept. */
void attester_cache_put(struct attester_cache *c, struct view key, struct view value);

/* Forget that key. */
void attester_cache_drop(struct attester_cache *c, struct view key);

#endif
