/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SERVICE_H
#define API_SERVICE_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/secret.h"

/*
 * What a ttrpc method gets and gives. The server (ttrpc_server.h) moves frames; services
 * (cdh.h, later aa.h, keyprovider.h) turn payloads into calls of the mains' callbacks.
 */

/* Who calls, from SO_PEERCRED at accept. */
struct api_peer {
	unsigned uid, gid;
	int pid;
};

struct api_call {
	struct api_peer peer;
	struct deadline deadline; /* of the call: its timeout_nano, or 50 s when that is 0 */
	struct view payload;      /* the request message, borrowed */
	/*
	 * What the secret is for, from the request metadata "io.vouchsafe.name" (vouchsafe-oci sends
	 * it; upstream clients send none): NUL-terminated, at most 255 bytes, or NULL.
	 */
	const char *name;
};

/* One of the two is filled. A plaintext goes into the frame by hand, never through a packer. */
struct api_result {
	struct buf message;          /* an encoded reply message */
	struct secret secret;        /* or: plaintext that is bytes field `secret_field` of the reply */
	unsigned secret_field;
};

/* gRPC status codes as the Rust server uses them (spec/local-api.md 1.4). */
enum api_status {
	API_OK = 0,
	API_UNKNOWN = 2,
	API_INVALID_ARGUMENT = 3,
	API_DEADLINE_EXCEEDED = 4,
	API_NOT_FOUND = 5,
	API_RESOURCE_EXHAUSTED = 8,
	API_UNIMPLEMENTED = 12,
	API_INTERNAL = 13,
};

struct api_method {
	const char *service; /* "api.SealedSecretService" */
	const char *method;  /* "UnsealSecret" */
	bool needs_trustee;  /* runs on the pool that may wait for Trustee */
	/*
	 * Returns API_OK with *out filled, or a status with text written for the client into
	 * status_text (NUL-terminated). NULL: declared but not served, answered with code 5.
	 */
	enum api_status (*handle)(void *ctx, const struct api_call *call, struct api_result *out,
				  char status_text[512]);
	void *ctx;
};

#endif
