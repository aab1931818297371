/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SECRETS_CACHE_H
#define SECRETS_CACHE_H

#include "agent/base/mem.h"
#include "agent/base/secret.h"

/*
 * Unsealed results and signing keys, kept in locked memory for at most CACHE_LIFE_MS and never
 * past the token they were fetched with. Everything is dropped when the caller shows a higher
 * generation (kbs_generation(): a token was obtained or dropped). What is looked up is kept as
 * a digest only. Failures are not kept. Thread-safe.
 *
 * The cache has no thread: somebody calls cache_sweep(), so that plaintext also goes away when
 * nobody asks for it.
 */
#define CACHE_LIFE_MS (60 * 1000)
#define CACHE_ENTRIES 256
#define CACHE_BYTES   (8u << 20) /* locked memory: values rounded up to whole pages */
#define CACHE_MISS    1

struct cache; /* opaque */

/* Errors: ERR_NOMEM. */
int cache_new(struct cache **out, struct err *e) MUST_CHECK;

/* Erase all and free. Nobody may be inside another call. NULL does nothing. */
void cache_free(struct cache *c);

/*
 * Copy what is kept into *out.
 *
 * out         set only when it was found
 * key         the text that is looked up: all that the answer depends on, of any length
 * generation  of now; grows. Entries of a lower one are dropped
 *
 * Returns 0 when found, CACHE_MISS when not. Errors: ERR_NOMEM (no memory could be locked for
 * the copy), ERR_CRYPTO; a caller may take both for a miss.
 */
int cache_get(struct cache *c, struct secret *out, struct view key, uint64_t generation,
	      struct err *e) MUST_CHECK;

/*
 * Keep a copy of the value; the least recently used make room. Nothing is kept, and 0 returned,
 * when the value is empty or over CACHE_BYTES, when there is no token, or when the generation is
 * lower than one seen before.
 *
 * generation    read after the value was fetched
 * token_end_ms  kbs_token_end_ms(), read with it; 0: no token
 *
 * Errors: ERR_NOMEM, ERR_CRYPTO; the value is not kept then, and what was kept for key may be.
 */
int cache_put(struct cache *c, struct view key, const struct secret *value, uint64_t generation,
	      int64_t token_end_ms, struct err *e) MUST_CHECK;

/*
 * Erase what has ended or is of a lower generation. Returns the milliseconds until the next
 * entry ends, or -1 when the cache is empty.
 */
int64_t cache_sweep(struct cache *c, uint64_t generation);

struct cache_stats {
	uint64_t hits, misses;
	size_t entries;
	size_t bytes; /* locked memory of the values */
};

void cache_stats(struct cache *c, struct cache_stats *out);

/* Count time by another clock than clock_boot_ms(); for tests, before any other call. */
void cache_use_clock(struct cache *c, int64_t (*now_ms)(void));

#endif
