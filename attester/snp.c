/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/attester.h"
#include "attester/le.h"
#include "attester/sev_guest.h"
#include "attester/snp_certs.h"
#include "attester/snp_report.h"

extern const struct attester attester_snp;

/* A report of this guest, held to what Trustee will hold it to. */
struct report {
	struct tee_quote quote;
	struct snp_report snp; /* borrows from quote */
};

#define cleanup_report __attribute__((cleanup(report_done)))

static void report_done(struct report *r)
{
	tee_quote_done(&r->quote);
}

static bool detect(const struct attester_env *env)
{
	return sev_guest_is_snp(env->root_fd);
}

static int get_report(const struct attester_env *env, const uint8_t data[TEE_DATA],
		      struct report *out, struct err *e)
{
	int r;

	if (!env->tee.quote)
		return err_code(e, CODE_TEE_NONE, "nobody serves the SNP device");
	r = env->tee.quote(env->tee.ctx, data, &out->quote, e);
	if (r < 0)
		return err_wrap(e, r, "SNP report");
	if (out->quote.kind != TEE_SNP)
		return err_code(e, CODE_TEE_REPLY, "the device gave another report than SNP's");
	r = snp_report_parse(&out->snp, buf_view(&out->quote.report), e);
	if (r == -ERR_UNSUPPORTED)
		return err_wrap_code(e, CODE_SNP_UNSUPPORTED, "the device's report");
	if (r < 0)
		return err_wrap_code(e, CODE_TEE_REPLY, "the device's report");
	if (!view_eq(out->snp.report_data, (struct view){ data, TEE_DATA }))
		return err_code(e, CODE_TEE_REPLY,
				"the SNP report does not carry the data that was asked for");
	r = snp_report_judge(&out->snp, env->permit_debug, e);
	if (r < 0)
		return r;
	if (snp_report_key(&out->snp) != SNP_KEY_VCEK && snp_report_key(&out->snp) != SNP_KEY_VLEK)
		return err_code(e, CODE_SNP_UNSUPPORTED,
				"SNP report signed with key %d: neither VCEK (0) nor VLEK (1)",
				(int)snp_report_key(&out->snp));
	return 0;
}

/*
 * What the host gave, or none: a list without the signing key's certificate makes Trustee fail,
 * none makes it fetch the VCEK. A malformed table is an error although Trustee might manage without
 * it: it is the host's, and who runs the host should hear of it here rather than guess there.
 */
static int get_certs(struct snp_certs *out, const struct report *r, struct err *e)
{
	const bool vlek = snp_report_key(&r->snp) == SNP_KEY_VLEK;
	int rc = snp_certs_parse(out, buf_view(&r->quote.certs), e);

	if (rc < 0)
		return err_wrap_code(e, CODE_SNP_CERTS, "SNP certificates");
	if (vlek && !snp_certs_find(out, SNP_CERT_VLEK))
		return err_code(e, CODE_SNP_CERTS,
				"the report is signed with a VLEK, which only the host can give, and "
				"it gives none");
	if (!vlek && !snp_certs_find(out, SNP_CERT_VCEK)) {
		if (all_zero(r->snp.chip_id))
			return err_code(e, CODE_SNP_CERTS,
					"the host gives no VCEK and hides the chip's id, by which "
					"Trustee would fetch it");
		out->n = 0;
	}
	return 0;
}

static int evidence(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	cleanup_report struct report r = { 0 };
	cleanup_buf struct buf text = BUF_MAX(EVIDENCE_MAX);
	uint8_t data[TEE_DATA];
	struct snp_certs certs;
	int rc = attester_data(data, report_data, e);

	if (rc < 0 || (rc = get_report(env, data, &r, e)) < 0 ||
	    (rc = get_certs(&certs, &r, e)) < 0)
		return rc;
	buf_puts(&text, "{\"attestation_report\":");
	snp_report_json(&text, &r.snp);
	buf_puts(&text, ",\"cert_chain\":");
	snp_certs_json(&text, &certs);
	buf_putc(&text, '}');
	return attester_give(json, &text, "snp evidence", e);
}

/* HOST_DATA, set by the host at launch and measured then: the digest padded or cut to 32 bytes. */
static int binding(const struct attester_env *env, struct view digest, enum binding *out,
		   struct err *e)
{
	cleanup_report struct report r = { 0 };
	const uint8_t none[TEE_DATA] = { 0 };
	int rc = get_report(env, none, &r, e);

	if (rc == 0)
		*out = attester_compare(r.snp.host_data, digest);
	return rc;
}

const struct attester attester_snp = {
	.name = "snp",
	.detect = detect,
	.evidence = evidence,
	.binding = binding,
};
