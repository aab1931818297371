/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SECRETS_CACHE_H
#define SECRETS_CACHE_H

#include "agent/base/mem.h"
#include "agent/base/secret.h"

/*
 * Unsealed results and signing keys, kept in locked memory for at most CACHE_LIFE_MS and never
 * past the token they were fetched with. Everything is dropped when the caller shows another
 * generation (kbs_generation(): a token was obtained or dropped). What is looked up is kept as
 * a digest only. Failures are not kept. Thread-safe.
 *
 * The cache has no clock and no thread: every call says what time it is (clock_boot_ms()), and
 * somebody calls cache_sweep() so that plaintext also goes away when nobody asks for it.
 */
#define CACHE_LIFE_MS (60 * 1000)
#define CACHE_ENTRIES 256
#define CACHE_BYTES   (8u << 20) /* locked memory: values rounded up to whole pages */

struct cache; /* opaque */

enum cache_what {
	CACHE_UNSEALED, /* what sealed_unseal() gave */
	CACHE_KEY,      /* a signing key */
};

/* What is asked for: all that the answer depends on. Borrowed for the call. */
struct cache_lookup {
	enum cache_what what;
	const char *name; /* what it is for, as given to sealed_unseal(); NULL when unknown */
	struct view text; /* the sealed text, or the key's URI */
};

/* Errors: ERR_NOMEM. */
int cache_new(struct cache **out, struct err *e) MUST_CHECK;

/* Erase all and free. Nobody may be inside another call. NULL does nothing. */
void cache_free(struct cache *c);

/*
 * Copy what is kept into *out.
 *
 * out         set only when it was found
 * generation  of now; entries of another one are dropped
 * now_ms      CLOCK_BOOTTIME
 *
 * Returns 1 when found, 0 when not. Errors: ERR_NOMEM (found, but no memory could be locked for
 * the copy), ERR_CRYPTO; a caller may take both for "not found".
 */
int cache_get(struct cache *c, struct secret *out, const struct cache_lookup *what,
	      uint64_t generation, int64_t now_ms, struct err *e) MUST_CHECK;

/*
 * Keep a copy of the value; the least recently used make room. Best effort: an empty value, one
 * over CACHE_BYTES, or one that no memory can be locked for is not kept.
 *
 * generation    read after the value was fetched; an older one than the cache has seen is ignored
 * token_end_ms  kbs_token_end_ms(), read with it; 0 (no token) keeps nothing
 */
void cache_put(struct cache *c, const struct cache_lookup *what, const struct secret *value,
	       uint64_t generation, int64_t token_end_ms, int64_t now_ms);

/*
 * Erase what has ended or is of another generation. Returns the milliseconds until the next
 * entry ends, or -1 when the cache is empty.
 */
int64_t cache_sweep(struct cache *c, uint64_t generation, int64_t now_ms);

struct cache_stats {
	uint64_t hits, misses;
	size_t entries;
	size_t bytes; /* locked memory of the values */
};

void cache_stats(struct cache *c, struct cache_stats *out);

#endif
