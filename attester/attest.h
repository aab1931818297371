/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_ATTEST_H
#define ATTESTER_ATTEST_H

#include "agent/base/err.h"
#include "agent/base/mem.h"

/*
 * The two structures that a TPM quote consists of, read by ourselves: what the TPM answered is
 * checked before it becomes evidence. All numbers are big-endian.
 * Source: TPM 2.0 Library, Part 2: 10.12.8 TPMS_ATTEST, 10.12.1 TPMS_QUOTE_INFO, 11.3.4
 * TPMT_SIGNATURE; spec/evidence.md 2.5 and 3.2; confirmed by swtpm and vectors/evidence.
 *
 *   TPMS_ATTEST, type quote              TPMT_SIGNATURE
 *   4    magic FF544347                  2    0014 RSASSA
 *   2    type 8018                       2    000B SHA-256
 *   2+n  qualifiedSigner, n <= 66        2+n  signature, n <= 512
 *   2+n  extraData, n <= 64
 *   8    clock, 4 resetCount, 4 restartCount, 1 safe (0 or 1)
 *   8    firmwareVersion
 *   4    number of selections, 1..16; each 2 hash, 1 size (1..4), size bytes of mask
 *   2+n  pcrDigest, n <= 64
 *
 * Nothing may follow.
 */
#define ATTEST_NAME_MAX       66
#define ATTEST_NONCE_MAX      64
#define ATTEST_SELECTIONS_MAX 16
#define ATTEST_RSA_MAX        512 /* RSA 4096 */

#define ATTEST_PCRS 24

/* A quote, cut into its parts; every view is borrowed from the bytes that were parsed. */
struct attest {
	struct view signer; /* qualified name of the signing key */
	struct view nonce;  /* extraData */
	uint64_t clock_ms;
	uint32_t resets;
	uint32_t restarts;
	bool safe;
	uint64_t firmware;
	uint32_t n_selections;
	uint16_t pcr_hash;    /* of the first selection: TPM_ALG_ID */
	struct view pcr_mask; /* of the first selection */
	struct view pcr_digest;
};

/*
 * Cut a TPMS_ATTEST of type quote. Nothing is verified beyond its grammar.
 *
 * out  set on success only
 * raw  the whole structure and nothing else; must outlive *out
 *
 * Errors: ERR_FORMAT (magic, short, trailing bytes, safe), ERR_LIMIT (a size over those above),
 * ERR_UNSUPPORTED (another type than quote).
 */
int attest_parse(struct attest *out, struct view raw, struct err *e) MUST_CHECK;

/*
 * Cut the RSA block out of a TPMT_SIGNATURE of RSASSA with SHA-256.
 *
 * out  set on success only; 1..ATTEST_RSA_MAX bytes
 * raw  the whole structure and nothing else; must outlive *out
 *
 * Errors: ERR_FORMAT, ERR_LIMIT, ERR_UNSUPPORTED (another scheme or hash).
 */
int attest_signature_parse(struct view *out, struct view raw, struct err *e) MUST_CHECK;

/*
 * Hold a quote to what was asked: the nonce, and one selection of all 24 PCRs of the SHA-256 bank.
 * Errors: tpm.reply (ERR_FORMAT).
 */
int attest_check(const struct attest *a, struct view nonce, struct err *e) MUST_CHECK;

/*
 * Compare the quote's digest with PCR values that were read beside it.
 *
 * covers  out: true when pcrDigest is SHA-256 over all 24 in order; false when one moved since
 *
 * Errors: ERR_CRYPTO.
 */
int attest_covers(bool *covers, const struct attest *a, const uint8_t pcrs[ATTEST_PCRS][32],
		  struct err *e) MUST_CHECK;

#endif
