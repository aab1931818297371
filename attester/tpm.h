/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TPM_H
#define ATTESTER_TPM_H

#include "agent/base/buf.h"
#include "agent/crypto/digest.h"

/*
 * A TPM 2.0 through tpm2-tss ESYS: the only includer of <tss2/…>. Commands and encodings are in
 * spec/evidence.md 3.2. A handle is opened for the life of the process; commands are serialised
 * inside, so any thread may call.
 */
#define TPM_PCRS       24
#define TPM_AK_DEFAULT 0x81010002u
#define TPM_ATTEST_MAX 1024 /* marshalled TPMS_ATTEST, bytes */
#define TPM_SIG_MAX    1024 /* marshalled TPMT_SIGNATURE, bytes */

struct tpm; /* opaque */

#define cleanup_tpm __attribute__((cleanup(tpm_closep)))

struct tpm_quote {
	struct buf message;             /* TPMS_ATTEST as signed */
	struct buf signature;           /* marshalled TPMT_SIGNATURE */
	uint8_t pcrs[TPM_PCRS][32];     /* SHA-256 bank, checked against the quote's digest */
};

/*
 * Open. Never a TCTI loader string: tss2's loader opens any library it is told to.
 *
 * where  a device path ("/dev/tpmrm0"), or "swtpm:HOST:PORT" (HOST is a numeric address, "[::1]"
 *        for IPv6; the control channel is PORT + 1); the caller has checked the permit for it
 *
 * Errors: tpm.none, tpm.access, tpm.busy, tpm.failed, ERR_USAGE (where).
 */
int tpm_open(struct tpm **out, const char *where, struct err *e) MUST_CHECK;
void tpm_close(struct tpm *t);
static inline void tpm_closep(struct tpm **t)
{
	tpm_close(*t);
}

/* The persistent handle that quotes use; TPM_AK_DEFAULT until set. */
void tpm_set_ak(struct tpm *t, uint32_t handle);
uint32_t tpm_ak(const struct tpm *t);

/*
 * The AK's public part, DER SubjectPublicKeyInfo (rsaEncryption, NULL parameters).
 * Errors: tpm.no-ak, tpm.bad-ak (not a restricted RSA signing key with RSASSA/SHA-256), tpm.failed.
 */
int tpm_ak_public(struct tpm *t, struct buf *der, struct err *e) MUST_CHECK;

/*
 * Quote all 24 PCRs of the SHA-256 bank, read them after the quote, check them against its
 * digest, and begin again when one moved (up to 5 times, then tpm.pcr-moved). The answer is
 * checked: magic, type, extraData, selection.
 * nonce  qualifying data, 1..64 bytes
 */
int tpm_quote(struct tpm *t, struct tpm_quote *out, struct view nonce, struct err *e) MUST_CHECK;
void tpm_quote_done(struct tpm_quote *q);

/* One PCR of the SHA-256 bank. Errors: tpm.no-bank, tpm.failed. */
int tpm_pcr_read(struct tpm *t, unsigned pcr, uint8_t out[32], struct err *e) MUST_CHECK;

/* Extend the SHA-256 bank of a PCR. Errors: tpm.failed (locality), tpm.no-bank. */
int tpm_pcr_extend(struct tpm *t, unsigned pcr, const uint8_t digest[32], struct err *e) MUST_CHECK;

/*
 * Create the AK (endorsement hierarchy: RSA-2048 restricted signing, RSASSA/SHA-256, empty auth)
 * and make it persistent at the handle set. Nothing is overwritten.
 * Errors: tpm.ak-exists, tpm.failed.
 */
int tpm_provision_ak(struct tpm *t, struct err *e) MUST_CHECK;

/* Manufacturer and firmware in words, for doctor. Errors: tpm.failed. */
int tpm_describe(struct tpm *t, struct buf *text, struct err *e) MUST_CHECK;

#endif
