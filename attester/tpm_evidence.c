/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_evidence.h"
#include "agent/base/enc.h"
#include "attester/az.h"

extern const struct attester attester_tpm;

void tpm_cut32(uint8_t out[32], struct view in)
{
	const uint8_t zero[32] = { 0 };
	size_t n = in.len < 32 ? in.len : 32;

	memcpy(out, zero, 32);
	if (n > 0)
		memcpy(out, in.p, n);
}

int tpm_pcr_binding(enum binding *out, const uint8_t pcr[32], struct view digest, struct err *e)
{
	const uint8_t zero[32] = { 0 };
	uint8_t cut[32];
	const struct view parts[] = { { zero, 32 }, { cut, 32 } };
	struct digest bound;
	int r;

	tpm_cut32(cut, digest);
	r = digest_parts(&bound, HASH_SHA256, parts, ARRAY_LEN(parts), e);
	if (r < 0)
		return r;
	if (memcmp(pcr, zero, 32) == 0)
		*out = BINDING_EMPTY;
	else
		*out = memcmp(pcr, bound.b, 32) == 0 ? BINDING_MATCHES : BINDING_OTHER;
	return 0;
}

void tpm_evidence_json(struct buf *out, const struct tpm_quote *q)
{
	buf_puts(out, "{\"tpm_quote\":{\"signature\":\"");
	enc_base64(out, ENC_B64, buf_view(&q->signature));
	buf_puts(out, "\",\"message\":\"");
	enc_base64(out, ENC_B64, buf_view(&q->message));
	buf_puts(out, "\",\"pcrs\":[");
	for (unsigned i = 0; i < TPM_PCRS; i++) {
		buf_puts(out, i ? ",\"" : "\"");
		enc_hex(out, (struct view){ q->pcrs[i], 32 });
		buf_putc(out, '"');
	}
	buf_puts(out, "]},\"ak_public\":\"");
	enc_base64(out, ENC_B64, buf_view(&q->ak));
	buf_puts(out, "\"}");
}

static bool detect(const struct attester_env *env)
{
	return env->tpm && az_has_none(env, NULL) == 0;
}

static int need_tpm(const struct attester_env *env, struct err *e)
{
	return env->tpm ? 0 : err_code(e, CODE_TPM_NONE, "no TPM was opened");
}

static int evidence(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	cleanup_buf struct buf text = BUF_MAX(EVIDENCE_MAX);
	uint8_t data[REPORT_DATA_MAX];
	int r = attester_data(data, report_data, e);

	if (r == 0)
		r = need_tpm(env, e);
	/* Of report data a quote has the first 32 bytes, on both sides. */
	if (r == 0)
		r = tpm_quote(env->tpm, &q, (struct view){ data, TPM_NONCE_LEN }, e);
	if (r < 0)
		return r;
	tpm_evidence_json(&text, &q);
	return attester_give(json, &text, "tpm evidence", e);
}

int tpm_binding(const struct attester_env *env, struct view digest, enum binding *out,
		struct err *e)
{
	uint8_t pcr[32];
	int r = need_tpm(env, e);

	if (r < 0)
		return r;
	r = tpm_pcr_read(env->tpm, env->initdata_pcr, pcr, e);
	if (r < 0)
		return r;
	return tpm_pcr_binding(out, pcr, digest, e);
}

/* Two that bind at once both saw an empty register: the value afterwards tells. */
int tpm_bind(const struct attester_env *env, struct view digest, struct err *e)
{
	enum binding now;
	uint8_t cut[32];
	int r = need_tpm(env, e);

	if (r < 0)
		return r;
	tpm_cut32(cut, digest);
	r = tpm_pcr_extend(env->tpm, env->initdata_pcr, cut, e);
	if (r < 0)
		return r;
	r = tpm_binding(env, digest, &now, e);
	if (r < 0)
		return r;
	if (now != BINDING_MATCHES)
		return err_code(e, CODE_INITDATA_PCR8_IN_USE,
				"PCR %u does not hold the expected value after it was extended",
				env->initdata_pcr);
	return 0;
}

/* --- runtime measurements ------------------------------------------------------------------- */

enum {
	RC_LOCALITY = 0x907, /* TPM_RC_LOCALITY */
	RC_MASK = 0xfff,     /* a code without its layer */
};

static int check_event_pcr(const struct attester_env *env, unsigned reg, struct err *e)
{
	int r = need_tpm(env, e);

	if (r < 0)
		return r;
	if (reg >= TPM_PCRS)
		return err_code(e, CODE_EVENTLOG_REGISTER, "PCR %u, allowed 0..%d", reg,
				TPM_PCRS - 1);
	if (reg == env->initdata_pcr)
		return err_code(e, CODE_EVENTLOG_REGISTER,
				"PCR %u has the initdata: an event in it would unbind that", reg);
	return 0;
}

int tpm_event_read(const struct attester_env *env, unsigned reg, struct digest *out, struct err *e)
{
	struct digest d = { .len = 32 };
	int r = check_event_pcr(env, reg, e);

	if (r == 0)
		r = tpm_pcr_read(env->tpm, reg, d.b, e);
	if (r == 0)
		*out = d;
	return r;
}

int tpm_event_extend(const struct attester_env *env, unsigned reg, struct view digest,
		     struct err *e)
{
	struct err why = { 0 };
	int r = check_event_pcr(env, reg, e);

	if (r < 0)
		return r;
	if (digest.len != 32)
		return err_set(e, ERR_INTERNAL, "a digest of %zu bytes for PCR %u", digest.len, reg);
	r = tpm_pcr_extend(env->tpm, reg, digest.p, &why);
	if (r == 0)
		return 0;
	if (why.code == CODE_TPM_FAILED && (why.sys & RC_MASK) == RC_LOCALITY)
		return err_code(e, CODE_EVENTLOG_REGISTER,
				"PCR %u: the TPM lets no program in the guest extend it (locality 0)",
				reg);
	if (e)
		*e = why;
	return r;
}

const struct attester attester_tpm = {
	.name = "tpm",
	.detect = detect,
	.evidence = evidence,
	TPM_REGISTERS,
};
