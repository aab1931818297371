/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_JWK_H
#define CRYPTO_JWK_H

#include "agent/base/buf.h"
#include "agent/base/secret.h"

/* Signing keys as JWK (RFC 7517, RFC 7518 6.2), in the files that the owner's side makes. */
#define JWK_TEXT_MAX (16u << 10) /* bytes */

/*
 * Make an ES256 key pair, as pretty JSON with a newline, members kty, crv, alg, use, kid, (d,) x,
 * y: what upstream's `secret keygen` writes.
 *
 * private_json  out; with d
 * public_json   appended to
 * kid           written into both; UTF-8
 *
 * Errors: ERR_CRYPTO, ERR_LIMIT, ERR_NOMEM.
 */
int jwk_generate_es256(struct secret *private_json, struct buf *public_json, const char *kid,
		       struct err *e) MUST_CHECK;

#endif
