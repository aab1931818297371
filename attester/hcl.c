/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/hcl.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/crypto/digest.h"
#include "agent/crypto/pubkey.h"
#include "attester/le.h"

enum {
	HW_OFF = 32,
	HW_AREA = 1184,
	SNP_LEN = 1184,
	SNP_REPORT_DATA = 0x50,
	TDX_LEN = 1024,
	TDX_REPORT_DATA = 128,
	REPORT_DATA_LEN = 64,
	RT_OFF = HW_OFF + HW_AREA,
	RT_LEN = 20,
	VAR_OFF = RT_OFF + RT_LEN,
	RT_VERSION = 1,
	RT_HASH_SHA256 = 1,
	BOUND_LEN = 32, /* of REPORTDATA; the rest is zero */
	SPKI_MAX = 2048,
};

static uint32_t u32_at(struct view v, size_t off)
{
	return le32(v.p + off);
}

static int check_sizes(struct view raw, struct err *e)
{
	uint32_t report_size, data_size, var_size;

	if (raw.len > HCL_REPORT_MAX)
		return err_set(e, ERR_LIMIT, "HCL report of %zu bytes, allowed 1..%u", raw.len,
			       HCL_REPORT_MAX);
	if (raw.len <= VAR_OFF)
		return err_set(e, ERR_FORMAT, "HCL report of %zu bytes, want over %d", raw.len,
			       VAR_OFF);
	if (memcmp(raw.p, "HCLA", 4) != 0)
		return err_set(e, ERR_FORMAT, "HCL report without HCLA magic");
	report_size = u32_at(raw, 8);
	data_size = u32_at(raw, RT_OFF);
	var_size = u32_at(raw, RT_OFF + 16);
	if (var_size == 0 || var_size > HCL_VAR_MAX)
		return err_set(e, ERR_LIMIT, "HCL var_data of %u bytes, allowed 1..%d", var_size,
			       HCL_VAR_MAX);
	if (var_size > raw.len - VAR_OFF || data_size != RT_LEN + var_size ||
	    (report_size != RT_OFF + data_size && report_size != HW_AREA))
		return err_set(e, ERR_FORMAT,
			       "HCL sizes disagree: report %u, data %u, var %u, have %zu",
			       report_size, data_size, var_size, raw.len);
	if (!all_zero(view_at(raw, VAR_OFF + var_size, raw.len - VAR_OFF - var_size)))
		return err_set(e, ERR_FORMAT, "HCL report has bytes behind its var_data");
	return 0;
}

int hcl_parse(struct hcl_report *out, struct view raw, struct err *e)
{
	struct hcl_report h = { 0 };
	int r = check_sizes(raw, e);

	if (r < 0)
		return r;
	if (u32_at(raw, RT_OFF + 4) != RT_VERSION)
		return err_set(e, ERR_UNSUPPORTED, "HCL runtime data of version %u, want %d",
			       u32_at(raw, RT_OFF + 4), RT_VERSION);
	/* Upstream's verifier panics on another. */
	if (u32_at(raw, RT_OFF + 12) != RT_HASH_SHA256)
		return err_set(e, ERR_UNSUPPORTED, "HCL hash type %u, want %d (SHA-256)",
			       u32_at(raw, RT_OFF + 12), RT_HASH_SHA256);
	switch (u32_at(raw, RT_OFF + 8)) {
	case HCL_SNP:
		h.kind = HCL_SNP;
		h.hw = view_at(raw, HW_OFF, SNP_LEN);
		h.report_data = view_at(h.hw, SNP_REPORT_DATA, REPORT_DATA_LEN);
		break;
	case HCL_TDX:
		h.kind = HCL_TDX;
		h.hw = view_at(raw, HW_OFF, TDX_LEN);
		h.report_data = view_at(h.hw, TDX_REPORT_DATA, REPORT_DATA_LEN);
		if (!all_zero(view_at(raw, HW_OFF + TDX_LEN, HW_AREA - TDX_LEN)))
			return err_set(e, ERR_FORMAT, "HCL report has bytes behind its TDREPORT");
		break;
	default:
		return err_set(e, ERR_UNSUPPORTED, "HCL report type %u, want 2 (SNP) or 4 (TDX)",
			       u32_at(raw, RT_OFF + 8));
	}
	h.var_data = view_at(raw, VAR_OFF, u32_at(raw, RT_OFF + 16));
	*out = h;
	return 0;
}

int hcl_bound(const struct hcl_report *h, struct err *e)
{
	struct digest d;
	int r = digest_of(&d, HASH_SHA256, h->var_data, e);

	if (r < 0)
		return r;
	if (!view_eq(view_at(h->report_data, 0, BOUND_LEN), digest_view(&d)) ||
	    !all_zero(view_at(h->report_data, BOUND_LEN, h->report_data.len - BOUND_LEN)))
		return err_set(e, ERR_VERIFY,
			       "the hardware report does not carry SHA-256 of the HCL's var_data");
	return 0;
}

/* --- var_data ------------------------------------------------------------------------------- */

/* A number of a JWK, big-endian: its bytes in p. */
static int jwk_number(uint8_t *p, size_t *len, const struct json *jwk, const char *name,
		      struct err *e)
{
	const char *text;
	int r = json_need_string(&text, jwk, name, HCL_AK_KID, e);

	if (r == 0)
		r = enc_base64_decode_into(p, len, ENC_B64U, view_str(text), e);
	return r < 0 ? err_wrap(e, r, "%s: %s", HCL_AK_KID, name) : 0;
}

static int load_ak(struct buf *der, const struct json *jwk, struct err *e)
{
	uint8_t n[PUBKEY_RSA_MAX], exponent[4];
	size_t n_len = sizeof n, e_len = sizeof exponent;
	const char *kty;
	uint32_t x = 0;
	int r = json_need_string(&kty, jwk, "kty", HCL_AK_KID, e);

	if (r < 0)
		return r;
	if (strcmp(kty, "RSA") != 0)
		return err_set(e, ERR_FORMAT, "%s has kty \"%.20s\", want \"RSA\"", HCL_AK_KID,
			       kty);
	r = jwk_number(n, &n_len, jwk, "n", e);
	if (r == 0)
		r = jwk_number(exponent, &e_len, jwk, "e", e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < e_len; i++)
		x = x << 8 | exponent[i];
	if (x == 0)
		return err_set(e, ERR_FORMAT, "%s has the exponent 0", HCL_AK_KID);
	r = pubkey_rsa_spki(der, (struct view){ n, n_len }, x, e);
	return r < 0 ? err_wrap(e, r, HCL_AK_KID) : 0;
}

static int find_ak(const struct json **out, const struct json *doc, struct err *e)
{
	const struct json *keys = json_get(doc, "keys"), *ak = NULL;

	if (!json_is_array(keys))
		return err_set(e, ERR_FORMAT, "HCL var_data has no array \"keys\"");
	for (const struct json *k = json_first(keys); k; k = json_next(k)) {
		const char *kid = json_string(json_get(k, "kid"));

		if (!kid || strcmp(kid, HCL_AK_KID) != 0)
			continue;
		/* Whose is taken would be the reader's choice. */
		if (ak)
			return err_set(e, ERR_FORMAT, "HCL var_data has two keys %s", HCL_AK_KID);
		ak = k;
	}
	if (!ak)
		return err_set(e, ERR_FORMAT, "HCL var_data has no key %s", HCL_AK_KID);
	*out = ak;
	return 0;
}

static int load_user_data(struct hcl_runtime *out, const struct json *doc, struct err *e)
{
	const struct json *v = json_get(doc, "user-data");
	const char *hex;
	int r;

	if (!v)
		return 0;
	r = json_need_string(&hex, doc, "user-data", "HCL var_data", e);
	if (r == 0)
		r = enc_hex_decode(out->user_data, HCL_USER_DATA, view_str(hex), e);
	if (r < 0)
		return err_wrap(e, r, "HCL user-data");
	out->has_user_data = true;
	return 0;
}

int hcl_runtime_load(struct hcl_runtime *out, struct view var_data, struct err *e)
{
	cleanup_hcl_runtime struct hcl_runtime rt = { .ak = BUF_MAX(SPKI_MAX) };
	cleanup_json struct json *doc = NULL;
	const struct json *ak = NULL;
	int r = json_parse(&doc, var_data, HCL_VAR_MAX, e);

	if (r < 0)
		return err_wrap(e, r, "HCL var_data");
	r = find_ak(&ak, doc, e);
	if (r == 0)
		r = load_ak(&rt.ak, ak, e);
	if (r == 0)
		r = load_user_data(&rt, doc, e);
	if (r < 0)
		return r;
	*out = rt;
	rt.ak = (struct buf){ 0 };
	return 0;
}

void hcl_runtime_done(struct hcl_runtime *r)
{
	buf_done(&r->ak);
}

bool hcl_carries(const struct hcl_runtime *r, struct view report_data)
{
	if (!r->has_user_data || report_data.len == 0 || report_data.len > HCL_USER_DATA)
		return false;
	return memcmp(r->user_data, report_data.p, report_data.len) == 0 &&
	       all_zero((struct view){ r->user_data + report_data.len,
				       HCL_USER_DATA - report_data.len });
}
