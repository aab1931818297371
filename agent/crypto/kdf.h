/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

#include "agent/crypto/digest.h"

/* Keys from keys, keys from passwords, and a tag under a key. */

/*
 * HKDF-SHA256 (RFC 5869) to 32 bytes. For keys of full entropy.
 * info  says what the result is for; two purposes never share one
 * Errors: ERR_CRYPTO.
 */
int kdf_hkdf(struct key32 *out, struct view key, struct view salt, const char *info,
	     struct err *e) MUST_CHECK;

/*
 * scrypt (RFC 7914) to 32 bytes: N = 2^16, r = 8, p = 1, which takes 64 MiB for the time of the
 * call. For passwords: what they protect must not be guessed faster elsewhere.
 * Errors: ERR_CRYPTO (also when there is no memory).
 */
int kdf_scrypt(struct key32 *out, struct view password, struct view salt, struct err *e) MUST_CHECK;

/* HMAC-SHA256 (RFC 2104) over the parts, one after the other. Errors: ERR_CRYPTO. */
int hmac_sha256(struct digest *out, const struct key32 *key, const struct view *parts, size_t n,
		struct err *e) MUST_CHECK;

#endif
