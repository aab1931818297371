/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "attester/attest.h"
#include "attester/tpm_tss.h"

#include <tss2/tss2_mu.h>

enum {
	ROUNDS = 5, /* quotes until tpm.pcr-moved */
	SHA256_LEN = 32,
	ALL_PCRS = 0xffffff, /* one bit a PCR */
};

static TPML_PCR_SELECTION select_pcrs(uint32_t mask)
{
	TPML_PCR_SELECTION s = { .count = 1 };

	s.pcrSelections[0].hash = TPM2_ALG_SHA256;
	s.pcrSelections[0].sizeofSelect = 3;
	for (unsigned i = 0; i < 3; i++)
		s.pcrSelections[0].pcrSelect[i] = (BYTE)(mask >> (8 * i));
	return s;
}

/* The PCRs that a reply says it carries. Anything but a part of what was asked gives 0. */
static uint32_t selected(const TPML_PCR_SELECTION *s, uint32_t asked)
{
	const TPMS_PCR_SELECTION *one = &s->pcrSelections[0];
	uint32_t mask = 0;

	if (s->count != 1 || one->hash != TPM2_ALG_SHA256)
		return 0;
	for (unsigned i = 0; i < one->sizeofSelect && i < sizeof one->pcrSelect; i++)
		mask |= (uint32_t)one->pcrSelect[i] << (8 * i);
	return (mask & ~asked) == 0 ? mask : 0;
}

/* Read the PCRs of mask; a TPM gives 8 at a time. meanwhile: as tpm_execute(), of the first. */
static int read_pcrs(struct tpm *op, uint32_t mask, uint8_t out[TPM_PCRS][SHA256_LEN],
		     void (*meanwhile)(void *ctx), void *ctx, struct err *e)
{
	while (mask != 0) {
		TPML_PCR_SELECTION got = { 0 }, want = select_pcrs(mask);
		TPML_DIGEST values = { 0 };
		struct tpm_try again = { 0 };
		uint32_t part, n = 0, counter;
		TSS2_RC rc;

		do {
			rc = Tss2_Sys_PCR_Read_Prepare(op->sys, &want);
			if (rc == TSS2_RC_SUCCESS)
				rc = tpm_execute(op, NULL, meanwhile, ctx);
			if (rc == TSS2_RC_SUCCESS)
				rc = Tss2_Sys_PCR_Read_Complete(op->sys, &counter, &got, &values);
			meanwhile = NULL;
		} while (tpm_again(op, &again, rc));
		if (rc != TSS2_RC_SUCCESS)
			return tpm_fail(op, rc, "TPM2_PCR_Read", e);
		if (values.count == 0)
			return err_code(e, CODE_TPM_NO_BANK, "%s: the SHA-256 bank has no PCRs",
					op->where);
		part = selected(&got, mask);
		for (unsigned i = 0; i < TPM_PCRS && part != 0; i++) {
			if ((part >> i & 1) == 0)
				continue;
			if (n == values.count || values.digests[n].size != SHA256_LEN)
				break;
			memcpy(out[i], values.digests[n++].buffer, SHA256_LEN);
			mask &= ~(UINT32_C(1) << i);
			part &= ~(UINT32_C(1) << i);
		}
		if (part != 0 || n == 0 || n != values.count)
			return err_code(e, CODE_TPM_REPLY,
					"%s: TPM2_PCR_Read: %u digests do not fit the selection",
					op->where, values.count);
	}
	return 0;
}

int tpm_pcr_read_all(struct tpm *t, uint8_t out[TPM_PCRS][32], struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	uint8_t pcrs[TPM_PCRS][SHA256_LEN];
	int r = tpm_begin(&op, t, TPM_WAIT, e);

	if (r < 0)
		return r;
	r = read_pcrs(op, ALL_PCRS, pcrs, NULL, NULL, e);
	if (r < 0)
		return r;
	memcpy(out, pcrs, sizeof pcrs);
	return 0;
}

static int check_pcr(unsigned pcr, struct err *e)
{
	if (pcr >= TPM_PCRS)
		return err_set(e, ERR_USAGE, "PCR %u, allowed 0..%d", pcr, TPM_PCRS - 1);
	return 0;
}

int tpm_pcr_read(struct tpm *t, unsigned pcr, uint8_t out[32], struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	uint8_t pcrs[TPM_PCRS][SHA256_LEN];
	int r = check_pcr(pcr, e);

	if (r < 0)
		return r;
	r = tpm_begin(&op, t, TPM_WAIT, e);
	if (r < 0)
		return r;
	r = read_pcrs(op, UINT32_C(1) << pcr, pcrs, NULL, NULL, e);
	if (r < 0)
		return r;
	memcpy(out, pcrs[pcr], SHA256_LEN);
	return 0;
}

int tpm_pcr_extend(struct tpm *t, unsigned pcr, const uint8_t digest[32], struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	TPML_DIGEST_VALUES values = { .count = 1 };
	uint8_t before[TPM_PCRS][SHA256_LEN];
	struct tpm_try again = { 0 };
	TSS2_RC rc;
	int r = check_pcr(pcr, e);

	if (r < 0)
		return r;
	r = tpm_begin(&op, t, TPM_WAIT, e);
	if (r < 0)
		return r;
	r = read_pcrs(op, UINT32_C(1) << pcr, before, NULL, NULL, e);
	if (r < 0)
		return r;
	values.digests[0].hashAlg = TPM2_ALG_SHA256;
	memcpy(values.digests[0].digest.sha256, digest, SHA256_LEN);
	do {
		rc = Tss2_Sys_PCR_Extend_Prepare(op->sys, pcr, &values);
		if (rc == TSS2_RC_SUCCESS)
			rc = tpm_execute(op, &tpm_no_password, NULL, NULL);
	} while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS) {
		r = tpm_fail(op, rc, "TPM2_PCR_Extend", e);
		return err_wrap(e, r, "PCR %u", pcr);
	}
	return 0;
}

/* --- quote -------------------------------------------------------------------------------- */

void tpm_quote_done(struct tpm_quote *q)
{
	buf_done(&q->message);
	buf_done(&q->signature);
	buf_done(&q->ak);
}

/*
 * A quote under way. What can be worked out while the TPM is at work is: the key during the quote,
 * which takes it longest, the signature while it reads PCRs.
 */
struct quoting {
	struct tpm *op;
	struct tpm_quote *q;
	struct view nonce;
	TPMT_PUBLIC ak;
	struct pubkey *key; /* owned; NULL: not made yet */
	const struct tpm_meanwhile *more; /* the caller's; NULL: none, or done */
	struct attest a;
	int r; /* what became of what was done meanwhile, and why */
	struct err why;
};

#define cleanup_quoting __attribute__((cleanup(quoting_done)))

static void quoting_done(struct quoting *s)
{
	pubkey_free(s->key);
}

static int failed_meanwhile(const struct quoting *s, struct err *e)
{
	if (s->r < 0 && e)
		*e = s->why;
	return s->r;
}

/* During the quote; each once. */
static void work_meanwhile(void *ctx)
{
	struct quoting *s = ctx;
	const struct tpm_meanwhile *more = take(s->more);

	if (!s->key && s->r == 0)
		s->r = tpm_ak_key(&s->q->ak, &s->key, &s->ak, &s->why);
	if (more)
		more->call(more->ctx);
}

static int quote_once(struct quoting *s, uint32_t handle, struct err *e)
{
	const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_RSASSA,
					 .details.rsassa.hashAlg = TPM2_ALG_SHA256 };
	const TPML_PCR_SELECTION all = select_pcrs(ALL_PCRS);
	TPM2B_DATA qualifying = { .size = (UINT16)s->nonce.len };
	TPM2B_ATTEST quoted = { 0 };
	TPMT_SIGNATURE signature = { 0 };
	struct tpm_try again = { 0 };
	uint8_t bytes[TPM_SIG_MAX];
	struct tpm *op = s->op;
	size_t n = 0;
	TSS2_RC rc;

	memcpy(qualifying.buffer, s->nonce.p, s->nonce.len);
	do {
		rc = Tss2_Sys_Quote_Prepare(op->sys, handle, &qualifying, &scheme, &all);
		if (rc == TSS2_RC_SUCCESS)
			rc = tpm_execute(op, &tpm_no_password, work_meanwhile, s);
		if (rc == TSS2_RC_SUCCESS)
			rc = Tss2_Sys_Quote_Complete(op->sys, &quoted, &signature);
	} while (tpm_again(op, &again, rc));
	if (tpm_rc_is(rc, TPM2_RC_BAD_AUTH) || tpm_rc_is(rc, TPM2_RC_AUTH_FAIL) ||
	    tpm_rc_of_device(rc) == TPM2_RC_AUTH_UNAVAILABLE)
		return err_code(e, CODE_TPM_BAD_AK,
				"%s: the key at %08x cannot be used without a password or policy",
				op->where, handle);
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPMT_SIGNATURE_Marshal(&signature, bytes, sizeof bytes, &n);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_Quote", e);
	buf_reset(&s->q->message);
	buf_reset(&s->q->signature);
	buf_put(&s->q->message, quoted.attestationData, quoted.size);
	buf_put(&s->q->signature, bytes, n);
	return failed_meanwhile(s, e);
}

/* Hold the TPM's answer to the question and to the key. */
static int check_answer(struct quoting *s, struct err *e)
{
	const struct tpm_quote *q = s->q;
	struct view block;
	int r;

	r = buf_check(&q->message, "quote", e);
	if (r == 0)
		r = buf_check(&q->signature, "quote's signature", e);
	if (r < 0)
		return r;
	if (attest_parse(&s->a, buf_view(&q->message), e) < 0 ||
	    attest_signature_parse(&block, buf_view(&q->signature), e) < 0)
		return err_wrap_code(e, CODE_TPM_REPLY, "TPM2_Quote");
	r = attest_check(&s->a, s->nonce, e);
	if (r < 0)
		return r;
	r = pubkey_verify_sha256(s->key, buf_view(&q->message), block, e);
	if (r == -ERR_VERIFY)
		return err_wrap_code(e, CODE_TPM_REPLY, "the quote is not signed by the AK");
	return r;
}

/* During the first reading of PCRs. */
static void check_meanwhile(void *ctx)
{
	struct quoting *s = ctx;

	s->r = check_answer(s, &s->why);
}

/* covers: false when a PCR moved since. */
static int quote_and_read(bool *covers, struct quoting *s, uint32_t handle, struct err *e)
{
	int r = quote_once(s, handle, e);

	if (r < 0)
		return r;
	/* Until check_meanwhile() says otherwise. */
	s->r = err_set(&s->why, ERR_INTERNAL, "the quote was not checked");
	r = read_pcrs(s->op, ALL_PCRS, s->q->pcrs, check_meanwhile, s, e);
	if (r == 0)
		r = failed_meanwhile(s, e);
	return r < 0 ? r : attest_covers(covers, &s->a, s->q->pcrs, e);
}

static int quote_until_still(struct quoting *s, uint32_t ak, struct err *e)
{
	bool covers = false;
	int r = tpm_ak_read(&s->ak, s->op, ak, e);

	for (unsigned i = 0; r == 0 && i < ROUNDS; i++) {
		r = quote_and_read(&covers, s, ak, e);
		if (r < 0 || covers)
			return r;
	}
	return r < 0 ? r
		     : err_code(e, CODE_TPM_PCR_MOVED, "%s: PCRs moved during each of %d quotes",
				s->op->where, ROUNDS);
}

int tpm_quote(struct tpm *t, struct tpm_quote *out, struct view nonce, struct err *e)
{
	return tpm_quote_with(t, t->ak, out, nonce, NULL, e);
}

int tpm_quote_with(struct tpm *t, uint32_t ak, struct tpm_quote *out, struct view nonce,
		   const struct tpm_meanwhile *meanwhile, struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	cleanup_tpm_quote struct tpm_quote q = { .message = BUF_MAX(TPM_ATTEST_MAX),
						 .signature = BUF_MAX(TPM_SIG_MAX),
						 .ak = BUF_MAX(TPM_SPKI_MAX) };
	cleanup_quoting struct quoting s = { .q = &q, .nonce = nonce, .more = meanwhile };
	int r;

	if (nonce.len == 0 || nonce.len > ATTEST_NONCE_MAX)
		return err_set(e, ERR_USAGE, "nonce of %zu bytes, allowed 1..%d", nonce.len,
			       ATTEST_NONCE_MAX);
	r = tpm_begin(&op, t, TPM_WAIT, e);
	if (r < 0)
		return r;
	s.op = op;
	r = quote_until_still(&s, ak, e);
	if (r < 0)
		return r;
	*out = q;
	q = (struct tpm_quote){ 0 };
	return 0;
}
