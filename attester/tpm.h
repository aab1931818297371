/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TPM_H
#define ATTESTER_TPM_H

#include "agent/base/buf.h"
#include "agent/crypto/digest.h"

/*
 * A TPM 2.0 through tpm2-tss: tpm.c, tpm_nv.c and tpm_tss*.c are the only includers of <tss2/…>.
 * Commands and encodings are in spec/evidence.md 3.2. Operations are serialised inside, so any
 * thread may call; each is over within its time (TPM_WAIT_MS, provisioning 120 s), whatever the
 * TPM does.
 *
 * A device is kept open for the life of the handle. A swtpm serves one client at a time and is
 * connected for each operation anew (so do not start it with --terminate); its control channel is
 * not used. A TPM that went away is looked for again at the next operation.
 *
 * Every function's errors, besides those named: tpm.failed (with the command, the TSS2_RC in hex
 * and in words; err.sys is the code), tpm.busy (after some tries), tpm.timeout, tpm.reply, and at
 * an operation after the TPM went away those of tpm_open().
 */
#define TPM_PCRS       24
#define TPM_AK_DEFAULT 0x81010002u
#define TPM_ATTEST_MAX 1024  /* marshalled TPMS_ATTEST, bytes */
#define TPM_SIG_MAX    1024  /* marshalled TPMT_SIGNATURE, bytes */
#define TPM_SPKI_MAX   1024  /* the AK's SubjectPublicKeyInfo, bytes */
#define TPM_WAIT_MS    10000 /* for one operation, all its commands together */

struct tpm; /* opaque */

#define cleanup_tpm __attribute__((cleanup(tpm_closep)))

struct tpm_quote {
	struct buf message;         /* TPMS_ATTEST as signed */
	struct buf signature;       /* marshalled TPMT_SIGNATURE */
	struct buf ak;              /* DER SubjectPublicKeyInfo of the AK that signed it */
	uint8_t pcrs[TPM_PCRS][32]; /* SHA-256 bank, checked against the quote's digest */
};

#define cleanup_tpm_quote __attribute__((cleanup(tpm_quote_done)))

/*
 * Open; no command is sent yet. Never a TCTI loader string: tss2's loader opens any library it is
 * told to.
 *
 * where  a device path ("/dev/tpmrm0"), or "swtpm:HOST:PORT" (HOST is a numeric address, "[::1]"
 *        for IPv6); the caller has checked the permit for it, which tpm_is_socket() asks for
 *
 * Errors: tpm.none, tpm.access, tpm.busy, tpm.timeout, tpm.failed, ERR_USAGE (where).
 */
int tpm_open(struct tpm **out, const char *where, struct err *e) MUST_CHECK;
void tpm_close(struct tpm *t);
static inline void tpm_closep(struct tpm **t)
{
	tpm_close(*t);
}

/* Say whether where is a TPM over a socket, which needs a permit. */
bool tpm_is_socket(const char *where);

/* Milliseconds for one operation; TPM_WAIT_MS until set. Before other threads use t. */
void tpm_set_wait(struct tpm *t, int64_t ms);

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
 * digest, and begin again when one moved (5 quotes at most, then tpm.pcr-moved). The answer is
 * checked: magic, type, extraData, selection, and the signature under the AK's public part.
 *
 * out    set on success only; release with tpm_quote_done()
 * nonce  qualifying data, 1..64 bytes
 *
 * Errors: ERR_USAGE (nonce), tpm.no-ak, tpm.bad-ak (also one with a password), tpm.no-bank,
 * tpm.pcr-moved.
 */
int tpm_quote(struct tpm *t, struct tpm_quote *out, struct view nonce, struct err *e) MUST_CHECK;
void tpm_quote_done(struct tpm_quote *q);

/* Work that needs no TPM, done while one is at work, which takes it longer than us. */
struct tpm_meanwhile {
	void (*call)(void *ctx);
	void *ctx;
};

/*
 * The same with the key at another persistent handle (Azure: 0x81000003). The raw RSA block of its
 * signature is what attest_signature_parse() (attester/attest.h) cuts out.
 * meanwhile  called once, during the first quote, before this returns 0; NULL for nothing. On a
 *            failure it may not have been.
 */
int tpm_quote_with(struct tpm *t, uint32_t ak, struct tpm_quote *out, struct view nonce,
		   const struct tpm_meanwhile *meanwhile, struct err *e) MUST_CHECK;

/*
 * NV indexes (tpm_nv.c), under the owner's empty password where the index admits the owner, else
 * under the index's own empty one.
 *
 * Errors of all, besides those at the top: tpm.nv-absent (no such index), tpm.nv-unwritten,
 * tpm.nv-locked, tpm.nv-denied (it wants another password, policy or hierarchy), tpm.nv-size,
 * tpm.lockout.
 */
#define TPM_NV_MAX (16u << 10) /* one index, bytes */

/*
 * Read a whole index, in pieces of the size that the TPM gives at once, each once and in order: a
 * reader that began anew at offset 0 would make Azure's paravisor write another report.
 * out  appended to, on success only
 */
int tpm_nv_read(struct tpm *t, uint32_t index, struct buf *out, struct err *e) MUST_CHECK;

/*
 * Read a few bytes of an index without its beginning, which Azure's paravisor answers with what is
 * there already.
 * out     n bytes, 1..TPM_NV_PEEK; set on success only
 * offset  1 or more; the index must reach so far (tpm.nv-size)
 */
#define TPM_NV_PEEK 32
int tpm_nv_peek(struct tpm *t, uint32_t index, size_t offset, uint8_t *out, size_t n,
		struct err *e) MUST_CHECK;

/*
 * Write data to offset 0 of an index of the owner. Absent: it is defined with that size
 * (OWNERWRITE, OWNERREAD). Of that size: it is used. Of `pad` bytes (0: none): the data are zero
 * padded to them. Of another size: it is undefined and defined anew.
 * data  1..64 bytes
 */
int tpm_nv_write(struct tpm *t, uint32_t index, struct view data, size_t pad,
		 struct err *e) MUST_CHECK;

/* One PCR of the SHA-256 bank. Errors: ERR_USAGE (pcr over 23), tpm.no-bank. */
int tpm_pcr_read(struct tpm *t, unsigned pcr, uint8_t out[32], struct err *e) MUST_CHECK;

/* All 24 of it. Errors: tpm.no-bank. */
int tpm_pcr_read_all(struct tpm *t, uint8_t out[TPM_PCRS][32], struct err *e) MUST_CHECK;

/*
 * Extend the SHA-256 bank of a PCR; other banks stay as they are. A TPM ignores an extend of a bank
 * that is not there, so that is asked first.
 * Errors: ERR_USAGE (pcr), tpm.failed (locality: PCRs 17..22 belong to others), tpm.no-bank.
 */
int tpm_pcr_extend(struct tpm *t, unsigned pcr, const uint8_t digest[32], struct err *e) MUST_CHECK;

/*
 * Create the AK (endorsement hierarchy: RSA-2048 restricted signing, RSASSA/SHA-256, empty auth)
 * and make it persistent at the handle set, under an EK of the standard template, as
 * tpm2_createek, tpm2_createak and tpm2_evictcontrol do. Nothing is overwritten and nothing is
 * left in the TPM after a failure.
 * Errors: ERR_USAGE (handle outside 81000000..817fffff), tpm.ak-exists.
 */
int tpm_provision_ak(struct tpm *t, struct err *e) MUST_CHECK;

/* Append manufacturer and firmware in words, one line without its end. Errors: as above. */
int tpm_describe(struct tpm *t, struct buf *text, struct err *e) MUST_CHECK;

#endif
