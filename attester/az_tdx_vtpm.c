/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/az.h"
#include "attester/az_imds.h"
#include "attester/tdx_quote.h"
#include "attester/tpm_evidence.h"

extern const struct attester attester_az_tdx_vtpm;

static bool detect(const struct attester_env *env)
{
	return az_detect(env, HCL_TDX);
}

static int check_report(struct tdx_report *td, const struct attester_env *env,
			const struct az_report *r, struct err *e)
{
	int n = tdx_report_parse(td, r->hcl.hw, e);

	if (n < 0)
		return err_wrap_code(e, CODE_AZURE_REPORT, "TDREPORT");
	if (bit_is_set(td->td.attributes, TDX_ATTR_DEBUG) && !env->permit_debug)
		return err_code(e, CODE_EVIDENCE_DEBUG, "the TD's attributes 0x%llx have the debug bit",
				(unsigned long long)td->td.attributes);
	n = tdx_report_check(td, e);
	return n == -ERR_VERIFY ? err_wrap_code(e, CODE_AZURE_REPORT, "HCL report") : n;
}

/* The quote is of this TDREPORT: what it binds, and which TD it is of. */
static int check_quote(struct view raw, const struct tdx_report *td, struct err *e)
{
	struct tdx_quote q;
	int n = tdx_quote_parse(&q, raw, e);

	if (n < 0)
		return err_wrap_code(e, CODE_AZURE_METADATA_REPLY, "metadata service: TD quote");
	if (!view_eq(q.report_data, td->report_data))
		return err_code(e, CODE_AZURE_QUOTE,
				"its report data are not those of the TDREPORT");
	if (!tdx_td_eq(&q.td, &td->td))
		return err_code(e, CODE_AZURE_QUOTE,
				"its attributes, XFAM, MRTD or another register are not the TDREPORT's");
	return 0;
}

static int evidence(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	cleanup_az_report struct az_report r = { 0 };
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	cleanup_buf struct buf quote = BUF_MAX(TDX_QUOTE_MAX);
	struct tdx_report td;
	int n = az_report_get(&r, env, HCL_TDX, report_data, e);

	if (n == 0)
		n = check_report(&td, env, &r, e);
	if (n == 0)
		n = az_imds_quote(&quote, env, r.hcl.hw, e);
	if (n == 0)
		n = check_quote(buf_view(&quote), &td, e);
	if (n == 0)
		n = az_quote(&q, env, &r, report_data, NULL, e);
	return n < 0 ? n : az_evidence_json(json, &r, &q, "td_quote", buf_view(&quote), e);
}

const struct attester attester_az_tdx_vtpm = {
	.name = "az-tdx-vtpm",
	.detect = detect,
	.evidence = evidence,
	TPM_REGISTERS,
};
