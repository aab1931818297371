/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/verify/evidence_parts.h"

#include <stdio.h>

/* Bytes in JSON, in the four ways that Trustee's platforms write them. */
enum form { HEX, BASE64, BASE64URL, INTEGERS };

static int from_integers(struct buf *out, const struct json *list, struct err *e)
{
	uint64_t n;

	if (!json_is_array(list))
		return err_set(e, ERR_FORMAT, "no array of integers");
	for (const struct json *i = json_first(list); i; i = json_next(i)) {
		if (!json_u64(&n, i) || n > 255)
			return err_set(e, ERR_FORMAT, "an element that is no integer of 0..255");
		buf_putc(out, (uint8_t)n);
	}
	return 0;
}

static int from_hex(struct buf *out, struct view text, struct err *e)
{
	uint8_t byte;

	if (text.len % 2 != 0)
		return err_set(e, ERR_FORMAT, "hex of an odd number of digits");
	for (size_t i = 0; i < text.len && !out->failed; i += 2) {
		int r = enc_hex_decode(&byte, 1, (struct view){ text.p + i, 2 }, e);

		if (r < 0)
			return r;
		buf_putc(out, byte);
	}
	return 0;
}

/* Trustee's decoder of this alphabet takes padding or none; what there is must be right. */
static int from_base64url(struct buf *out, struct view text, struct err *e)
{
	if (text.len % 4 == 0)
		for (int i = 0; i < 2 && text.len > 0 && text.p[text.len - 1] == '='; i++)
			text.len--;
	return enc_base64_decode(out, ENC_B64U, text, e);
}

static int decode(struct buf *out, const struct json *v, enum form form, struct err *e)
{
	const char *text = json_string(v);

	if (form == INTEGERS)
		return from_integers(out, v, e);
	if (!text)
		return err_set(e, ERR_FORMAT, "no string");
	if (form == HEX)
		return from_hex(out, view_str(text), e);
	return form == BASE64 ? enc_base64_decode(out, ENC_B64, view_str(text), e) :
				from_base64url(out, view_str(text), e);
}

static int take_bytes(struct buf *out, const struct json *object, const char *key, enum form form,
		      struct err *e)
{
	int r = decode(out, json_get(object, key), form, e);

	if (r == 0)
		r = buf_check(out, key, e);
	return r < 0 ? err_wrap(e, r, "%s", key) : 0;
}

/* --- SNP and TDX ---------------------------------------------------------------------------- */

int evidence_load_snp(struct evidence *ev, const struct json *v, struct err *e)
{
	int r = snp_report_from_json(ev->report, json_get(v, "attestation_report"), e);

	if (r == 0)
		r = snp_report_parse(&ev->snp, (struct view){ ev->report, SNP_REPORT_LEN }, e);
	if (r < 0)
		return err_wrap(e, r, "attestation_report");
	ev->has_snp = true;
	r = snp_certs_from_json(&ev->certs, &ev->certs_store, json_get(v, "cert_chain"), e);
	return r < 0 ? err_wrap(e, r, "cert_chain") : 0;
}

static int take_quote(struct evidence *ev, const struct json *v, const char *key, enum form form,
		      struct err *e)
{
	int r = take_bytes(&ev->quote, v, key, form, e);

	if (r < 0)
		return r;
	r = tdx_quote_parse(&ev->tdx, buf_view(&ev->quote), e);
	if (r < 0)
		return err_wrap(e, r, "%s", key);
	ev->has_tdx = true;
	return 0;
}

int evidence_load_tdx(struct evidence *ev, const struct json *v, struct err *e)
{
	const struct json *log = json_get(v, "cc_eventlog");
	int r = take_quote(ev, v, "quote", BASE64, e);

	if (r < 0 || !log || json_is_null(log))
		return r;
	return take_bytes(&ev->eventlog, v, "cc_eventlog", BASE64, e);
}

/* --- TPM quotes ----------------------------------------------------------------------------- */

static int take_pcrs(struct evidence_tpm *t, const struct json *list, enum form form,
		     struct err *e)
{
	const struct json *v = json_first(list);

	if (!json_is_array(list) || json_count(list) != ATTEST_PCRS)
		return err_set(e, ERR_FORMAT, "pcrs is no array of %d", ATTEST_PCRS);
	for (unsigned i = 0; i < ATTEST_PCRS; i++, v = json_next(v)) {
		cleanup_buf struct buf pcr = BUF_MAX(sizeof t->pcrs[0]);
		int r = decode(&pcr, v, form, e);

		if (r == 0 && (pcr.failed || pcr.len != sizeof t->pcrs[0]))
			r = err_set(e, ERR_FORMAT, "not %zu bytes", sizeof t->pcrs[0]);
		if (r < 0)
			return err_wrap(e, r, "PCR %u", i);
		memcpy(t->pcrs[i], pcr.p, sizeof t->pcrs[0]);
	}
	return 0;
}

static int take_tpm(struct evidence *ev, const struct json *quote, enum form bytes, enum form pcrs,
		    struct err *e)
{
	struct evidence_tpm *t = &ev->tpm;
	int r = take_bytes(&t->message, quote, "message", bytes, e);

	if (r == 0)
		r = take_bytes(&t->signature, quote, "signature", bytes, e);
	if (r == 0)
		r = take_pcrs(t, json_get(quote, "pcrs"), pcrs, e);
	if (r == 0)
		r = attest_parse(&t->attest, buf_view(&t->message), e);
	if (r < 0)
		return err_wrap(e, r, "TPM quote");
	ev->has_tpm = true;
	return 0;
}

int evidence_load_tpm(struct evidence *ev, const struct json *v, struct err *e)
{
	int r = take_tpm(ev, json_get(v, "tpm_quote"), BASE64, HEX, e);

	return r < 0 ? r : take_bytes(&ev->tpm.ak, v, "ak_public", BASE64, e);
}

/* --- Azure ---------------------------------------------------------------------------------- */

static int take_hcl(struct evidence *ev, const struct json *v, const char *key, enum form form,
		    struct err *e)
{
	enum hcl_kind want = ev->tee == EVIDENCE_AZ_SNP ? HCL_SNP : HCL_TDX;
	int r = take_bytes(&ev->hcl_raw, v, key, form, e);

	if (r == 0)
		r = hcl_parse(&ev->hcl, buf_view(&ev->hcl_raw), e);
	if (r == 0 && ev->hcl.kind != want)
		r = err_set(e, ERR_FORMAT, "the paravisor's report is of another kind of hardware");
	if (r == 0)
		r = hcl_runtime_load(&ev->runtime, ev->hcl.var_data, e);
	if (r < 0)
		return err_wrap(e, r, "%s", key);
	ev->has_hcl = true;
	if (want == HCL_TDX)
		return 0;
	r = snp_report_parse(&ev->snp, ev->hcl.hw, e);
	ev->has_snp = r == 0;
	return r < 0 ? err_wrap(e, r, "%s", key) : 0;
}

/* Recordings of the first agents: bytes as integers, other names of members on SNP. */
static int load_azure_v0(struct evidence *ev, const struct json *v, struct err *e)
{
	bool snp = ev->tee == EVIDENCE_AZ_SNP;
	int r = take_tpm(ev, json_get(v, snp ? "quote" : "tpm_quote"), INTEGERS, INTEGERS, e);

	if (r == 0)
		r = take_hcl(ev, v, snp ? "report" : "hcl_report", INTEGERS, e);
	if (r < 0 || !snp)
		return r < 0 ? r : take_quote(ev, v, "td_quote", INTEGERS, e);
	if (!json_string(json_get(v, "vcek")))
		return err_set(e, ERR_FORMAT, "vcek is no string");
	buf_puts(&ev->vcek, json_string(json_get(v, "vcek")));
	return buf_check(&ev->vcek, "vcek", e);
}

int evidence_load_azure(struct evidence *ev, const struct json *v, struct err *e)
{
	const struct json *version = json_get(v, "version");
	uint64_t n;
	int r;

	if (!version)
		return load_azure_v0(ev, v, e);
	if (!json_u64(&n, version) || n < 1 || n > 2)
		return err_set(e, ERR_UNSUPPORTED, "a version other than 1 and 2");
	ev->version = (unsigned)n;
	r = take_tpm(ev, json_get(v, "tpm_quote"), HEX, HEX, e);
	if (r == 0)
		r = take_hcl(ev, v, "hcl_report", BASE64URL, e);
	if (r < 0)
		return r;
	return ev->tee == EVIDENCE_AZ_SNP ? take_bytes(&ev->vcek, v, "vcek", BASE64URL, e) :
					    take_quote(ev, v, "td_quote", BASE64URL, e);
}

/* --- sample --------------------------------------------------------------------------------- */

int evidence_load_sample(struct evidence *ev, const struct json *v, struct err *e)
{
	const char *svn = json_string(json_get(v, "svn"));

	if (!svn || strlen(svn) >= sizeof ev->svn)
		return err_set(e, ERR_FORMAT, "svn is no short string");
	(void)snprintf(ev->svn, sizeof ev->svn, "%s", svn);
	if (!json_get(v, "report_data"))
		return 0;
	return take_bytes(&ev->report_data, v, "report_data", BASE64, e);
}
