/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_API_FIXTURE_H
#define TEST_API_FIXTURE_H

#include "agent/api/frame.h"
#include "agent/api/ttrpc_server.h"
#include "agent/api/wire.h"
#include "test/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * A server on a socket in a temporary folder, methods that do what a test wants, and a client
 * that sends bytes as they are. Each test is a process of its own, so one of each is enough.
 */
static struct ttrpc_server *door;
static char door_dir[64], door_path[96];

#define UNUSED __attribute__((unused))

static UNUSED void nap_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* --- methods of service t.T ------------------------------------------------------- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_cond = PTHREAD_COND_INITIALIZER;
static bool gate_open;
static atomic_int at_gate, ran_local;

static UNUSED void open_gate(void)
{
	(void)pthread_mutex_lock(&gate_lock);
	gate_open = true;
	(void)pthread_cond_broadcast(&gate_cond);
	(void)pthread_mutex_unlock(&gate_lock);
}

/* The payload comes back. */
static UNUSED enum api_status m_echo(void *ctx, const struct api_call *call, struct api_result *out,
				     char text[API_STATUS_TEXT])
{
	(void)ctx;
	(void)text;
	buf_putv(&out->message, call->payload);
	return API_OK;
}

static UNUSED enum api_status to_secret(const struct api_call *call, struct api_result *out,
					size_t n)
{
	if (secret_alloc(&out->secret, n > 0 ? n : 1, NULL) < 0)
		return API_INTERNAL;
	out->secret.len = n;
	if (call->payload.len > 0)
		memcpy(out->secret.p, call->payload.p, call->payload.len < n ? call->payload.len : n);
	out->secret_field = 1;
	return API_OK;
}

/* The payload comes back as a secret. */
static UNUSED enum api_status m_secret(void *ctx, const struct api_call *call,
				       struct api_result *out, char text[API_STATUS_TEXT])
{
	(void)ctx;
	(void)text;
	return to_secret(call, out, call->payload.len);
}

/* A secret of as many bytes as the payload says in decimal. */
static UNUSED enum api_status m_big(void *ctx, const struct api_call *call, struct api_result *out,
				    char text[API_STATUS_TEXT])
{
	char digits[16] = { 0 };

	(void)ctx;
	(void)text;
	(void)snprintf(digits, sizeof digits, "%.*s", VIEW_ARG(call->payload));
	return to_secret(call, out, strtoul(digits, NULL, 10));
}

/* As m_secret, but only when the gate is open; it does not look at its deadline. */
static UNUSED enum api_status m_gate(void *ctx, const struct api_call *call, struct api_result *out,
				     char text[API_STATUS_TEXT])
{
	atomic_fetch_add(&at_gate, 1);
	(void)pthread_mutex_lock(&gate_lock);
	while (!gate_open)
		(void)pthread_cond_wait(&gate_cond, &gate_lock);
	(void)pthread_mutex_unlock(&gate_lock);
	return m_secret(ctx, call, out, text);
}

static UNUSED enum api_status m_fail(void *ctx, const struct api_call *call, struct api_result *out,
				     char text[API_STATUS_TEXT])
{
	(void)ctx;
	(void)out;
	(void)snprintf(text, API_STATUS_TEXT, "[CDH] [ERROR]: Nothing: kbs.policy-denied: %.*s \xff",
		       VIEW_ARG(call->payload));
	return API_INTERNAL;
}

/* What io.vouchsafe.name said, or "-". */
static UNUSED enum api_status m_name(void *ctx, const struct api_call *call, struct api_result *out,
				     char text[API_STATUS_TEXT])
{
	(void)ctx;
	(void)text;
	buf_puts(&out->message, call->name ? call->name : "-");
	return API_OK;
}

/* "hit…" is answered here, everything else waits at the gate. */
static UNUSED enum api_status m_local(void *ctx, const struct api_call *call,
				      struct api_result *out, char text[API_STATUS_TEXT])
{
	atomic_fetch_add(&ran_local, 1);
	return view_starts(call->payload, "hit") ? m_secret(ctx, call, out, text) : API_NOT_LOCAL;
}

static UNUSED const struct api_method methods[] = {
	{ "t.T", "Echo", false, m_echo, NULL, NULL },
	{ "t.T", "Secret", true, m_secret, NULL, NULL },
	{ "t.T", "Big", true, m_big, NULL, NULL },
	{ "t.T", "Gate", true, m_gate, NULL, NULL },
	{ "t.T", "Fail", false, m_fail, NULL, NULL },
	{ "t.T", "Name", false, m_name, NULL, NULL },
	{ "t.T", "Cached", true, m_gate, m_local, NULL },
	{ "t.T", "Never", false, NULL, NULL, NULL },
	{ "t.U", "Echo", false, m_echo, NULL, NULL },
};

/* --- the server ------------------------------------------------------------------- */

static UNUSED void remove_dir(void)
{
	(void)unlink(door_path);
	(void)rmdir(door_dir);
}

static UNUSED void make_dir(void)
{
	(void)snprintf(door_dir, sizeof door_dir, "/tmp/vouchsafe-api.XXXXXX");
	CHECK(mkdtemp(door_dir) != NULL);
	CHECK(chmod(door_dir, 0755) == 0);
	(void)snprintf(door_path, sizeof door_path, "%s/t.sock", door_dir);
	(void)atexit(remove_dir);
}

/* limits may be NULL. The test's own user is admitted. */
static UNUSED void open_door(const struct ttrpc_limits *limits)
{
	unsigned own = getuid();
	struct ttrpc_config config = { .uids = &own, .n_uids = 1 };

	if (limits)
		config.limits = *limits;
	make_dir();
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0666, (gid_t)-1, methods,
				      ARRAY_LEN(methods), NULL),
		  0);
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
}

static UNUSED void shut_door(void)
{
	open_gate();
	ttrpc_server_free(door);
	door = NULL;
}

static UNUSED struct ttrpc_stats door_stats(void)
{
	struct ttrpc_stats s;

	ttrpc_server_stats(door, &s);
	return s;
}

/* Wait until the condition holds; at most ten seconds. */
#define WAIT_FOR(cond)                                                                             \
	do {                                                                                       \
		struct deadline until_ = deadline_in(10000);                                       \
		while (!(cond) && deadline_left_ms(until_) > 0)                                    \
			nap_ms(2);                                                                 \
		CHECK(cond);                                                                       \
	} while (0)

/* --- the client ------------------------------------------------------------------- */

static UNUSED int dial(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", door_path);
	CHECK(fd >= 0);
	CHECK(connect(fd, (const struct sockaddr *)&a, sizeof a) == 0);
	return fd;
}

static UNUSED void send_bytes(int fd, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n > 0) {
		ssize_t k = send(fd, b, n, MSG_NOSIGNAL);

		CHECK(k > 0);
		b += k;
		n -= (size_t)k;
	}
}

static UNUSED void send_head(int fd, uint32_t len, uint32_t stream, uint8_t type)
{
	uint8_t head[FRAME_HEAD];

	frame_head_put(head, &(struct frame_head){ .len = len, .stream = stream, .type = type });
	send_bytes(fd, head, sizeof head);
}

static UNUSED void ask_view(int fd, uint32_t stream, const char *service, const char *method,
			    struct view payload, int64_t timeout_ms, const char *name)
{
	cleanup_buf struct buf b = BUF_MAX(FRAME_MAX + 4096);

	wire_request_encode(&b, service, method, payload, timeout_ms * 1000000, name);
	CHECK_INT(b.failed, 0);
	send_head(fd, (uint32_t)b.len, stream, FRAME_REQUEST);
	send_bytes(fd, b.p, b.len);
}

static UNUSED void ask(int fd, uint32_t stream, const char *method, const char *payload,
		       int64_t timeout_ms)
{
	ask_view(fd, stream, "t.T", method, view_str(payload), timeout_ms, NULL);
}

/* True when there is something to read, or the end, within ms. */
static UNUSED bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static UNUSED bool recv_bytes(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k;

		if (!readable(fd, 20000))
			test_fail(__FILE__, __LINE__, "no answer within 20 s");
		k = recv(fd, p, n, 0);
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

struct told {
	uint32_t stream;
	int status;
	char text[1024];  /* of the status */
	const uint8_t *payload; /* in heard: until the next answer */
	size_t len;
};

static uint8_t heard[FRAME_MAX];

/* False at the end of the connection. */
static UNUSED bool hear(int fd, struct told *t)
{
	uint8_t head[FRAME_HEAD];
	struct frame_head h;
	struct wire_reply reply;

	if (!recv_bytes(fd, head, sizeof head))
		return false;
	h = frame_head_get(head);
	CHECK(h.type == FRAME_RESPONSE && h.flags == 0);
	CHECK(h.len <= sizeof heard && recv_bytes(fd, heard, h.len));
	CHECK_INT(wire_reply_scan(&reply, (struct view){ heard, h.len }, NULL), 0);
	*t = (struct told){ .stream = h.stream, .status = reply.status };
	(void)snprintf(t->text, sizeof t->text, "%.*s", (int)reply.message.len,
		       (const char *)reply.message.p);
	t->payload = reply.payload.p;
	t->len = reply.payload.len;
	return true;
}

/* The next answer is this one. text: a part of it. */
static UNUSED void hear_status(int fd, uint32_t stream, int status, const char *text)
{
	struct told t;

	CHECK(hear(fd, &t));
	CHECK_INT(t.stream, stream);
	if (t.status != status || !strstr(t.text, text))
		test_fail(__FILE__, __LINE__, "status %d \"%s\", want %d \"%s\"", t.status, t.text,
			  status, text);
}

/* The next answer carries these bytes: as the message, or as its bytes field 1. */
static UNUSED void hear_bytes(int fd, uint32_t stream, const char *want, bool secret)
{
	struct told t;
	struct view v;

	CHECK(hear(fd, &t));
	CHECK_INT(t.stream, stream);
	if (t.status != 0)
		test_fail(__FILE__, __LINE__, "status %d \"%s\"", t.status, t.text);
	v = (struct view){ t.payload, t.len };
	if (secret)
		CHECK_INT(wire_bytes_scan(&v, v, 1, NULL), 0);
	CHECK(view_is(v, want));
}

static UNUSED bool ended(int fd, int ms)
{
	char c;

	return readable(fd, ms) && recv(fd, &c, 1, 0) <= 0;
}

#endif
