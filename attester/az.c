/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/az.h"
#include "agent/base/enc.h"
#include "agent/base/log.h"
#include "attester/attest.h"
#include "attester/cache.h"
#include "attester/le.h"
#include "attester/sev_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/file.h>

enum {
	TYPE_AT = 1224, /* report_type of the HCL report */
	TYPE_END = TYPE_AT + 4,
	LOCK_PAUSE_MS = 20,
};

/* --- one at a time -------------------------------------------------------------------------- */

/* NV 0x01400002 is the guest's: between our write and our reading nobody else shall write. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

struct turn {
	bool held;
	int fd; /* -1: no file */
};

#define cleanup_turn __attribute__((cleanup(turn_done)))

static void turn_done(struct turn *t)
{
	if (t->fd >= 0)
		(void)close(t->fd);
	if (t->held)
		(void)pthread_mutex_unlock(&turn);
}

/*
 * The lock of other processes is good manners: what is read is checked all the same. So where the
 * file cannot be opened we go on without. Who can open it can hold it: that is nobody but its owner.
 */
static int turn_take(struct turn *t, const struct attester_env *env, struct err *e)
{
	struct deadline d = deadline_in(AZ_LOCK_MS);

	(void)pthread_mutex_lock(&turn);
	t->held = true;
	t->fd = openat(env->root_fd, AZ_LOCK_FILE,
		       O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (t->fd < 0) {
		log_debug("no lock file", "file=/%s errno=%d", AZ_LOCK_FILE, errno);
		return 0;
	}
	while (flock(t->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return 0;
		if (deadline_left_ms(d) == 0)
			return err_code(e, CODE_AZURE_BUSY, "/%s was held for %d ms", AZ_LOCK_FILE,
					AZ_LOCK_MS);
		(void)poll(NULL, 0, LOCK_PAUSE_MS);
	}
	return 0;
}

/* --- detection ------------------------------------------------------------------------------ */

/*
 * Only what tells the two from a TPM that is none of Azure's. A report that is broken elsewhere
 * shall be called that at the first evidence, and its guest not be taken for one with a bare TPM.
 */
static uint8_t kind_of(struct view raw)
{
	uint32_t type;

	if (raw.len < TYPE_END || memcmp(raw.p, "HCLA", 4) != 0)
		return 0;
	type = le32(raw.p + TYPE_AT);
	return type == HCL_SNP || type == HCL_TDX ? (uint8_t)type : 0;
}

/*
 * The same of a report that is there, without its offset 0: reading that makes the paravisor write
 * another one, and none for 2 s after it, in which the first evidence may be wanted.
 */
static int peek_kind(uint8_t *found, const struct attester_env *env, struct err *e)
{
	uint8_t head[TYPE_END] = { 'H' };
	int r = tpm_nv_peek(env->tpm, AZ_NV_REPORT, 1, head + 1, 3, e);

	if (r == 0)
		r = tpm_nv_peek(env->tpm, AZ_NV_REPORT, TYPE_AT, head + TYPE_AT, 4, e);
	if (r == 0)
		*found = kind_of((struct view){ head, sizeof head });
	return r;
}

/* *found: an enum hcl_kind, or 0 for none. */
static int find_kind(uint8_t *found, const struct attester_env *env, struct err *e)
{
	static const char name[] = "hcl-type";
	cleanup_buf struct buf raw = BUF_MAX(HCL_REPORT_MAX), kept = BUF_MAX(1);
	struct err why = { 0 };
	int r;

	*found = 0;
	if (attester_cache_get(env->cache, view_str(name), &kept) && kept.len == 1) {
		*found = kept.p[0];
		return 0;
	}
	r = peek_kind(found, env, &why);
	/* One that does not show itself so is asked for: the whole decides. */
	if (r == 0 ? *found == 0 : why.code == CODE_TPM_NV_UNWRITTEN || why.code == CODE_TPM_NV_SIZE) {
		r = tpm_nv_read(env->tpm, AZ_NV_REPORT, &raw, &why);
		*found = r == 0 ? kind_of(buf_view(&raw)) : 0;
	}
	if (r < 0 && why.code != CODE_TPM_NV_ABSENT) {
		log_debug("no answer about an HCL report", "code=%s what=\"%s\"", err_name(&why),
			  why.msg);
		if (e)
			*e = why;
		return r;
	}
	attester_cache_put(env->cache, view_str(name), (struct view){ found, 1 });
	return 0;
}

bool az_detect(const struct attester_env *env, enum hcl_kind kind)
{
	uint8_t found;

	/* Below a paravisor the kernel knows of no SNP: this TPM is the host's, whatever it says. */
	if (!env->tpm || sev_guest_is_snp(env->root_fd))
		return false;
	return find_kind(&found, env, NULL) == 0 && found == (uint8_t)kind;
}

int az_has_none(const struct attester_env *env, struct err *e)
{
	uint8_t found;
	int r = find_kind(&found, env, e);

	if (r < 0)
		return r;
	return found == 0 ? 0 : err_set(e, ERR_UNSUPPORTED, "the TPM has an HCL report");
}

/* --- report --------------------------------------------------------------------------------- */

void az_report_done(struct az_report *r)
{
	hcl_runtime_done(&r->runtime);
	buf_done(&r->raw);
}

/* Read and take apart; nothing of an older reading stays. */
static int read_once(struct az_report *r, const struct attester_env *env, enum hcl_kind kind,
		     struct err *e)
{
	int n;

	az_report_done(r);
	*r = (struct az_report){ .raw = BUF_MAX(HCL_REPORT_MAX), .version = r->version };
	n = tpm_nv_read(env->tpm, AZ_NV_REPORT, &r->raw, e);
	if (n < 0)
		return n;
	n = hcl_parse(&r->hcl, buf_view(&r->raw), e);
	if (n == 0 && r->hcl.kind != kind)
		n = err_set(e, ERR_UNSUPPORTED, "HCL report of type %d, which was %d", r->hcl.kind,
			    kind);
	if (n == 0)
		n = hcl_runtime_load(&r->runtime, r->hcl.var_data, e);
	if (n < 0)
		return n == -ERR_NOMEM ? n : err_wrap_code(e, CODE_AZURE_REPORT, "NV %08x", AZ_NV_REPORT);
	n = hcl_bound(&r->hcl, e);
	return n == -ERR_VERIFY ? err_wrap_code(e, CODE_AZURE_BINDING, "NV %08x", AZ_NV_REPORT) : n;
}

/* Who reads at the same time as we can make the pieces of two reports come together: look again. */
static int read_report(struct az_report *r, const struct attester_env *env, enum hcl_kind kind,
		       struct err *e)
{
	struct err why = { 0 };
	int n = read_once(r, env, kind, &why);

	if (n < 0 && (why.code == CODE_AZURE_REPORT || why.code == CODE_AZURE_BINDING)) {
		log_debug("HCL report read again", "code=%s what=\"%s\"", err_name(&why), why.msg);
		return read_once(r, env, kind, e);
	}
	if (n < 0 && e)
		*e = why;
	return n;
}

static bool cannot_be_written(const struct err *e)
{
	return e->code == CODE_TPM_NV_DENIED || e->code == CODE_TPM_NV_LOCKED ||
	       e->code == CODE_TPM_NV_SIZE;
}

/* One round: our data in, the report out. */
static int exchange(struct az_report *r, const struct attester_env *env, enum hcl_kind kind,
		    struct view report_data, struct err *e)
{
	struct err why = { 0 };
	int n = tpm_nv_write(env->tpm, AZ_NV_INPUT, report_data, AZ_INPUT_PAD, &why);

	if (n < 0 && !cannot_be_written(&why)) {
		if (e)
			*e = why;
		return n;
	}
	r->version = 2;
	if (n < 0) {
		log_debug("evidence of version 1", "code=%s what=\"%s\"", err_name(&why), why.msg);
		r->version = 1;
	}
	n = read_report(r, env, kind, e);
	if (n == 0 && !r->runtime.has_user_data) {
		log_debug("evidence of version 1", "what=\"the HCL report has no user-data\"");
		r->version = 1;
	}
	return n;
}

static int check_call(const struct attester_env *env, struct view report_data, struct err *e)
{
	if (report_data.len == 0)
		return err_set(e, ERR_USAGE, "report data of 0 bytes, allowed 1..%d",
			       AZ_REPORT_DATA_MAX);
	if (report_data.len > AZ_REPORT_DATA_MAX)
		return err_code(e, CODE_AZURE_REPORT_DATA, "report data of %zu bytes, allowed 1..%d",
				report_data.len, AZ_REPORT_DATA_MAX);
	return env->tpm ? 0 : err_code(e, CODE_TPM_NONE, "no TPM was opened");
}

int az_report_get(struct az_report *out, const struct attester_env *env, enum hcl_kind kind,
		  struct view report_data, struct err *e)
{
	cleanup_turn struct turn t = { .fd = -1 };
	cleanup_az_report struct az_report r = { 0 };
	struct deadline d;
	unsigned rounds = 0;
	int n = check_call(env, report_data, e);

	if (n == 0)
		n = turn_take(&t, env, e);
	if (n < 0)
		return n;
	d = deadline_in(AZ_REPORT_MS);
	for (;;) {
		n = exchange(&r, env, kind, report_data, e);
		if (n < 0)
			return n;
		rounds++;
		if (r.version == 1 || hcl_carries(&r.runtime, report_data))
			break;
		if (deadline_left_ms(d) <= AZ_RENEW_MS)
			return err_code(e, CODE_AZURE_STALE_REPORT,
					"NV %08x, read %u times within %d ms, does not carry what was written to %08x",
					AZ_NV_REPORT, rounds, AZ_REPORT_MS, AZ_NV_INPUT);
		(void)poll(NULL, 0, AZ_RENEW_MS);
	}
	*out = r;
	r = (struct az_report){ 0 };
	return 0;
}

/* --- quote ---------------------------------------------------------------------------------- */

int az_quote(struct tpm_quote *out, const struct attester_env *env, const struct az_report *r,
	     struct view report_data, const struct tpm_meanwhile *meanwhile, struct err *e)
{
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	int n = tpm_quote_with(env->tpm, AZ_AK, &q, report_data, meanwhile, e);

	if (n < 0)
		return n;
	/* tpm_quote_with() has verified the signature under this very key. */
	if (!view_eq(buf_view(&q.ak), buf_view(&r->runtime.ak)))
		return err_code(e, CODE_AZURE_WRONG_AK,
				"the key at %08x is not the report's " HCL_AK_KID, AZ_AK);
	*out = q;
	q = (struct tpm_quote){ 0 };
	return 0;
}

static void put_base64url(struct buf *out, const char *name, struct view value)
{
	buf_puts(out, ",\"");
	buf_puts(out, name);
	buf_puts(out, "\":\"");
	enc_base64(out, ENC_B64U, value);
	buf_puts(out, &"=="[2 - (3 - value.len % 3) % 3]);
	buf_putc(out, '"');
}

int az_evidence_json(char **json, const struct az_report *r, const struct tpm_quote *q,
		     const char *name, struct view value, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(EVIDENCE_MAX);
	struct view block;
	int n = attest_signature_parse(&block, buf_view(&q->signature), e);

	if (n < 0)
		return err_wrap_code(e, CODE_TPM_REPLY, "TPM2_Quote");
	buf_printf(&text, "{\"version\":%u,\"tpm_quote\":{\"signature\":\"", r->version);
	enc_hex(&text, block);
	buf_puts(&text, "\",\"message\":\"");
	enc_hex(&text, buf_view(&q->message));
	buf_puts(&text, "\",\"pcrs\":[");
	for (unsigned i = 0; i < TPM_PCRS; i++) {
		buf_puts(&text, i ? ",\"" : "\"");
		enc_hex(&text, (struct view){ q->pcrs[i], 32 });
		buf_putc(&text, '"');
	}
	buf_puts(&text, "]}");
	put_base64url(&text, "hcl_report", buf_view(&r->raw));
	put_base64url(&text, name, value);
	buf_putc(&text, '}');
	return attester_give(json, &text, "Azure evidence", e);
}
