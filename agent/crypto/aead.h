/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "agent/base/mem.h"
#include "agent/base/secret.h"

/*
 * Decryption straight into locked memory: AES-256-GCM (NIST SP 800-38D, tag of 16 bytes) and
 * AES-256-CTR (SP 800-38A, the whole 128-bit block counts, big-endian), as JWE replies,
 * annotation packets and envelopes use them. CTR authenticates nothing.
 */
#define AEAD_GCM_IV  12 /* bytes */
#define AEAD_GCM_TAG 16 /* bytes */
#define AEAD_CTR_IV  16 /* bytes: the initial counter block */

/*
 * Decrypt GCM.
 *
 * out         the plaintext, of ciphertext.len bytes; none for an empty one. Set on success only
 * iv          AEAD_GCM_IV bytes
 * aad         may be empty
 * ciphertext  0..SECRET_MAX bytes
 * tag         AEAD_GCM_TAG bytes
 *
 * Errors: ERR_FORMAT (size of iv or tag), ERR_VERIFY (the tag does not match: wrong key, or
 * something was altered), ERR_LIMIT, ERR_NOMEM, ERR_CRYPTO.
 */
int aead_gcm_open(struct secret *out, const struct key32 *key, struct view iv, struct view aad,
		  struct view ciphertext, struct view tag, struct err *e) MUST_CHECK;

/*
 * The same for a text that has its tag as its last 16 bytes.
 * Errors: as aead_gcm_open(); ERR_FORMAT when it is shorter than a tag.
 */
int aead_gcm_open_appended(struct secret *out, const struct key32 *key, struct view iv,
			   struct view aad, struct view sealed, struct err *e) MUST_CHECK;

/*
 * Decrypt CTR.
 * iv  AEAD_CTR_IV bytes
 * Errors: ERR_FORMAT (size of iv), ERR_LIMIT, ERR_NOMEM, ERR_CRYPTO.
 */
int aead_ctr(struct secret *out, const struct key32 *key, struct view iv, struct view ciphertext,
	     struct err *e) MUST_CHECK;

#endif
