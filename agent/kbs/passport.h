/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KBS_PASSPORT_H
#define KBS_PASSPORT_H

#include "agent/base/secret.h"
#include "agent/crypto/teekey.h"

/*
 * A token that another process attested for, with the private key that it names: the reply of
 * GetToken("kbs"), {"token":"<JWT>","tee_keypair":"<PEM>"}. Source: spec/local-api.md 2.1.
 */
#define PASSPORT_MAX (256u << 10) /* bytes */

/*
 * Take it apart.
 *
 * token    zeroed by the caller; NUL-terminated, the NUL counted; set on success only
 * key      set on success only
 * life_ms  how long the token may be used without asking again: the agent renews a token with
 *          less than 30 s, or half its life, left before it gives it away
 *
 * Errors: kbs.bad-reply (no object of strings, a member missing or given twice, a PEM that is no
 * key), token.format, token.bad-life; ERR_LIMIT, ERR_NOMEM.
 */
int passport_read(struct secret *token, struct teekey **key, int64_t *life_ms, struct view json,
		  struct err *e) MUST_CHECK;

#endif
