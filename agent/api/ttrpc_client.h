/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TTRPC_CLIENT_H
#define API_TTRPC_CLIENT_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/secret.h"

/*
 * The other end of ttrpc_server.h, for vouchsafe-oci, vouchsafe-rest and the command line.
 *
 * A reply is read from the socket into locked memory and its plaintext is cut out there: it
 * is never in a malloc'd copy. Many calls share one connection; answers come in any order. All
 * methods served here take one field and give one bytes field, both number 1.
 */
#define TTRPC_WINDOW 64 /* calls outstanding at once; more wait for an answer */

struct ttrpc_client; /* one connection; for one thread at a time */

struct ttrpc_method {
	const char *service, *method;
};

extern const struct ttrpc_method ttrpc_unseal_secret; /* text: the sealed secret */

struct ttrpc_request {
	const struct ttrpc_method *method;
	struct view text; /* field 1 of the request message; borrowed */
	const char *name; /* what the secret is for, at most 255 bytes; or NULL */
	/* out */
	int result;          /* 0 or -kind */
	struct secret reply; /* field 1 of the reply; when result is 0 */
	struct err err;      /* when it is not */
};

/*
 * Connect. A socket that is not there, or refuses, is tried again until the deadline.
 * Errors: ERR_NETWORK (api.unreachable), ERR_LIMIT (path), ERR_SYSTEM, ERR_NOMEM.
 */
int ttrpc_client_open(struct ttrpc_client **out, const char *path, struct deadline d,
		      struct err *e) MUST_CHECK;

/* Accepts NULL. */
void ttrpc_client_close(struct ttrpc_client *c);

/*
 * Send n requests and collect n answers. The server is told a little less than the time
 * left, so that its reason for being late arrives before we leave.
 *
 * requests  out-members are set for each; secrets in them are released first
 *
 * Returns 0 when each has an answer, good or bad: look at each result. Else the connection is
 * of no use any more and those without an answer carry the same error:
 * ERR_NETWORK (api.unreachable: closed by the server), ERR_TIMEOUT (api.deadline), ERR_FORMAT
 * (api.malformed: no ttrpc), ERR_NOMEM.
 *
 * A bad answer has the code that the server gave ("kbs.policy-denied", …), see api_status_err().
 */
int ttrpc_client_call(struct ttrpc_client *c, struct ttrpc_request *requests, size_t n,
		      struct deadline d, struct err *e) MUST_CHECK;

/* One call. name may be NULL. out is set on success only. Errors: all of the above. */
int ttrpc_unseal(struct ttrpc_client *c, const char *name, struct view sealed, struct deadline d,
		 struct secret *out, struct err *e) MUST_CHECK;

#endif
