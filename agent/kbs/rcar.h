/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KBS_RCAR_H
#define KBS_RCAR_H

#include "agent/base/buf.h"
#include "agent/base/secret.h"
#include "agent/crypto/digest.h"

/*
 * The messages of RCAR (request, challenge, attestation, response) 0.4.0. Source:
 * spec/trustee.md 1; vectors/trustee/derived/{report-data,selected-hash,rcar-sample-transcript}.
 */
#define RCAR_VERSION   "0.4.0"
#define RCAR_REPLY_MAX (256u << 10) /* body of /auth, of /attest and of an error, bytes */
#define RCAR_BODY_MAX  (8u << 20)   /* body that we send to /attest, bytes */
#define RCAR_NONCE_MAX (64u << 10)  /* bytes; opaque text, usually 44 */

struct rcar_challenge {
	char *nonce;        /* opaque, owned */
	enum hash_alg hash; /* for the report data: what Trustee selected, else SHA-384 */
};

/* Append the body of /auth. */
void rcar_request(struct buf *out, const char *tee);

/*
 * Read the reply of /auth. *out is set on success only; release with rcar_challenge_done().
 * Errors: kbs.bad-reply, kbs.hash-unsupported (selected-hash-algorithm is no string or unknown).
 */
int rcar_challenge(struct rcar_challenge *out, struct view body, struct err *e) MUST_CHECK;
void rcar_challenge_done(struct rcar_challenge *c);

/*
 * The primary report data: H over the canonical JSON of {additional-evidence, nonce, tee-pubkey}.
 * jwk         canonical JWK (teekey_jwk())
 * additional  text of the additional evidence as it is sent, "" when there is none
 */
int rcar_report_data(struct digest *out, enum hash_alg h, const char *nonce, struct view jwk,
		     const char *additional, struct err *e) MUST_CHECK;

/* The same for additional devices: H over {nonce, tee-pubkey}. */
int rcar_device_report_data(struct digest *out, enum hash_alg h, const char *nonce, struct view jwk,
			    struct err *e) MUST_CHECK;

/*
 * Append the body of /attest.
 * evidence  JSON text of primary_evidence
 * initdata  TOML text, or empty for null
 */
void rcar_attestation(struct buf *out, const char *nonce, struct view jwk, const char *evidence,
		      const char *additional, struct view initdata);

/*
 * Read the reply of /attest: the token, NUL-terminated in locked memory (its length includes
 * the NUL). Errors: kbs.bad-reply, token.format, ERR_NOMEM.
 */
int rcar_token(struct secret *out, struct view body, struct err *e) MUST_CHECK;

/* Which request an answer belongs to. */
enum rcar_step { RCAR_AUTH, RCAR_ATTEST, RCAR_RESOURCE };

/*
 * Turn an answer that is no 200 into an error, by status and by the kind in its body:
 * 401 and 404 by the last segment of "type" (spec/trustee.md 1.10), 429 kbs.busy, 5xx
 * kbs.server-error, others kbs.unexpected-status.
 *
 * wants_token  out: true when the kind says that our token does not count (TokenNotFound,
 *              TokenVerifierError, AttestationError at a resource): a new handshake may help
 *
 * Returns the negative kind, never 0.
 */
int rcar_refusal(bool *wants_token, enum rcar_step step, int status, struct view body,
		 const char *what, struct err *e);

#endif
