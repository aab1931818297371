/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERIFY_VERIFY_H
#define VERIFY_VERIFY_H

#include "agent/crypto/digest.h"
#include "agent/crypto/x509.h"
#include "agent/verify/evidence.h"
#include "agent/verify/finding.h"
#include "attester/tcg2.h"

/*
 * What Trustee checks of evidence, without Trustee and without a network. verify_evidence() does
 * all of it; the others are its parts, one file a platform, for it and for tests.
 */

/* What the caller expects, and what it trusts. Zero means: nothing expected, the makers' roots. */
struct verify_want {
	bool has_report_data;
	struct view report_data; /* 1..64 bytes: what was asked to be bound */
	bool has_initdata;
	struct digest initdata; /* of the text: 32, 48 or 64 bytes */
	int64_t at;             /* seconds since 1970 at which certificates must be valid */
	struct view vek;        /* VCEK or VLEK, DER or PEM, for SNP evidence without certificates */
	bool has_log;           /* also when it is empty, which leads nowhere */
	struct view log;        /* a boot log (TCG2) that registers must follow from */
	const struct x509_chain *test_roots; /* trusted instead of the makers', for tests */
};

/* Check everything. Errors of libcrypto and memory are findings too: what was not checked is bad. */
void verify_evidence(struct findings *f, const struct evidence *ev, const struct verify_want *want);

/*
 * SNP: the report's signature, the chain of its key, and what the report says.
 * vek  the certificate of the key that signed, DER or PEM; empty: none is known
 */
void verify_snp(struct findings *f, const struct snp_report *r, const struct snp_certs *certs,
		struct view vek, const struct verify_want *want);

/* The report's signature alone. Errors: ERR_VERIFY, ERR_UNSUPPORTED, ERR_CRYPTO. */
int verify_snp_signature(const struct snp_report *r, const struct x509_cert *vek,
			 struct err *e) MUST_CHECK;

/* A TD quote: its signatures, the chain of its key, and what it says of the TD. */
void verify_tdx(struct findings *f, const struct tdx_quote *q, const struct verify_want *want);

/* Its three signatures' links alone. Errors: ERR_VERIFY, ERR_FORMAT, ERR_CRYPTO. */
int verify_tdx_quote_signature(const struct tdx_quote *q, struct err *e) MUST_CHECK;
int verify_tdx_key_bound(const struct quote_sig *s, struct err *e) MUST_CHECK;
int verify_tdx_qe_signature(const struct quote_sig *s, const struct x509_cert *pck,
			    struct err *e) MUST_CHECK;

/* XFAM as it stands in the quote, 8 bytes, which is how Trustee's claims have it. */
static inline struct view tdx_xfam(const struct tdx_quote *q)
{
	return (struct view){ q->td.mr_td.p - 8, 8 };
}

/* A TPM quote under that key: signature and PCRs. */
void verify_tpm_quote(struct findings *f, const struct evidence_tpm *t, struct view ak,
		      struct view rsa);

/* Its signature alone. Errors: ERR_VERIFY and those of the parsers. */
int verify_tpm_signature(const struct evidence_tpm *t, struct view ak, struct view rsa,
			 struct err *e) MUST_CHECK;

/* Whether PCR 8 is what a digest of initdata makes of it. */
void verify_pcr8(struct findings *f, const struct evidence_tpm *t, const struct verify_want *want);

/* Whole platforms whose evidence is more than one of the above. */
void verify_tpm(struct findings *f, const struct evidence *ev, const struct verify_want *want);
void verify_azure(struct findings *f, const struct evidence *ev, const struct verify_want *want);
void verify_sample(struct findings *f, const struct evidence *ev, const struct verify_want *want);

/*
 * Read a boot log as evidence of that platform has it, and replay it in the hash of its registers.
 * Errors: as tcg2_open() and tcg2_replay().
 */
int verify_log_open(struct tcg2_log *out, struct tcg2_registers *regs, struct view raw,
		    const struct evidence *ev, struct err *e) MUST_CHECK;

/*
 * A boot log against the registers that the evidence vouches for: "event-log". A log that was given
 * with evidence that has no such registers is bad: what was asked for cannot be checked.
 */
void verify_log(struct findings *f, const struct evidence *ev, const struct verify_want *want);

/*
 * A field of the hardware against what was to be bound: cut to the field or padded with zeros.
 * Adds "report-data" or "initdata", unknown when nothing was given.
 */
void verify_report_data(struct findings *f, struct view field, const struct verify_want *want);
void verify_initdata(struct findings *f, const char *field_name, struct view field,
		     const struct verify_want *want);

/* Whether every certificate is valid at want->at: adds the finding `name`. */
void verify_dates(struct findings *f, const char *name, const struct x509_cert *const *certs,
		  size_t n, const struct verify_want *want);

#endif
