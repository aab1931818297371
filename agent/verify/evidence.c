/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/evidence.h"
#include "agent/verify/evidence_parts.h"

static const char *const names[] = {
	[EVIDENCE_AZ_SNP] = "az-snp-vtpm", [EVIDENCE_AZ_TDX] = "az-tdx-vtpm",
	[EVIDENCE_SNP] = "snp",		   [EVIDENCE_TDX] = "tdx",
	[EVIDENCE_TPM] = "tpm",		   [EVIDENCE_SAMPLE] = "sample",
	[EVIDENCE_SAMPLEDEVICE] = "sampledevice",
};

const char *evidence_tee_name(enum evidence_tee tee)
{
	return names[tee];
}

int evidence_tee_by_name(enum evidence_tee *out, const char *name, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*out = (enum evidence_tee)i;
			return 0;
		}
	}
	return err_set(e, ERR_UNSUPPORTED, "evidence of \"%.40s\" cannot be read by this program",
		       name);
}

int evidence_recognise(enum evidence_tee *out, const struct json *v, struct err *e)
{
	static const struct {
		const char *has[2];
		enum evidence_tee tee;
	} rows[] = {
		{ { "attestation_report", "cert_chain" }, EVIDENCE_SNP },
		{ { "attestation_report", NULL }, EVIDENCE_SNP },
		{ { "hcl_report", "td_quote" }, EVIDENCE_AZ_TDX },
		{ { "hcl_report", "vcek" }, EVIDENCE_AZ_SNP },
		{ { "report", "vcek" }, EVIDENCE_AZ_SNP },
		{ { "tpm_quote", "ak_public" }, EVIDENCE_TPM },
		{ { "quote", NULL }, EVIDENCE_TDX },
		{ { "svn", "report_data" }, EVIDENCE_SAMPLE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (json_get(v, rows[i].has[0]) &&
		    (!rows[i].has[1] || json_get(v, rows[i].has[1]))) {
			*out = rows[i].tee;
			/* Of sampledevice only the number differs. */
			if (*out == EVIDENCE_SAMPLE && json_string(json_get(v, "svn")) &&
			    strcmp(json_string(json_get(v, "svn")), "2") == 0)
				*out = EVIDENCE_SAMPLEDEVICE;
			return 0;
		}
	}
	return err_set(e, ERR_FORMAT, "the members are not those of any platform's evidence");
}

static struct evidence *alloc(enum evidence_tee tee)
{
	struct evidence *ev = calloc(1, sizeof *ev);

	if (!ev)
		return NULL;
	ev->tee = tee;
	ev->certs_store = BUF_MAX(SNP_CERTS_TABLE_MAX);
	ev->vcek = BUF_MAX(X509_PEM_MAX);
	ev->quote = BUF_MAX(TDX_QUOTE_MAX);
	ev->eventlog = BUF_MAX(EVIDENCE_LOG_MAX);
	ev->tpm.message = BUF_MAX(TPM_PART_MAX);
	ev->tpm.signature = BUF_MAX(TPM_PART_MAX);
	ev->tpm.ak = BUF_MAX(TPM_PART_MAX);
	ev->hcl_raw = BUF_MAX(HCL_REPORT_MAX);
	ev->report_data = BUF_MAX(SAMPLE_DATA_MAX);
	return ev;
}

void evidence_free(struct evidence *ev)
{
	if (!ev)
		return;
	buf_done(&ev->certs_store);
	buf_done(&ev->vcek);
	buf_done(&ev->quote);
	buf_done(&ev->eventlog);
	buf_done(&ev->tpm.message);
	buf_done(&ev->tpm.signature);
	buf_done(&ev->tpm.ak);
	buf_done(&ev->hcl_raw);
	hcl_runtime_done(&ev->runtime);
	buf_done(&ev->report_data);
	free(ev);
}

int evidence_load(struct evidence **out, enum evidence_tee tee, const struct json *v,
		  struct err *e)
{
	static int (*const load[])(struct evidence *, const struct json *, struct err *) = {
		[EVIDENCE_AZ_SNP] = evidence_load_azure,
		[EVIDENCE_AZ_TDX] = evidence_load_azure,
		[EVIDENCE_SNP] = evidence_load_snp,
		[EVIDENCE_TDX] = evidence_load_tdx,
		[EVIDENCE_TPM] = evidence_load_tpm,
		[EVIDENCE_SAMPLE] = evidence_load_sample,
		[EVIDENCE_SAMPLEDEVICE] = evidence_load_sample,
	};
	cleanup_evidence struct evidence *ev = alloc(tee);
	int r;

	if (!ev)
		return err_set(e, ERR_NOMEM, "no memory for evidence");
	if (!json_is_object(v))
		return err_set(e, ERR_FORMAT, "%s evidence is no JSON object", names[tee]);
	r = load[tee](ev, v, e);
	if (r < 0)
		return err_wrap(e, r, "%s evidence", names[tee]);
	*out = take(ev);
	return 0;
}

int evidence_load_bare(struct evidence **out, struct view raw, struct err *e)
{
	bool snp = raw.len == SNP_REPORT_LEN;
	cleanup_evidence struct evidence *ev = alloc(snp ? EVIDENCE_SNP : EVIDENCE_TDX);
	int r;

	if (!ev)
		return err_set(e, ERR_NOMEM, "no memory for evidence");
	if (snp) {
		memcpy(ev->report, raw.p, SNP_REPORT_LEN);
		r = snp_report_parse(&ev->snp, (struct view){ ev->report, SNP_REPORT_LEN }, e);
		ev->has_snp = r == 0;
	} else {
		buf_putv(&ev->quote, raw);
		r = buf_check(&ev->quote, "quote", e);
		if (r == 0)
			r = tdx_quote_parse(&ev->tdx, buf_view(&ev->quote), e);
		ev->has_tdx = r == 0;
	}
	if (r < 0)
		return err_wrap(e, r, "bytes that are no JSON, read as %s",
				snp ? "an SNP report" : "a TD quote");
	*out = take(ev);
	return 0;
}

/* --- files ---------------------------------------------------------------------------------- */

void evidence_file_done(struct evidence_file *f)
{
	while (f->n > 0)
		evidence_free(f->item[--f->n]);
	f->has_primary = false;
}

static int add(struct evidence_file *f, const char *tee, const struct json *v, struct err *e)
{
	enum evidence_tee which;
	int r = tee ? evidence_tee_by_name(&which, tee, e) : evidence_recognise(&which, v, e);

	if (r == 0)
		r = evidence_load(&f->item[f->n], which, v, e);
	if (r == 0)
		f->n++;
	return r;
}

static int add_devices(struct evidence_file *f, const struct json *map, struct err *e)
{
	int r = 0;

	if (!json_is_object(map))
		return err_set(e, ERR_FORMAT, "additional_evidence is no JSON object");
	for (const struct json *m = json_first(map); r == 0 && m; m = json_next(m)) {
		if (f->n - f->has_primary == EVIDENCE_DEVICES)
			return err_set(e, ERR_LIMIT, "additional_evidence of over %d devices",
				       EVIDENCE_DEVICES);
		r = add(f, json_key(m), m, e);
	}
	return r < 0 ? err_wrap(e, r, "additional_evidence") : 0;
}

/* An object whose first member is named as a TEE. No platform's own evidence has such a member. */
static bool is_device_map(const struct json *v)
{
	const struct json *m = json_is_object(v) ? json_first(v) : NULL;
	enum evidence_tee unused;

	return m && evidence_tee_by_name(&unused, json_key(m), NULL) == 0;
}

static int add_composite(struct evidence_file *f, const struct json *primary,
			 const struct json *additional, const char *tee, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	const char *text = json_string(additional);
	int r = add(f, tee, primary, e);

	if (r < 0)
		return err_wrap(e, r, "primary_evidence");
	f->has_primary = true;
	if (additional && !text)
		return err_set(e, ERR_FORMAT, "additional_evidence is no string");
	if (!text || text[0] == '\0')
		return 0;
	r = json_parse(&doc, view_str(text), EVIDENCE_TEXT_MAX, e);
	return r < 0 ? err_wrap(e, r, "additional_evidence") : add_devices(f, doc, e);
}

static int load_doc(struct evidence_file *f, const struct json *doc, const char *tee,
		    struct err *e)
{
	const struct json *primary = json_get(doc, "primary_evidence");
	const struct json *ours = json_get(doc, "evidence");
	const char *named = json_string(json_get(doc, "tee"));
	int r;

	if (primary)
		return add_composite(f, primary, json_get(doc, "additional_evidence"), tee, e);
	if (ours && named && tee && strcmp(tee, named) != 0)
		return err_set(e, ERR_FORMAT, "the evidence calls itself \"%.40s\", want %s", named,
			       tee);
	if (!ours || !named) {
		ours = doc;
		named = tee;
	}
	if (is_device_map(ours)) {
		if (tee)
			return err_set(e, ERR_FORMAT, "evidence of additional devices alone, want %s",
				       tee);
		return add_devices(f, ours, e);
	}
	r = add(f, named, ours, e);
	f->has_primary = r == 0;
	return r;
}

static bool is_text(struct view v)
{
	while (v.len > 0 && v.p[0] != '\0' && strchr(" \t\r\n", v.p[0])) {
		v.p++;
		v.len--;
	}
	return v.len > 0 && v.p[0] == '{';
}

static int load_bare(struct evidence_file *f, struct view raw, const char *tee, struct err *e)
{
	int r = evidence_load_bare(&f->item[0], raw, e);

	if (r < 0)
		return r;
	f->n = 1;
	f->has_primary = true;
	if (tee && strcmp(tee, names[f->item[0]->tee]) != 0)
		return err_set(e, ERR_FORMAT, "a bare structure of %s, want %s",
			       names[f->item[0]->tee], tee);
	return 0;
}

int evidence_file_load(struct evidence_file *out, struct view text, const char *tee,
		       struct err *e)
{
	cleanup_evidence_file struct evidence_file f = { 0 };
	cleanup_json struct json *doc = NULL;
	int r;

	if (!is_text(text)) {
		r = load_bare(&f, text, tee, e);
	} else {
		r = json_parse(&doc, text, EVIDENCE_TEXT_MAX, e);
		if (r == 0)
			r = load_doc(&f, doc, tee, e);
	}
	if (r < 0)
		return r;
	*out = f;
	f = (struct evidence_file){ 0 };
	return 0;
}
