/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_JWS_H
#define CRYPTO_JWS_H

#include "agent/base/buf.h"
#include "agent/base/secret.h"

/*
 * JWS compact serialization with ES256 (RFC 7515, RFC 7518 3.4), as sealed secrets carry it.
 * Source: spec/trustee.md 6.1, 6.2; vectors/trustee/derived/sealed-secrets.json.
 */
#define JWS_TEXT_MAX (64u << 10) /* a sealed secret or token, bytes */
#define JWS_KID_MAX  512         /* bytes */

struct jws {
	struct view signing_input; /* header.payload as received, borrowed from the text */
	struct buf payload;        /* decoded; owned */
	char alg[32];
	char kid[JWS_KID_MAX + 1];
	uint8_t signature[64]; /* r then s; only valid when has_signature */
	bool has_signature;    /* the third part decoded to 64 bytes */
};

#define cleanup_jws __attribute__((cleanup(jws_done)))

/*
 * Cut and decode. Nothing is verified. Refused: other than three parts, b64 false, any crit,
 * missing alg or kid, a header that is no JSON object.
 *
 * out   zeroed by the caller; set on success only
 * text  must outlive *out
 *
 * Errors: ERR_FORMAT, ERR_LIMIT.
 */
int jws_parse(struct jws *out, struct view text, struct err *e) MUST_CHECK;
void jws_done(struct jws *j);

/*
 * Verify ES256 under a public JWK (kty EC, crv P-256; `d` and other members are tolerated and
 * unread). alg must be ES256.
 *
 * Errors: ERR_UNSUPPORTED (sealed.algorithm), ERR_FORMAT (sealed.key: the JWK), ERR_VERIFY
 * (sealed.signature).
 */
int jws_verify_es256(const struct jws *j, struct view jwk, struct err *e) MUST_CHECK;

/*
 * Append header.payload.signature, signed with a private JWK.
 * header_json, payload_json  the exact bytes to encode
 * jwk                        private P-256 JWK (with d) in locked memory
 * Errors: ERR_FORMAT (sealed.key), ERR_CRYPTO, ERR_LIMIT.
 */
int jws_sign_es256(struct buf *out, struct view header_json, struct view payload_json,
		   const struct secret *jwk, struct err *e) MUST_CHECK;

/*
 * The claims of a token, unverified: Trustee's reply over the attested channel is what vouches
 * for it. Appends the decoded second part. Errors: ERR_FORMAT (token.format), ERR_LIMIT.
 */
int jws_claims(struct buf *out, struct view token, struct err *e) MUST_CHECK;

#endif
