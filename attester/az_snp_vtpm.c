/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log.h"
#include "agent/crypto/x509.h"
#include "attester/az.h"
#include "attester/az_imds.h"
#include "attester/cache.h"
#include "attester/snp_report.h"
#include "attester/tpm_evidence.h"

extern const struct attester attester_az_snp_vtpm;

enum { REPORTED_TCB_AT = 0x180, REPORTED_TCB_LEN = 8, CHIP_ID_LEN = 64 };

static bool detect(const struct attester_env *env)
{
	return az_detect(env, HCL_SNP);
}

/* What Trustee would refuse, said here and by name. */
static int check_report(struct snp_report *snp, const struct attester_env *env,
			const struct az_report *r, struct err *e)
{
	int n = snp_report_parse(snp, r->hcl.hw, e);

	if (n < 0)
		return err_wrap_code(e, CODE_SNP_UNSUPPORTED, "the HCL's SNP report");
	return snp_report_judge(snp, env->permit_debug, e);
}

/* --- VCEK ----------------------------------------------------------------------------------- */

/* The processor, and the firmware that its key is derived from. */
struct vcek_key {
	uint8_t b[CHIP_ID_LEN + REPORTED_TCB_LEN];
};

static struct vcek_key key_of(const struct snp_report *snp)
{
	struct vcek_key k;

	memcpy(k.b, snp->chip_id.p, CHIP_ID_LEN);
	memcpy(k.b + CHIP_ID_LEN, snp->raw.p + REPORTED_TCB_AT, REPORTED_TCB_LEN);
	return k;
}

/*
 * The certificate's key signed the report. Whether AMD signed the certificate is Trustee's
 * business, which does not believe us.
 */
static int check_vcek(struct view der, const struct snp_report *snp, struct err *e)
{
	cleanup_x509 struct x509_cert *cert = NULL;
	int n = x509_load(&cert, der, e);

	if (n == 0)
		n = x509_ecdsa_verify(cert, ECDSA_P384, snp->signed_part,
				      (struct ecdsa_signature){ snp->r, snp->s, true }, e);
	if (n == -ERR_NOMEM)
		return n;
	return n < 0 ? err_wrap_code(e, CODE_AZURE_VCEK, "VCEK") : 0;
}

/*
 * A VCEK, and whether it is this report's: a millisecond of arithmetic, done during the quote, which
 * takes the TPM longer. Each report is signed anew, so nothing of it can be remembered.
 */
struct vcek {
	const struct snp_report *snp;
	struct buf der;
	bool kept; /* of the cache */
	int r;     /* of check_vcek() */
	struct err why;
};

#define cleanup_vcek __attribute__((cleanup(vcek_done)))

static void vcek_done(struct vcek *v)
{
	buf_done(&v->der);
}

static int fetch_vcek(struct vcek *v, const struct attester_env *env, struct err *e)
{
	buf_done(&v->der);
	v->der = BUF_MAX(AZ_VCEK_MAX);
	v->kept = false;
	return az_imds_vcek(&v->der, env, e);
}

static void check_meanwhile(void *ctx)
{
	struct vcek *v = ctx;

	v->r = check_vcek(buf_view(&v->der), v->snp, &v->why);
}

/*
 * The verdict of check_vcek(). One that was kept and does not fit any more is fetched again: where
 * the chip's id is masked, another chip has the same key.
 */
static int settle_vcek(struct vcek *v, const struct attester_env *env, struct view key, struct err *e)
{
	if (v->r < 0 && v->kept) {
		log_debug("VCEK of the cache does not fit", "bytes=%zu", v->der.len);
		attester_cache_drop(env->cache, key);
		v->r = fetch_vcek(v, env, &v->why);
		if (v->r == 0)
			v->r = check_vcek(buf_view(&v->der), v->snp, &v->why);
	}
	if (v->r < 0) {
		if (e)
			*e = v->why;
		return v->r;
	}
	if (!v->kept)
		attester_cache_put(env->cache, key, buf_view(&v->der));
	return 0;
}

static int evidence(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	cleanup_az_report struct az_report r = { 0 };
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	struct snp_report snp;
	cleanup_vcek struct vcek v = { .snp = &snp, .der = BUF_MAX(AZ_VCEK_MAX) };
	const struct tpm_meanwhile check = { check_meanwhile, &v };
	struct vcek_key k;
	int n = az_report_get(&r, env, HCL_SNP, report_data, e);

	if (n == 0)
		n = check_report(&snp, env, &r, e);
	if (n < 0)
		return n;
	k = key_of(&snp);
	v.kept = attester_cache_get(env->cache, (struct view){ k.b, sizeof k.b }, &v.der);
	if (!v.kept)
		n = fetch_vcek(&v, env, e);
	if (n < 0)
		return n;
	/* Until check_meanwhile() says otherwise. */
	v.r = err_set(&v.why, ERR_INTERNAL, "the VCEK was not checked");
	n = az_quote(&q, env, &r, report_data, &check, e);
	if (n == 0)
		n = settle_vcek(&v, env, (struct view){ k.b, sizeof k.b }, e);
	return n < 0 ? n : az_evidence_json(json, &r, &q, "vcek", buf_view(&v.der), e);
}

const struct attester attester_az_snp_vtpm = {
	.name = "az-snp-vtpm",
	.detect = detect,
	.evidence = evidence,
	TPM_REGISTERS,
};
