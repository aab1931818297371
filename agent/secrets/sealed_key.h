/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SECRETS_SEALED_KEY_H
#define SECRETS_SEALED_KEY_H

#include "agent/secrets/sealed.h"

/*
 * The key that a kid names: at Trustee when the kid is a resource URI, else a regular file below
 * the credential directory that no link leads out of. Source: spec/trustee.md 6.3. In locked
 * memory, because owners do store the private half by mistake.
 *
 * out  the JWK's text, at most JWK_TEXT_MAX bytes from a file; set on success only
 *
 * Errors: ERR_DENIED (sealed.kid-not-listed, trust.plain-http), ERR_NOTFOUND
 * (sealed.key-missing), ERR_FORMAT (sealed.format: a kid that begins as a URI and is none;
 * sealed.key: no regular file, or too large), ERR_SYSTEM, and what rules->signing_key gives.
 */
int sealed_key_find(struct secret *out, const struct sealed_rules *rules, const char *kid,
		    struct deadline d, struct err *e) MUST_CHECK;

#endif
