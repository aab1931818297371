/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/reference.h"
#include "agent/base/enc.h"
#include "attester/tpm_evidence.h"

#include <stdio.h>

enum { PCR_INITDATA = 8, PCR_UKI = 11 };

/* --- one value ------------------------------------------------------------------------------ */

static int add(struct references *out, const char *name, bool single, struct buf *json,
	       struct err *e)
{
	int r = buf_check(json, name, e);

	if (r < 0)
		return r;
	if (out->n == REFERENCES_MAX)
		return err_set(e, ERR_LIMIT, "over %d reference values", REFERENCES_MAX);
	for (size_t i = 0; i < out->n; i++)
		if (strcmp(out->list[i].name, name) == 0)
			return err_set(e, ERR_FORMAT, "%s twice: evidence of two such platforms", name);
	out->list[out->n] = (struct reference){ name, single, buf_take(json) };
	if (!out->list[out->n].value)
		return err_set(e, ERR_NOMEM, "no memory for a reference value");
	out->n++;
	return 0;
}

#define VALUE(b) cleanup_buf struct buf b = BUF_MAX(REFERENCE_VALUE_MAX)

static int add_hex(struct references *out, const char *name, struct view bytes, struct err *e)
{
	VALUE(b);
	buf_putc(&b, '"');
	enc_hex(&b, bytes);
	buf_putc(&b, '"');
	return add(out, name, false, &b, e);
}

static int add_base64(struct references *out, const char *name, struct view bytes, struct err *e)
{
	VALUE(b);
	buf_putc(&b, '"');
	enc_base64(&b, ENC_B64, bytes);
	buf_putc(&b, '"');
	return add(out, name, false, &b, e);
}

/* Claims of SNP are numbers and booleans; those of SNP on Azure are the same as text. */
static int add_number(struct references *out, const char *name, bool single, bool text, unsigned n,
		      struct err *e)
{
	VALUE(b);
	buf_printf(&b, text ? "\"%u\"" : "%u", n);
	return add(out, name, single, &b, e);
}

static int add_bool(struct references *out, const char *name, bool text, bool v, struct err *e)
{
	const char *word = v ? "true" : "false";

	VALUE(b);
	buf_printf(&b, text ? "\"%s\"" : "%s", word);
	return add(out, name, !text, &b, e);
}

static int add_text(struct references *out, const char *name, const char *s, struct err *e)
{
	VALUE(b);
	json_put_string(&b, view_str(s));
	return add(out, name, false, &b, e);
}

/* --- the registers of the initdata ------------------------------------------------------------ */

static int pcr8_of(uint8_t pcr[32], const struct digest *d, struct err *e)
{
	uint8_t zero[32] = { 0 }, event[32];
	struct view parts[] = { { zero, sizeof zero }, { event, sizeof event } };
	struct digest out;
	int r;

	tpm_cut32(event, digest_view(d));
	r = digest_parts(&out, HASH_SHA256, parts, ARRAY_LEN(parts), e);
	if (r == 0)
		memcpy(pcr, out.b, 32);
	return r;
}

static int add_pcr8(struct references *out, const char *name, const uint8_t *of_evidence,
		    const struct digest *initdata, struct err *e)
{
	uint8_t pcr[32];
	int r = 0;

	if (initdata)
		r = pcr8_of(pcr, initdata, e);
	else if (of_evidence)
		memcpy(pcr, of_evidence, sizeof pcr);
	else
		return 0;
	return r < 0 ? r : add_hex(out, name, (struct view){ pcr, sizeof pcr }, e);
}

/* A field of n bytes: the evidence's, or the digest cut to it or padded. */
static int add_field(struct references *out, const char *name, size_t n, struct view of_evidence,
		     const struct digest *initdata, struct err *e)
{
	uint8_t field[48] = { 0 };

	if (initdata)
		memcpy(field, initdata->b, initdata->len < n ? initdata->len : n);
	else if (of_evidence.len == n)
		memcpy(field, of_evidence.p, n);
	else
		return 0;
	return add_hex(out, name, (struct view){ field, n }, e);
}

static int add_pcr11(struct references *out, const char *name, const uint8_t *of_evidence,
		     const uint8_t *predicted, struct err *e)
{
	const uint8_t *pcr = predicted ? predicted : of_evidence;

	return pcr ? add_hex(out, name, (struct view){ pcr, 32 }, e) : 0;
}

/* --- platforms ------------------------------------------------------------------------------ */

/* names: boot loader, microcode, snp, tee, smt, tsme, ABI major, minor, single socket, SMT allowed */
static int add_snp_common(struct references *out, const struct snp_report *r,
			  const char *const names[10], bool text, struct err *e)
{
	const struct snp_tcb *t = &r->reported_tcb;
	int res = add_number(out, names[0], false, text, t->bootloader, e);

	if (res == 0)
		res = add_number(out, names[1], false, text, t->microcode, e);
	if (res == 0)
		res = add_number(out, names[2], false, text, t->snp, e);
	if (res == 0)
		res = add_number(out, names[3], false, text, t->tee, e);
	if (res == 0)
		res = add_bool(out, names[4], text, bit_is_set(r->plat_info, 0), e);
	if (res == 0)
		res = add_bool(out, names[5], text, bit_is_set(r->plat_info, 1), e);
	if (res == 0)
		res = add_number(out, names[6], !text, text, (unsigned)(r->policy >> 8 & 0xff), e);
	if (res == 0)
		res = add_number(out, names[7], !text, text, (unsigned)(r->policy & 0xff), e);
	if (res == 0)
		res = add_bool(out, names[8], text, bit_is_set(r->policy, 20), e);
	if (res == 0)
		res = add_bool(out, names[9], text, bit_is_set(r->policy, 16), e);
	return res;
}

static int of_snp(struct references *out, const struct reference_source *src, struct err *e)
{
	static const char *const names[10] = {
		"snp_bootloader",	"snp_microcode",	"snp_snp_svn",
		"snp_tee_svn",		"snp_smt_enabled",	"snp_tsme_enabled",
		"snp_guest_abi_major",	"snp_guest_abi_minor",	"snp_single_socket",
		"snp_smt_allowed",
	};
	const struct snp_report *r = &src->ev->snp;
	int res = add_hex(out, "snp_launch_measurement", r->measurement, e);

	if (res == 0)
		res = add_snp_common(out, r, names, false, e);
	return res < 0 ? res : add_field(out, "snp_host_data", 32, r->host_data, src->initdata, e);
}

static int of_az_snp(struct references *out, const struct reference_source *src, struct err *e)
{
	static const char *const names[10] = {
		"tcb_bootloader", "tcb_microcode", "tcb_snp",	"tcb_tee",	 "smt_enabled",
		"tsme_enabled",	  "abi_major",	   "abi_minor", "single_socket", "smt_allowed",
	};
	const struct evidence *ev = src->ev;
	int r = add_base64(out, "measurement", ev->snp.measurement, e);

	if (r == 0)
		r = add_pcr11(out, "snp_pcr11", ev->tpm.pcrs[PCR_UKI], src->pcr11, e);
	if (r == 0)
		r = add_snp_common(out, &ev->snp, names, true, e);
	return r < 0 ? r : add_pcr8(out, "snp_pcr8", ev->tpm.pcrs[PCR_INITDATA], src->initdata, e);
}

static int add_xfam(struct references *out, const struct tdx_quote *q, struct err *e)
{
	return add_hex(out, "xfam", tdx_xfam(q), e);
}

static int add_event(struct references *out, const char *name, const struct tcg2_event *ev,
		     struct err *e)
{
	VALUE(b);
	for (size_t i = 0; i < out->n; i++)
		if (strcmp(out->list[i].name, name) == 0)
			return 0;
	buf_putc(&b, '"');
	enc_hex(&b, tcg2_digest(ev, HASH_SHA384));
	buf_putc(&b, '"');
	return add(out, name, true, &b, e);
}

/*
 * Kernel and its parameters of a direct boot (kata): the policy finds these events in the log that
 * came with the quote. A log that cannot be read gives none; verification says why.
 */
static int add_direct_boot(struct references *out, const struct evidence *ev, struct err *e)
{
	struct tcg2_registers regs;
	struct tcg2_event event;
	struct tcg2_log log;
	size_t at;
	int r = 0;

	if (ev->eventlog.len == 0 ||
	    verify_log_open(&log, &regs, buf_view(&ev->eventlog), ev, NULL) < 0)
		return 0;
	at = log.first;
	while (r == 0 && tcg2_next(&event, &log, &at) == 1) {
		cleanup_buf struct buf path = BUF_MAX(TCG2_WORDS_MAX);
		struct tcg2_tag tag;

		if (event.type == TCG2_EV_EFI_BOOT_SERVICES_APPLICATION &&
		    tcg2_image_path(&path, &event) && strstr(buf_str(&path), "File(kernel)"))
			r = add_event(out, "tdvfkernel", &event, e);
		else if (tcg2_tag(&tag, &event) && tag.id == TCG2_TAG_LOAD_OPTIONS)
			r = add_event(out, "tdvfkernelparams", &event, e);
	}
	return r;
}

static int of_tdx(struct references *out, const struct reference_source *src, struct err *e)
{
	const struct tdx_quote *q = &src->ev->tdx;
	int r = add_hex(out, "mr_td", q->td.mr_td, e);

	if (r == 0)
		r = add_hex(out, "rtmr_1", q->td.rtmr[1], e);
	if (r == 0)
		r = add_hex(out, "rtmr_2", q->td.rtmr[2], e);
	if (r == 0)
		r = add_xfam(out, q, e);
	if (r == 0)
		r = add_direct_boot(out, src->ev, e);
	return r < 0 ? r : add_field(out, "mr_config_id", 48, q->td.mr_config_id, src->initdata, e);
}

static int of_az_tdx(struct references *out, const struct reference_source *src, struct err *e)
{
	const struct evidence *ev = src->ev;
	int r = add_pcr11(out, "tdx_pcr11", ev->tpm.pcrs[PCR_UKI], src->pcr11, e);

	if (r == 0)
		r = add_hex(out, "mr_td", ev->tdx.td.mr_td, e);
	if (r == 0)
		r = add_xfam(out, &ev->tdx, e);
	return r < 0 ? r : add_pcr8(out, "tdx_pcr8", ev->tpm.pcrs[PCR_INITDATA], src->initdata, e);
}

static int of_tpm(struct references *out, const struct reference_source *src, struct err *e)
{
	const struct evidence *ev = src->ev;
	int r = add_pcr11(out, "tpm_pcr11", ev->tpm.pcrs[PCR_UKI], src->pcr11, e);

	if (r == 0)
		r = add_base64(out, "trusted_aks", buf_view(&ev->tpm.ak), e);
	return r < 0 ? r : add_pcr8(out, "tpm_pcr8", ev->tpm.pcrs[PCR_INITDATA], src->initdata, e);
}

/* The verifier of "sample" makes these claims up; only svn is the guest's. */
static int of_sample(struct references *out, const struct reference_source *src, struct err *e)
{
	int r = add_text(out, "launch_digest", "abcde", e);

	if (r == 0)
		r = add_text(out, "svn", src->ev->svn, e);
	if (r == 0)
		r = add_number(out, "major_version", true, false, 1, e);
	return r < 0 ? r : add_number(out, "minimum_minor_version", true, false, 4, e);
}

static int of_device(struct references *out, const struct reference_source *src, struct err *e)
{
	(void)out;
	(void)src;
	(void)e;
	return 0;
}

/* Without evidence: what initdata and UKI alone say, for each platform. */
static int of_nothing(struct references *out, const struct reference_source *src, struct err *e)
{
	static const char *const pcr11[] = { "tpm_pcr11", "snp_pcr11", "tdx_pcr11" };
	static const char *const pcr8[] = { "tpm_pcr8", "snp_pcr8", "tdx_pcr8" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(pcr11); i++)
		r = add_pcr11(out, pcr11[i], NULL, src->pcr11, e);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(pcr8); i++)
		r = add_pcr8(out, pcr8[i], NULL, src->initdata, e);
	if (r == 0)
		r = add_field(out, "snp_host_data", 32, (struct view){ 0 }, src->initdata, e);
	return r < 0 ? r : add_field(out, "mr_config_id", 48, (struct view){ 0 }, src->initdata, e);
}

int references_of(struct references *out, const struct reference_source *src, struct err *e)
{
	static int (*const of[])(struct references *, const struct reference_source *,
				 struct err *) = {
		[EVIDENCE_AZ_SNP] = of_az_snp,	    [EVIDENCE_AZ_TDX] = of_az_tdx,
		[EVIDENCE_SNP] = of_snp,	    [EVIDENCE_TDX] = of_tdx,
		[EVIDENCE_TPM] = of_tpm,	    [EVIDENCE_SAMPLE] = of_sample,
		[EVIDENCE_SAMPLEDEVICE] = of_device,
	};

	return src->ev ? of[src->ev->tee](out, src, e) : of_nothing(out, src, e);
}

void references_done(struct references *r)
{
	while (r->n > 0)
		free(r->list[--r->n].value);
}

/* --- for the RVPS --------------------------------------------------------------------------- */

void references_json(struct buf *out, const struct references *r)
{
	buf_putc(out, '{');
	for (size_t i = 0; i < r->n; i++)
		buf_printf(out, r->list[i].single ? "%s\"%s\":%s" : "%s\"%s\":[%s]", i ? "," : "",
			   r->list[i].name, r->list[i].value);
	buf_putc(out, '}');
}

void references_message(struct buf *out, const struct references *r)
{
	cleanup_buf struct buf payload = BUF_MAX(out->max);

	references_json(&payload, r);
	if (payload.failed) {
		out->failed = payload.failed;
		return;
	}
	buf_puts(out, "{\"version\":\"0.1.0\",\"type\":\"sample\",\"payload\":\"");
	enc_base64(out, ENC_B64, buf_view(&payload));
	buf_puts(out, "\"}");
}

/* --- comparing ------------------------------------------------------------------------------ */

static bool same(const struct json *v, const char *want)
{
	VALUE(text);

	return json_canonical(&text, v, NULL) == 0 && !text.failed &&
	       strcmp(buf_str(&text), want) == 0;
}

static bool has(const struct json *registered, const struct reference *r)
{
	if (r->single || !json_is_array(registered))
		return same(registered, r->value);
	for (const struct json *v = json_first(registered); v; v = json_next(v))
		if (same(v, r->value))
			return true;
	return false;
}

static int parse(struct json **out, struct view file, struct err *e)
{
	cleanup_buf struct buf inner = BUF_MAX(REFERENCE_FILE_MAX);
	cleanup_json struct json *doc = NULL;
	const char *payload;
	int r = json_parse(&doc, file, REFERENCE_FILE_MAX, e);

	if (r < 0)
		return r;
	payload = json_string(json_get(doc, "payload"));
	if (json_get(doc, "type") && payload) {
		r = enc_base64_decode(&inner, ENC_B64, view_str(payload), e);
		return r < 0 ? r : json_parse(out, buf_view(&inner), REFERENCE_FILE_MAX, e);
	}
	if (!json_is_object(doc))
		return err_set(e, ERR_FORMAT, "no JSON object");
	*out = take(doc);
	return 0;
}

/* The names in the file that are none of these. */
static void name_others(struct findings *f, const struct evidence *ev, const struct references *r,
			const struct json *doc)
{
	char names[FINDING_TEXT_MAX / 2] = "";
	size_t n = 0;

	for (const struct json *m = json_first(doc); m; m = json_next(m)) {
		bool known = false;

		for (size_t i = 0; i < r->n && !known; i++)
			known = strcmp(r->list[i].name, json_key(m)) == 0;
		if (!known && n < sizeof names)
			n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "",
					      json_key(m));
	}
	if (n > 0)
		finding_add(f, "reference.other", FINDING_WARN,
			    "%s evidence has no such values: %s",
			    evidence_tee_name(ev->tee), names);
}

bool verify_references(struct findings *f, const struct evidence *ev, struct view file)
{
	struct reference_source src = { .ev = ev };
	cleanup_references struct references r = { 0 };
	cleanup_json struct json *doc = NULL;
	bool any = false;
	struct err e;

	if (parse(&doc, file, &e) < 0) {
		finding_add(f, "reference", FINDING_BAD, "the reference values: %s", e.msg);
		return true;
	}
	if (references_of(&r, &src, &e) < 0) {
		finding_add(f, "reference", FINDING_BAD, "%s", e.msg);
		return true;
	}
	for (size_t i = 0; i < r.n; i++) {
		const struct json *registered = json_get(doc, r.list[i].name);
		bool right = registered && has(registered, &r.list[i]);

		any = any || registered;
		finding_add(f, "reference",
			    !registered ? FINDING_UNKNOWN : right ? FINDING_OK : FINDING_BAD,
			    "%s: %.200s %s", r.list[i].name, r.list[i].value,
			    !registered ? "is not among the reference values" :
			    right	? "is registered" :
					  "is not what is registered");
	}
	name_others(f, ev, &r, doc);
	return any;
}
