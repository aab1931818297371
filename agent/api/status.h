/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STATUS_H
#define API_STATUS_H

#include "agent/api/service.h"

/*
 * Errors on the wire and back: the one table between error kinds and gRPC status codes.
 *
 * It is for what the server itself refuses (frames, dispatch, caps). Failures of a method are
 * code 13 whatever their kind, because upstream's daemons answer so and clients match it; their
 * text is upstream's own, then ": " code ": " reason. Callers of the unix sockets stand on our
 * side of the trust boundary and are told the reason.
 */

/* The status for an error of the server's own. */
enum api_status api_status_of(enum err_kind kind);

/*
 * Fill text with prefix ": " code ": " message of *e (prefix NULL: without it), cut where it
 * must be, with everything that is not printable UTF-8 replaced by '?'.
 */
void api_status_say(char text[API_STATUS_TEXT], const char *prefix, const struct err *e);

/* Replace what is no UTF-8, and control characters, by '?', in place. */
void api_text_clean(char *text, size_t len);

/*
 * The way back: fill *e from a failed reply. A code of ours found in the message gives code,
 * kind and reason; without one (another server) the status decides and the message is kept.
 *
 * status   not 0
 * message  borrowed
 *
 * Returns -kind.
 */
int api_status_err(int status, struct view message, struct err *e);

#endif
