/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TPM_TSS_H
#define ATTESTER_TPM_TSS_H

#include "agent/crypto/pubkey.h"
#include "attester/tpm.h"
#include "attester/tpm_link.h"

#include <pthread.h>
#include <tss2/tss2_sys.h>

/*
 * Private to tpm.c, tpm_nv.c and tpm_tss*.c: a connection, commands over it, and what their codes
 * mean. Commands go through libtss2's system API (SAPI): of handles, names and sessions, which are
 * what ESYS adds, a password needs none, and ESYS hashes a name with a libcrypto context made for it
 * (half a millisecond) at each look at an NV index, each write of one and each key. Only where
 * sessions are needed, to make an AK, is ESYS used (tpm_tss_make.c).
 *
 *   cleanup_tpm_op struct tpm *op = NULL;
 *   struct tpm_try again = { 0 };
 *
 *   r = tpm_begin(&op, t, TPM_WAIT, e);          locked and connected; one deadline for all of it
 *   do
 *           rc = Tss2_Sys_…(op->sys, …);
 *   while (tpm_again(op, &again, rc));
 *   if (rc != TSS2_RC_SUCCESS)
 *           return tpm_fail(op, rc, "TPM2_…", e);
 */
enum {
	TPM_WAIT = 0,             /* of what tpm_set_wait() said, usually TPM_WAIT_MS */
	TPM_WAIT_CREATE = 120000, /* ms; making an RSA key takes a discrete TPM up to a minute */
};

struct tpm_tcti {
	TSS2_TCTI_CONTEXT_COMMON_V1 v1; /* first: libtss2 sees only this */
	struct tpm *tpm;
};

struct tpm {
	pthread_mutex_t lock;
	char where[TPM_LINK_WHERE];
	uint32_t ak;
	int64_t wait_ms;

	/* Under lock. */
	struct tpm_link link;
	struct tpm_tcti tcti;
	TSS2_SYS_CONTEXT *sys;    /* NULL: not connected */
	struct deadline deadline; /* of the operation under way */
	struct err io;            /* why the link failed; CODE_OK when it did not */
	bool stale;               /* sys or the link is in no known state: begin anew next time */
	size_t nv_chunk;          /* NV_BUFFER_MAX; 0: not asked yet */
};

#define cleanup_tpm_op __attribute__((cleanup(tpm_endp)))

/*
 * Lock and connect where that is not so.
 * op  set on success only; ends with tpm_endp()
 * ms  for everything until then, or TPM_WAIT
 * Errors: as tpm_open().
 */
int tpm_begin(struct tpm **op, struct tpm *t, int64_t ms, struct err *e) MUST_CHECK;
void tpm_endp(struct tpm **op);

/* Counts the tries of one command; starts as { 0 }. */
struct tpm_try {
	unsigned n;
};

/* True, after a pause, when the TPM asked to be asked again and there is time and a try left. */
bool tpm_again(struct tpm *t, struct tpm_try *again, TSS2_RC rc);

/* The error of a failed command; e->sys is rc. command is its name in the specification. */
int tpm_fail(struct tpm *t, TSS2_RC rc, const char *command, struct err *e);

/*
 * Ask for n properties of the TPM from the first on.
 * out  set on success only
 * Errors: tpm.reply (an answer that is of something else), tpm.failed, tpm.busy, tpm.timeout.
 */
int tpm_properties(TPML_TAGGED_TPM_PROPERTY *out, struct tpm *op, uint32_t first, uint32_t n,
		   struct err *e) MUST_CHECK;

/* The code without its layer when the TPM itself (or the resource manager) gave it, else 0. */
TSS2_RC tpm_rc_of_device(TSS2_RC rc);

/* True for a format-one code of that base (TPM2_RC_HANDLE, …), whichever parameter it names. */
bool tpm_rc_is(TSS2_RC rc, TSS2_RC base);

/* Of a command that wants one authorization: the empty password. */
extern const TSS2L_SYS_AUTH_COMMAND tpm_no_password;

/*
 * Send the command that Tss2_Sys_…_Prepare() has made and take its answer, for …_Complete().
 *
 * auth       tpm_no_password, or NULL for a command that wants none
 * meanwhile  called between the two with ctx; NULL for nothing
 */
TSS2_RC tpm_execute(struct tpm *op, const TSS2L_SYS_AUTH_COMMAND *auth,
		    void (*meanwhile)(void *ctx), void *ctx);

/*
 * The public part of the key at that persistent handle, checked to be an AK's.
 * out  zeroed by the caller
 * Errors: tpm.no-ak, tpm.bad-ak, tpm.failed, tpm.busy, tpm.timeout.
 */
int tpm_ak_read(TPMT_PUBLIC *out, struct tpm *op, uint32_t handle, struct err *e) MUST_CHECK;

/*
 * Append its SPKI, and make a key of it to verify with; key may be NULL for none.
 * Errors: tpm.bad-ak (numbers that make no key), ERR_CRYPTO, ERR_LIMIT, ERR_NOMEM.
 */
int tpm_ak_key(struct buf *der, struct pubkey **key, const TPMT_PUBLIC *ak, struct err *e) MUST_CHECK;

#endif
