/* SPDX-License-Identifier: Apache-2.0 */
#include "test/devices/report.h"
#include "agent/base/fs.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>

enum {
	SNP_SIZE = 1184,
	SNP_SIGNED = 0x2a0,
	SNP_HALF = 72,
	TD_SIGNED = 48 + 584,
	TD_SIGNATURE = TD_SIGNED + 4,
	TD_BODY = 48,
};

static struct buf snp, tdx, certs;
static EVP_PKEY *snp_key, *tdx_key;

static bool load(struct buf *out, const char *folder, const char *name)
{
	char path[512];

	*out = BUF_MAX(1 << 20);
	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	return fs_read(out, path, 1 << 20, NULL) == 0;
}

static EVP_PKEY *load_key(const char *folder, const char *name)
{
	struct buf der;
	const unsigned char *p;
	EVP_PKEY *key;

	if (!load(&der, folder, name))
		return NULL;
	p = der.p;
	key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
	buf_done(&der);
	return key;
}

bool report_load(const char *folder)
{
	return load(&snp, folder, "snp.report") && load(&tdx, folder, "tdx.quote") &&
	       load(&certs, folder, "snp.certs") && snp.len == SNP_SIZE && tdx.len > TD_SIGNATURE &&
	       (snp_key = load_key(folder, "snp.key")) && (tdx_key = load_key(folder, "tdx.key"));
}

const struct buf *report_certs(void)
{
	return &certs;
}

/* R and S, each of n bytes, big-endian. */
static bool sign(uint8_t *rs, int n, EVP_PKEY *key, const EVP_MD *md, const void *p, size_t len)
{
	unsigned char der[256];
	const unsigned char *at = der;
	size_t der_len = sizeof der;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *sig = NULL;
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1 &&
		  EVP_DigestSign(ctx, der, &der_len, p, len) == 1 &&
		  (sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len)) != NULL;

	ok = ok && BN_bn2binpad(ECDSA_SIG_get0_r(sig), rs, n) == n &&
	     BN_bn2binpad(ECDSA_SIG_get0_s(sig), rs + n, n) == n;
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool report_snp(struct buf *out, const uint8_t data[64], const struct report_state *s)
{
	uint8_t r[SNP_SIZE], rs[96];

	memcpy(r, snp.p, sizeof r);
	memcpy(r + 0x50, data, 64);
	r[0x30] = (uint8_t)s->vmpl;
	if (s->debug)
		r[0x0a] |= 0x08;
	if (!sign(rs, 48, snp_key, EVP_sha384(), r, SNP_SIGNED))
		return false;
	/* Little-endian in the report. */
	for (int i = 0; i < 48; i++) {
		r[SNP_SIGNED + i] = rs[47 - i];
		r[SNP_SIGNED + SNP_HALF + i] = rs[95 - i];
	}
	buf_put(out, r, sizeof r);
	return !out->failed;
}

bool report_tdx(struct buf *out, const uint8_t data[64], const struct report_state *s)
{
	uint8_t *q;

	buf_putv(out, buf_view(&tdx));
	if (out->failed)
		return false;
	q = out->p + out->len - tdx.len;
	memcpy(q + TD_BODY + 328, s->rtmr, sizeof s->rtmr);
	memcpy(q + TD_BODY + 520, data, 64);
	if (s->debug)
		q[TD_BODY + 120] |= 1;
	return sign(q + TD_SIGNATURE, 32, tdx_key, EVP_sha256(), q, TD_SIGNED);
}

void report_mrconfigid(uint8_t out[RTMR_SIZE])
{
	memcpy(out, tdx.p + TD_BODY + 184, RTMR_SIZE);
}

void report_tdreport(uint8_t out[TDREPORT_SIZE], const uint8_t data[64], const struct report_state *s)
{
	explicit_bzero(out, TDREPORT_SIZE);
	out[0] = 0x81;
	memcpy(out + 128, data, 64);
	/* TDINFO: as the body has it, attributes to MROWNERCONFIG. */
	memcpy(out + 512, tdx.p + TD_BODY + 120, 8 + 8 + 4 * RTMR_SIZE);
	memcpy(out + 720, s->rtmr, sizeof s->rtmr);
	if (s->debug)
		out[512] |= 1;
}

bool report_extend(uint8_t value[RTMR_SIZE], const uint8_t digest[RTMR_SIZE])
{
	uint8_t both[2 * RTMR_SIZE];

	memcpy(both, value, RTMR_SIZE);
	memcpy(both + RTMR_SIZE, digest, RTMR_SIZE);
	return EVP_Digest(both, sizeof both, value, NULL, EVP_sha384(), NULL) == 1;
}
