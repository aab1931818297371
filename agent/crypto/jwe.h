/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_JWE_H
#define CRYPTO_JWE_H

#include "agent/crypto/teekey.h"

/*
 * Trustee's encrypted reply: a flattened JWE (RFC 7516), enc A256GCM, alg ECDH-ES+A256KW
 * (P-256, P-521) or RSA-OAEP-256. Source: spec/trustee.md 3.3, 3.4; vectors/trustee/derived/jwe-*.
 */
#define JWE_TEXT_MAX (8u << 20) /* JSON text, bytes; a plaintext of SECRET_MAX fits */

/*
 * Decrypt. The AAD is the text of "protected" as received. `aad` present is refused, as are
 * `zip`, `crit`, another enc, an epk on another curve than the key's, apu/apv.
 *
 * out   the plaintext; may be empty of bytes (then secret_bytes() is NULL); set on success only
 * text  the JSON; every byte is untrusted
 *
 * Errors: ERR_FORMAT (kbs.bad-reply), ERR_UNSUPPORTED (kbs.jwe-algorithm: RSA1_5 by name, any
 * other alg or enc), ERR_VERIFY (kbs.decrypt-failed: key unwrap or tag), ERR_LIMIT, ERR_NOMEM.
 */
int jwe_decrypt(struct secret *out, const struct teekey *k, struct view text,
		struct err *e) MUST_CHECK;

#endif
