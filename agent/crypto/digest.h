/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

#include "agent/base/err.h"
#include "agent/base/mem.h"

/* SHA-2 and SM3 digests, and random bytes. */
enum hash_alg { HASH_SHA256, HASH_SHA384, HASH_SHA512, HASH_SM3 };

#define DIGEST_MAX 64

struct digest {
	uint8_t b[DIGEST_MAX];
	size_t len; /* 32, 48 or 64 */
};

/* "sha256", "sha384", "sha512", "sm3". */
const char *hash_name(enum hash_alg a);
size_t hash_len(enum hash_alg a);

/* By exact lower-case name without a hyphen. Returns 0, or -ERR_UNSUPPORTED. */
int hash_by_name(enum hash_alg *out, struct view name, struct err *e) MUST_CHECK;

/* Digest of the parts, one after the other. n is the number of parts. Errors: ERR_CRYPTO. */
int digest_parts(struct digest *out, enum hash_alg a, const struct view *parts, size_t n,
		 struct err *e) MUST_CHECK;

/* Digest of one run of bytes. Errors: ERR_CRYPTO. */
int digest_of(struct digest *out, enum hash_alg a, struct view bytes, struct err *e) MUST_CHECK;

static inline struct view digest_view(const struct digest *d)
{
	return (struct view){ d->b, d->len };
}

/* n random bytes from libcrypto. Errors: ERR_CRYPTO. */
int random_bytes(uint8_t *out, size_t n, struct err *e) MUST_CHECK;

#endif
