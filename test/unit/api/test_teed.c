/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/teed.h"
#include "test/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static const uint8_t data[TEED_DATA] = "sixty-four bytes that the report must carry, and not one more.";

static void make_request(struct buf *out, enum teed_op op, unsigned reg)
{
	struct teed_request q = { .op = op, .id = 0x01020304, .reg = reg };

	memcpy(q.data, data, sizeof data);
	teed_request_encode(out, &q);
	CHECK_INT(buf_check(out, "request", NULL), 0);
}

TEST(teed_request__both_operations__exact_bytes_and_back)
{
	static const uint8_t quote[12] = "VTQ1\x04\x03\x02\x01\x01\x00\x00\x00";
	static const uint8_t extend[12] = "VTQ1\x04\x03\x02\x01\x02\x03\x00\x00";

	for (unsigned op = TEED_QUOTE; op <= TEED_EXTEND; op++) {
		cleanup_buf struct buf b = BUF_MAX(TEED_REQUEST_MAX);
		struct teed_request q;
		size_t n = op == TEED_QUOTE ? 64 : 48;

		make_request(&b, op, op == TEED_QUOTE ? 0 : 3);
		CHECK_INT(b.len, 12 + n);
		CHECK(memcmp(b.p, op == TEED_QUOTE ? quote : extend, 12) == 0);
		CHECK_INT(teed_request_parse(&q, buf_view(&b), NULL), 0);
		CHECK_INT(q.op, op);
		CHECK_INT(q.id, 0x01020304);
		CHECK_INT(q.reg, op == TEED_QUOTE ? 0 : 3);
		CHECK(memcmp(q.data, data, n) == 0);
	}
}

/* One byte changed at a time, or the length. */
struct change {
	size_t at;
	int value; /* -1: none */
	ssize_t longer;
	const char *words;
};

static struct view change(uint8_t *room, const struct buf *b, const struct change *c)
{
	memcpy(room, b->p, b->len);
	if (c->value >= 0)
		room[c->at] = (uint8_t)c->value;
	return (struct view){ room, b->len + (size_t)c->longer };
}

TEST(teed_request_parse__one_wrong_field__refused_and_out_untouched)
{
	static const struct change quote[] = {
		{ 0, 'v', 0, "no request" },  { 3, '2', 0, "no request" },
		{ 8, 0, 0, "operation" },     { 8, 3, 0, "operation" },
		{ 8, 2, 0, "wrong length" },  { 9, 1, 0, "register" },
		{ 10, 1, 0, "reserved" },     { 11, 1, 0, "reserved" },
		{ 0, -1, -1, "wrong length" }, { 0, -1, 1, "wrong length" },
		{ 0, -1, -65, "no request" }, { 0, -1, -76, "no request" },
	};
	static const struct change extend[] = {
		{ 9, 4, 0, "register" },
		{ 9, 255, 0, "register" },
		{ 8, 1, 0, "register" },
		{ 0, -1, 16, "wrong length" },
		{ 0, -1, -1, "wrong length" },
	};
	cleanup_buf struct buf q = BUF_MAX(TEED_REQUEST_MAX), x = BUF_MAX(TEED_REQUEST_MAX);
	uint8_t room[128] = { 0 };
	struct teed_request out = { .id = 77 };
	struct err e;

	make_request(&q, TEED_QUOTE, 0);
	make_request(&x, TEED_EXTEND, 3);
	for (size_t i = 0; i < ARRAY_LEN(quote); i++)
		CHECK_ERR(teed_request_parse(&out, change(room, &q, &quote[i]), &e), ERR_FORMAT, e,
			  quote[i].words);
	for (size_t i = 0; i < ARRAY_LEN(extend); i++)
		CHECK_ERR(teed_request_parse(&out, change(room, &x, &extend[i]), &e), ERR_FORMAT, e,
			  extend[i].words);
	memcpy(room, q.p, q.len);
	for (int i = 4; i < 8; i++)
		room[i] = 0;
	CHECK_ERR(teed_request_parse(&out, (struct view){ room, q.len }, &e), ERR_FORMAT, e, "without an id");
	CHECK_INT(e.code, CODE_API_MALFORMED);
	CHECK_INT(out.id, 77);
}

TEST(teed_reply__success_and_failure__there_and_back)
{
	cleanup_buf struct buf b = BUF_MAX(TEED_REPLY_MAX);
	struct teed_reply r;
	struct err why, e;

	teed_reply_encode(&b, 9, TEED_SNP, view_str("report"), view_str("certs"));
	CHECK_INT(b.len, 20 + 11);
	CHECK_INT(teed_reply_parse(&r, buf_view(&b), &e), 0);
	CHECK(!r.failed && r.id == 9 && r.kind == TEED_SNP);
	CHECK(view_is(r.report, "report") && view_is(r.certs, "certs"));
	buf_reset(&b);
	teed_reply_encode(&b, 10, TEED_NONE, (struct view){ 0 }, (struct view){ 0 });
	CHECK_INT(teed_reply_parse(&r, buf_view(&b), &e), 0);
	CHECK(!r.failed && r.kind == TEED_NONE && r.report.len == 0);
	buf_reset(&b);
	(void)err_code(&why, CODE_TEE_BUSY, "the host\nsays: \xc3\xa4");
	teed_failure_encode(&b, 11, &why);
	CHECK_INT(teed_reply_parse(&r, buf_view(&b), &e), 0);
	CHECK(r.failed && view_is(r.code, "tee.busy") && view_is(r.reason, "the host?says: ??"));
	CHECK_ERR(teed_reply_error(&r, &e), ERR_DEVICE, e, "the host?says");
	CHECK_INT(e.code, CODE_TEE_BUSY);
}

TEST(teed_reply_error__a_code_that_teed_may_not_give__is_tee_failed_with_its_words)
{
	static const char *const names[] = { "kbs.policy-denied", "no-such-code", "ok" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct teed_reply r = { .failed = true,
					      .code = view_str(names[i]),
					      .reason = view_str("because") };
		struct err e;

		CHECK_ERR(teed_reply_error(&r, &e), ERR_DEVICE, e, names[i]);
		CHECK_INT(e.code, CODE_TEE_FAILED);
	}
}

TEST(teed_reply_parse__one_wrong_field__refused_and_out_untouched)
{
	static const struct change success[] = {
		{ 0, 'v', 0, "no reply" },	{ 8, 2, 0, "status" },
		{ 9, 3, 0, "kind" },		{ 9, 0, 0, "report of a wrong length" },
		{ 9, 2, 0, "certificates" },	{ 10, 1, 0, "reserved" },
		{ 11, 1, 0, "reserved" },	{ 12, 7, 0, "lengths" },
		{ 16, 4, 0, "lengths" },	{ 15, 255, 0, "lengths" },
		{ 19, 255, 0, "lengths" },	{ 0, -1, -1, "lengths" },
		{ 0, -1, 1, "lengths" },	{ 0, -1, -12, "no reply" },
		{ 4, 0, 0, "without an id" },	{ 8, 1, 0, "a failure with a kind" },
	};
	static const struct change failure[] = {
		{ 9, 1, 0, "with a kind" }, { 20, 'T', 0, "without a code" },
		{ 20, ' ', 0, "without a code" }, { 28, '\n', 0, "no line of text" },
		{ 28, 0x7f, 0, "no line of text" },
	};
	cleanup_buf struct buf s = BUF_MAX(TEED_REPLY_MAX), f = BUF_MAX(TEED_REPLY_MAX);
	struct teed_reply out = { .id = 77 };
	uint8_t room[128] = { 0 };
	struct err why, e;

	teed_reply_encode(&s, 9, TEED_SNP, view_str("report"), view_str("certs"));
	(void)err_code(&why, CODE_TEE_BUSY, "why");
	teed_failure_encode(&f, 9, &why);
	for (size_t i = 0; i < ARRAY_LEN(success); i++)
		CHECK_ERR(teed_reply_parse(&out, change(room, &s, &success[i]), &e), ERR_FORMAT, e,
			  success[i].words);
	for (size_t i = 0; i < ARRAY_LEN(failure); i++)
		CHECK_ERR(teed_reply_parse(&out, change(room, &f, &failure[i]), &e), ERR_FORMAT, e,
			  failure[i].words);
	CHECK_INT(out.id, 77);
}

TEST(teed_reply_parse__caps__at_the_edge)
{
	static const struct {
		enum teed_kind kind;
		size_t report, certs;
		int r;
	} rows[] = {
		{ TEED_SNP, TEED_REPORT_MAX, TEED_CERTS_MAX, 0 },
		{ TEED_TDX, TEED_REPORT_MAX, 0, 0 },
		{ TEED_TDX, TEED_REPORT_MAX + 1, 0, -ERR_FORMAT },
		{ TEED_SNP, 1, TEED_CERTS_MAX + 1, -ERR_FORMAT },
	};
	cleanup_free uint8_t *zeros = calloc(1, TEED_CERTS_MAX + 1);

	CHECK(zeros);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(2 * TEED_REPLY_MAX);
		struct teed_reply r;

		teed_reply_encode(&b, 1, rows[i].kind, (struct view){ zeros, rows[i].report },
				  (struct view){ zeros, rows[i].certs });
		CHECK_INT(teed_reply_parse(&r, buf_view(&b), NULL), rows[i].r);
	}
}

/* --- the client, against a server of a few lines ------------------------------------------- */

static char path[64];

static int listen_here(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(path, sizeof path, "/tmp/test_teed.%d", (int)getpid());
	(void)unlink(path);
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	CHECK_INT(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	CHECK_INT(listen(fd, 4), 0);
	return fd;
}

enum act { GOOD, CLOSE, SILENT, OTHER_ID, OTHER_KIND, TOO_LONG, FAIL, GARBAGE };

/* Answer one request. */
static void act(int fd, enum act a)
{
	cleanup_buf struct buf b = BUF_MAX(2 * TEED_REPLY_MAX);
	uint8_t packet[TEED_REQUEST_MAX];
	struct teed_request q;
	struct err why;
	ssize_t n = recv(fd, packet, sizeof packet, 0);

	if (n <= 0 || teed_request_parse(&q, (struct view){ packet, (size_t)n }, NULL) < 0)
		_exit(9);
	(void)err_code(&why, CODE_TEE_TIMEOUT, "no QGS");
	switch (a) {
	case CLOSE:
		return;
	case SILENT:
		(void)pause();
		return;
	case FAIL:
		teed_failure_encode(&b, q.id, &why);
		break;
	case GARBAGE:
		buf_puts(&b, "garbage");
		break;
	case TOO_LONG:
		for (size_t i = 0; i <= TEED_REPLY_MAX; i++)
			buf_putc(&b, 0);
		break;
	case OTHER_ID:
		teed_reply_encode(&b, q.id + 1000, TEED_TDX, view_str("stale"), (struct view){ 0 });
		(void)send(fd, b.p, b.len, 0);
		buf_reset(&b);
		/* fallthrough */
	default:
		if ((q.op == TEED_EXTEND) != (a == OTHER_KIND))
			teed_reply_encode(&b, q.id, TEED_NONE, (struct view){ 0 }, (struct view){ 0 });
		else
			teed_reply_encode(&b, q.id, TEED_TDX, view_str("quote"), (struct view){ 0 });
	}
	(void)send(fd, b.p, b.len, 0);
}

static pid_t serve(const enum act *acts, size_t n)
{
	int fd = listen_here();
	pid_t pid = fork();

	if (pid == 0) {
		for (size_t i = 0; i < n; i++) {
			int c = accept(fd, NULL, NULL);

			act(c, acts[i]);
			(void)close(c);
		}
		_exit(0);
	}
	(void)close(fd);
	return pid;
}

static int ask(enum teed_op op, int64_t ms, struct err *e)
{
	cleanup_buf struct buf packet = { 0 };
	struct teed_request q = { .op = op };
	struct teed_client c;
	struct teed_reply r;
	int result;

	CHECK_INT(teed_client_init(&c, path, -1, NULL), 0);
	result = teed_call(&c, &q, &packet, &r, deadline_in(ms), e);
	if (result == 0 && op == TEED_QUOTE)
		CHECK(view_is(r.report, "quote"));
	return result;
}

TEST(teed_call__what_a_server_may_do__each_has_its_code)
{
	static const struct {
		enum act acts[6];
		size_t n;
		enum teed_op op;
		int code; /* 0: works */
		const char *words;
	} rows[] = {
		{ { GOOD }, 1, TEED_QUOTE, 0, "" },
		{ { GOOD }, 1, TEED_EXTEND, 0, "" },
		{ { OTHER_ID }, 1, TEED_QUOTE, 0, "" },
		/* A quote is asked for again; an extend is not. */
		{ { CLOSE, CLOSE, GOOD }, 3, TEED_QUOTE, 0, "" },
		{ { CLOSE, GOOD }, 2, TEED_EXTEND, CODE_TEE_UNREACHABLE, "in the middle" },
		{ { FAIL, GOOD }, 2, TEED_QUOTE, CODE_TEE_TIMEOUT, "no QGS" },
		{ { SILENT }, 1, TEED_QUOTE, CODE_TEE_TIMEOUT, "not answered in time" },
		{ { OTHER_KIND }, 1, TEED_QUOTE, CODE_API_MALFORMED, "another request" },
		{ { OTHER_KIND }, 1, TEED_EXTEND, CODE_API_MALFORMED, "another request" },
		{ { GARBAGE }, 1, TEED_QUOTE, CODE_API_MALFORMED, "no reply" },
		{ { TOO_LONG }, 1, TEED_QUOTE, CODE_API_MALFORMED, "allowed 98324" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		pid_t pid = serve(rows[i].acts, rows[i].n);
		struct err e = { 0 };
		int r = ask(rows[i].op, 1500, &e);

		if ((r < 0) != (rows[i].code != 0) || (int)e.code != rows[i].code ||
		    !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s %s", i, r, err_name(&e), e.msg);
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		(void)unlink(path);
	}
}

TEST(teed_call__nobody_there__unreachable)
{
	struct err e;

	(void)snprintf(path, sizeof path, "/tmp/test_teed.none");
	CHECK_ERR(ask(TEED_EXTEND, 1000, &e), ERR_NETWORK, e, "ENOENT");
	CHECK_INT(e.code, CODE_TEE_UNREACHABLE);
}

TEST(teed_call__a_pair__two_calls_on_one_connection_and_its_end)
{
	cleanup_buf struct buf packet = { 0 };
	struct teed_request q = { .op = TEED_QUOTE };
	struct teed_client c;
	struct teed_reply r;
	struct err e;
	int p[2];
	pid_t pid;

	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(p[0]);
		act(p[1], GOOD);
		act(p[1], OTHER_ID);
		_exit(0);
	}
	(void)close(p[1]);
	CHECK_INT(teed_client_init(&c, NULL, p[0], NULL), 0);
	CHECK_INT(teed_call(&c, &q, &packet, &r, deadline_in(2000), &e), 0);
	CHECK_INT(q.id, 1);
	CHECK_INT(teed_call(&c, &q, &packet, &r, deadline_in(2000), &e), 0);
	CHECK_INT(q.id, 2);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK_ERR(teed_call(&c, &q, &packet, &r, deadline_in(2000), &e), ERR_NETWORK, e, "vouchsafe-teed");
	CHECK_INT(e.code, CODE_TEE_UNREACHABLE);
	(void)close(p[0]);
}
