/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/crypto/pubkey.h"
#include "agent/verify/verify.h"
#include "attester/tpm_evidence.h"

enum { PCR_INITDATA = 8, ALG_SHA256 = 0x000b };

int verify_tpm_signature(const struct evidence_tpm *t, struct view ak, struct view rsa,
			 struct err *e)
{
	return pubkey_rsa_verify_sha256(ak, buf_view(&t->message), rsa, e);
}

/*
 * Trustee looks at the digest alone. That the selection is all 24 follows from it only for one bank,
 * of SHA-256: 16 PCRs of SHA-384 have as many bytes as 24 of SHA-256.
 */
static void check_pcrs(struct findings *f, const struct evidence_tpm *t)
{
	bool covers = false;
	struct err e;
	int r = attest_covers(&covers, &t->attest, t->pcrs, &e);

	if (r == 0 && !covers)
		r = err_set(&e, ERR_VERIFY, "the quote is not about these PCR values");
	finding_of(f, "tpm.pcrs", r, &e, "the quote is about these 24 PCR values");
	if (t->attest.pcr_hash != ALG_SHA256)
		finding_add(f, "tpm.selection", FINDING_BAD,
			    "the quote is about PCRs of algorithm 0x%04x, want SHA-256",
			    t->attest.pcr_hash);
	else if (t->attest.n_selections != 1)
		finding_add(f, "tpm.selection", FINDING_BAD,
			    "the quote selects %u banks, want SHA-256 alone: its digest may be about "
			    "other values than these", t->attest.n_selections);
}

void verify_tpm_quote(struct findings *f, const struct evidence_tpm *t, struct view ak,
		      struct view rsa)
{
	struct err e;
	int r = verify_tpm_signature(t, ak, rsa, &e);

	finding_of(f, "tpm.signature", r, &e, "the quote is signed by the attestation key");
	check_pcrs(f, t);
}

void verify_pcr8(struct findings *f, const struct evidence_tpm *t, const struct verify_want *want)
{
	enum binding b;
	struct err e;
	char has[65];

	enc_hex_str(has, (struct view){ t->pcrs[PCR_INITDATA], 32 });
	if (!want->has_initdata) {
		finding_add(f, "initdata", FINDING_UNKNOWN,
			    "not compared: no initdata was given; PCR 8 is %s", has);
		return;
	}
	if (tpm_pcr_binding(&b, t->pcrs[PCR_INITDATA], digest_view(&want->initdata), &e) < 0)
		finding_add(f, "initdata", FINDING_BAD, "%s", e.msg);
	else if (b == BINDING_MATCHES)
		finding_add(f, "initdata", FINDING_OK,
			    "PCR 8 is what binding this initdata makes of it%s",
			    want->initdata.len == 32 ? "" : " (its text cannot be sent to Trustee: the digest is not SHA-256)");
	else
		finding_add(f, "initdata", FINDING_BAD,
			    b == BINDING_EMPTY ? "PCR 8 is zero: no initdata was bound" :
						 "PCR 8 is %s, which is not this initdata's", has);
}

static void check_nonce(struct findings *f, const struct evidence_tpm *t,
			const struct verify_want *want)
{
	uint8_t nonce[32];

	if (t->attest.nonce.len != sizeof nonce) {
		finding_add(f, "report-data", FINDING_BAD,
			    "the quote's nonce has %zu bytes, Trustee wants 32 (agents of before that "
			    "rule sent more)", t->attest.nonce.len);
		return;
	}
	if (!want->has_report_data) {
		verify_report_data(f, t->attest.nonce, want);
		return;
	}
	tpm_cut32(nonce, want->report_data);
	if (view_eq((struct view){ nonce, sizeof nonce }, t->attest.nonce))
		finding_add(f, "report-data", FINDING_OK,
			    "the quote's nonce is the first 32 bytes of what was expected");
	else
		finding_add(f, "report-data", FINDING_BAD, "the quote's nonce is not what was expected");
}

void verify_tpm(struct findings *f, const struct evidence *ev, const struct verify_want *want)
{
	struct view rsa;
	struct err e;

	if (attest_signature_parse(&rsa, buf_view(&ev->tpm.signature), &e) < 0) {
		finding_add(f, "tpm.signature", FINDING_BAD, "the signature: %s", e.msg);
		check_pcrs(f, &ev->tpm);
	} else {
		verify_tpm_quote(f, &ev->tpm, buf_view(&ev->tpm.ak), rsa);
	}
	finding_add(f, "tpm.ak", FINDING_UNKNOWN,
		    "nothing here tells a TPM's attestation key from one that anybody made: compare it "
		    "with the registered ones (--reference with trusted_aks)");
	check_nonce(f, &ev->tpm, want);
	verify_pcr8(f, &ev->tpm, want);
}
