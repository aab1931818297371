/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_AA_CLIENT_H
#define API_AA_CLIENT_H

#include "agent/api/rpc.h"

/*
 * The methods of the attestation agent, and the one of the data hub that goes with them, from the
 * caller's side. Source: spec/local-api.md 2.1 and 2.4. rpc_ready(l) comes before each call.
 *
 * All fail with what rpc_call() fails with; out-parameters are set on success only.
 */
#define AA_SOCKET     "/run/confidential-containers/attestation-agent/attestation-agent.sock"
#define AA_TEES_MAX   16          /* additional TEEs */
#define AA_TEE_MAX    31          /* bytes of a TEE's name */

struct aa_tee {
	char name[AA_TEE_MAX + 1];
};

struct aa_tees {
	size_t n;
	struct aa_tee tee[AA_TEES_MAX];
};

/* An entry for the event log; borrowed. No newline in content. */
struct aa_event {
	struct view domain, operation, content;
	bool has_register; /* the given one; else the agent's own */
	uint64_t reg;
};

/* What extending gave: not an error, but a fact about platform and configuration. */
enum aa_extended { AA_EXTENDED = 0, AA_EXTEND_UNSUPPORTED = 1, AA_EXTEND_DISABLED = 2 };

/* type: "kbs" (JSON with a private key) or "coco_as". An empty answer gives an empty *out. */
int aa_get_token(struct rpc_link *l, struct view type, struct deadline d, struct secret *out,
		 struct err *e) MUST_CHECK;

/* Evidence of the primary TEE, JSON; additional: of the other devices, JSON or empty. */
int aa_get_evidence(struct rpc_link *l, bool additional, struct view runtime_data,
		    struct deadline d, struct secret *out, struct err *e) MUST_CHECK;

/* Errors besides: ERR_FORMAT (api.malformed: no plain name). */
int aa_get_tee(struct rpc_link *l, struct deadline d, struct aa_tee *out, struct err *e) MUST_CHECK;

/* Errors besides: ERR_FORMAT (api.malformed: a name, or more than AA_TEES_MAX). */
int aa_get_additional_tees(struct rpc_link *l, struct deadline d, struct aa_tees *out,
			   struct err *e) MUST_CHECK;

/* result: of enum aa_extended, or a number that a later agent may give. */
int aa_extend(struct rpc_link *l, const struct aa_event *event, struct deadline d, int64_t *result,
	      struct err *e) MUST_CHECK;

/* api.GetResourceService/GetResource, on a link to cdh.sock. */
int aa_get_resource(struct rpc_link *l, struct view uri, struct deadline d, struct secret *out,
		    struct err *e) MUST_CHECK;

#endif
