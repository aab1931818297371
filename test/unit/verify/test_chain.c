/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/crypto/certmaker.h"
#include "test/unit/verify/vector.h"

/* Chains of a test's own: whom a stranger's certificates convince, and whom not. */

#define CA "critical,keyCertSign"

struct made {
	EVP_PKEY *key[3];
	struct buf der[3]; /* root, subordinate, leaf */
	struct x509_chain roots;
};

static void make(struct made *m, bool amd)
{
	const char *names[3] = { amd ? "ARK-Genoa" : "Intel SGX Root CA",
				 amd ? "SEV-Genoa" : "Intel SGX PCK Platform CA",
				 amd ? "SEV-VCEK" : "Intel SGX PCK Certificate" };

	for (int i = 0; i < 3; i++) {
		int by = i ? i - 1 : 0;
		struct cert_recipe r = { .subject = names[i], .issuer = names[by], .ca = i < 2,
					 .usage = i < 2 ? CA : NULL,
					 .sign = amd ? CERT_PSS : CERT_ECDSA };

		m->key[i] = !amd ? cert_ec_key("P-256") :
			    i < 2 ? cert_rsa_key() :
				    cert_ec_key("P-384");
		m->der[i] = cert_make(&r, m->key[i], m->key[by]);
	}
	CHECK_INT(x509_load(&m->roots.cert[0], buf_view(&m->der[0]), NULL), 0);
	m->roots.n = 1;
}

static void done(struct made *m)
{
	for (int i = 0; i < 3; i++) {
		EVP_PKEY_free(m->key[i]);
		buf_done(&m->der[i]);
	}
	x509_chain_done(&m->roots);
}

TEST(verify_snp__issuer_of_the_hosts_own_making__convinces_only_who_trusts_its_root)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct verify_want want = want_at(JUNE_2025);
	struct findings f = { 0 };
	struct made m = { 0 };

	make(&m, true);
	ev->certs.cert[0] = (struct snp_cert){ .type = SNP_CERT_VCEK, .data = buf_view(&m.der[2]) };
	ev->certs.cert[1] = (struct snp_cert){ .type = SNP_CERT_ASK, .data = buf_view(&m.der[1]) };
	ev->certs.n = 2;
	verify_snp(&f, &ev->snp, &ev->certs, (struct view){ 0 }, &want);
	check_finding(&f, "snp.chain", FINDING_BAD, "names another issuer");
	ev->certs.cert[2] = (struct snp_cert){ .type = SNP_CERT_ARK, .data = buf_view(&m.der[0]) };
	ev->certs.n = 3;
	f = (struct findings){ 0 };
	verify_snp(&f, &ev->snp, &ev->certs, (struct view){ 0 }, &want);
	check_finding(&f, "snp.chain", FINDING_BAD, "the ARK that came with the report");
	want.test_roots = &m.roots;
	f = (struct findings){ 0 };
	verify_snp(&f, &ev->snp, &ev->certs, (struct view){ 0 }, &want);
	check_finding(&f, "snp.chain", FINDING_OK, "issued by TEST ROOT \"ARK-Genoa\"");
	check_finding(&f, "snp.signature", FINDING_BAD, "does not match");
	done(&m);
}

/* The root signs VCEKs through an ASK only; one that the ARK itself issued has no role. */
TEST(verify_snp__leaf_issued_by_the_root__is_refused)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct verify_want want = want_at(JUNE_2025);
	struct cert_recipe r = { .subject = "SEV-VCEK", .issuer = "ARK-Genoa" };
	struct findings f = { 0 };
	struct made m = { 0 };

	make(&m, true);
	buf_done(&m.der[2]);
	m.der[2] = cert_make(&r, m.key[2], m.key[0]);
	ev->certs.cert[0].data = buf_view(&m.der[2]);
	want.test_roots = &m.roots;
	verify_snp(&f, &ev->snp, &ev->certs, (struct view){ 0 }, &want);
	check_finding(&f, "snp.chain", FINDING_BAD, "no certificate of an issuer");
	done(&m);
}

TEST(verify_tdx__chain_to_another_root__convinces_only_who_trusts_it)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	struct verify_want want = want_at(JUNE_2025);
	cleanup_buf struct buf pem = BUF_MAX(ROOM);
	struct tdx_quote q = ev->tdx;
	struct findings f = { 0 };
	struct made m = { 0 };

	make(&m, false);
	for (int i = 2; i >= 0; i--)
		cert_pem(&pem, buf_view(&m.der[i]));
	q.sig.pem = buf_view(&pem);
	verify_tdx(&f, &q, &want);
	check_finding(&f, "tdx.chain", FINDING_BAD, "which is not Intel's SGX Root CA");
	check_finding(&f, "tdx.qe-signature", FINDING_BAD, "does not match");
	want.test_roots = &m.roots;
	f = (struct findings){ 0 };
	verify_tdx(&f, &q, &want);
	check_finding(&f, "tdx.chain", FINDING_OK, "TEST ROOT");
	/* And a genuine quote does not convince who trusts the test's root. */
	f = (struct findings){ 0 };
	verify_tdx(&f, &ev->tdx, &want);
	check_finding(&f, "tdx.chain", FINDING_BAD, "none of --root-cert");
	done(&m);
}
