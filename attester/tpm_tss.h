/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TPM_TSS_H
#define ATTESTER_TPM_TSS_H

#include "attester/tpm.h"
#include "attester/tpm_link.h"

#include <pthread.h>
#include <tss2/tss2_esys.h>

/*
 * Private to tpm.c, tpm_nv.c, tpm_tss.c and tpm_tss_ak.c: a session with ESYS, and what its codes mean.
 *
 *   cleanup_tpm_op struct tpm *op = NULL;
 *   struct tpm_try again = { 0 };
 *
 *   r = tpm_begin(&op, t, TPM_WAIT, e);          locked and connected; one deadline for all of it
 *   do
 *           rc = Esys_…(op->esys, …);
 *   while (tpm_again(op, &again, rc));
 *   if (rc != TSS2_RC_SUCCESS)
 *           return tpm_fail(op, rc, "TPM2_…", e);
 */
enum {
	TPM_WAIT = 0,             /* of what tpm_set_wait() said, usually TPM_WAIT_MS */
	TPM_WAIT_CREATE = 120000, /* ms; making an RSA key takes a discrete TPM up to a minute */
	TPM_KNOWN = 4,            /* handles: the AK and two NV indexes */
};

struct tpm_tcti {
	TSS2_TCTI_CONTEXT_COMMON_V1 v1; /* first: ESYS sees only this */
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
	ESYS_CONTEXT *esys;       /* NULL: not connected */
	struct deadline deadline; /* of the operation under way */
	struct err io;            /* why the link failed; CODE_OK when it did not */
	bool stale;               /* ESYS or the link is in no known state: begin anew next time */
	size_t nv_chunk;          /* NV_BUFFER_MAX; 0: not asked yet */
	struct {
		uint32_t handle; /* 0: free */
		ESYS_TR tr;
	} known[TPM_KNOWN]; /* of ESYS: tpm_tr() */
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

static inline void tpm_esys_freep(void *pp)
{
	Esys_Free(*(void **)pp);
}

#define cleanup_esys __attribute__((cleanup(tpm_esys_freep)))

/*
 * Ask for n properties of the TPM from the first on.
 * out  set on success only; release with Esys_Free()
 * Errors: tpm.reply (an answer that is of something else), tpm.failed, tpm.busy, tpm.timeout.
 */
int tpm_properties(TPMS_CAPABILITY_DATA **out, struct tpm *op, uint32_t first, uint32_t n,
		   struct err *e) MUST_CHECK;

/* The code without its layer when the TPM itself (or the resource manager) gave it, else 0. */
TSS2_RC tpm_rc_of_device(TSS2_RC rc);

/* True for a format-one code of that base (TPM2_RC_HANDLE, …), whichever parameter it names. */
bool tpm_rc_is(TSS2_RC rc, TSS2_RC base);

/*
 * What ESYS calls a persistent key or an NV index. Kept as long as ESYS lives: for each such object it
 * asks the TPM and makes a libcrypto context anew, half a millisecond. So it may be of something
 * that was there before; whoever uses it reads its public part each time.
 */
TSS2_RC tpm_tr(struct tpm *op, uint32_t handle, ESYS_TR *tr);

/* The object of that handle is not what it was. close: ESYS still knows it. */
void tpm_tr_forget(struct tpm *op, uint32_t handle, bool close);

/* A key loaded from a persistent handle, and its public part. */
struct tpm_key {
	struct tpm *op;
	ESYS_TR tr;
	TPM2B_PUBLIC *public; /* owned */
};

#define cleanup_tpm_key __attribute__((cleanup(tpm_key_done)))

/*
 * The AK at that persistent handle, checked to be one.
 * key  { .op = op, .tr = ESYS_TR_NONE }; its content is owned also after a failure
 * Errors: tpm.no-ak, tpm.bad-ak, tpm.failed, tpm.busy, tpm.timeout.
 */
int tpm_key_load(struct tpm_key *key, uint32_t handle, struct err *e) MUST_CHECK;
void tpm_key_done(struct tpm_key *key);

/* Append its DER SubjectPublicKeyInfo. Errors: ERR_CRYPTO, ERR_LIMIT, ERR_NOMEM. */
int tpm_key_spki(struct buf *der, const struct tpm_key *key, struct err *e) MUST_CHECK;

#endif
