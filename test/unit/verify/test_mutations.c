/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/roots.h"
#include "test/unit/verify/vector.h"

/*
 * Each byte of what is signed in recorded genuine evidence, changed by one bit (bit n of byte n,
 * cyclically), is refused. The chain is judged once; the loops run the one check that guards the
 * bytes. What is not signed but judged has a loop too: certificates, PCR values, runtime data.
 */

static uint8_t bit_of(size_t i)
{
	return (uint8_t)(1u << i % 8);
}

/* A report's signed bytes and both halves of the signature; its key is fixed. */
static void each_byte_of_report(const uint8_t raw[SNP_REPORT_LEN], struct view vek)
{
	cleanup_x509 struct x509_cert *cert = NULL;
	uint8_t copy[SNP_REPORT_LEN];
	struct snp_report r;
	const size_t end = SNP_SIGNED_LEN + 2 * SNP_SIG_PART;

	CHECK_INT(x509_load_any(&cert, vek, NULL), 0);
	memcpy(copy, raw, sizeof copy);
	CHECK_INT(snp_report_parse(&r, (struct view){ copy, sizeof copy }, NULL), 0);
	CHECK_INT(verify_snp_signature(&r, cert, NULL), 0);
	for (size_t i = 0; i < end; i++) {
		copy[i] ^= bit_of(i);
		if (snp_report_parse(&r, (struct view){ copy, sizeof copy }, NULL) == 0 &&
		    verify_snp_signature(&r, cert, NULL) == 0)
			test_fail(__FILE__, __LINE__, "byte %zu of the report can be changed", i);
		copy[i] ^= bit_of(i);
	}
}

TEST(snp__each_byte_of_a_report__is_guarded)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	cleanup_evidence struct evidence *old = shared_evidence(TEST_DATA "snp/test-report.bin");
	cleanup_evidence struct evidence *vlek =
		shared_evidence(TEST_DATA "snp/test-vlek-report.bin");
	cleanup_evidence struct evidence *az =
		shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	cleanup_buf struct buf vcek_der = shared_bytes(TEST_DATA "snp/test-vcek.der");
	cleanup_buf struct buf vlek_der = shared_bytes(TEST_DATA "snp/test-vlek.der");

	each_byte_of_report(ev->report, ev->certs.cert[0].data);
	each_byte_of_report(old->report, buf_view(&vcek_der));
	each_byte_of_report(vlek->report, buf_view(&vlek_der));
	each_byte_of_report(az->snp.raw.p, buf_view(&az->vcek));
}

/* Every byte of a certificate: it does not parse, or the issuer did not sign that. */
static void each_byte_of_cert(struct view der, const struct x509_cert *issuer,
			      enum x509_rules rules)
{
	uint8_t copy[X509_DER_MAX];

	CHECK(der.len <= sizeof copy);
	memcpy(copy, der.p, der.len);
	for (size_t i = 0; i < der.len; i++) {
		cleanup_x509 struct x509_cert *c = NULL;

		copy[i] ^= bit_of(i);
		if (x509_load(&c, (struct view){ copy, der.len }, NULL) == 0 &&
		    x509_issued(c, issuer, rules, NULL) == 0)
			test_fail(__FILE__, __LINE__, "byte %zu of the certificate can be changed", i);
		copy[i] ^= bit_of(i);
	}
}

/* One key's certificate, its issuer and the root, each byte of all three that are not done yet. */
static void each_byte_of_chain(struct view vek, enum snp_generation g, enum roots_amd by, bool root_too)
{
	cleanup_x509 struct x509_cert *leaf = NULL;
	cleanup_x509 struct x509_cert *issuer = NULL;
	cleanup_x509 struct x509_cert *root = NULL;

	CHECK_INT(x509_load_any(&leaf, vek, NULL), 0);
	CHECK_INT(roots_amd(&issuer, g, by, NULL), 0);
	CHECK_INT(roots_amd(&root, g, ROOTS_ARK, NULL), 0);
	CHECK_INT(x509_issued(leaf, issuer, X509_AMD, NULL), 0);
	each_byte_of_cert(x509_der(leaf), issuer, X509_AMD);
	each_byte_of_cert(x509_der(issuer), root, X509_AMD);
	if (root_too)
		each_byte_of_cert(x509_der(root), root, X509_AMD);
}

TEST(snp__each_byte_of_a_vcek__is_guarded)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);

	each_byte_of_chain(ev->certs.cert[0].data, SNP_GENOA, ROOTS_ASK, true);
}

TEST(snp__each_byte_of_azures_vcek__is_guarded)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v2.json");

	each_byte_of_chain(buf_view(&ev->vcek), SNP_MILAN, ROOTS_ASK, true);
}

TEST(snp__each_byte_of_a_vlek__is_guarded)
{
	cleanup_buf struct buf vlek = shared_bytes(TEST_DATA "snp/test-vlek.der");

	each_byte_of_chain(buf_view(&vlek), SNP_MILAN, ROOTS_ASVK, false);
}

/* What of a quote is signed: header to body, the QE report, and the links between. */
static bool quote_holds(struct view raw, const struct x509_cert *pck)
{
	cleanup_x509_chain struct x509_chain chain = { 0 };
	struct tdx_quote q;

	return tdx_quote_parse(&q, raw, NULL) == 0 && verify_tdx_quote_signature(&q, NULL) == 0 &&
	       x509_chain_pem(&chain, q.sig.pem, NULL) == 0 && chain.n == 3 &&
	       verify_tdx_key_bound(&q.sig, NULL) == 0 &&
	       verify_tdx_qe_signature(&q.sig, pck, NULL) == 0;
}

static void each_byte_of_quote(const char *path)
{
	cleanup_buf struct buf raw = shared_bytes(path);
	cleanup_x509_chain struct x509_chain chain = { 0 };
	struct tdx_quote q;
	size_t pem;
	uint8_t bit;

	CHECK_INT(tdx_quote_parse(&q, buf_view(&raw), NULL), 0);
	CHECK_INT(x509_chain_pem(&chain, q.sig.pem, NULL), 0);
	CHECK_INT(chain.n, 3);
	CHECK(quote_holds(buf_view(&raw), chain.cert[0]));
	/* Up to the PEM text, and what stands behind it: a NUL, zeros. Certificates have a loop below. */
	pem = (size_t)(q.sig.pem.p - raw.p);
	for (size_t i = 0; i < raw.len; i++) {
		if (i == pem)
			i += q.sig.pem.len;
		if (i >= raw.len)
			break;
		/* Behind the text a blank is as good as a NUL. */
		bit = i < pem ? bit_of(i) : 0x80;
		raw.p[i] ^= bit;
		if (quote_holds(buf_view(&raw), chain.cert[0]))
			test_fail(__FILE__, __LINE__, "%s: byte %zu can be changed", path, i);
		raw.p[i] ^= bit;
	}
	for (size_t i = 0; i < chain.n; i++)
		each_byte_of_cert(x509_der(chain.cert[i]), chain.cert[i < 2 ? i + 1 : i],
				  X509_INTEL);
}

TEST(tdx__each_byte_of_quote_4__is_guarded)
{
	each_byte_of_quote(TEST_DATA "tdx_quote_4.dat");
}

TEST(tdx__each_byte_of_quote_5__is_guarded)
{
	each_byte_of_quote(TEST_DATA "tdx_quote_5.dat");
}

TEST(tdx__each_byte_of_azures_quote__is_guarded)
{
	each_byte_of_quote(TEST_DATA "az-tdx-vtpm/td-quote.bin");
}

/* Whole findings, because cheap: the quote's message, signature and PCR values. */
static void each_byte_of_tpm(const char *path)
{
	cleanup_evidence struct evidence *ev = shared_evidence(path);
	struct evidence_tpm *t = &ev->tpm;
	struct view ak = ev->has_hcl ? buf_view(&ev->runtime.ak) : buf_view(&t->ak);
	struct view rsa = buf_view(&t->signature);
	struct {
		uint8_t *p;
		size_t len;
	} parts[] = {
		{ t->message.p, t->message.len },
		{ t->signature.p, t->signature.len },
		{ &t->pcrs[0][0], sizeof t->pcrs },
	};

	if (!ev->has_hcl)
		CHECK_INT(attest_signature_parse(&rsa, buf_view(&t->signature), NULL), 0);
	for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
		for (size_t i = 0; i < parts[k].len; i++) {
			struct findings f = { 0 };
			struct view block = rsa;
			bool parsed = true;

			parts[k].p[i] ^= bit_of(i);
			if (k == 0)
				parsed = attest_parse(&t->attest, buf_view(&t->message), NULL) == 0;
			if (k == 1 && !ev->has_hcl)
				parsed = attest_signature_parse(&block, buf_view(&t->signature),
								NULL) == 0;
			if (parsed) {
				verify_tpm_quote(&f, t, ak, block);
				if (!findings_bad(&f))
					test_fail(__FILE__, __LINE__,
						  "%s: byte %zu of part %zu can be changed", path,
						  i, k);
			}
			parts[k].p[i] ^= bit_of(i);
		}
		CHECK_INT(attest_parse(&t->attest, buf_view(&t->message), NULL), 0);
	}
}

TEST(tpm__each_byte_of_a_quote__is_guarded)
{
	each_byte_of_tpm("evidence/derived/tpm-evidence.json");
	each_byte_of_tpm(TEST_DATA "tpm_evidence.json");
	each_byte_of_tpm(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	each_byte_of_tpm(TEST_DATA "az-tdx-vtpm/evidence-v1.json");
}

/* The paravisor's report outside the hardware's: every byte is parsed strictly or in the digest. */
static void each_byte_of_hcl(const char *path)
{
	cleanup_evidence struct evidence *ev = shared_evidence(path);
	size_t var_from = (size_t)(ev->hcl.var_data.p - ev->hcl_raw.p);
	uint8_t *p = ev->hcl_raw.p;

	CHECK_INT(hcl_bound(&ev->hcl, NULL), 0);
	for (size_t i = var_from; i < var_from + ev->hcl.var_data.len; i++) {
		p[i] ^= bit_of(i);
		if (hcl_bound(&ev->hcl, NULL) == 0)
			test_fail(__FILE__, __LINE__, "byte %zu of the runtime data can be changed", i);
		p[i] ^= bit_of(i);
	}
}

TEST(azure__each_byte_of_the_runtime_data__is_guarded)
{
	each_byte_of_hcl(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	each_byte_of_hcl(TEST_DATA "az-tdx-vtpm/evidence-v1.json");
}

/* --- the whole judgement ----------------------------------------------------------------------- */

/* Each byte has its loop above; every eighth of all that is signed is taken through everything. */
enum { STEP = 8 };

/* Read again what the bytes say. */
static int reread(struct evidence *ev)
{
	int r = 0;

	if (ev->has_hcl) {
		hcl_runtime_done(&ev->runtime);
		ev->runtime = (struct hcl_runtime){ 0 };
		r = hcl_parse(&ev->hcl, buf_view(&ev->hcl_raw), NULL);
		if (r == 0)
			r = hcl_runtime_load(&ev->runtime, ev->hcl.var_data, NULL);
	}
	if (r == 0 && ev->has_snp)
		r = snp_report_parse(&ev->snp, ev->has_hcl ? ev->hcl.hw :
				     (struct view){ ev->report, SNP_REPORT_LEN }, NULL);
	if (r == 0 && ev->has_tdx)
		r = tdx_quote_parse(&ev->tdx, buf_view(&ev->quote), NULL);
	if (r == 0 && ev->has_tpm)
		r = attest_parse(&ev->tpm.attest, buf_view(&ev->tpm.message), NULL);
	return r;
}

struct part {
	const char *name;
	uint8_t *p;
	size_t from, until;
};

static struct part whole(const char *name, struct buf *b)
{
	return (struct part){ name, b->p, 0, b->len };
}

/* The evidence holds; with a byte changed it does not. */
static void bytes_of_evidence(struct evidence *ev, const struct part *parts, size_t n)
{
	struct verify_want want = want_at(JUNE_2025);
	struct findings f = { 0 };

	verify_evidence(&f, ev, &want);
	check_all_hold(&f, NULL);
	for (size_t k = 0; k < n; k++) {
		CHECK(parts[k].until > parts[k].from);
		for (size_t i = parts[k].from + k % STEP; i < parts[k].until; i += STEP) {
			parts[k].p[i] ^= bit_of(i / STEP);
			f = (struct findings){ 0 };
			if (reread(ev) == 0)
				verify_evidence(&f, ev, &want);
			else
				finding_add(&f, "parsed", FINDING_BAD, "no");
			if (!findings_bad(&f))
				test_fail(__FILE__, __LINE__, "byte %zu of the %s can be changed", i,
					  parts[k].name);
			parts[k].p[i] ^= bit_of(i / STEP);
		}
	}
	CHECK_INT(reread(ev), 0);
	f = (struct findings){ 0 };
	verify_evidence(&f, ev, &want);
	check_all_hold(&f, NULL);
}

enum { HCL_HW = 32, HCL_VAR = 1236, SNP_SIGNATURES_END = SNP_SIGNED_LEN + 2 * SNP_SIG_PART };

TEST(evidence__signed_bytes_of_azure_snp__spoil_the_whole)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	const struct part parts[] = {
		{ "hardware report", ev->hcl_raw.p, HCL_HW, HCL_HW + SNP_SIGNATURES_END },
		{ "runtime data", ev->hcl_raw.p, HCL_VAR, HCL_VAR + ev->hcl.var_data.len },
		whole("VCEK", &ev->vcek),
		whole("quote", &ev->tpm.message),
		whole("signature", &ev->tpm.signature),
		{ "PCRs", &ev->tpm.pcrs[0][0], 0, sizeof ev->tpm.pcrs },
	};

	bytes_of_evidence(ev, parts, ARRAY_LEN(parts));
}

TEST(evidence__signed_bytes_of_azure_tdx__spoil_the_whole)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "az-tdx-vtpm/evidence-v1.json");
	const size_t pem = (size_t)(ev->tdx.sig.pem.p - ev->quote.p);
	const struct part parts[] = {
		{ "TD quote", ev->quote.p, 0, pem },
		{ "TDREPORT's report data", ev->hcl_raw.p, HCL_HW + 128, HCL_HW + 192 },
		{ "runtime data", ev->hcl_raw.p, HCL_VAR, HCL_VAR + ev->hcl.var_data.len },
		whole("quote", &ev->tpm.message),
		whole("signature", &ev->tpm.signature),
		{ "PCRs", &ev->tpm.pcrs[0][0], 0, sizeof ev->tpm.pcrs },
	};

	bytes_of_evidence(ev, parts, ARRAY_LEN(parts));
}

TEST(evidence__signed_bytes_of_bare_snp__spoil_the_whole)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	const size_t at = (size_t)(ev->certs.cert[0].data.p - ev->certs_store.p);
	const struct part parts[] = {
		{ "report", ev->report, 0, SNP_SIGNATURES_END },
		{ "VCEK", ev->certs_store.p, at, at + ev->certs.cert[0].data.len },
	};

	bytes_of_evidence(ev, parts, ARRAY_LEN(parts));
}

TEST(evidence__signed_bytes_of_a_bare_td_quote__spoil_the_whole)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	const size_t pem = (size_t)(ev->tdx.sig.pem.p - ev->quote.p);
	const struct part parts[] = { { "quote", ev->quote.p, 0, pem } };

	bytes_of_evidence(ev, parts, ARRAY_LEN(parts));
}

TEST(evidence__signed_bytes_of_a_tpm__spoil_the_whole)
{
	cleanup_evidence struct evidence *ev = shared_evidence("evidence/derived/tpm-evidence.json");
	const struct part parts[] = {
		whole("quote", &ev->tpm.message),
		whole("signature", &ev->tpm.signature),
		{ "PCRs", &ev->tpm.pcrs[0][0], 0, sizeof ev->tpm.pcrs },
	};

	bytes_of_evidence(ev, parts, ARRAY_LEN(parts));
}
