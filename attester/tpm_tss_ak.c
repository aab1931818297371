/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "attester/tpm_tss.h"

/*
 * The attestation key: loaded and checked, or made as tpm2_createek and tpm2_createak make it, so
 * that either program's key serves the other.
 */
enum {
	HANDLE_FIRST = 0x81000000, /* persistent handles that the owner may assign */
	HANDLE_LAST = 0x817fffff,
	RSA_BITS = 2048,
};

/* --- load --------------------------------------------------------------------------------- */

void tpm_key_done(struct tpm_key *key)
{
	Esys_Free(key->public);
	key->public = NULL;
}

/* A sentence about what is wrong with the key, or NULL. */
static const char *not_an_ak(const TPMT_PUBLIC *p)
{
	const TPMA_OBJECT a = p->objectAttributes;

	if (p->type != TPM2_ALG_RSA)
		return "is not an RSA key";
	if (!(a & TPMA_OBJECT_SIGN_ENCRYPT) || (a & TPMA_OBJECT_DECRYPT))
		return "is not a signing key";
	if (!(a & TPMA_OBJECT_RESTRICTED))
		return "is not restricted: it would sign what did not come from the TPM";
	if (p->parameters.rsaDetail.scheme.scheme != TPM2_ALG_RSASSA ||
	    p->parameters.rsaDetail.scheme.details.rsassa.hashAlg != TPM2_ALG_SHA256)
		return "does not sign with RSASSA/SHA-256";
	if (p->parameters.rsaDetail.keyBits < RSA_BITS)
		return "is shorter than 2048 bits";
	return NULL;
}

int tpm_key_load(struct tpm_key *key, uint32_t handle, struct err *e)
{
	struct tpm *op = key->op;
	struct tpm_try again = { 0 };
	const char *why;
	TSS2_RC rc;

	rc = tpm_tr(op, handle, &key->tr);
	if (rc == TSS2_RC_SUCCESS) {
		do
			rc = Esys_ReadPublic(op->esys, key->tr, ESYS_TR_NONE, ESYS_TR_NONE,
					     ESYS_TR_NONE, &key->public, NULL, NULL);
		while (tpm_again(op, &again, rc));
		if (rc != TSS2_RC_SUCCESS)
			tpm_tr_forget(op, handle, true);
	}
	if (tpm_rc_is(rc, TPM2_RC_HANDLE))
		return err_code(e, CODE_TPM_NO_AK, "%s: there is no key at %08x", op->where,
				handle);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_ReadPublic", e);
	why = not_an_ak(&key->public->publicArea);
	if (why)
		return err_code(e, CODE_TPM_BAD_AK, "%s: the key at %08x %s", op->where, handle,
				why);
	return 0;
}

int tpm_key_spki(struct buf *der, const struct tpm_key *key, struct err *e)
{
	const TPMT_PUBLIC *p = &key->public->publicArea;
	const struct view modulus = { p->unique.rsa.buffer, p->unique.rsa.size };
	int r = pubkey_rsa_spki(der, modulus, p->parameters.rsaDetail.exponent, e);

	return r == -ERR_FORMAT ? err_wrap_code(e, CODE_TPM_BAD_AK, "AK") : r;
}

int tpm_ak_public(struct tpm *t, struct buf *der, struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	int r = tpm_begin(&op, t, TPM_WAIT, e);

	if (r < 0)
		return r;

	cleanup_tpm_key struct tpm_key key = { .op = op, .tr = ESYS_TR_NONE };

	r = tpm_key_load(&key, op->ak, e);
	if (r < 0)
		return r;
	return tpm_key_spki(der, &key, e);
}

/* --- make --------------------------------------------------------------------------------- */

/* What is in the TPM on the way to a new AK; flushed at the end, whatever happened. */
struct making {
	struct tpm *op;
	ESYS_TR ek, session, ak;
};

#define cleanup_making __attribute__((cleanup(making_done)))

static void flush(struct tpm *op, ESYS_TR *tr)
{
	if (*tr != ESYS_TR_NONE && op->esys && !op->stale &&
	    Esys_FlushContext(op->esys, *tr) != TSS2_RC_SUCCESS)
		op->stale = true;
	*tr = ESYS_TR_NONE;
}

static void making_done(struct making *m)
{
	flush(m->op, &m->ak);
	flush(m->op, &m->session);
	flush(m->op, &m->ek);
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
		rc = Esys_CreatePrimary(m->op->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
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

	flush(op, &m->session);
	do
		rc = Esys_StartAuthSession(op->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					   ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none,
					   TPM2_ALG_SHA256, &m->session);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_StartAuthSession", e);
	do
		rc = Esys_PolicySecret(op->esys, ESYS_TR_RH_ENDORSEMENT, m->session,
				       ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL,
				       NULL, 0, NULL, NULL);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_PolicySecret (endorsement hierarchy)", e);
	/* Kept by the TPM after use, so that it is we who flush it, in every case. */
	rc = Esys_TRSess_SetAttributes(op->esys, m->session, TPMA_SESSION_CONTINUESESSION, 0xff);
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
		rc = Esys_Create(op->esys, m->ek, m->session, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
				 &ak_template, &no_info, &no_pcrs, &private, &public, NULL, NULL,
				 NULL);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_Create", e);
	r = allow_ek(m, e);
	if (r < 0)
		return r;
	do
		rc = Esys_Load(op->esys, m->ek, m->session, ESYS_TR_NONE, ESYS_TR_NONE, private,
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
	struct tpm_try again = { 0 };
	ESYS_TR tr;
	TSS2_RC rc;

	do
		rc = Esys_TR_FromTPMPublic(op->esys, op->ak, ESYS_TR_NONE, ESYS_TR_NONE,
					   ESYS_TR_NONE, &tr);
	while (tpm_again(op, &again, rc));
	if (tpm_rc_is(rc, TPM2_RC_HANDLE))
		return 0;
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_ReadPublic", e);
	return fail_exists(op, e);
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

	cleanup_making struct making m = { op, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE };

	r = check_free(op, e);
	if (r == 0)
		r = make_ek(&m, e);
	if (r == 0)
		r = make_ak(&m, e);
	if (r < 0)
		return r;
	do
		rc = Esys_EvictControl(op->esys, ESYS_TR_RH_OWNER, m.ak, ESYS_TR_PASSWORD,
				       ESYS_TR_NONE, ESYS_TR_NONE, op->ak, &kept);
	while (tpm_again(op, &again, rc));
	if (tpm_rc_of_device(rc) == TPM2_RC_NV_DEFINED)
		return fail_exists(op, e);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_EvictControl (owner hierarchy)", e);
	return 0;
}

/* --- words -------------------------------------------------------------------------------- */

/* Four characters in a number; what cannot be printed is left out. */
static void put_chars(struct buf *b, uint32_t x)
{
	for (int shift = 24; shift >= 0; shift -= 8) {
		uint8_t c = (uint8_t)(x >> shift);

		if (c > ' ' && c < 0x7f)
			buf_putc(b, c);
	}
}

int tpm_describe(struct tpm *t, struct buf *text, struct err *e)
{
	enum { WANT = TPM2_PT_FIRMWARE_VERSION_2 - TPM2_PT_MANUFACTURER + 1 };
	cleanup_tpm_op struct tpm *op = NULL;
	cleanup_esys TPMS_CAPABILITY_DATA *got = NULL;
	uint32_t value[WANT] = { 0 };
	int r = tpm_begin(&op, t, TPM_WAIT, e);

	if (r < 0)
		return r;
	r = tpm_properties(&got, op, TPM2_PT_MANUFACTURER, WANT, e);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < got->data.tpmProperties.count; i++) {
		const TPMS_TAGGED_PROPERTY *p = &got->data.tpmProperties.tpmProperty[i];

		if (p->property >= TPM2_PT_MANUFACTURER &&
		    p->property - TPM2_PT_MANUFACTURER < WANT)
			value[p->property - TPM2_PT_MANUFACTURER] = p->value;
	}
	buf_puts(text, "manufacturer ");
	put_chars(text, value[0]);
	buf_puts(text, ", model ");
	for (uint32_t i = TPM2_PT_VENDOR_STRING_1; i <= TPM2_PT_VENDOR_STRING_4; i++)
		put_chars(text, value[i - TPM2_PT_MANUFACTURER]);
	buf_printf(text, ", firmware %u.%u.%u.%u", value[WANT - 2] >> 16, value[WANT - 2] & 0xffff,
		   value[WANT - 1] >> 16, value[WANT - 1] & 0xffff);
	return buf_check(text, "TPM description", e);
}
