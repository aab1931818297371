/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_tss.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <tss2/tss2_rc.h>

enum {
	TRIES = 14, /* 5 s in all */
	PAUSE_MS = 20, /* doubled at each try */
	PAUSE_MAX_MS = 500,
	OPEN_TRIES = 6,
};

/*
 * libtss2 writes its own lines to stderr, several for one failure, and takes the file and the
 * level from the environment. One failure is one line of ours. Before main(), because setenv(3)
 * must not race with a thread that reads the environment.
 */
__attribute__((constructor)) static void silence_tss(void)
{
	(void)setenv("TSS2_LOG", "all+NONE", 1);
}

static void pause_ms(int64_t ms)
{
	(void)poll(NULL, 0, (int)ms);
}

/* --- the transport that libtss2 is given -------------------------------------------------- */

static struct tpm *tpm_of(TSS2_TCTI_CONTEXT *c)
{
	return ((struct tpm_tcti *)(void *)c)->tpm;
}

static TSS2_RC tcti_transmit(TSS2_TCTI_CONTEXT *c, size_t n, const uint8_t *p)
{
	struct tpm *t = tpm_of(c);

	if (tpm_link_send(&t->link, (struct view){ p, n }, t->deadline, &t->io) < 0)
		return TSS2_TCTI_RC_IO_ERROR;
	return TSS2_RC_SUCCESS;
}

/*
 * A passed deadline is an error: ESYS would ask for ever after TSS2_TCTI_RC_TRY_AGAIN. Nothing
 * behind the reply is touched: p still holds the command, and ESYS sends it again from there when
 * the TPM asks for that.
 */
static TSS2_RC tcti_receive(TSS2_TCTI_CONTEXT *c, size_t *n, uint8_t *p, int32_t timeout)
{
	struct tpm *t = tpm_of(c);

	(void)timeout;
	if (!p) {
		*n = TPM_LINK_MAX;
		return TSS2_RC_SUCCESS;
	}
	if (tpm_link_receive(&t->link, p, n, t->deadline, &t->io) < 0)
		return TSS2_TCTI_RC_IO_ERROR;
	return TSS2_RC_SUCCESS;
}

static void tcti_finalize(TSS2_TCTI_CONTEXT *c)
{
	(void)c; /* the link outlives libtss2's context where that is wanted */
}

/* --- session ------------------------------------------------------------------------------ */

static void disconnect(struct tpm *t)
{
	if (t->sys)
		Tss2_Sys_Finalize(t->sys);
	free(take(t->sys));
	if (t->link.socket || t->io.code != CODE_TPM_TIMEOUT)
		tpm_link_close(&t->link);
	t->stale = false;
	t->nv_chunk = 0;
}

/* /dev/tpm0 admits one program at a time, usually for a moment only. */
static int open_link(struct tpm *t, struct err *e)
{
	for (unsigned i = 0;; i++) {
		struct err why = { 0 };
		int r = tpm_link_open(&t->link, t->where, t->deadline, &why);

		if (r < 0 && why.code == CODE_TPM_BUSY && i + 1 < OPEN_TRIES) {
			pause_ms(PAUSE_MS << i);
			continue;
		}
		if (r < 0 && e)
			*e = why;
		return r;
	}
}

static int connect_tpm(struct tpm *t, struct err *e)
{
	const size_t size = Tss2_Sys_GetContextSize(TPM_LINK_MAX);
	TSS2_RC rc;
	int r;

	if (t->link.fd < 0) {
		r = open_link(t, e);
		if (r < 0)
			return r;
	}
	if (t->sys)
		return 0;
	t->tcti = (struct tpm_tcti){
		.v1 = { .magic = 0x766f756368736166, /* any number but 0 */
			.version = 1,
			.transmit = tcti_transmit,
			.receive = tcti_receive,
			.finalize = tcti_finalize },
		.tpm = t,
	};
	t->sys = calloc(1, size);
	if (!t->sys)
		return err_set(e, ERR_NOMEM, "no memory for a TPM");
	rc = Tss2_Sys_Initialize(t->sys, size, (TSS2_TCTI_CONTEXT *)(void *)&t->tcti, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(t, rc, "Tss2_Sys_Initialize", e);
	return 0;
}

int tpm_begin(struct tpm **op, struct tpm *t, int64_t ms, struct err *e)
{
	int r;

	(void)pthread_mutex_lock(&t->lock);
	t->deadline = deadline_in(ms == TPM_WAIT ? t->wait_ms : ms);
	t->io = (struct err){ 0 };
	r = connect_tpm(t, e);
	if (r < 0) {
		disconnect(t);
		(void)pthread_mutex_unlock(&t->lock);
		return r;
	}
	*op = t;
	return 0;
}

void tpm_endp(struct tpm **op)
{
	struct tpm *t = *op;

	if (!t)
		return;
	/* A swtpm serves one client at a time: while we keep it, everyone else waits. */
	if (t->stale || t->link.socket)
		disconnect(t);
	(void)pthread_mutex_unlock(&t->lock);
	*op = NULL;
}

int tpm_open(struct tpm **out, const char *where, struct err *e)
{
	cleanup_tpm struct tpm *t = NULL;
	cleanup_tpm_op struct tpm *op = NULL;
	int r;

	if (strlen(where) >= TPM_LINK_WHERE)
		return err_set(e, ERR_USAGE, "TPM address of %zu bytes, allowed 1..%d",
			       strlen(where), TPM_LINK_WHERE - 1);
	t = calloc(1, sizeof *t);
	if (!t)
		return err_set(e, ERR_NOMEM, "no memory for a TPM");
	if (pthread_mutex_init(&t->lock, NULL) != 0) {
		free(take(t));
		return err_set(e, ERR_NOMEM, "no memory for a lock");
	}
	(void)snprintf(t->where, sizeof t->where, "%s", where);
	t->ak = TPM_AK_DEFAULT;
	t->wait_ms = TPM_WAIT_MS;
	t->link = TPM_LINK_CLOSED;
	r = tpm_begin(&op, t, TPM_WAIT, e);
	if (r < 0)
		return r;
	*out = take(t);
	return 0;
}

void tpm_close(struct tpm *t)
{
	if (!t)
		return;
	t->io = (struct err){ 0 };
	disconnect(t);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

bool tpm_is_socket(const char *where)
{
	return tpm_link_is_socket(where);
}

void tpm_set_ak(struct tpm *t, uint32_t handle)
{
	t->ak = handle;
}

uint32_t tpm_ak(const struct tpm *t)
{
	return t->ak;
}

void tpm_set_wait(struct tpm *t, int64_t ms)
{
	t->wait_ms = ms;
}

/* --- commands ------------------------------------------------------------------------------ */

const TSS2L_SYS_AUTH_COMMAND tpm_no_password = {
	.count = 1,
	.auths = { { .sessionHandle = TPM2_RH_PW } },
};

TSS2_RC tpm_execute(struct tpm *op, const TSS2L_SYS_AUTH_COMMAND *auth,
		    void (*meanwhile)(void *ctx), void *ctx)
{
	TSS2L_SYS_AUTH_RESPONSE answer = { 0 };
	TSS2_RC rc = auth ? Tss2_Sys_SetCmdAuths(op->sys, auth) : TSS2_RC_SUCCESS;

	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_Sys_ExecuteAsync(op->sys);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	if (meanwhile)
		meanwhile(ctx);
	rc = Tss2_Sys_ExecuteFinish(op->sys, TSS2_TCTI_TIMEOUT_BLOCK);
	if (rc == TSS2_RC_SUCCESS && auth)
		rc = Tss2_Sys_GetRspAuths(op->sys, &answer);
	return rc;
}

/* --- codes -------------------------------------------------------------------------------- */

TSS2_RC tpm_rc_of_device(TSS2_RC rc)
{
	switch (rc & TSS2_RC_LAYER_MASK) {
	case TSS2_TPM_RC_LAYER:
	case TSS2_RESMGR_TPM_RC_LAYER:
		return rc & ~(TSS2_RC)TSS2_RC_LAYER_MASK;
	default:
		return 0;
	}
}

bool tpm_rc_is(TSS2_RC rc, TSS2_RC base)
{
	TSS2_RC code = tpm_rc_of_device(rc);

	/* Format one: bit 7 set; bits 6 and 8..11 say which parameter, handle or session. */
	return (code & TPM2_RC_FMT1) != 0 && (code & (TPM2_RC_FMT1 | 0x3f)) == base;
}

static bool is_busy(TSS2_RC code)
{
	return code == TPM2_RC_RETRY || code == TPM2_RC_YIELDED || code == TPM2_RC_TESTING;
}

bool tpm_again(struct tpm *t, struct tpm_try *again, TSS2_RC rc)
{
	int64_t ms = PAUSE_MS << again->n;

	if (!is_busy(tpm_rc_of_device(rc)) || again->n + 1 >= TRIES)
		return false;
	if (ms > PAUSE_MAX_MS)
		ms = PAUSE_MAX_MS;
	if (deadline_left_ms(t->deadline) <= ms)
		return false;
	again->n++;
	pause_ms(ms);
	return true;
}

int tpm_fail(struct tpm *t, TSS2_RC rc, const char *command, struct err *e)
{
	TSS2_RC code = tpm_rc_of_device(rc);
	enum err_code why = CODE_TPM_FAILED;
	int r;

	if (code == 0)
		t->stale = true;
	if (t->io.code != CODE_OK) {
		if (e)
			*e = t->io;
		return err_wrap(e, -(int)t->io.kind, "%s: %s", t->where, command);
	}
	if ((rc & 0xffff) == TSS2_BASE_RC_MEMORY && code == 0)
		return err_set(e, ERR_NOMEM, "no memory for %s", command);
	/* Memory that other programs without a resource manager have filled. */
	if (is_busy(code) || code == TPM2_RC_OBJECT_MEMORY || code == TPM2_RC_SESSION_MEMORY ||
	    code == TPM2_RC_OBJECT_HANDLES || code == TPM2_RC_SESSION_HANDLES)
		why = CODE_TPM_BUSY;
	if (code == TPM2_RC_LOCKOUT)
		why = CODE_TPM_LOCKOUT;
	/* What libtss2 cannot take apart. */
	if (code == 0 && ((rc & 0xffff) == TSS2_BASE_RC_MALFORMED_RESPONSE ||
			  (rc & TSS2_RC_LAYER_MASK) == TSS2_MU_RC_LAYER))
		why = CODE_TPM_REPLY;
	r = err_code(e, why, "%s: %s: TSS2_RC 0x%x: %s", t->where, command, rc, Tss2_RC_Decode(rc));
	if (e)
		e->sys = (int)rc;
	return r;
}

/* --- properties --------------------------------------------------------------------------- */

int tpm_properties(TPML_TAGGED_TPM_PROPERTY *out, struct tpm *op, uint32_t first, uint32_t n,
		   struct err *e)
{
	TPMS_CAPABILITY_DATA got = { 0 };
	struct tpm_try again = { 0 };
	TPMI_YES_NO more;
	TSS2_RC rc;

	do
		rc = Tss2_Sys_GetCapability(op->sys, NULL, TPM2_CAP_TPM_PROPERTIES, first, n, &more,
					    &got, NULL);
	while (tpm_again(op, &again, rc));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(op, rc, "TPM2_GetCapability", e);
	/* libtss2 takes any: another has another structure in the same place, and more of it. */
	if (got.capability != TPM2_CAP_TPM_PROPERTIES)
		return err_code(e, CODE_TPM_REPLY,
				"%s: TPM2_GetCapability: capability %u, asked for %u (properties)",
				op->where, got.capability, TPM2_CAP_TPM_PROPERTIES);
	*out = got.data.tpmProperties;
	return 0;
}
