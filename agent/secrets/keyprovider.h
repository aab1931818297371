/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SECRETS_KEYPROVIDER_H
#define SECRETS_KEYPROVIDER_H

#include "agent/base/clock.h"
#include "agent/base/secret.h"
#include "agent/kbs/uri.h"

/*
 * UnWrapKey: the key of an encrypted image's layer, wrapped by a key-encryption key (KEK) that
 * Trustee holds. Source: spec/trustee.md 7.2, 7.3; vectors/local/keyprovider,
 * vectors/trustee/derived/annotation-packets.json.
 *
 *   request  {"op":…, "keywrapparams":{…}, "keyunwrapparams":{"dc":…, "annotation":"<b64 of the packet>"}}
 *   packet   {"kid":"kbs:///…","wrapped_data":"<b64>","iv":"<b64>","wrap_type":"A256GCM"|"A256CTR"
 *            [,"version":"0.1.0"][,"provider":"kbs"][,"provider_settings":{}][,"annotations":{}]}
 *   reply    {"keyunwrapresults":{"optsdata":[123,34,…]}}: the bytes as numbers
 */
#define KEYPROVIDER_REQUEST_MAX (1u << 20) /* bytes */
#define KEYPROVIDER_PACKET_MAX  (64u << 10)
#define KEYPROVIDER_OPTIONS_MAX (64u << 10) /* unwrapped private options, bytes */

/* Reads a resource; as kbs_get(). */
typedef int keyprovider_resource(void *ctx, struct secret *out, const struct uri *uri,
				 struct deadline d, struct err *e);

/*
 * Answer one request.
 *
 * out      the reply's JSON; set on success only
 * request  the JSON; every byte is untrusted
 *
 * Errors: keyprovider.request (it or the packet does not parse), keyprovider.packet,
 * keyprovider.kek, keyprovider.unwrap-failed, keyprovider.provider-unsupported naming it, and what
 * resource gives.
 */
int keyprovider_unwrap(struct secret *out, struct view request, keyprovider_resource *resource,
		       void *ctx, struct deadline d, struct err *e) MUST_CHECK;

#endif
