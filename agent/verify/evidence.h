/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERIFY_EVIDENCE_H
#define VERIFY_EVIDENCE_H

#include "agent/base/json.h"
#include "attester/attest.h"
#include "attester/hcl.h"
#include "attester/snp_certs.h"
#include "attester/snp_report.h"
#include "attester/tdx_quote.h"

/*
 * One platform's evidence, decoded as Trustee's verifier of that platform reads it: JSON, and the
 * structures of bytes inside. Nothing is believed yet; verify.h judges.
 * Source: spec/evidence.md 2.
 *
 *   snp          {"attestation_report", "cert_chain"}; or the bare report, 1184 bytes
 *   tdx          {"quote", "cc_eventlog"}; or the bare quote
 *   az-snp-vtpm  {"version", "tpm_quote", "hcl_report", "vcek"}; without version: "quote", "report"
 *   az-tdx-vtpm  {"version", "tpm_quote", "hcl_report", "td_quote"}
 *   tpm          {"tpm_quote", "ak_public"}
 *   sample       {"svn", "report_data"}
 *
 * Members that are not known are left alone.
 */
#define EVIDENCE_TEXT_MAX (4u << 20) /* JSON of composite evidence, bytes */
#define EVIDENCE_LOG_MAX  (2u << 20) /* cc_eventlog, bytes */
#define EVIDENCE_DEVICES  8          /* additional evidence */

enum evidence_tee {
	EVIDENCE_AZ_SNP,
	EVIDENCE_AZ_TDX,
	EVIDENCE_SNP,
	EVIDENCE_TDX,
	EVIDENCE_TPM,
	EVIDENCE_SAMPLE,
	EVIDENCE_SAMPLEDEVICE,
	EVIDENCE_TEES
};

/* A TPM quote and what belongs to it. */
struct evidence_tpm {
	struct buf message;   /* TPMS_ATTEST */
	struct buf signature; /* TPMT_SIGNATURE of "tpm"; on Azure the bare RSA block */
	uint8_t pcrs[ATTEST_PCRS][32];
	struct buf ak; /* "tpm": DER SubjectPublicKeyInfo */
	struct attest attest;
};

struct evidence {
	enum evidence_tee tee;
	unsigned version; /* Azure: 0, 1, 2 */

	bool has_snp, has_tdx, has_tpm, has_hcl;
	uint8_t report[SNP_REPORT_LEN]; /* bare SNP: built anew from the JSON */
	struct snp_report snp;
	struct snp_certs certs; /* of cert_chain; n 0 when it is null */
	struct buf certs_store;
	struct buf vcek; /* Azure: DER or PEM */
	struct buf quote;
	struct tdx_quote tdx;
	struct buf eventlog; /* cc_eventlog; empty for null */
	struct evidence_tpm tpm;
	struct buf hcl_raw;
	struct hcl_report hcl;
	struct hcl_runtime runtime;
	char svn[16];           /* sample */
	struct buf report_data; /* sample */
};

#define cleanup_evidence __attribute__((cleanup(evidence_freep)))

/* Name as Trustee has it: "az-snp-vtpm". */
const char *evidence_tee_name(enum evidence_tee tee);

/* By that name. Errors: ERR_UNSUPPORTED. */
int evidence_tee_by_name(enum evidence_tee *out, const char *name, struct err *e) MUST_CHECK;

/* Which platform's this is, by its members. Errors: ERR_FORMAT. */
int evidence_recognise(enum evidence_tee *out, const struct json *v, struct err *e) MUST_CHECK;

/*
 * Decode.
 * out  set on success only; free with evidence_free()
 * v    borrowed for the call
 * Errors: ERR_FORMAT, ERR_LIMIT, ERR_UNSUPPORTED (a version or structure that Trustee does not
 * take either), ERR_NOMEM, ERR_CRYPTO; the message begins with the member.
 */
int evidence_load(struct evidence **out, enum evidence_tee tee, const struct json *v,
		  struct err *e) MUST_CHECK;

/* The same for a bare SNP report or TD quote, told apart by length and head. Errors: as above. */
int evidence_load_bare(struct evidence **out, struct view raw, struct err *e) MUST_CHECK;

void evidence_free(struct evidence *ev);
static inline void evidence_freep(struct evidence **ev)
{
	evidence_free(*ev);
}

/* What a file with evidence may hold: one platform's, or composite. */
struct evidence_file {
	bool has_primary; /* item 0 is it; the others are devices' */
	size_t n;
	struct evidence *item[1 + EVIDENCE_DEVICES];
};

/*
 * Read a file: bare structures, one platform's JSON, {"tee","evidence"} as `vouchsafe evidence
 * --json` prints it, {"primary_evidence","additional_evidence"} as Trustee receives it, or the
 * latter's inside alone: an object whose members are named for their TEEs.
 *
 * out  zeroed by the caller; filled on success only; release with evidence_file_done()
 * tee  what the primary must be, or NULL to recognise it; a file without a primary is refused then
 *
 * Errors: as evidence_load(); ERR_LIMIT (EVIDENCE_TEXT_MAX, EVIDENCE_DEVICES).
 */
int evidence_file_load(struct evidence_file *out, struct view text, const char *tee,
		       struct err *e) MUST_CHECK;
void evidence_file_done(struct evidence_file *f);

#define cleanup_evidence_file __attribute__((cleanup(evidence_file_done)))

#endif
