/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SERVICE_H
#define API_SERVICE_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/secret.h"

/*
 * What a ttrpc method gets and gives. The server (ttrpc_server.h) moves frames; services
 * (cdh.h, aa.h) turn payloads into calls of the mains' callbacks.
 */

/* Who calls, from SO_PEERCRED at accept. */
struct api_peer {
	unsigned uid, gid;
	int pid;
};

#define API_NAME_MAX 255 /* bytes of api_call.name */

struct api_call {
	struct api_peer peer;
	/*
	 * Of the call: its timeout_nano, or 50 s when that is 0, less a little, so that a handler
	 * which keeps it can still say why; the server answers `timeout` at the full time.
	 */
	struct deadline deadline;
	struct view payload; /* the request message, borrowed */
	/*
	 * What the secret is for, from the request metadata "io.vouchsafe.name" (vouchsafe-oci sends
	 * it; upstream clients send none): NUL-terminated UTF-8, 1..API_NAME_MAX bytes, or NULL.
	 */
	const char *name;
};

/* One of the two is filled. A plaintext goes into the frame by hand, never through a packer. */
struct api_result {
	struct buf message;    /* an encoded reply message */
	struct secret secret;  /* or: plaintext that is bytes field `secret_field` of the reply */
	unsigned secret_field; /* 1..15 */
};

/* gRPC status codes as the Rust server uses them (spec/local-api.md 1.4). */
enum api_status {
	API_NOT_LOCAL = -1, /* of handle_local only; never on the wire */
	API_OK = 0,
	API_UNKNOWN = 2,
	API_INVALID_ARGUMENT = 3,
	API_DEADLINE_EXCEEDED = 4,
	API_NOT_FOUND = 5,
	API_PERMISSION_DENIED = 7,
	API_RESOURCE_EXHAUSTED = 8,
	API_UNIMPLEMENTED = 12,
	API_INTERNAL = 13,
	API_STATUS_COUNT = 17
};

#define API_STATUS_TEXT 768 /* a status message with its NUL: prefix, code, and an err's words */

struct api_method {
	const char *service; /* "api.SealedSecretService" */
	const char *method;  /* "UnsealSecret" */
	bool needs_trustee;  /* handle runs on the pool whose threads may wait for Trustee */
	/*
	 * Returns API_OK with *out filled, or a status with text for the client in status_text
	 * (NUL-terminated; what is not UTF-8 in it is replaced on its way out). Runs on a thread of a
	 * pool, several at a time. NULL: declared but not served, answered with code 5.
	 */
	enum api_status (*handle)(void *ctx, const struct api_call *call, struct api_result *out,
				  char status_text[API_STATUS_TEXT]);
	/*
	 * Optional, for a method that needs Trustee: answer from what is at hand, without waiting for
	 * anything, or return API_NOT_LOCAL and *out empty; handle is called then. So an answer
	 * from the cache never stands behind calls that wait for Trustee.
	 */
	enum api_status (*handle_local)(void *ctx, const struct api_call *call,
					struct api_result *out, char status_text[API_STATUS_TEXT]);
	void *ctx;
};

#endif
