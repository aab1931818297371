/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_AA_H
#define API_AA_H

#include "agent/api/service.h"

/*
 * The attestation agent's service, attestation_agent.AttestationAgentService, on its own socket.
 * Source: spec/local-api.md 2.1.
 *
 *   GetEvidence, GetAdditionalEvidence          {RuntimeData 1} -> {Evidence 1}
 *   GetToken                                    {TokenType 1} -> {Token 1}, out of locked memory
 *   ExtendRuntimeMeasurement                    {Domain 1, Operation 2, Content 3, RegisterIndex 4} -> {Result 1}
 *   GetTeeType                                  {} -> {tee 1}
 *   GetAdditionalTees                           {} -> {additional_tees 1, repeated}
 *   BindInitData                                declared, code 5, as upstream's ttrpc build
 *
 * A failure is status 13 with upstream's text first: "[ERROR:attestation-agent] AA-KBC get token
 * failed: CODE: reason".
 */
#define AA_RUNTIME_DATA_MAX 64   /* bytes; a report has no room for more */
#define AA_TEXT_MAX         65536 /* bytes of Domain, Operation, Content */

/* What the main puts behind the methods; called on several threads at a time. */
struct aa_backend {
	/* Evidence of the primary TEE over these bytes: malloc'd JSON. */
	int (*evidence)(void *ctx, struct view runtime_data, char **json, struct err *e);
	/* That of the other devices, a JSON object of device to evidence; "" of none. Optional. */
	int (*additional)(void *ctx, struct view runtime_data, char **text, struct err *e);
	/* Name of the i-th of them, from 0; NULL behind the last. Optional. */
	const char *(*device)(void *ctx, size_t i);
	/* "kbs" or "coco_as"; what a caller gets, in locked memory. */
	int (*token)(void *ctx, struct view type, struct deadline d, struct secret *out, struct err *e);
	/* As eventlog_extend(); reg NULL: the log's own. *result is the wire's number. */
	int (*extend)(void *ctx, struct view domain, struct view operation, struct view content,
		      const uint64_t *reg, int *result, struct err *e);
	const char *(*tee)(void *ctx);
	/* Optional: a call failed for a reason of the backend's. Log and count it here. */
	void (*failed)(void *ctx, const char *method, const struct api_call *call,
		       const struct err *e);
	void *ctx;
};

#define AA_METHODS 7

/* The methods over b, for ttrpc_server_listen(). b is borrowed as long as they are. */
void aa_methods(struct api_method out[AA_METHODS], struct aa_backend *b);

#endif
