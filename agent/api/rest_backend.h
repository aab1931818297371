/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_REST_BACKEND_H
#define API_REST_BACKEND_H

#include "agent/api/rest_route.h"
#include "agent/api/rpc.h"

/* What stands behind the REST API: one call at the attestation agent or the data hub, as an answer.
 */

/* One of the two services. */
struct rest_service {
	const char *addr; /* as in messages: "unix:///run/…" */
	const char *path; /* of its socket */
};

/* Borrowed by all who use it. */
struct rest_backend_config {
	struct rest_service aa, cdh;
	unsigned features;      /* of enum rest_features */
	const char *version;    /* for /info, whole */
	bool token_without_key; /* /aa/token never gives a private key */
	/* Optional: a call failed. On a thread of the pool. */
	void (*failed)(void *ctx, const char *what, const struct err *e);
	void *ctx;
};

/* The connections of one thread. */
struct rest_backend {
	const struct rest_backend_config *config;
	struct rpc_link aa, cdh;
};

enum rest_type { REST_TYPE_NONE, REST_TYPE_OCTETS, REST_TYPE_JSON };

/* One of text, body and secret is filled; all empty is an empty body. */
struct rest_reply {
	int status;
	enum rest_type type;
	bool hang_up; /* close the connection without an answer, as upstream does for /info */
	const char *text;
	struct buf body;
	struct secret secret;
};

void rest_backend_init(struct rest_backend *b, const struct rest_backend_config *config);
void rest_backend_done(struct rest_backend *b);

/*
 * Carry out what a route asks for; every failure becomes an answer.
 *
 * entry  of REST_AAEL, else NULL
 * out    overwritten; release with rest_reply_done()
 */
void rest_backend_answer(struct rest_backend *b, const struct rest_route *route,
			 const struct rest_entry *entry, struct deadline d, struct rest_reply *out);

/* An answer without asking anybody. */
void rest_reply_text(struct rest_reply *out, int status, const char *text);
void rest_reply_done(struct rest_reply *r);

#endif
