/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/roots.h"
#include "agent/verify/verify.h"
#include "attester/le.h"

/* Fields of the quoting enclave's SGX report. Source: spec/evidence.md 7.5. */
enum {
	AT_ATTRIBUTES = 48,
	AT_MRSIGNER = 128,
	AT_PRODUCT = 256,
	AT_SVN = 258,
	MRSIGNER_LEN = 32,
	SGX_DEBUG = 1u << 1,
	TD_QE = 2, /* ISVPRODID */
	PCK_CHAIN = 3,
	HALF = QUOTE_SIG_LEN / 2,
};

/*
 * Who signs Intel's quoting enclave for TDs. Intel's collateral ("QE identity") says the same; a
 * host can have any enclave vouched for by its PCK, so that without this the key in the quote
 * could be anybody's.
 */
static const uint8_t qe_signer[MRSIGNER_LEN] = {
	0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03,
	0x0f, 0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5,
};

static struct ecdsa_signature split(struct view both)
{
	return (struct ecdsa_signature){ .r = { both.p, HALF }, .s = { both.p + HALF, HALF } };
}

int verify_tdx_quote_signature(const struct tdx_quote *q, struct err *e)
{
	return ecdsa_verify(ECDSA_P256, q->sig.key, q->signed_part, split(q->sig.signature), e);
}

int verify_tdx_key_bound(const struct quote_sig *s, struct err *e)
{
	uint8_t want[64] = { 0 };
	struct view parts[] = { s->key, s->auth };
	struct digest d;
	int r = digest_parts(&d, HASH_SHA256, parts, ARRAY_LEN(parts), e);

	if (r < 0)
		return r;
	memcpy(want, d.b, d.len);
	if (!view_eq((struct view){ want, sizeof want }, s->qe_report_data))
		return err_set(e, ERR_VERIFY,
			       "the quoting enclave's report is not about this attestation key");
	return 0;
}

int verify_tdx_qe_signature(const struct quote_sig *s, const struct x509_cert *pck, struct err *e)
{
	return x509_ecdsa_verify(pck, ECDSA_P256, s->qe_report, split(s->qe_signature), e);
}

/* --- the chain: PCK, one of its two CAs, the root --------------------------------------------- */

static int trust_root(const struct x509_cert *last, const struct verify_want *want, struct err *e)
{
	cleanup_x509 struct x509_cert *intel = NULL;
	int r;

	if (want->test_roots) {
		for (size_t i = 0; i < want->test_roots->n; i++)
			if (x509_eq(last, want->test_roots->cert[i]))
				return 0;
		return err_set(e, ERR_VERIFY, "the chain ends in \"%s\", which is none of --root-cert",
			       x509_name(last));
	}
	r = roots_intel(&intel, e);
	if (r == 0 && !x509_eq(last, intel))
		r = err_set(e, ERR_VERIFY,
			    "the chain ends in \"%s\", which is not Intel's SGX Root CA",
			    x509_name(last));
	return r;
}

static int check_chain(const struct x509_chain *c, const struct verify_want *want, struct err *e)
{
	int r = 0;

	if (c->n != PCK_CHAIN)
		return err_set(e, ERR_VERIFY, "a chain of %zu certificates, want exactly %d", c->n,
			       PCK_CHAIN);
	if (strcmp(x509_name(c->cert[0]), "Intel SGX PCK Certificate") != 0)
		return err_set(e, ERR_VERIFY, "the key's certificate is one of \"%s\", want a PCK",
			       x509_name(c->cert[0]));
	if (strcmp(x509_name(c->cert[1]), "Intel SGX PCK Platform CA") != 0 &&
	    strcmp(x509_name(c->cert[1]), "Intel SGX PCK Processor CA") != 0)
		return err_set(e, ERR_VERIFY, "the PCK's issuer is \"%s\", want a PCK CA",
			       x509_name(c->cert[1]));
	for (size_t i = 0; r == 0 && i < PCK_CHAIN; i++)
		r = x509_issued(c->cert[i], c->cert[i + 1 < PCK_CHAIN ? i + 1 : i], X509_INTEL, e);
	return r < 0 ? r : trust_root(c->cert[PCK_CHAIN - 1], want, e);
}

/* --- who the quoting enclave is --------------------------------------------------------------- */

static void check_qe(struct findings *f, const struct quote_sig *s, const struct verify_want *want)
{
	const uint8_t *q = s->qe_report.p;
	unsigned product = q[AT_PRODUCT] | q[AT_PRODUCT + 1] << 8;
	unsigned svn = q[AT_SVN] | q[AT_SVN + 1] << 8;
	bool intel = memcmp(q + AT_MRSIGNER, qe_signer, sizeof qe_signer) == 0 && product == TD_QE;

	if (q[AT_ATTRIBUTES] & SGX_DEBUG)
		finding_add(f, "tdx.qe-identity", FINDING_BAD,
			    "the quoting enclave is one for debugging: its key can be read");
	else if (intel)
		finding_add(f, "tdx.qe-identity", FINDING_OK,
			    "the quoting enclave is Intel's for TDs, security version %u", svn);
	else
		finding_add(f, "tdx.qe-identity", want->test_roots ? FINDING_WARN : FINDING_BAD,
			    "the quoting enclave is not Intel's for TDs (product %u)", product);
}

/* Bits 7:0 are "TD under debug": a TD with any of them set is not to be trusted, says Intel. */
static void check_attributes(struct findings *f, uint64_t attributes)
{
	unsigned under_debug = attributes & 0xff;

	if (bit_is_set(attributes, TDX_ATTR_DEBUG))
		finding_add(f, "tdx.debug", FINDING_BAD,
			    "the TD may be debugged: the host reads and writes its memory");
	else if (under_debug != 0)
		finding_add(f, "tdx.debug", FINDING_BAD,
			    "the TD may be profiled, or is under debug (attributes %02x): Intel calls it untrusted",
			    under_debug);
	else
		finding_add(f, "tdx.debug", FINDING_OK, "the TD may not be debugged");
	if (bit_is_set(attributes, TDX_ATTR_MIGRATABLE))
		finding_add(f, "tdx.migration", FINDING_BAD,
			    "a migration TD of the host's choice may move the TD elsewhere");
	else
		finding_add(f, "tdx.migration", FINDING_OK, "the TD cannot be moved elsewhere");
}

static void check_says(struct findings *f, const struct tdx_quote *q)
{
	finding_add(f, "tdx.version", FINDING_OK, "quote of version %u, TD %s", q->version,
		    q->body_type == TDX_BODY_15 ? "1.5" : "1.0");
	check_attributes(f, q->td.attributes);
	if (q->seam_attributes != 0)
		finding_add(f, "tdx.module", FINDING_BAD,
			    "the TDX module has attributes %016llx, want none: one for debugging",
			    (unsigned long long)q->seam_attributes);
	if (!all_zero(q->mrsigner_seam))
		finding_add(f, "tdx.module", FINDING_BAD,
			    "the TDX module is not signed by Intel (MRSIGNERSEAM is not zero)");
}

void verify_tdx(struct findings *f, const struct tdx_quote *q, const struct verify_want *want)
{
	cleanup_x509_chain struct x509_chain chain = { 0 };
	struct err e;
	int r;

	check_says(f, q);
	r = verify_tdx_quote_signature(q, &e);
	finding_of(f, "tdx.signature", r, &e, "the quote is signed by its attestation key");
	r = verify_tdx_key_bound(&q->sig, &e);
	finding_of(f, "tdx.key-bound", r, &e,
		   "the quoting enclave's report is about that attestation key");
	check_qe(f, &q->sig, want);
	r = x509_chain_pem(&chain, q->sig.pem, &e);
	if (r < 0) {
		finding_add(f, "tdx.chain", FINDING_BAD, "the PCK chain: %s", e.msg);
		finding_add(f, "tdx.qe-signature", FINDING_BAD,
			    "not verified: there is no certificate of the key");
		return;
	}
	r = verify_tdx_qe_signature(&q->sig, chain.cert[0], &e);
	finding_of(f, "tdx.qe-signature", r, &e,
		   "the quoting enclave's report is signed by the platform's PCK");
	r = check_chain(&chain, want, &e);
	finding_of(f, "tdx.chain", r, &e, "\"%s\", issued by \"%s\", issued by %s \"%s\"",
		   x509_name(chain.cert[0]), chain.n > 1 ? x509_name(chain.cert[1]) : "",
		   want->test_roots ? "TEST ROOT" : "Intel's root",
		   x509_name(chain.cert[chain.n - 1]));
	if (r == 0) {
		const struct x509_cert *all[] = { chain.cert[0], chain.cert[1], chain.cert[2] };

		verify_dates(f, "tdx.dates", all, ARRAY_LEN(all), want);
	}
	finding_add(f, "tdx.tcb-status", FINDING_UNKNOWN,
		    "whether the platform's firmware is up to date, and whether a certificate was "
		    "revoked, needs Intel's collateral; Trustee asks for it");
}
