/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/aa_client.h"
#include "agent/api/fields.h"
#include "agent/api/frame.h"
#include "agent/api/ttrpc_server.h"
#include "test/test.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

/* --- a real server whose methods say what they got ------------------------------------------ */

static char dir[64], path[96];
static struct ttrpc_server *server;
static struct buf got; /* the last request message */

#define REPLY(s) ((struct view){ (const uint8_t *)(s), sizeof(s) - 1 })

struct script {
	const char *method;
	struct view reply; /* the reply message */
	enum api_status status;
	const char *text;
};

static enum api_status play(void *ctx, const struct api_call *call, struct api_result *out,
			    char text[API_STATUS_TEXT])
{
	const struct script *s = ctx;

	buf_reset(&got);
	buf_putv(&got, call->payload);
	buf_putv(&out->message, s->reply);
	if (s->text)
		(void)snprintf(text, API_STATUS_TEXT, "%s", s->text);
	return s->status;
}

static void make_dir(void)
{
	(void)snprintf(dir, sizeof dir, "/tmp/vouchsafe-aa-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof path, "%s/aa.sock", dir);
	got = BUF_MAX(1 << 20);
}

static void clean_up(void)
{
	ttrpc_server_free(server);
	server = NULL;
	(void)unlink(path);
	(void)rmdir(dir);
	buf_done(&got);
}

static void serve(const struct script *s)
{
	static struct api_method method;
	const unsigned own = geteuid();
	const struct ttrpc_config config = { .uids = &own, .n_uids = 1 };
	struct err e;

	if (!dir[0])
		make_dir();
	method = (struct api_method){ .service = "attestation_agent.AttestationAgentService",
				      .method = s->method,
				      .handle = play,
				      .ctx = (void *)(uintptr_t)s };
	if (strcmp(s->method, "GetResource") == 0)
		method.service = "api.GetResourceService";
	ttrpc_server_free(server);
	CHECK_INT(ttrpc_server_new(&server, &config, &e), 0);
	CHECK_INT(ttrpc_server_listen(server, path, 0600, (gid_t)-1, &method, 1, &e), 0);
	CHECK_INT(ttrpc_server_start(server, &e), 0);
}

static struct rpc_link linked(void)
{
	struct rpc_link l = RPC_LINK(path);
	struct err e;

	if (rpc_ready(&l, deadline_in(5000), &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	return l;
}

static bool got_is(struct view v)
{
	return view_eq(buf_view(&got), v);
}

TEST(aa_get_evidence__bytes__go_and_come_as_field_1)
{
	static const struct script s = { "GetEvidence", REPLY("\x0a\x02{}"), API_OK, NULL };
	static const struct script more = { "GetAdditionalEvidence", REPLY(""), API_OK, NULL };
	cleanup_secret struct secret out = { 0 };
	struct err e;

	serve(&s);
	{
		cleanup_rpc struct rpc_link l = linked();

		CHECK_INT(aa_get_evidence(&l, false, REPLY("x\0y"), deadline_in(5000), &out, &e),
			  0);
		CHECK(secret_eq(&out, "{}", 2));
		CHECK(got_is(REPLY("\x0a\x03x\0y")));
		/* Erased behind what is left. */
		CHECK_INT(out.p[2], 0);
	}
	serve(&more);
	{
		cleanup_rpc struct rpc_link l = linked();

		CHECK_INT(aa_get_evidence(&l, true, REPLY(""), deadline_in(5000), &out, &e), 0);
		CHECK_INT(out.len, 0);
		CHECK(!out.p && got_is(REPLY("")));
	}
	clean_up();
}

TEST(aa_get_token__refused__carries_the_servers_words)
{
	static const struct script s = { "GetToken", REPLY(""), API_INTERNAL,
					 "[ERROR:attestation-agent] AA-KBC get token failed: "
					 "kbs.policy-denied: no" };
	cleanup_secret struct secret out = { 0 };
	struct err e;

	serve(&s);
	cleanup_rpc struct rpc_link l = linked();

	for (int i = 0; i < 3; i++) {
		CHECK_ERR(aa_get_token(&l, view_str("kbs"), deadline_in(5000), &out, &e),
			  ERR_DENIED, e, "no");
		CHECK_INT(e.code, CODE_KBS_POLICY_DENIED);
	}
	CHECK(got_is(REPLY("\x0a\x03kbs")));
	CHECK(l.fd >= 0);
	clean_up();
}

TEST(aa_get_resource__goes_to_the_hubs_service)
{
	static const struct script s = { "GetResource", REPLY("\x0a\x01k\x12\x00"), API_OK, NULL };
	cleanup_secret struct secret out = { 0 };
	struct err e;

	serve(&s);
	cleanup_rpc struct rpc_link l = linked();

	CHECK_INT(aa_get_resource(&l, view_str("kbs:///a"), deadline_in(5000), &out, &e), 0);
	CHECK(secret_eq(&out, "k", 1));
	CHECK(got_is(REPLY("\x0a\x08kbs:///a")));
	clean_up();
}

TEST(aa_tees__names__one_and_many)
{
	static const struct script one = { "GetTeeType", REPLY("\x0a\x03tpm"), API_OK, NULL };
	static const struct script many = { "GetAdditionalTees",
					    REPLY("\x0a\x06nvidia\x10\x05\x0a\x0csampledevice"),
					    API_OK, NULL };
	struct aa_tee tee;
	struct aa_tees tees = { .n = 9 };
	struct err e;

	serve(&one);
	{
		cleanup_rpc struct rpc_link l = linked();

		CHECK_INT(aa_get_tee(&l, deadline_in(5000), &tee, &e), 0);
		CHECK(strcmp(tee.name, "tpm") == 0 && got_is(REPLY("")));
	}
	serve(&many);
	{
		cleanup_rpc struct rpc_link l = linked();

		CHECK_INT(aa_get_additional_tees(&l, deadline_in(5000), &tees, &e), 0);
		CHECK_INT(tees.n, 2);
		CHECK(strcmp(tees.tee[0].name, "nvidia") == 0);
		CHECK(strcmp(tees.tee[1].name, "sampledevice") == 0);
	}
	clean_up();
}

TEST(aa_tees__names_that_are_none__are_malformed)
{
	static const struct {
		struct script s;
		const char *words;
	} rows[] = {
		{ { "GetTeeType", REPLY("\x0a\x02t\x01"), API_OK, NULL }, "byte 0x01" },
		{ { "GetTeeType", REPLY("\x0a\x02t\xc3"), API_OK, NULL }, "byte 0xc3" },
		{ { "GetTeeType", REPLY("\x08\x01"), API_OK, NULL }, "wire type 0" },
		{ { "GetTeeType",
		    REPLY("\x0a\x20"
			  "abcdefghijklmnopqrstuvwxyzabcdef"),
		    API_OK, NULL },
		  "32 bytes" },
		{ { "GetAdditionalTees", REPLY("\x08\x01"), API_OK, NULL }, "wire type 0" },
		{ { "GetAdditionalTees", REPLY("\x0a\x05t"), API_OK, NULL }, "past the end" },
		{ { "GetAdditionalTees",
		    REPLY("\x0a\x01"
			  "a\x0a\x01 "),
		    API_OK, NULL },
		  "byte 0x20" },
		{ { "GetAdditionalTees",
		    REPLY("\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00"
			  "\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00"),
		    API_OK, NULL },
		  "more than 16" },
	};
	struct aa_tees tees = { .n = 9 };
	struct aa_tee tee = { "untouched" };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		serve(&rows[i].s);
		cleanup_rpc struct rpc_link l = linked();
		int r = rows[i].s.method[3] == 'T'
				? aa_get_tee(&l, deadline_in(5000), &tee, &e)
				: aa_get_additional_tees(&l, deadline_in(5000), &tees, &e);

		CHECK_ERR(r, ERR_FORMAT, e, rows[i].words);
		CHECK_INT(e.code, CODE_API_MALFORMED);
	}
	CHECK(tees.n == 9 && strcmp(tee.name, "untouched") == 0);
	clean_up();
}

TEST(aa_extend__register__is_on_the_wire_only_when_given)
{
	static const struct script ok = { "ExtendRuntimeMeasurement", REPLY(""), API_OK, NULL };
	static const struct script off = { "ExtendRuntimeMeasurement", REPLY("\x08\x02"), API_OK,
					   NULL };
	static const struct script bad = { "ExtendRuntimeMeasurement", REPLY("\x0a\x00"), API_OK,
					   NULL };
	struct aa_event ev = { view_str("d"), view_str("op"), view_str(""), false, 0 };
	int64_t result = -1;
	struct err e;

	serve(&ok);
	{
		cleanup_rpc struct rpc_link l = linked();

		CHECK_INT(aa_extend(&l, &ev, deadline_in(5000), &result, &e), 0);
		CHECK_INT(result, AA_EXTENDED);
		CHECK(got_is(REPLY("\x0a\x01"
				   "d\x12\x02op\x1a\x00")));
		ev.has_register = true;
		CHECK_INT(aa_extend(&l, &ev, deadline_in(5000), &result, &e), 0);
		CHECK(got_is(REPLY("\x0a\x01"
				   "d\x12\x02op\x1a\x00\x20\x00")));
		ev.reg = 300;
		CHECK_INT(aa_extend(&l, &ev, deadline_in(5000), &result, &e), 0);
		CHECK(got_is(REPLY("\x0a\x01"
				   "d\x12\x02op\x1a\x00\x20\xac\x02")));
	}
	serve(&off);
	{
		cleanup_rpc struct rpc_link l = linked();

		CHECK_INT(aa_extend(&l, &ev, deadline_in(5000), &result, &e), 0);
		CHECK_INT(result, AA_EXTEND_DISABLED);
	}
	serve(&bad);
	{
		cleanup_rpc struct rpc_link l = linked();

		CHECK_ERR(aa_extend(&l, &ev, deadline_in(5000), &result, &e), ERR_FORMAT, e,
			  "wire type 2");
		CHECK_INT(result, AA_EXTEND_DISABLED);
	}
	clean_up();
}

/* --- links that come and go ------------------------------------------------------------------- */

TEST(rpc_ready__no_server__is_unreachable)
{
	struct rpc_link l = RPC_LINK("/nowhere/aa.sock");
	char long_path[RPC_PATH_MAX + 2] = { 0 };
	cleanup_secret struct secret out = { 0 };
	struct err e;

	CHECK_ERR(rpc_ready(&l, deadline_in(1000), &e), ERR_NETWORK, e, "/nowhere/aa.sock: ENOENT");
	CHECK_INT(e.code, CODE_API_UNREACHABLE);
	CHECK_ERR(aa_get_token(&l, view_str("kbs"), deadline_in(1000), &out, &e), ERR_NETWORK, e,
		  "not connected");
	for (size_t i = 0; i < RPC_PATH_MAX + 1; i++)
		long_path[i] = 'x';
	l.path = long_path;
	CHECK_ERR(rpc_ready(&l, deadline_in(1000), &e), ERR_LIMIT, e, "allowed 107");
}

TEST(rpc_ready__server_restarted__connects_again)
{
	static const struct script s = { "GetToken", REPLY("\x0a\x01t"), API_OK, NULL };
	cleanup_secret struct secret out = { 0 };
	struct err e;
	int fd;

	serve(&s);
	cleanup_rpc struct rpc_link l = linked();

	CHECK_INT(aa_get_token(&l, view_str("kbs"), deadline_in(5000), &out, &e), 0);
	fd = l.fd;
	CHECK_INT(rpc_ready(&l, deadline_in(1000), &e), 0);
	CHECK_INT(l.fd, fd);
	CHECK_INT(l.stream, 3);
	serve(&s);
	CHECK_INT(rpc_ready(&l, deadline_in(1000), &e), 0);
	CHECK_INT(l.stream, 1);
	CHECK_INT(aa_get_token(&l, view_str("kbs"), deadline_in(5000), &out, &e), 0);
	ttrpc_server_free(server);
	server = NULL;
	CHECK_INT(rpc_ready(&l, deadline_in(1000), &e), -ERR_NETWORK);
	CHECK_INT(l.fd, -1);
	clean_up();
}

/* --- a peer that sends what it likes ---------------------------------------------------------- */

struct liar {
	int listener;
	struct view bytes;
	bool stay; /* do not close */
};

static void *lie(void *arg)
{
	const struct liar *liar = arg;
	unsigned char request[4096];
	int fd = accept(liar->listener, NULL, NULL);

	/* The whole request: one closed with bytes unread takes the answer with it. */
	CHECK(fd >= 0 && recv(fd, request, 10, MSG_WAITALL) == 10);
	CHECK(recv(fd, request, (size_t)(request[2] << 8 | request[3]), MSG_WAITALL) > 0);
	for (size_t i = 0; i < liar->bytes.len; i++)
		CHECK(send(fd, liar->bytes.p + i, 1, MSG_NOSIGNAL) == 1);
	while (liar->stay && recv(fd, request, sizeof request, 0) > 0)
		continue;
	(void)close(fd);
	return NULL;
}

static int ask_liar(struct view bytes, bool stay, struct secret *out, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct liar liar = { socket(AF_UNIX, SOCK_STREAM, 0), bytes, stay };
	pthread_t t;
	int r;

	make_dir();
	memcpy(a.sun_path, path, strlen(path));
	CHECK(bind(liar.listener, (const void *)&a, sizeof a) == 0 &&
	      listen(liar.listener, 1) == 0);
	CHECK_INT(pthread_create(&t, NULL, lie, &liar), 0);
	cleanup_rpc struct rpc_link l = linked();

	r = aa_get_token(&l, view_str("kbs"), deadline_in(stay ? 300 : 5000), out, e);
	rpc_close(&l);
	CHECK_INT(pthread_join(t, NULL), 0);
	(void)close(liar.listener);
	clean_up();
	return r;
}

#define HEAD(len, stream, type) "\0\0" len "\0\0\0" stream type "\0"

TEST(rpc_call__replies_of_others__are_passed_over)
{
	cleanup_secret struct secret out = { 0 };
	struct err e;

	CHECK_INT(ask_liar(REPLY(HEAD("\0\x05", "\x03", "\x02") "\x0a\0\x12\x01x" HEAD(
				   "\0\x02", "\x01",
				   "\x03") "zz" HEAD("\0\x07", "\x01",
						     "\x02") "\x0a\0\x12\x03\x0a\x01t"),
			   false, &out, &e),
		  0);
	CHECK(secret_eq(&out, "t", 1));
}

TEST(rpc_call__what_is_no_reply__is_an_error)
{
	static const struct {
		struct view bytes;
		bool stay;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ REPLY(""), false, CODE_API_UNREACHABLE, "closed the connection" },
		{ REPLY("\0\0\0\x05"), false, CODE_API_UNREACHABLE, "closed the connection" },
		{ REPLY(HEAD("\0\x05", "\x01", "\x02") "\x0a"), false, CODE_API_UNREACHABLE,
		  "closed" },
		{ REPLY(HEAD("\0\x05", "\x01", "\x02") "\x0a"), true, CODE_API_DEADLINE,
		  "in time" },
		{ REPLY(""), true, CODE_API_DEADLINE, "in time" },
		{ REPLY("\0\x40\0\x01\0\0\0\x01\x02\0"), false, CODE_API_MALFORMED, "4194305" },
		{ REPLY("\xff\xff\xff\xff\0\0\0\x01\x02\0"), false, CODE_API_MALFORMED,
		  "4294967295" },
		{ REPLY(HEAD("\0\x02", "\x01", "\x02") "\x0a\x05"), false, CODE_API_MALFORMED,
		  "past the end" },
		{ REPLY(HEAD("\0\x02", "\x01", "\x02") "\x10\x05"), false, CODE_API_MALFORMED,
		  "wire type" },
		{ REPLY(HEAD("\0\x05", "\x01", "\x02") "\x0a\x00\x12\x01\xff"), false,
		  CODE_API_MALFORMED, "varint" },
		{ REPLY(HEAD("\0\x06", "\x01", "\x02") "\x0a\x04\x08\x0d\x12\x00"), false,
		  CODE_GENERAL_DENIED, "status 13" },
	};
	cleanup_secret struct secret out = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = ask_liar(rows[i].bytes, rows[i].stay, &out, &e);

		if (r >= 0 || e.code != rows[i].code || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s \"%s\"", i, r,
				  r < 0 ? err_name(&e) : "", r < 0 ? e.msg : "");
	}
	CHECK(!out.p);
}

/* --- fields ---------------------------------------------------------------------------------- */

TEST(field_next__malformed__is_an_error)
{
	static const struct {
		struct view in;
		const char *words;
	} rows[] = {
		{ REPLY("\x80"), "varint" },
		{ REPLY("\x08"), "varint" },
		{ REPLY("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "varint" },
		{ REPLY("\x00\x01"), "number" },
		{ REPLY("\x80\x80\x80\x80\x10\x01"), "number" },
		{ REPLY("\x0b"), "wire type 3" },
		{ REPLY("\x0f"), "wire type 7" },
		{ REPLY("\x0a\x02x"), "past the end" },
		{ REPLY("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "past the end" },
		{ REPLY("\x0d\x01\x02\x03"), "past the end" },
		{ REPLY("\x09\x01\x02\x03\x04\x05\x06\x07"), "past the end" },
	};
	struct field f = { .number = 77 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view in = rows[i].in;

		CHECK_ERR(field_next(&f, &in, &e), ERR_FORMAT, e, rows[i].words);
	}
	CHECK_INT(f.number, 77);
}

TEST(field_next__all_types__one_after_the_other)
{
	struct view in = REPLY(
		"\x08\x96\x01\x12\x02hi\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08"
		"\xfa\xff\xff\xff\x0f\x00");
	struct field f;
	struct err e;

	CHECK(field_next(&f, &in, &e) == 0 && f.number == 1 && f.type == FIELD_VARINT &&
	      f.value == 150);
	CHECK(field_next(&f, &in, &e) == 0 && f.number == 2 && view_is(f.bytes, "hi"));
	CHECK_ERR(field_want(&f, FIELD_VARINT, &e), ERR_FORMAT, e,
		  "field 2 has wire type 2, want 0");
	CHECK(field_next(&f, &in, &e) == 0 && f.number == 3 && f.type == FIELD_FIXED32 &&
	      f.bytes.len == 4);
	CHECK(field_next(&f, &in, &e) == 0 && f.number == 4 && f.type == FIELD_FIXED64 &&
	      f.bytes.len == 8);
	CHECK(field_next(&f, &in, &e) == 0 && f.number == 536870911 && f.bytes.len == 0);
	CHECK_INT(in.len, 0);
}
