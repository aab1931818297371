/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_REST_TOKEN_H
#define API_REST_TOKEN_H

#include "agent/base/secret.h"

/* The reply of GetToken without its private key. Source: spec/local-api.md 2.1. */

/*
 * Leave only {"token":"…"} of a token reply, in place: the private key is erased. A reply that
 * is no JSON object is a bare token without a key and stays.
 *
 * Errors: ERR_FORMAT (an object without a plain string "token"); *s is erased then.
 */
int rest_token_strip(struct secret *s, struct err *e) MUST_CHECK;

#endif
