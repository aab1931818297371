/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KBS_TOKEN_H
#define KBS_TOKEN_H

#include "agent/base/buf.h"

/*
 * The attestation token: a JWT whose signature is not ours to check (Trustee checks it when we
 * show it); we read how long it lasts. Source: spec/trustee.md 4, design §4.
 */
#define TOKEN_MAX            (128u << 10) /* bytes; tokens with GPU claims are long */
#define TOKEN_LIFE_MAX_MS    (24 * 3600 * 1000LL)
#define TOKEN_LIFE_NO_EXP_MS (60 * 1000LL)

/*
 * How long a token from our own handshake lasts, counted from its receipt: exp − iat, whatever
 * the wall clocks say; TOKEN_LIFE_NO_EXP_MS without exp or iat.
 * Errors: token.format, token.bad-life (exp <= iat, or over 24 h).
 */
int token_life_ms(int64_t *out, struct view token, struct err *e) MUST_CHECK;

/*
 * Upstream's wall-clock rule, for tokens that did not come from our handshake: valid unless
 * exp < now or nbf > now; a claim that is missing sets no limit.
 * now  seconds since 1970
 * Errors: token.format.
 */
int token_valid_at(bool *out, struct view token, int64_t now, struct err *e) MUST_CHECK;

#endif
