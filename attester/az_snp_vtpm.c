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
 * From the cache, or the metadata service. One that was kept and does not fit any more is fetched
 * again: where the chip's id is masked, another chip has the same key.
 */
static int get_vcek(struct buf *der, const struct attester_env *env, const struct snp_report *snp,
		    struct err *e)
{
	const struct vcek_key k = key_of(snp);
	const struct view key = { k.b, sizeof k.b };
	int n;

	if (attester_cache_get(env->cache, key, der)) {
		if (check_vcek(buf_view(der), snp, NULL) == 0)
			return 0;
		log_debug("VCEK of the cache does not fit", "bytes=%zu", der->len);
		attester_cache_drop(env->cache, key);
	}
	buf_done(der);
	*der = BUF_MAX(AZ_VCEK_MAX);
	n = az_imds_vcek(der, env, e);
	if (n == 0)
		n = check_vcek(buf_view(der), snp, e);
	if (n == 0)
		attester_cache_put(env->cache, key, buf_view(der));
	return n;
}

static int evidence(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	cleanup_az_report struct az_report r = { 0 };
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	cleanup_buf struct buf vcek = BUF_MAX(AZ_VCEK_MAX);
	struct snp_report snp;
	int n = az_report_get(&r, env, HCL_SNP, report_data, e);

	if (n == 0)
		n = check_report(&snp, env, &r, e);
	if (n == 0)
		n = get_vcek(&vcek, env, &snp, e);
	if (n == 0)
		n = az_quote(&q, env, &r, report_data, e);
	return n < 0 ? n : az_evidence_json(json, &r, &q, "vcek", buf_view(&vcek), e);
}

const struct attester attester_az_snp_vtpm = {
	.name = "az-snp-vtpm",
	.detect = detect,
	.evidence = evidence,
	TPM_REGISTERS,
};
