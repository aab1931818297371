/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/verify.h"

/*
 * Azure: the paravisor's report carries the digest of its runtime data in the hardware's report,
 * the runtime data carries the TPM's attestation key, and that key signs the quote with the
 * report data. Each link is a finding.
 */

static void check_nonce(struct findings *f, const struct evidence *ev,
			const struct verify_want *want)
{
	/* Exactly, in length too: that is Trustee's rule here. */
	if (!want->has_report_data)
		verify_report_data(f, ev->tpm.attest.nonce, want);
	else if (view_eq(ev->tpm.attest.nonce, want->report_data))
		finding_add(f, "report-data", FINDING_OK, "the quote's nonce is what was expected");
	else
		finding_add(f, "report-data", FINDING_BAD,
			    "the quote's nonce (%zu bytes) is not what was expected (%zu bytes)",
			    ev->tpm.attest.nonce.len, want->report_data.len);
}

static void check_user_data(struct findings *f, const struct evidence *ev)
{
	if (ev->version < 2)
		finding_add(f, "az.user-data", FINDING_WARN,
			    "evidence of version %u: the hardware's report need not be of this moment",
			    ev->version);
	else if (!ev->runtime.has_user_data)
		finding_add(f, "az.user-data", FINDING_BAD,
			    "evidence of version 2, but the paravisor's report has no user-data");
	else if (!hcl_carries(&ev->runtime, ev->tpm.attest.nonce))
		finding_add(f, "az.user-data", FINDING_BAD,
			    "the paravisor's report has other user-data than the quote's nonce: it is an "
			    "older one");
	else
		finding_add(f, "az.user-data", FINDING_OK,
			    "the hardware's report was made for the same nonce");
}

void verify_azure(struct findings *f, const struct evidence *ev, const struct verify_want *want)
{
	struct err e;
	int r = hcl_bound(&ev->hcl, &e);

	finding_of(f, "az.binding", r, &e,
		   "the hardware's report is about this runtime data, which has the attestation key");
	check_user_data(f, ev);
	verify_tpm_quote(f, &ev->tpm, buf_view(&ev->runtime.ak), buf_view(&ev->tpm.signature));
	check_nonce(f, ev, want);
	verify_pcr8(f, &ev->tpm, want);
	if (ev->has_tdx) {
		if (view_eq(ev->tdx.report_data, ev->hcl.report_data))
			finding_add(f, "az.td-quote", FINDING_OK,
				    "the TD quote is about the same runtime data");
		else
			finding_add(f, "az.td-quote", FINDING_BAD,
				    "the TD quote is about something else than the paravisor's report");
		verify_tdx(f, &ev->tdx, want);
	} else {
		static const struct snp_certs none;

		verify_snp(f, &ev->snp, &none, buf_view(&ev->vcek), want);
	}
}
