/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_tss.h"

#include <tss2/tss2_esys.h>

/*
 * An attestation key, made as tpm2_createek and tpm2_createak make it, so that either program's key
 * serves the other.
 */
enum {
	HANDLE_FIRST = 0x81000000, /* persistent handles that the owner may assign */
	HANDLE_LAST = 0x817fffff,
	RSA_BITS = 2048,
};

#define cleanup_esys __attribute__((cleanup(esys_freep)))

static void esys_freep(void *pp)
{
	Esys_Free(*(void **)pp);
}

/* What is in the TPM on the way to a new AK; flushed at the end, whatever happened. */
struct making {
	struct tpm *op;
	ESYS_CONTEXT *esys;
	ESYS_TR ek, session, ak;
};

#define cleanup_making __attribute__((cleanup(making_done)))

static void flush(struct making *m, ESYS_TR *tr)
{
	if (*tr != ESYS_TR_NONE && m->esys && !m->op->stale &&
	    Esys_FlushContext(m->esys, *tr) != TSS2_RC_SUCCESS)
		m->op->stale = true;
	*tr = ESYS_TR_NONE;
}

static void making_done(struct making *m)
{
	flush(m, &m->ak);
	flush(m, &m->session);
	flush(m, &m->ek);
	if (m->esys)
		Esys_Finalize(&m->esys);
}

/* Over the connection that op has: the two take turns, a command each. */
static int open_esys(struct making *m, struct err *e)
{
	TSS2_RC rc = Esys_Initialize(&m->esys, (TSS2_TCTI_CONTEXT *)(void *)&m->op->tcti, NULL);

	return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(m->op, rc, "Esys_Initialize", e);
}

/*
 * Template L-1 of TCG EK Credential Profile 2.5, B.3.3: RSA 2048, used under
 * PolicySecret(endorsement hierarchy), with 256 zero bytes as unique.
 */
static const TPM2B_PUBLIC ek_template = {
	.publicArea = {
		.type = TPM2_ALG_RSA,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
				    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
		.authPolicy = { .size = 32,
				.buffer = { 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8,
					    0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
					    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64,
					    0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa } },
		.parameters.rsaDetail = { .symmetric = { .algorithm = TPM2_ALG_AES,
							 .keyBits.aes = 128,
							 .mode.aes = TPM2_ALG_CFB },
					  .scheme.scheme = TPM2_ALG_NULL,
					  .keyBits = RSA_BITS },
		.unique.rsa.size = 256,
	},
};

/* noDA: someone else's wrong passwords must not lock attestation out. */
static const TPM2B_PUBLIC ak_template = {
	.publicArea = {
		.type = TPM2_ALG_RSA,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
				    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT |
				    TPMA_OBJECT_NODA,
		.parameters.rsaDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
					  .scheme = { .scheme = TPM2_ALG_RSASSA,
						      .details.rsassa.hashAlg = TPM2_ALG_SHA256 },
					  .keyBits = RSA_BITS },
	},
};

static const TPM2B_SENSITIVE_CREATE no_auth = { 0 };
static const TPM2B_DATA no_info = { 0 };
static const TPML_PCR_SELECTION no_pcrs = { 0 };

static int make_ek(struct making *m, struct err *e)
{
	struct tpm_try again = { 0 };
	TSS2_RC rc;

	do
		rc = Esys_CreatePrimary(m->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
					ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &ek_template,
					&no_info, &no_pcrs, &m->ek, NULL, NULL, NULL, NULL);
	while (tpm_again(m->op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(m->op, rc, "TPM2_CreatePrimary (endorsement hierarchy)", e);
	return 0;
}

/* A policy session that may use the EK once: a command resets the session's policy. */
static int allow_ek(struct making *m, struct err *e)
{
	const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
	struct tpm *op = m->op;
	struct tpm_try again = { 0 };
	TSS2_RC rc;

	flush(m, &m->session);
	do
		rc = Esys_StartAuthSession(m->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					   ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none,
					   TPM2_ALG_SHA256, &m->session);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_StartAuthSession", e);
	do
		rc = Esys_PolicySecret(m->esys, ESYS_TR_RH_ENDORSEMENT, m->session,
				       ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL,
				       NULL, 0, NULL, NULL);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_PolicySecret (endorsement hierarchy)", e);
	/* Kept by the TPM after use, so that it is we who flush it, in every case. */
	rc = Esys_TRSess_SetAttributes(m->esys, m->session, TPMA_SESSION_CONTINUESESSION, 0xff);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "session attributes", e);
	return 0;
}

static int make_ak(struct making *m, struct err *e)
{
	cleanup_esys TPM2B_PRIVATE *private = NULL;
	cleanup_esys TPM2B_PUBLIC *public = NULL;
	struct tpm *op = m->op;
	struct tpm_try again = { 0 };
	TSS2_RC rc;
	int r = allow_ek(m, e);

	if (r < 0)
		return r;
	do
		rc = Esys_Create(m->esys, m->ek, m->session, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
				 &ak_template, &no_info, &no_pcrs, &private, &public, NULL, NULL,
				 NULL);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_Create", e);
	r = allow_ek(m, e);
	if (r < 0)
		return r;
	do
		rc = Esys_Load(m->esys, m->ek, m->session, ESYS_TR_NONE, ESYS_TR_NONE, private,
			       public, &m->ak);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_Load", e);
	return 0;
}

static int fail_exists(const struct tpm *op, struct err *e)
{
	return err_code(e, CODE_TPM_AK_EXISTS, "%s: there is a key at %08x", op->where, op->ak);
}

static int check_free(struct tpm *op, struct err *e)
{
	struct err why = { 0 };
	TPMT_PUBLIC key;
	int r = tpm_ak_read(&key, op, op->ak, &why);

	if (why.code == CODE_TPM_NO_AK)
		return 0;
	if (r == 0 || why.code == CODE_TPM_BAD_AK)
		return fail_exists(op, e);
	if (e)
		*e = why;
	return r;
}

int tpm_provision_ak(struct tpm *t, struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	struct tpm_try again = { 0 };
	ESYS_TR kept;
	TSS2_RC rc;
	int r;

	if (t->ak < HANDLE_FIRST || t->ak > HANDLE_LAST)
		return err_set(e, ERR_USAGE, "AK handle %08x, allowed %08x..%08x", t->ak,
			       HANDLE_FIRST, HANDLE_LAST);
	r = tpm_begin(&op, t, TPM_WAIT_CREATE, e);
	if (r < 0)
		return r;

	cleanup_making struct making m = { op, NULL, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE };

	r = check_free(op, e);
	if (r == 0)
		r = open_esys(&m, e);
	if (r == 0)
		r = make_ek(&m, e);
	if (r == 0)
		r = make_ak(&m, e);
	if (r < 0)
		return r;
	do
		rc = Esys_EvictControl(m.esys, ESYS_TR_RH_OWNER, m.ak, ESYS_TR_PASSWORD,
				       ESYS_TR_NONE, ESYS_TR_NONE, op->ak, &kept);
	while (tpm_again(op, &again, rc));
	if (tpm_rc_of_device(rc) == TPM2_RC_NV_DEFINED)
		return fail_exists(op, e);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_EvictControl (owner hierarchy)", e);
	return 0;
}
