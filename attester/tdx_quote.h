/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TDX_QUOTE_H
#define ATTESTER_TDX_QUOTE_H

#include "attester/tdx_report.h"

/*
 * A TD quote, versions 4 and 5, signed by a quoting enclave. All numbers are little-endian, the
 * signatures' are big-endian.
 * Source: spec/evidence.md 7.4, 7.5 (Intel SGX DCAP, "TDX quote"); confirmed by
 * vectors/evidence: tdx_quote_4.dat, tdx_quote_5.dat, az-tdx-vtpm/td-quote.bin, occlum_quote.dat.
 *
 *   header 48   2 version, 2 key type (2: ECDSA P-256), 4 TEE type (81: TDX), 4 reserved,
 *               16 QE vendor, 20 user data
 *   v5 only     2 body type (2: TD 1.0, 3: TD 1.5), 4 body size
 *   body 584    000 16 tee_tcb_svn     078  8 td_attributes      0E8 48 mr_owner
 *               010 48 mr_seam         080  8 xfam               118 48 mr_owner_config
 *               040 48 mrsigner_seam   088 48 mr_td              148 48 rtmr0 .. rtmr3 to 208
 *               070  8 seam_attributes 0B8 48 mr_config_id       208 64 report_data
 *    TD 1.5 648 248 16 tee_tcb_svn2    258 48 mr_servicetd
 *   4           size of the signature data, all of which is used
 *               64 R and S over header to body, 64 attestation key X and Y,
 *               2 certification type (6), 4 its size, and in it
 *                  384 QE report, 64 R and S over it, 2 n, n authentication data,
 *                  2 certification type (5), 4 its size, PEM chain (leaf first; a NUL may end it)
 *   zeros       any number, e.g. what a device's buffer has behind it
 *
 * SGX's version 3 has TEE type 0, a body of 384 and no certification data of type 6 around the QE
 * report.
 */
#define TDX_QUOTE_MAX     (32u << 10)
#define TDX_QUOTE_AUTH_MAX 1024
#define SGX_REPORT_LEN    384
#define QUOTE_SIG_LEN     64
#define QUOTE_KEY_LEN     64

enum tdx_body { TDX_BODY_10 = 2, TDX_BODY_15 = 3 };

/* The signature data, the same for TDX and SGX. Views are borrowed. */
struct quote_sig {
	struct view signature;      /* QUOTE_SIG_LEN: R then S, big-endian, ECDSA P-256 SHA-256 */
	struct view key;            /* QUOTE_KEY_LEN: X then Y, big-endian */
	struct view qe_report;      /* SGX_REPORT_LEN: signed by the PCK */
	struct view qe_report_data; /* its last 64: SHA-256(key, auth), then zeros */
	struct view qe_signature;   /* QUOTE_SIG_LEN */
	struct view auth;           /* authentication data, mostly 32 */
	struct view pem;            /* the chain without a NUL behind it: PCK, intermediate, root */
};

struct tdx_quote {
	uint16_t version, key_type;
	uint32_t tee_type;
	struct view qe_vendor, user_data;
	enum tdx_body body_type;
	struct view tee_tcb_svn, mr_seam, mrsigner_seam;
	uint64_t seam_attributes;
	struct tdx_td td;
	struct view report_data;
	struct view tee_tcb_svn2, mr_servicetd; /* empty in TD 1.0 */
	struct view signed_part;                /* header to body */
	struct quote_sig sig;
	struct view raw; /* without the zeros behind it */
};

/*
 * Cut a TD quote into its parts. Nothing is verified beyond its grammar.
 *
 * out  set on success only
 * raw  at most TDX_QUOTE_MAX bytes, with or without zeros behind; must outlive *out
 *
 * Errors: ERR_FORMAT (short, sizes that disagree, bytes behind the end that are not zero),
 * ERR_LIMIT (quote, authentication data), ERR_UNSUPPORTED (an SGX quote; another version, TEE
 * type, key type, body type or certification type).
 */
int tdx_quote_parse(struct tdx_quote *out, struct view raw, struct err *e) MUST_CHECK;

struct sgx_quote {
	struct view qe_vendor, user_data;
	struct view body;        /* SGX_REPORT_LEN */
	struct view report_data; /* its last 64 */
	struct view signed_part; /* header and body */
	struct quote_sig sig;
	struct view raw;
};

/*
 * The same for an SGX quote of version 3, which is no guest's: for who explains evidence.
 * Errors: as tdx_quote_parse().
 */
int sgx_quote_parse(struct sgx_quote *out, struct view raw, struct err *e) MUST_CHECK;

#endif
