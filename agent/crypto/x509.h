/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_X509_H
#define CRYPTO_X509_H

#include "agent/base/buf.h"
#include "agent/crypto/ecdsa.h"

/*
 * X.509 certificates of hardware makers. There is no general path building: a maker's chain has a
 * known length and known roles, so the caller asks of each pair whether the one issued the other,
 * by that maker's rules. Dates are no part of that: they are asked for by themselves, so that an
 * expired certificate is called expired and not badly signed.
 *
 *   X509_AMD    RSASSA-PSS, SHA-384, MGF1 the same, salt of 48 (AMD SEV-SNP VCEK/VLEK, ASK, ASVK, ARK);
 *               a serial number of zero is in order (VCEKs have it)
 *   X509_INTEL  ECDSA P-256, SHA-256 (Intel SGX PCK, its CAs, the SGX Root CA)
 *
 * Both: version 3, the issuer's subject is the other's issuer, the issuer has basicConstraints CA
 * and keyUsage keyCertSign, both algorithm identifiers of the certificate are the same.
 */
#define X509_DER_MAX    (16u << 10) /* one certificate, bytes */
#define X509_PEM_MAX    (64u << 10) /* a chain in PEM, bytes */
#define X509_CHAIN_MAX  8           /* certificates in one chain */
#define X509_NAME_MAX   128         /* a subject's common name, bytes with its NUL */

enum x509_rules { X509_AMD, X509_INTEL };

struct x509_cert; /* opaque; immutable, any thread may use it */

#define cleanup_x509       __attribute__((cleanup(x509_freep)))
#define cleanup_x509_chain __attribute__((cleanup(x509_chain_done)))

struct x509_chain {
	size_t n;
	struct x509_cert *cert[X509_CHAIN_MAX];
};

/*
 * Read one certificate in DER, and nothing behind it.
 * out  set on success only; free with x509_free()
 * Errors: ERR_FORMAT (no DER of a certificate of version 3, dates that do not parse, a key that
 * does not parse), ERR_LIMIT (X509_DER_MAX), ERR_NOMEM, ERR_CRYPTO.
 */
int x509_load(struct x509_cert **out, struct view der, struct err *e) MUST_CHECK;
void x509_free(struct x509_cert *c);
static inline void x509_freep(struct x509_cert **c)
{
	x509_free(*c);
}

/*
 * Append the certificates of a PEM text to *out, which the caller zeroed first; on an error they
 * are those before it and x509_chain_done() still frees them. White space and NULs may follow the
 * last. Errors: as x509_load(), ERR_FORMAT (another kind of block, none at all, bytes that are no
 * block), ERR_LIMIT (X509_PEM_MAX, X509_CHAIN_MAX).
 */
int x509_chain_pem(struct x509_chain *out, struct view pem, struct err *e) MUST_CHECK;
void x509_chain_done(struct x509_chain *chain);

/* One certificate, in DER or PEM, which it decides by its first byte. Errors: as both. */
int x509_load_any(struct x509_cert **out, struct view bytes, struct err *e) MUST_CHECK;

/* The DER as it was read, borrowed. */
struct view x509_der(const struct x509_cert *c);

/* The same certificate, byte for byte. */
bool x509_eq(const struct x509_cert *a, const struct x509_cert *b);

/* Common name of the subject; "" where there is none or it is not printable ASCII. Borrowed. */
const char *x509_name(const struct x509_cert *c);

/* Seconds since 1970: valid from *from to *until, both included. */
void x509_validity(const struct x509_cert *c, int64_t *from, int64_t *until);

/* Whether issuer and subject are the same name, which says nothing about its signature. */
bool x509_self_issued(const struct x509_cert *c);

/*
 * Whether issuer issued c, by these rules. A root is asked about itself.
 * Errors: ERR_VERIFY (the signature, with either name in the message; names that do not fit),
 * ERR_UNSUPPORTED (an algorithm that the rules do not have; the issuer is no CA), ERR_CRYPTO.
 */
int x509_issued(const struct x509_cert *c, const struct x509_cert *issuer, enum x509_rules rules,
		struct err *e) MUST_CHECK;

/*
 * The content of the one extension of that kind: what is inside its OCTET STRING.
 * oid  in dotted form
 * out  borrowed from c
 * Errors: ERR_NOTFOUND, ERR_FORMAT (there are two), ERR_CRYPTO.
 */
int x509_extension(struct view *out, const struct x509_cert *c, const char *oid,
		   struct err *e) MUST_CHECK;

/*
 * The same, where the content is a DER INTEGER of 0..255 (`02 01 xx`, `02 02 00 xx`).
 * Errors: besides, ERR_FORMAT.
 */
int x509_extension_u8(uint8_t *out, const struct x509_cert *c, const char *oid,
		      struct err *e) MUST_CHECK;

/*
 * Verify a signature over message with the certificate's key, which must be of this curve.
 * Errors: as ecdsa_verify(), ERR_UNSUPPORTED (another kind of key).
 */
int x509_ecdsa_verify(const struct x509_cert *c, enum ecdsa_curve curve, struct view message,
		      struct ecdsa_signature signature, struct err *e) MUST_CHECK;

#endif
