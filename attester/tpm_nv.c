/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_tss.h"

/*
 * NV indexes. The commands stand in spec/evidence.md 3.2 and 3.3; what the TPM answers about an
 * index (its size, how much it gives at once) is held to limits before it is used.
 */
enum {
	CHUNK_MIN = TPM_NV_PEEK,            /* a TPM that gives less at once is broken */
	CHUNK_MAX = TPM2_MAX_NV_BUFFER_SIZE, /* of libtss2 */
	DATA_MAX = 64,                      /* of tpm_nv_write() */
};

/* An index, as its public part says. */
struct nv {
	struct tpm *op;
	uint32_t index;
	size_t size;
	TPMA_NV attributes;
};

static int nv_fail(const struct nv *nv, TSS2_RC rc, const char *command, struct err *e)
{
	TSS2_RC code = tpm_rc_of_device(rc);
	enum err_code why = CODE_OK;
	int r;

	if (tpm_rc_is(rc, TPM2_RC_HANDLE))
		why = CODE_TPM_NV_ABSENT;
	else if (code == TPM2_RC_NV_UNINITIALIZED)
		why = CODE_TPM_NV_UNWRITTEN;
	else if (code == TPM2_RC_NV_LOCKED)
		why = CODE_TPM_NV_LOCKED;
	else if (code == TPM2_RC_NV_RANGE || code == TPM2_RC_NV_SIZE || code == TPM2_RC_NV_SPACE)
		why = CODE_TPM_NV_SIZE;
	else if (code == TPM2_RC_NV_AUTHORIZATION || code == TPM2_RC_AUTH_UNAVAILABLE ||
		 tpm_rc_is(rc, TPM2_RC_AUTH_FAIL) || tpm_rc_is(rc, TPM2_RC_BAD_AUTH) ||
		 tpm_rc_is(rc, TPM2_RC_HIERARCHY) || tpm_rc_is(rc, TPM2_RC_ATTRIBUTES))
		why = CODE_TPM_NV_DENIED;
	if (why == CODE_OK) {
		r = tpm_fail(nv->op, rc, command, e);
		return err_wrap(e, r, "NV %08x", nv->index);
	}
	r = err_code(e, why, "%s: NV %08x: %s: TSS2_RC 0x%x", nv->op->where, nv->index, command,
		     rc);
	if (e)
		e->sys = (int)rc;
	return r;
}

/* How much the TPM takes and gives at once; asked for once a connection. */
static int find_chunk(struct tpm *op, struct err *e)
{
	TPML_TAGGED_TPM_PROPERTY got;
	const TPMS_TAGGED_PROPERTY *p = &got.tpmProperty[0];
	int r;

	if (op->nv_chunk != 0)
		return 0;
	r = tpm_properties(&got, op, TPM2_PT_NV_BUFFER_MAX, 1, e);
	if (r < 0)
		return r;
	if (got.count != 1 || p->property != TPM2_PT_NV_BUFFER_MAX ||
	    p->value < CHUNK_MIN)
		return err_code(e, CODE_TPM_REPLY,
				"%s: TPM2_GetCapability: NV_BUFFER_MAX of %u bytes", op->where,
				got.count == 1 ? p->value : 0);
	op->nv_chunk = p->value < CHUNK_MAX ? p->value : CHUNK_MAX;
	return 0;
}

static int nv_open(struct nv *nv, struct err *e)
{
	struct tpm_try again = { 0 };
	TPM2B_NV_PUBLIC public;
	TPM2B_NAME name;
	TSS2_RC rc;

	do {
		public = (TPM2B_NV_PUBLIC){ 0 };
		name = (TPM2B_NAME){ 0 };
		rc = Tss2_Sys_NV_ReadPublic(nv->op->sys, nv->index, NULL, &public, &name, NULL);
	} while (tpm_again(nv->op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return nv_fail(nv, rc, "TPM2_NV_ReadPublic", e);
	if (public.nvPublic.nvIndex != nv->index)
		return err_code(e, CODE_TPM_REPLY, "%s: TPM2_NV_ReadPublic: of %08x, asked for %08x",
				nv->op->where, public.nvPublic.nvIndex, nv->index);
	nv->size = public.nvPublic.dataSize;
	nv->attributes = public.nvPublic.attributes;
	return 0;
}

/* Who allows it: the owner where the index admits it, else the index's own password. */
static TPMI_RH_NV_AUTH authority(const struct nv *nv, TPMA_NV owner)
{
	return (nv->attributes & owner) != 0 ? TPM2_RH_OWNER : nv->index;
}

static int read_piece(uint8_t *p, size_t n, const struct nv *nv, size_t offset, struct err *e)
{
	TSS2L_SYS_AUTH_RESPONSE answer;
	struct tpm_try again = { 0 };
	TPM2B_MAX_NV_BUFFER got;
	TSS2_RC rc;

	do {
		got.size = 0;
		rc = Tss2_Sys_NV_Read(nv->op->sys, authority(nv, TPMA_NV_OWNERREAD), nv->index,
				      &tpm_no_password, (UINT16)n, (UINT16)offset, &got, &answer);
	} while (tpm_again(nv->op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return nv_fail(nv, rc, "TPM2_NV_Read", e);
	if (got.size != n)
		return err_code(e, CODE_TPM_REPLY,
				"%s: NV %08x: TPM2_NV_Read gave %u bytes at %zu, want %zu",
				nv->op->where, nv->index, got.size, offset, n);
	memcpy(p, got.buffer, n);
	return 0;
}

int tpm_nv_read(struct tpm *t, uint32_t index, struct buf *out, struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	cleanup_free uint8_t *bytes = NULL;
	int r = tpm_begin(&op, t, TPM_WAIT, e);

	if (r < 0)
		return r;

	struct nv nv = { .op = op, .index = index };

	r = nv_open(&nv, e);
	if (r == 0)
		r = find_chunk(op, e);
	if (r < 0)
		return r;
	if (nv.size == 0 || nv.size > TPM_NV_MAX)
		return err_code(e, CODE_TPM_NV_SIZE, "%s: NV %08x has %zu bytes, allowed 1..%u",
				op->where, index, nv.size, TPM_NV_MAX);
	bytes = malloc(nv.size);
	if (!bytes)
		return err_set(e, ERR_NOMEM, "no memory for %zu bytes of NV", nv.size);
	for (size_t done = 0; done < nv.size;) {
		size_t n = nv.size - done < op->nv_chunk ? nv.size - done : op->nv_chunk;

		r = read_piece(bytes + done, n, &nv, done, e);
		if (r < 0)
			return r;
		done += n;
	}
	buf_put(out, bytes, nv.size);
	return buf_check(out, "NV index", e);
}

int tpm_nv_peek(struct tpm *t, uint32_t index, size_t offset, uint8_t *out, size_t n, struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	int r;

	if (offset == 0 || n == 0 || n > TPM_NV_PEEK)
		return err_set(e, ERR_USAGE, "%zu bytes at %zu of NV %08x", n, offset, index);
	r = tpm_begin(&op, t, TPM_WAIT, e);
	if (r < 0)
		return r;

	struct nv nv = { .op = op, .index = index };

	r = nv_open(&nv, e);
	if (r < 0)
		return r;
	if (offset > nv.size || n > nv.size - offset)
		return err_code(e, CODE_TPM_NV_SIZE, "%s: NV %08x has %zu bytes, want %zu at %zu",
				op->where, index, nv.size, n, offset);
	return read_piece(out, n, &nv, offset, e);
}

/* --- write ---------------------------------------------------------------------------------- */

static int undefine(struct nv *nv, struct err *e)
{
	TSS2L_SYS_AUTH_RESPONSE answer;
	struct tpm_try again = { 0 };
	TSS2_RC rc;

	do
		rc = Tss2_Sys_NV_UndefineSpace(nv->op->sys, TPM2_RH_OWNER, nv->index,
					       &tpm_no_password, &answer);
	while (tpm_again(nv->op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return nv_fail(nv, rc, "TPM2_NV_UndefineSpace", e);
	return 0;
}

static int define(struct nv *nv, size_t size, struct err *e)
{
	const TPM2B_AUTH no_auth = { 0 };
	const TPM2B_NV_PUBLIC public = {
		.nvPublic = { .nvIndex = nv->index,
			      .nameAlg = TPM2_ALG_SHA256,
			      .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD,
			      .dataSize = (UINT16)size },
	};
	TSS2L_SYS_AUTH_RESPONSE answer;
	struct tpm_try again = { 0 };
	TSS2_RC rc;
	int r;

	do
		rc = Tss2_Sys_NV_DefineSpace(nv->op->sys, TPM2_RH_OWNER, &tpm_no_password, &no_auth,
					     &public, &answer);
	while (tpm_again(nv->op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return nv_fail(nv, rc, "TPM2_NV_DefineSpace", e);
	r = nv_open(nv, e);
	if (r == 0 && nv->size != size)
		return err_code(e, CODE_TPM_REPLY,
				"%s: NV %08x has %zu bytes, but was defined with %zu", nv->op->where,
				nv->index, nv->size, size);
	return r;
}

/* An index that takes size bytes, or pad of them. */
static int nv_prepare(struct nv *nv, size_t size, size_t pad, struct err *e)
{
	struct err why = { 0 };
	int r = nv_open(nv, &why);

	if (r == 0 && (nv->size == size || (pad != 0 && nv->size == pad)))
		return 0;
	if (r < 0 && why.code != CODE_TPM_NV_ABSENT) {
		if (e)
			*e = why;
		return r;
	}
	if (r == 0) {
		r = undefine(nv, e);
		if (r < 0)
			return r;
	}
	return define(nv, size, e);
}

int tpm_nv_write(struct tpm *t, uint32_t index, struct view data, size_t pad, struct err *e)
{
	cleanup_tpm_op struct tpm *op = NULL;
	TPM2B_MAX_NV_BUFFER buffer = { 0 };
	TSS2L_SYS_AUTH_RESPONSE answer;
	struct tpm_try again = { 0 };
	TSS2_RC rc;
	int r;

	if (data.len == 0 || data.len > DATA_MAX || pad > DATA_MAX || (pad != 0 && pad < data.len))
		return err_set(e, ERR_USAGE, "%zu bytes for NV %08x, allowed 1..%d", data.len,
			       index, DATA_MAX);
	r = tpm_begin(&op, t, TPM_WAIT, e);
	if (r < 0)
		return r;

	struct nv nv = { .op = op, .index = index };

	r = nv_prepare(&nv, data.len, pad, e);
	if (r < 0)
		return r;
	memcpy(buffer.buffer, data.p, data.len);
	buffer.size = (UINT16)nv.size;
	do
		rc = Tss2_Sys_NV_Write(op->sys, authority(&nv, TPMA_NV_OWNERWRITE), nv.index,
				       &tpm_no_password, &buffer, 0, &answer);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return nv_fail(&nv, rc, "TPM2_NV_Write", e);
	return 0;
}
