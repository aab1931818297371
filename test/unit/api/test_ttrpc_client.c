/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/cdh.h"
#include "agent/api/ttrpc_client.h"
#include "test/unit/api/fixture.h"

#include <sys/wait.h>

/* --- against our own server --------------------------------------------------------- */

static int fake_unseal(void *ctx, const char *name, struct view sealed, struct deadline d,
		       struct secret *out, struct err *e)
{
	int r;

	(void)ctx;
	if (view_starts(sealed, "deny"))
		return err_code(e, CODE_KBS_POLICY_DENIED, "policy says no to %s", name ?: "-");
	if (view_starts(sealed, "stall")) {
		while (deadline_left_ms(d) > 0)
			nap_ms(5);
		return err_code(e, CODE_NET_TIMEOUT, "https://kbs: no reply");
	}
	r = secret_alloc(out, sealed.len + 300, e);
	if (r == 0)
		r = secret_append(out, "plain:", 6, e);
	if (r == 0 && name)
		r = secret_append(out, name, strlen(name), e);
	return r < 0 ? r : secret_append(out, sealed.p, sealed.len, e);
}

static int fake_resource(void *ctx, struct view uri, struct deadline d, struct secret *out,
			 struct err *e)
{
	return fake_unseal(ctx, "res=", uri, d, out, e);
}

static struct cdh_backend backend = { .unseal = fake_unseal, .get_resource = fake_resource };
static struct api_method cdh[CDH_METHODS];

static struct ttrpc_client *open_cdh(void)
{
	unsigned own = getuid();
	struct ttrpc_config config = { .uids = &own, .n_uids = 1 };
	struct ttrpc_client *c;

	cdh_methods(cdh, &backend);
	make_dir();
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0600, (gid_t)-1, cdh, CDH_METHODS, NULL), 0);
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
	CHECK_INT(ttrpc_client_open(&c, door_path, deadline_in(1000), NULL), 0);
	return c;
}

TEST(ttrpc_client__one_call__gives_the_plaintext)
{
	struct ttrpc_client *c = open_cdh();
	cleanup_secret struct secret s = { 0 };
	struct err e;

	CHECK_INT(ttrpc_unseal(c, "PASS", view_str("sealed.x"), deadline_in(5000), &s, &e), 0);
	CHECK(secret_eq(&s, "plain:PASSsealed.x", 18));
	CHECK_INT(ttrpc_unseal(c, NULL, view_str("sealed.y"), deadline_in(5000), &s, &e), 0);
	CHECK(secret_eq(&s, "plain:sealed.y", 14));
	ttrpc_client_close(c);
	shut_door();
}

TEST(ttrpc_client__refusal__has_the_servers_code_and_reason)
{
	struct ttrpc_client *c = open_cdh();
	cleanup_secret struct secret s = { 0 };
	struct err e;

	CHECK_ERR(ttrpc_unseal(c, "PASS", view_str("deny"), deadline_in(5000), &s, &e), ERR_DENIED,
		  e, "policy says no to PASS");
	CHECK_INT(e.code, CODE_KBS_POLICY_DENIED);
	CHECK(s.p == NULL);
	/* The connection is as good as before. */
	CHECK_INT(ttrpc_unseal(c, NULL, view_str("x"), deadline_in(5000), &s, &e), 0);
	ttrpc_client_close(c);
	shut_door();
}

TEST(ttrpc_client__late_backend__its_reason_arrives_before_the_deadline)
{
	struct ttrpc_client *c = open_cdh();
	cleanup_secret struct secret s = { 0 };
	struct err e;

	CHECK_ERR(ttrpc_unseal(c, NULL, view_str("stall"), deadline_in(800), &s, &e), ERR_TIMEOUT,
		  e, "https://kbs: no reply");
	CHECK_INT(e.code, CODE_NET_TIMEOUT);
	ttrpc_client_close(c);
	shut_door();
}

TEST(ttrpc_client__many_calls__each_has_its_own_answer)
{
	enum { N = 500 };
	static struct ttrpc_request q[N];
	static char text[N][32], want[N][64];
	struct ttrpc_client *c = open_cdh();
	struct err e;

	for (int i = 0; i < N; i++) {
		(void)snprintf(text[i], sizeof text[i], "%s%d", i % 7 == 3 ? "deny" : "n", i);
		(void)snprintf(want[i], sizeof want[i], "plain:%s", text[i]);
		q[i] = (struct ttrpc_request){ .method = &ttrpc_unseal_secret,
					       .text = view_str(text[i]) };
	}
	CHECK_INT(ttrpc_client_call(c, q, N, deadline_in(20000), &e), 0);
	for (int i = 0; i < N; i++) {
		if (i % 7 == 3) {
			CHECK_INT(q[i].result, -ERR_DENIED);
			CHECK_INT(q[i].err.code, CODE_KBS_POLICY_DENIED);
		} else {
			CHECK_INT(q[i].result, 0);
			CHECK(secret_eq(&q[i].reply, want[i], strlen(want[i])));
		}
		secret_done(&q[i].reply);
	}
	ttrpc_client_close(c);
	shut_door();
}

TEST(ttrpc_client__many_large_calls__do_not_block_each_other)
{
	enum { N = 40, BYTES = 300000 };
	static struct ttrpc_request q[N];
	static uint8_t text[BYTES];
	struct ttrpc_client *c;
	struct err e;

	test_need_memlock(32u << 20);
	c = open_cdh();

	for (int i = 0; i < N; i++)
		q[i] = (struct ttrpc_request){ .method = &ttrpc_unseal_secret,
					       .text = { text, BYTES } };
	CHECK_INT(ttrpc_client_call(c, q, N, deadline_in(20000), &e), 0);
	for (int i = 0; i < N; i++) {
		if (q[i].result < 0)
			test_fail(__FILE__, __LINE__, "%d: %s", i, q[i].err.msg);
		CHECK_INT(q[i].reply.len, BYTES + 6);
		secret_done(&q[i].reply);
	}
	ttrpc_client_close(c);
	shut_door();
}

TEST(ttrpc_client__request_over_the_maximum__fails_alone)
{
	cleanup_free uint8_t *text = calloc(1, FRAME_MAX);
	struct ttrpc_client *c = open_cdh();
	struct ttrpc_request q[2] = {
		{ .method = &ttrpc_unseal_secret, .text = { text, FRAME_MAX } },
		{ .method = &ttrpc_unseal_secret, .text = view_str("x") },
	};

	CHECK_INT(ttrpc_client_call(c, q, 2, deadline_in(5000), NULL), 0);
	CHECK_ERR(q[0].result, ERR_LIMIT, q[0].err, "the request exceeds 4194304 bytes");
	CHECK_INT(q[1].result, 0);
	CHECK(secret_eq(&q[1].reply, "plain:x", 7));
	secret_done(&q[1].reply);
	ttrpc_client_close(c);
	shut_door();
}

TEST(ttrpc_client_open__nobody_there__waits_until_the_deadline)
{
	struct ttrpc_client *c;
	int64_t before = clock_boot_ms();
	struct err e;

	CHECK_ERR(ttrpc_client_open(&c, "/tmp/vouchsafe-api-nowhere.sock", deadline_in(200), &e),
		  ERR_NETWORK, e, "connect to /tmp/vouchsafe-api-nowhere.sock: ENOENT");
	CHECK_INT(e.code, CODE_API_UNREACHABLE);
	CHECK(clock_boot_ms() - before >= 200 && clock_boot_ms() - before < 5000);
	CHECK_INT(ttrpc_client_open(&c, "/tmp/vouchsafe-api-nowhere.sock", deadline_in(0), NULL),
		  -ERR_NETWORK);
}

static void *listen_later(void *arg)
{
	(void)arg;
	nap_ms(200);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0600, (gid_t)-1, methods,
				      ARRAY_LEN(methods), NULL),
		  0);
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
	return NULL;
}

TEST(ttrpc_client_open__server_comes_late__is_met)
{
	unsigned own = getuid();
	struct ttrpc_config config = { .uids = &own, .n_uids = 1 };
	struct ttrpc_client *c;
	pthread_t t;

	make_dir();
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK(pthread_create(&t, NULL, listen_later, NULL) == 0);
	CHECK_INT(ttrpc_client_open(&c, door_path, deadline_in(5000), NULL), 0);
	CHECK(pthread_join(t, NULL) == 0);
	ttrpc_client_close(c);
	shut_door();
}

TEST(ttrpc_client__not_admitted__is_told_so)
{
	struct ttrpc_config config = { 0 };
	cleanup_secret struct secret s = { 0 };
	struct ttrpc_client *c;
	struct err e;
	pid_t pid;
	int st;

	if (getuid() != 0)
		test_skip("another user needs root");
	make_dir();
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0666, (gid_t)-1, methods, 1, NULL), 0);
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
	for (int i = 0; i < 20; i++) { /* the request may meet an open or a closed door */
		pid = fork();
		if (pid == 0) {
			CHECK(setuid(65534) == 0);
			CHECK_INT(ttrpc_client_open(&c, door_path, deadline_in(1000), NULL), 0);
			nap_ms(i % 4);
			CHECK_ERR(ttrpc_unseal(c, NULL, view_str("x"), deadline_in(1000), &s, &e),
				  ERR_DENIED, e, "user id 65534 is not admitted");
			CHECK_INT(e.code, CODE_API_PEER_DENIED);
			_exit(0);
		}
		CHECK(waitpid(pid, &st, 0) == pid);
		CHECK_INT(st, 0);
	}
	shut_door();
}

/* --- against a server that misbehaves -------------------------------------------------- */

static int lying_fd = -1;
static const char *lie;
static size_t lie_len;
static bool hang_up;

static void *lying_server(void *arg)
{
	uint8_t sink[4096];
	int fd = accept(lying_fd, NULL, NULL);

	(void)arg;
	CHECK(fd >= 0);
	CHECK(recv(fd, sink, sizeof sink, 0) > 0);
	CHECK(send(fd, lie, lie_len, MSG_NOSIGNAL) == (ssize_t)lie_len);
	if (!hang_up)
		nap_ms(1000);
	(void)close(fd);
	return NULL;
}

/* One call to a server that answers these bytes. */
static int call_liar(const char *bytes, size_t len, bool hang, struct secret *s, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct ttrpc_client *c;
	pthread_t t;
	int r;

	if (door_path[0] == '\0')
		make_dir();
	(void)unlink(door_path);
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", door_path);
	lying_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(lying_fd >= 0 && bind(lying_fd, (const struct sockaddr *)&a, sizeof a) == 0 &&
	      listen(lying_fd, 1) == 0);
	lie = bytes;
	lie_len = len;
	hang_up = hang;
	CHECK(pthread_create(&t, NULL, lying_server, NULL) == 0);
	CHECK_INT(ttrpc_client_open(&c, door_path, deadline_in(1000), NULL), 0);
	r = ttrpc_unseal(c, NULL, view_str("x"), deadline_in(300), s, e);
	ttrpc_client_close(c);
	CHECK(pthread_join(t, NULL) == 0);
	(void)close(lying_fd);
	return r;
}

TEST(ttrpc_client__bad_replies__are_errors_with_their_reason)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool hang;
		enum err_code code;
		const char *words;
	} rows[] = {
#define ROW(b, hang, code, words) { b, sizeof(b) - 1, hang, code, words }
		ROW("", true, CODE_API_UNREACHABLE, "closed the connection"),
		ROW("", false, CODE_API_DEADLINE, "no answer from vouchsafed in time"),
		ROW("\0\0\0\x06\0", true, CODE_API_UNREACHABLE, "closed the connection"),
		ROW("\0\0\0\x06\0\0\0\1\2\0abc", true, CODE_API_UNREACHABLE, "closed"),
		ROW("\0\0\0\x06\0\0\0\1\2\0abc", false, CODE_API_DEADLINE, "in time"),
		ROW("\0\x40\0\x01\0\0\0\1\2\0", false, CODE_API_MALFORMED,
		    "reply of 4194305 bytes, allowed 4194304"),
		ROW("\0\0\0\2\0\0\0\1\2\0\x0a\x05", false, CODE_API_MALFORMED, "past the end"),
		ROW("\0\0\0\4\0\0\0\1\2\0\x12\2\x08\1", false, CODE_API_MALFORMED,
		    "field 1 has wire type 0"),
		/* Answers to another id, to none, of another type: nobody waits for them. */
		ROW("\0\0\0\0\0\0\0\3\2\0", false, CODE_API_DEADLINE, "in time"),
		ROW("\0\0\0\0\0\0\0\2\2\0", false, CODE_API_DEADLINE, "in time"),
		ROW("\0\0\0\0\0\0\0\1\1\0", false, CODE_API_DEADLINE, "in time"),
		ROW("\0\0\0\0\xff\xff\xff\xff\2\0", false, CODE_API_DEADLINE, "in time"),
		ROW("\0\0\0\x0d\0\0\0\1\2\0\x0a\x0b\x08\4\x12\7timeout", false, CODE_API_DEADLINE,
		    "status 4: timeout"),
	};
	cleanup_secret struct secret s = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_ERR(call_liar(rows[i].bytes, rows[i].len, rows[i].hang, &s, &e),
			  err_entry(rows[i].code)->kind, e, rows[i].words);
		CHECK_INT(e.code, rows[i].code);
		CHECK(s.p == NULL);
	}
}

TEST(ttrpc_client__replies_of_other_servers__are_read)
{
	static const struct {
		const char *bytes;
		size_t len, value;
	} rows[] = {
		{ "\0\0\0\0\0\0\0\1\2\0", 10, 0 },
		{ "\0\0\0\2\0\0\0\1\2\0\x0a\0", 12, 0 },
		{ "\0\0\0\x05\0\0\0\1\2\0\x12\3\x0a\1v", 15, 1 },
		/* payload first, an unknown field inside, then the status; a stray frame before */
		{ "\0\0\0\0\0\0\0\x63\2\0\0\0\0\x0a\0\0\0\1\2\0\x12\6\x18\7\x0a\2vw\x0a\0", 30, 2 },
	};
	cleanup_secret struct secret s = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_INT(call_liar(rows[i].bytes, rows[i].len, true, &s, &e), 0);
		CHECK(s.p != NULL);
		CHECK(secret_eq(&s, "vw", rows[i].value));
		/* The rest of the frame is gone from the mapping. */
		for (size_t k = s.len; k < s.cap; k++)
			CHECK_INT(s.p[k], 0);
	}
}
