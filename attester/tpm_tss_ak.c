/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_tss.h"

enum { RSA_BITS = 2048 };

/* --- the attestation key ------------------------------------------------------------------- */

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

int tpm_ak_read(TPMT_PUBLIC *out, struct tpm *op, uint32_t handle, struct err *e)
{
	TPM2B_NAME name, qualified;
	struct tpm_try again = { 0 };
	TPM2B_PUBLIC public;
	const char *why;
	TSS2_RC rc;

	do {
		public = (TPM2B_PUBLIC){ 0 };
		name = qualified = (TPM2B_NAME){ 0 };
		rc = Tss2_Sys_ReadPublic(op->sys, handle, NULL, &public, &name, &qualified, NULL);
	} while (tpm_again(op, &again, rc));
	if (tpm_rc_is(rc, TPM2_RC_HANDLE))
		return err_code(e, CODE_TPM_NO_AK, "%s: there is no key at %08x", op->where,
				handle);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_ReadPublic", e);
	why = not_an_ak(&public.publicArea);
	if (why)
		return err_code(e, CODE_TPM_BAD_AK, "%s: the key at %08x %s", op->where, handle,
				why);
	*out = public.publicArea;
	return 0;
}

int tpm_ak_key(struct buf *der, struct pubkey **key, const TPMT_PUBLIC *ak, struct err *e)
{
	const struct view modulus = { ak->unique.rsa.buffer, ak->unique.rsa.size };
	const uint32_t exponent = ak->parameters.rsaDetail.exponent;
	int r = pubkey_rsa_spki(der, modulus, exponent, e);

	if (r == 0 && key)
		r = pubkey_rsa_new(key, modulus, exponent, e);
	return r == -ERR_FORMAT ? err_wrap_code(e, CODE_TPM_BAD_AK, "AK") : r;
}

int tpm_ak_public(struct tpm *t, struct buf *der, struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	TPMT_PUBLIC ak;
	int r = tpm_begin(&op, t, TPM_WAIT, e);

	if (r == 0)
		r = tpm_ak_read(&ak, op, op->ak, e);
	return r < 0 ? r : tpm_ak_key(der, NULL, &ak, e);
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
	TPML_TAGGED_TPM_PROPERTY got;
	uint32_t value[WANT] = { 0 };
	int r = tpm_begin(&op, t, TPM_WAIT, e);

	if (r < 0)
		return r;
	r = tpm_properties(&got, op, TPM2_PT_MANUFACTURER, WANT, e);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < got.count; i++) {
		const TPMS_TAGGED_PROPERTY *p = &got.tpmProperty[i];

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
