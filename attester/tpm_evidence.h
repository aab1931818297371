/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TPM_EVIDENCE_H
#define ATTESTER_TPM_EVIDENCE_H

#include "attester/attester.h"
#include "attester/tpm.h"

/*
 * The platform "tpm": what is done with the values that a TPM gives, and what Azure's platforms
 * do in the same way. Source: spec/evidence.md 2.5, 3.1, 4.2.
 */

#define TPM_NONCE_LEN 32 /* what a quote of the platform tpm has of report data: the first bytes */

/* The first 32 bytes, zero padded: what PCR 8 has of a digest. */
void tpm_cut32(uint8_t out[32], struct view in);

/*
 * What a PCR says about a digest: all zero is empty; SHA-256(32 zero bytes, then the first 32 bytes
 * of the digest) matches. Errors: ERR_CRYPTO.
 */
int tpm_pcr_binding(enum binding *out, const uint8_t pcr[32], struct view digest,
		    struct err *e) MUST_CHECK;

/*
 * Append the evidence:
 *   {"tpm_quote":{"signature":b64 TPMT_SIGNATURE,"message":b64 TPMS_ATTEST,"pcrs":[24 × hex]},
 *    "ak_public":b64 SubjectPublicKeyInfo}
 * without white space, base64 standard and padded.
 */
void tpm_evidence_json(struct buf *out, const struct tpm_quote *q);

/*
 * The initdata register and the runtime measurements, as struct attester has them, for every
 * platform that does both in a TPM.
 */
#define TPM_EVENT_PCR 15 /* why: attester/eventlog.h */

int tpm_binding(const struct attester_env *env, struct view digest, enum binding *out,
		struct err *e) MUST_CHECK;
int tpm_bind(const struct attester_env *env, struct view digest, struct err *e) MUST_CHECK;
int tpm_event_extend(const struct attester_env *env, unsigned reg, struct view digest,
		     struct err *e) MUST_CHECK;
int tpm_event_read(const struct attester_env *env, unsigned reg, struct digest *out,
		   struct err *e) MUST_CHECK;

/* These, as members of a struct attester. */
#define TPM_REGISTERS                                                                              \
	.binding = tpm_binding, .bind = tpm_bind, .extend = tpm_event_extend,                      \
	.read_register = tpm_event_read, .log_hash = HASH_SHA256, .log_register = TPM_EVENT_PCR,   \
	.text_needs_sha256 = true

#endif
