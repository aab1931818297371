/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RPC_H
#define API_RPC_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/secret.h"

/*
 * One ttrpc call after another on one connection, whole messages in and out. For methods that
 * ttrpc_client.h does not know: several fields, or a reply that is not one bytes field.
 *
 * A link connects when it is first needed and again when its connection is gone; that is found
 * out before a request is sent, so that no call ever runs twice. Replies are read into locked
 * memory and stay there.
 */
#define RPC_PATH_MAX 107 /* bytes of a socket's path */

struct rpc_link {
	const char *path; /* of the socket; borrowed */
	int fd;           /* -1: not connected */
	uint32_t stream;  /* of the next call */
};

#define cleanup_rpc __attribute__((cleanup(rpc_close)))

/* A link to that socket, not connected yet. */
#define RPC_LINK(p) ((struct rpc_link){ .path = (p), .fd = -1 })

/*
 * Be connected: nothing to do, or one attempt. A server that cannot take it at the moment
 * (its backlog is full) is asked again until the deadline.
 * Errors: ERR_NETWORK (api.unreachable), ERR_LIMIT (path), ERR_SYSTEM.
 */
int rpc_ready(struct rpc_link *l, struct deadline d, struct err *e) MUST_CHECK;

/*
 * Carry out one call; rpc_ready() comes first. After a failure of the connection the link is
 * closed; the next rpc_ready() opens it.
 *
 * message  the encoded request message, borrowed
 * reply    the encoded reply message, on success only; empty ({0}) when it has no bytes
 *
 * Errors: what the server gave (see api_status_err()), ERR_NETWORK (api.unreachable),
 * ERR_TIMEOUT (api.deadline), ERR_FORMAT (api.malformed), ERR_LIMIT, ERR_NOMEM, ERR_SYSTEM.
 */
int rpc_call(struct rpc_link *l, const char *service, const char *method, struct view message,
	     struct deadline d, struct secret *reply, struct err *e) MUST_CHECK;

/* Leave only the bytes of v, which lie in *s, and erase the others. */
void rpc_cut(struct secret *s, struct view v);

void rpc_close(struct rpc_link *l);

#endif
