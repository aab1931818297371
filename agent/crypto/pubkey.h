/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_PUBKEY_H
#define CRYPTO_PUBKEY_H

#include "agent/base/buf.h"

/*
 * Public RSA keys as others hold them: SubjectPublicKeyInfo in DER (RFC 5280 4.1, RFC 3279
 * 2.3.1), and signatures under them. For the AK's public part and for checking an own quote.
 */
#define PUBKEY_RSA_MIN 256         /* modulus, bytes: 2048 bits */
#define PUBKEY_RSA_MAX 1024        /* modulus, bytes */
#define PUBKEY_DER_MAX (16u << 10) /* bytes */

struct pubkey; /* opaque; immutable, any thread may use it */

#define cleanup_pubkey __attribute__((cleanup(pubkey_freep)))

/*
 * An RSA key of its two numbers.
 *
 * out  set on success only; free with pubkey_free()
 * n    modulus, big-endian, PUBKEY_RSA_MIN..PUBKEY_RSA_MAX bytes with the highest not zero
 * e    exponent, odd; 0 means 65537, as a TPM writes it
 *
 * Errors: ERR_FORMAT (n or e out of range), ERR_CRYPTO, ERR_NOMEM.
 */
int pubkey_rsa_new(struct pubkey **out, struct view n, uint32_t e, struct err *err) MUST_CHECK;
void pubkey_free(struct pubkey *k);
static inline void pubkey_freep(struct pubkey **k)
{
	pubkey_free(*k);
}

/*
 * Verify RSASSA-PKCS1-v1_5 with SHA-256 over message; the signature has as many bytes as the
 * modulus. Errors: ERR_VERIFY (it does not match), ERR_CRYPTO.
 */
int pubkey_verify_sha256(const struct pubkey *k, struct view message, struct view signature,
			 struct err *e) MUST_CHECK;

/* Append the SPKI of a key of these numbers. Errors: as pubkey_rsa_new(), ERR_LIMIT (der full). */
int pubkey_rsa_spki(struct buf *der, struct view n, uint32_t e, struct err *err) MUST_CHECK;

/*
 * pubkey_verify_sha256() with a key that comes as DER.
 *
 * spki  of an RSA key, nothing behind it
 *
 * Errors: besides, ERR_FORMAT (spki does not parse), ERR_UNSUPPORTED (no RSA key, or its size is
 * out of range).
 */
int pubkey_rsa_verify_sha256(struct view spki, struct view message, struct view signature,
			     struct err *e) MUST_CHECK;

#endif
