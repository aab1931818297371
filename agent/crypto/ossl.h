/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_OSSL_H
#define CRYPTO_OSSL_H

#include "agent/base/json.h"
#include "agent/crypto/ecdsa.h"
#include "agent/crypto/teekey.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>

/*
 * What the files of this room share: ownership of libcrypto's objects, and its errors.
 * Nobody outside agent/crypto includes this header.
 */
#define OSSL_CLEANUP(name, type, release)                                                          \
	static inline void name##_freep(type **p)                                                  \
	{                                                                                          \
		release(*p);                                                                       \
	}

OSSL_CLEANUP(bn, BIGNUM, BN_clear_free)
OSSL_CLEANUP(bio, BIO, BIO_free_all)
OSSL_CLEANUP(pkey, EVP_PKEY, EVP_PKEY_free)
OSSL_CLEANUP(pkey_ctx, EVP_PKEY_CTX, EVP_PKEY_CTX_free)
OSSL_CLEANUP(md_ctx, EVP_MD_CTX, EVP_MD_CTX_free)
OSSL_CLEANUP(cipher_ctx, EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)
OSSL_CLEANUP(kdf, EVP_KDF, EVP_KDF_free)
OSSL_CLEANUP(kdf_ctx, EVP_KDF_CTX, EVP_KDF_CTX_free)
OSSL_CLEANUP(param_bld, OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
OSSL_CLEANUP(params, OSSL_PARAM, OSSL_PARAM_free)
OSSL_CLEANUP(ecdsa, ECDSA_SIG, ECDSA_SIG_free)

#define cleanup_bn         __attribute__((cleanup(bn_freep)))
#define cleanup_bio        __attribute__((cleanup(bio_freep)))
#define cleanup_pkey       __attribute__((cleanup(pkey_freep)))
#define cleanup_pkey_ctx   __attribute__((cleanup(pkey_ctx_freep)))
#define cleanup_md_ctx     __attribute__((cleanup(md_ctx_freep)))
#define cleanup_cipher_ctx __attribute__((cleanup(cipher_ctx_freep)))
#define cleanup_kdf        __attribute__((cleanup(kdf_freep)))
#define cleanup_kdf_ctx    __attribute__((cleanup(kdf_ctx_freep)))
#define cleanup_param_bld  __attribute__((cleanup(param_bld_freep)))
#define cleanup_params     __attribute__((cleanup(params_freep)))
#define cleanup_ecdsa      __attribute__((cleanup(ecdsa_freep)))

struct teekey {
	enum teekey_alg alg;
	EVP_PKEY *pkey;
};

/* ERR_CRYPTO: what failed, and the library's first reason. Empties its error queue. */
int ossl_err(struct err *e, const char *what);

/*
 * Give libcrypto a locked heap for private numbers (it keeps d, p, q of keys and their temporaries
 * there), once a process. Called before anything private is made or read. What it has in ordinary
 * memory besides, it erases before freeing: ossl.c sees to that before main().
 * Errors: ERR_NOMEM when the memory cannot be locked, ERR_INTERNAL when it does not erase.
 */
int ossl_locked_heap(struct err *e) MUST_CHECK;

/*
 * Import an EC key from a JWK: kty "EC", this crv, x and y of exactly the curve's width, the
 * point on the curve. Other members are unread.
 *
 * crv      "P-256" or "P-521"
 * private  want d too, of exactly the width and belonging to x and y; P-256 only
 *
 * Errors: ERR_FORMAT, ERR_NOMEM, ERR_CRYPTO.
 */
int ossl_ec_from_jwk(EVP_PKEY **out, const struct json *jwk, const char *crv, bool private_key,
		     struct err *e) MUST_CHECK;

/* Whether it is an EC key of this curve. */
bool ossl_on_curve(const EVP_PKEY *pkey, enum ecdsa_curve curve);

/* ecdsa_verify() with a key that libcrypto has. Errors: besides, ERR_UNSUPPORTED (another curve). */
int ossl_ecdsa_verify(EVP_PKEY *pkey, enum ecdsa_curve curve, struct view message,
		      struct ecdsa_signature signature, struct err *e) MUST_CHECK;

#endif
