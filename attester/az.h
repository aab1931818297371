/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_AZ_H
#define ATTESTER_AZ_H

#include "agent/base/clock.h"
#include "attester/attester.h"
#include "attester/hcl.h"
#include "attester/tpm.h"

/*
 * What Azure's two kinds of confidential VM have in common: a paravisor (HCL) that owns the
 * hardware report and a vTPM whose key that report vouches for.
 * Source: spec/evidence.md 2.1, 2.2, 3.3; microsoft/openvmm, vm/devices/tpm/tpm_device/src/lib.rs.
 *
 *   report data ─► NV 0x01400002 ─► read NV 0x01400001 ─► its user-data are ours? ─► checked
 *                        ▲                                   │ no
 *                        └────────── 2.1 s ──────────────────┘
 *
 * The paravisor makes a report when a reading of 0x01400001 begins at offset 0, but not within 2 s
 * of the last one; before that it serves the old one. So it is read at once, and again only as
 * often as a new one can be there.
 */
#define AZ_NV_REPORT       0x01400001u
#define AZ_NV_INPUT        0x01400002u
#define AZ_INPUT_PAD       64   /* another SDK defines the input with this size: zero padded then */
#define AZ_AK              0x81000003u
#define AZ_REPORT_DATA_MAX 48   /* bytes; what Azure's vTPM is known to take into a quote */
#define AZ_REPORT_MS       10000 /* until the report carries our data */
#define AZ_RENEW_MS        2100  /* a new report can be had this often */
#define AZ_LOCK_MS         15000 /* for another agent in this guest to finish its own */
#define AZ_LOCK_FILE       "run/attestation-agent/.hcl.lock" /* beneath env->root_fd */

/* A report that carries the report data, checked. */
struct az_report {
	struct buf raw;             /* the NV index, as read */
	struct hcl_report hcl;      /* cut from it */
	struct hcl_runtime runtime; /* read from it */
	unsigned version;           /* of the evidence: 2, or 1 where the report cannot carry them */
};

#define cleanup_az_report __attribute__((cleanup(az_report_done)))

/*
 * Whether this guest has an HCL report of that kind. Asked once a guest: env->cache keeps it.
 * Never beside sev-guest's folder in sysfs: there the hardware answers to the guest itself, and a
 * host that adds a TPM with a report of its own must not get PCR 8 asked in HOST_DATA's place.
 */
bool az_detect(const struct attester_env *env, enum hcl_kind kind);

/*
 * 0 when the TPM said that it has no report of either kind, so that it may be taken for a bare one.
 * Errors: ERR_UNSUPPORTED (it has one), tpm.* (it did not say).
 */
int az_has_none(const struct attester_env *env, struct err *e) MUST_CHECK;

/*
 * Get a report that carries report_data, and hold it to itself: its kind, var_data's digest in
 * the hardware report, our data in user-data. Where our data cannot be written at all (tpm.nv-denied,
 * tpm.nv-locked, tpm.nv-size), or the paravisor is too old to have user-data, the report is taken as
 * it is and *out is of version 1, for which Trustee does not compare them.
 *
 * out  zeroed by the caller; filled on success only; release with az_report_done()
 *
 * Errors: azure.report-data, azure.report, azure.binding, azure.stale-report, azure.busy, tpm.*.
 */
int az_report_get(struct az_report *out, const struct attester_env *env, enum hcl_kind kind,
		  struct view report_data, struct err *e) MUST_CHECK;
void az_report_done(struct az_report *r);

/*
 * A quote over report_data by the key that the report vouches for.
 * out        zeroed by the caller; filled on success only; release with tpm_quote_done()
 * meanwhile  as tpm_quote_with() has it
 * Errors: azure.wrong-ak, tpm.*.
 */
int az_quote(struct tpm_quote *out, const struct attester_env *env, const struct az_report *r,
	     struct view report_data, const struct tpm_meanwhile *meanwhile,
	     struct err *e) MUST_CHECK;

/*
 * The evidence: {"version":2,"tpm_quote":{"signature":hex of the RSA block,"message":hex,"pcrs":[24
 * × hex]},"hcl_report":b64url,NAME:b64url}. base64 is URL-safe and padded, as upstream writes it.
 * Errors: tpm.reply, ERR_LIMIT, ERR_NOMEM.
 */
int az_evidence_json(char **json, const struct az_report *r, const struct tpm_quote *q,
		     const char *name, struct view value, struct err *e) MUST_CHECK;

#endif
