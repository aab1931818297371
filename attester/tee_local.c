/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tee_local.h"
#include "agent/base/clock.h"
#include "agent/base/fs.h"
#include "attester/le.h"
#include "attester/sev_guest.h"
#include "attester/tdx_guest.h"
#include "attester/tsm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum {
	CHILD_SPARE_MS = 1000, /* the child gives up before it is killed: its reason is the better one */
	REAP_MS = 1000,
};

/* --- what came back ------------------------------------------------------------------------- */

/* Offsets in the body of a TD quote, and in a TDREPORT. Source: spec/evidence.md 7.4. */
enum {
	BODY_TD = 120, /* attributes, XFAM, MRTD, MRCONFIGID, MROWNER, MROWNERCONFIG */
	BODY_DATA = 520,
	REPORT_TD = 512, /* the same in the same order */
	TD_LEN = 8 + 8 + 4 * 48,
};

/* Where a TD quote has its body; 0 when it is none. */
static size_t td_body(const struct buf *quote)
{
	enum { HEADER = 48, BODY_10 = 584, BODY_15 = 648, TEE_TYPE_TDX = 0x81 };
	size_t body, size;

	if (quote->len < HEADER + 6 + BODY_10 || le32(quote->p + 4) != TEE_TYPE_TDX)
		return 0;
	switch (le16(quote->p)) {
	case 4:
		body = HEADER;
		size = BODY_10;
		break;
	case 5:
		body = HEADER + 6;
		size = le32(quote->p + HEADER + 2);
		if (size != BODY_10 && size != BODY_15)
			return 0;
		break;
	default:
		return 0;
	}
	/* The length of the signature, and the signature. */
	if (quote->len < body + size + 4 ||
	    le32(quote->p + body + size) > quote->len - (body + size + 4))
		return 0;
	return body;
}

/*
 * A TD quote is made outside of the TD, by the host: until somebody has verified its signatures it
 * is the host's word what it says of the TD, and MRCONFIGID is believed before that. A TDREPORT is
 * the processor's word.
 */
static int check_td(int root_fd, const struct tee_quote *q, const uint8_t data[TEE_DATA],
		    struct err *e)
{
	uint8_t report[TDX_TDREPORT_BYTES];
	int r = tdx_guest_report(root_fd, data, report, e);

	if (r < 0)
		return err_wrap(e, r, "hold the TD quote to this TD");
	if (memcmp(q->report.p + td_body(&q->report) + BODY_TD, report + REPORT_TD, TD_LEN) != 0)
		return err_code(e, CODE_TEE_REPLY,
				"the quote is of another TD: its attributes, XFAM, MRTD, MRCONFIGID, "
				"MROWNER or MROWNERCONFIG are not those of %s",
				TDX_GUEST_DEVICE);
	return 0;
}

static int check(int root_fd, const struct tee_quote *q, const uint8_t data[TEE_DATA],
		 struct err *e)
{
	size_t at = SNP_REPORT_DATA_AT;

	if (q->kind == TEE_SNP && q->report.len != SNP_REPORT_BYTES)
		return err_code(e, CODE_TEE_REPLY, "SNP report of %zu bytes, want %d",
				q->report.len, SNP_REPORT_BYTES);
	if (q->kind == TEE_TDX) {
		at = td_body(&q->report) + BODY_DATA;
		if (at == BODY_DATA)
			return err_code(e, CODE_TEE_REPLY, "%zu bytes that are no TD quote",
					q->report.len);
	}
	if (memcmp(q->report.p + at, data, TEE_DATA) != 0)
		return err_code(e, CODE_TEE_REPLY,
				"the report does not carry the data that was asked for");
	return q->kind == TEE_TDX ? check_td(root_fd, q, data, e) : 0;
}

/* There is no way to a quote, for the reason in *e, and the device makes none. */
static int no_quote(int root_fd, const uint8_t data[TEE_DATA], struct err *e)
{
	uint8_t report[TDX_TDREPORT_BYTES];
	struct err why = *e, device;

	if (tdx_guest_report(root_fd, data, report, &device) < 0)
		return err_code(e, CODE_TEE_NO_QUOTE, "%.200s, and %s", why.msg, device.msg);
	return err_code(e, CODE_TEE_NO_QUOTE, "%.200s; %s answers, but makes no quote", why.msg,
			TDX_GUEST_DEVICE);
}

int tee_local_quote(int root_fd, const uint8_t data[TEE_DATA], struct tee_quote *out,
		    int64_t wait_ms, struct err *e)
{
	cleanup_tee_quote struct tee_quote q = { 0 };
	struct deadline d = deadline_in(wait_ms);
	struct err why = { 0 };
	int r = tsm_quote(root_fd, data, &q, d, &why);

	if (r < 0 && why.code == CODE_TEE_NONE && sev_guest_present(root_fd))
		r = sev_guest_quote(root_fd, data, &q, d, &why);
	else if (r < 0 && why.code == CODE_TEE_NONE && tdx_guest_present(root_fd))
		r = no_quote(root_fd, data, &why);
	if (r == 0)
		r = check(root_fd, &q, data, &why);
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	*out = q;
	q = (struct tee_quote){ 0 };
	return 0;
}

/* --- the child ------------------------------------------------------------------------------ */

struct job {
	struct tee_local *local;
	const uint8_t *data;
	bool extend;
	unsigned reg;
};

/* What the child says first; then the report and the certificates. */
struct answer {
	int r;
	enum tee_kind kind;
	size_t report_len, certs_len;
	struct err err;
};

static int put(int fd, const void *p, size_t n)
{
	return fs_write_fd(fd, (struct view){ p, n }, "pipe", NULL);
}

static void work(int fd, const struct job *j)
{
	int64_t ms = j->local->wait_ms;
	struct tee_quote q = { 0 };
	struct answer a = { 0 };

	ms = ms > 2 * CHILD_SPARE_MS ? ms - CHILD_SPARE_MS : ms / 2;
	if (j->extend)
		a.r = tdx_rtmr_extend(j->local->root_fd, j->reg, j->data, &a.err);
	else
		a.r = tee_local_quote(j->local->root_fd, j->data, &q, ms, &a.err);
	a.kind = q.kind;
	a.report_len = q.report.len;
	a.certs_len = q.certs.len;
	if (put(fd, &a, sizeof a) < 0 || put(fd, q.report.p, q.report.len) < 0 ||
	    put(fd, q.certs.p, q.certs.len) < 0)
		_exit(1);
	_exit(0);
}

static void be_child(int fd, const struct job *j, pid_t parent)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	/* The asking program's clients must not wait for a child that is stuck. */
	fs_close_others(fd, j->local->root_fd);
	work(fd, j);
}

/* Where a child's answer comes from, and until when and for whom it is waited for. */
struct source {
	int fd, client;
	struct deadline d;
};

/* Exactly n bytes. Errors: tee.unreachable (the client is gone), tee.timeout, tee.failed (the child ended). */
static int get(const struct source *s, void *p, size_t n, struct err *e)
{
	uint8_t *to = p;

	while (n > 0) {
		struct pollfd pfd[] = { { .fd = s->fd, .events = POLLIN },
					{ .fd = s->client > 0 ? s->client : -1 } };
		int64_t left = deadline_left_ms(s->d);
		int ready = poll(pfd, ARRAY_LEN(pfd), (int)left);
		ssize_t got;

		if (ready < 0 && errno != EINTR)
			return err_sys(e, errno, "poll");
		if (ready == 0)
			return err_code(e, CODE_TEE_TIMEOUT,
					"the TEE's device has not answered in time");
		if (ready > 0 && !pfd[0].revents && pfd[1].revents)
			return err_code(e, CODE_TEE_UNREACHABLE, "who asked is gone");
		got = ready < 0 ? -1 : read(s->fd, to, n);
		if (got < 0 && errno != EINTR)
			return err_sys(e, errno, "read pipe");
		if (got == 0)
			return err_code(e, CODE_TEE_FAILED,
					"the process that asked the TEE's device ended");
		if (got > 0) {
			to += got;
			n -= (size_t)got;
		}
	}
	return 0;
}

static int get_blob(struct buf *out, const struct source *s, size_t n, size_t max, struct err *e)
{
	cleanup_free uint8_t *p = n <= max ? malloc(n + 1) : NULL;
	int r;

	if (!p)
		return n > max ? err_set(e, ERR_INTERNAL, "%zu bytes from a child", n)
			       : err_set(e, ERR_NOMEM, "no memory for a report");
	r = get(s, p, n, e);
	if (r < 0)
		return r;
	*out = BUF_MAX(max);
	buf_put(out, p, n);
	return buf_check(out, "report", e);
}

static int receive(const struct source *s, struct tee_quote *q, struct err *e)
{
	struct answer a;
	int r = get(s, &a, sizeof a, e);

	if (r < 0)
		return r;
	if (a.r < 0) {
		if (e)
			*e = a.err;
		return a.r;
	}
	q->kind = a.kind;
	r = get_blob(&q->report, s, a.report_len, TEE_REPORT_MAX, e);
	return r < 0 ? r : get_blob(&q->certs, s, a.certs_len, TEE_CERTS_MAX, e);
}

/* Gone after this, unless the kernel holds it in the device. */
static void end_child(struct tee_local *l, pid_t pid)
{
	const struct timespec pause = { .tv_nsec = 5 * 1000000 };
	struct deadline d = deadline_in(REAP_MS);
	pid_t got;

	(void)kill(pid, SIGKILL);
	do
		got = waitpid(pid, NULL, WNOHANG);
	while ((got == 0 || (got < 0 && errno == EINTR)) && deadline_left_ms(d) > 0 &&
	       nanosleep(&pause, NULL) <= 0);
	l->stuck = got == 0 ? pid : 0;
}

/* One that has ended since is no longer anybody, so that its folder is swept. */
static int check_stuck(struct tee_local *l, struct err *e)
{
	if (l->stuck != 0 && waitpid(l->stuck, NULL, WNOHANG) == 0)
		return err_code(e, CODE_TEE_TIMEOUT, "an earlier request still hangs in the TEE's device");
	l->stuck = 0;
	return 0;
}

static int run(const struct job *j, struct tee_quote *q, struct err *e)
{
	struct source s = { .client = j->local->client, .d = deadline_in(j->local->wait_ms) };
	pid_t pid, self = getpid();
	int p[2], r = check_stuck(j->local, e);

	if (r < 0)
		return r;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	cleanup_close int from = p[0], to = p[1];

	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "fork");
	if (pid == 0)
		be_child(to, j, self);
	(void)close(take_fd(to));
	s.fd = from;
	r = receive(&s, q, e);
	end_child(j->local, pid);
	if (r < 0 && !j->extend)
		tsm_sweep(j->local->root_fd);
	return r;
}

static int quote(void *ctx, const uint8_t data[TEE_DATA], struct tee_quote *out, struct err *e)
{
	const struct job j = { .local = ctx, .data = data };
	cleanup_tee_quote struct tee_quote q = { 0 };
	int r = run(&j, &q, e);

	if (r < 0)
		return r;
	*out = q;
	q = (struct tee_quote){ 0 };
	return 0;
}

static int extend(void *ctx, unsigned reg, const uint8_t digest[TEE_DIGEST], struct err *e)
{
	const struct job j = { .local = ctx, .data = digest, .extend = true, .reg = reg };
	cleanup_tee_quote struct tee_quote q = { 0 };

	return run(&j, &q, e);
}

void tee_local(struct tee *out, struct tee_local *l)
{
	*out = (struct tee){ .quote = quote, .extend = extend, .ctx = l };
}
