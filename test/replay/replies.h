/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_REPLAY_REPLIES_H
#define TEST_REPLAY_REPLIES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What the replay server answers: whole HTTP replies in memory. Nonce, token, content keys and
 * ciphertexts are made once at start; /attest wraps the content keys for the TEE key (one ECDH
 * for all, since they share an epk) and writes the replies down, so that a GET is a memcpy.
 * Thread-safe. Source of the formats: spec/trustee.md 1 and 3.
 */
#define REPLIES_RESOURCES_MAX 256
#define REPLIES_RESOURCE_MAX  (64u << 10) /* bytes of one plaintext */
#define REPLIES_PATH_MAX      256

struct replies; /* opaque */

/* Bytes that stay as they are as long as the struct replies. */
struct reply {
	const char *p;
	size_t len;
};

/*
 * dir          files dir/REPO/TYPE/TAG are resources
 * token_life_s exp - iat of the token
 *
 * Returns false after a line on stderr.
 */
bool replies_load(struct replies **out, const char *dir, long token_life_s);

/* Room that any reply of replies_get() needs. */
size_t replies_largest(const struct replies *r);

struct reply replies_auth(const struct replies *r);
const char *replies_cookie(const struct replies *r); /* name=value */
const char *replies_token(const struct replies *r);

/* Prepare for the tee-pubkey (P-256) in that body. The reply is one of success or of refusal. */
struct reply replies_attest(struct replies *r, const char *body, bool *attested);

/*
 * Copy the reply for one resource into out (replies_largest() bytes); returns its length. Before
 * any attestation it refuses the token. Resources whose path begins "denied/" are denied.
 */
size_t replies_get(struct replies *r, const char *path, char *out, bool *delivered);

/* 401 or 404 by kind, spec/trustee.md 1.10. */
enum refusal { NO_TOKEN, BAD_TOKEN, NO_SESSION, NO_PLUGIN, DENIED, MISSING, REFUSALS };
struct reply replies_refusal(const struct replies *r, enum refusal why);

#endif
