/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_TEEKEY_H
#define CRYPTO_TEEKEY_H

#include "agent/base/buf.h"
#include "agent/base/secret.h"

/*
 * The TEE key: made in this guest, named in the report data of its evidence, and the key that
 * Trustee encrypts its replies to. Source: spec/trustee.md 1.8 and 2 (kbs_protocol keypair.rs).
 */
enum teekey_alg {
	TEEKEY_P256, /* "ECDH-ES+A256KW-P256", the default */
	TEEKEY_P521, /* "ECDH-ES+A256KW-P521" */
	TEEKEY_RSA,  /* "RSA-OAEP-256": RSA 2048, e = 65537 */
};

struct teekey; /* opaque; immutable after creation, may be used by several threads at once */

#define cleanup_teekey __attribute__((cleanup(teekey_freep)))

/* By the name in aa.toml (exact case). Errors: ERR_UNSUPPORTED naming the three. */
int teekey_alg_by_name(enum teekey_alg *out, struct view name, struct err *e) MUST_CHECK;
const char *teekey_alg_name(enum teekey_alg a);

/* A fresh key. Errors: ERR_CRYPTO, ERR_NOMEM. */
int teekey_new(struct teekey **out, enum teekey_alg a, struct err *e) MUST_CHECK;
void teekey_free(struct teekey *k);
static inline void teekey_freep(struct teekey **k)
{
	teekey_free(*k);
}

/* Another owner of the same key. Errors: ERR_NOMEM, ERR_CRYPTO. */
int teekey_share(struct teekey **out, const struct teekey *k, struct err *e) MUST_CHECK;

enum teekey_alg teekey_alg(const struct teekey *k);

/*
 * Append the public JWK with exactly the members of spec 1.8, in RFC 8785 order (which is also
 * what is hashed into the report data): EC alg,crv,kty,x,y with fixed-width coordinates; RSA
 * alg,e,kty,n. Errors: ERR_CRYPTO, ERR_LIMIT.
 */
int teekey_jwk(struct buf *out, const struct teekey *k, struct err *e) MUST_CHECK;

/*
 * The private key as PEM (EC: PKCS#8, RSA: PKCS#1), for GetToken's export key only.
 * Errors: ERR_CRYPTO, ERR_NOMEM.
 */
int teekey_pem(struct secret *out, const struct teekey *k, struct err *e) MUST_CHECK;

/* Read such a PEM (tests, and tools that take one). Errors: ERR_FORMAT, ERR_UNSUPPORTED. */
int teekey_from_pem(struct teekey **out, struct view pem, struct err *e) MUST_CHECK;

#endif
