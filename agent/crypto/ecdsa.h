/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_ECDSA_H
#define CRYPTO_ECDSA_H

#include "agent/base/err.h"
#include "agent/base/mem.h"

/*
 * ECDSA signatures as hardware writes them: two bare integers, no ASN.1. The digest belongs to
 * the curve: P-256 with SHA-256, P-384 with SHA-384.
 */
enum ecdsa_curve { ECDSA_P256, ECDSA_P384 };

#define ECDSA_INTEGER_MAX 72 /* bytes of r, and of s: what an SNP report has room for */

struct ecdsa_signature {
	struct view r, s; /* whole fields, at most ECDSA_INTEGER_MAX bytes each, padded with zeros */
	bool little;      /* least significant byte first (SNP); else most significant first */
};

/*
 * Verify a signature over message under a bare public key.
 *
 * point  X then Y, big-endian, each of the curve's width (64 or 96 bytes together)
 *
 * Errors: ERR_FORMAT (the point is not one of the curve), ERR_VERIFY (the signature does not
 * match), ERR_LIMIT (r or s), ERR_CRYPTO.
 */
int ecdsa_verify(enum ecdsa_curve curve, struct view point, struct view message,
		 struct ecdsa_signature signature, struct err *e) MUST_CHECK;

#endif
