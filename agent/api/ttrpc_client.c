/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/ttrpc_client.h"

#include "agent/api/frame.h"
#include "agent/api/status.h"
#include "agent/api/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { RETRY_MS = 50, RETRY_MAX_MS = 500 };

const struct ttrpc_method ttrpc_unseal_secret = { "api.SealedSecretService", "UnsealSecret" };

struct ttrpc_client {
	int fd;             /* -1: of no use any more */
	uint32_t next;      /* stream id of the next call */
	struct buf out;     /* frames not sent yet */
	size_t sent;        /* of out */
	bool shut;          /* the server takes no more; what it said before is still read */
	uint8_t head[FRAME_HEAD];
	size_t got;         /* bytes of header and payload of the frame being read */
	struct frame_head in;
	struct secret body; /* the frame being read, in.len bytes */
};

/* One ttrpc_client_call(). */
struct batch {
	struct ttrpc_request *requests;
	size_t n, begun, answered;
	uint32_t first; /* stream id of requests[0] */
	struct deadline deadline;
	bool *done; /* n of them */
};

static int connect_once(const char *path, struct err *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (fd < 0)
		return err_sys(e, errno, "socket");
	if (strlen(path) >= sizeof a.sun_path)
		return err_set(e, ERR_LIMIT, "socket path of %zu bytes, allowed %zu", strlen(path),
			       sizeof a.sun_path - 1);
	memcpy(a.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
		return err_sys(e, errno, "connect to %s", path);
	return take_fd(fd);
}

static void nap(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

int ttrpc_client_open(struct ttrpc_client **out, const char *path, struct deadline d, struct err *e)
{
	struct ttrpc_client *c;
	int64_t pause = RETRY_MS;
	struct err why;
	int fd;

	while ((fd = connect_once(path, &why)) < 0) {
		int64_t left = deadline_left_ms(d);
		bool later = why.sys == ENOENT || why.sys == ECONNREFUSED || why.sys == EAGAIN;

		if (why.kind != ERR_SYSTEM || !later || left == 0) {
			if (e)
				*e = why;
			return why.kind != ERR_SYSTEM ? fd
						      : err_wrap_code(e, CODE_API_UNREACHABLE,
								      "vouchsafed");
		}
		nap(pause < left ? pause : left);
		pause = pause * 2 < RETRY_MAX_MS ? pause * 2 : RETRY_MAX_MS;
	}
	c = calloc(1, sizeof *c);
	if (!c) {
		(void)close(fd);
		return err_set(e, ERR_NOMEM, "no memory for a connection");
	}
	c->fd = fd;
	c->next = 1;
	c->out = BUF_MAX((size_t)TTRPC_WINDOW * (FRAME_MAX + FRAME_HEAD));
	*out = c;
	return 0;
}

static void give_up(struct ttrpc_client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	secret_done(&c->body);
	buf_done(&c->out);
}

void ttrpc_client_close(struct ttrpc_client *c)
{
	if (!c)
		return;
	give_up(c);
	free(c);
}

/* --- requests out ---------------------------------------------------------------- */

static void answer(struct batch *b, size_t i, int result)
{
	b->requests[i].result = result;
	b->done[i] = true;
	b->answered++;
}

/* What was sent need not be kept while more is added behind it. */
static void forget_sent(struct ttrpc_client *c)
{
	size_t rest = c->out.len - c->sent;

	if (c->sent == 0)
		return;
	if (rest > 0)
		memmove(c->out.p, c->out.p + c->sent, rest);
	c->out.len = rest;
	c->sent = 0;
}

/* Put the next request into c->out. */
static int begin(struct ttrpc_client *c, struct batch *b, struct err *e)
{
	struct ttrpc_request *q = &b->requests[b->begun];
	cleanup_buf struct buf message = BUF_MAX(FRAME_MAX), payload = BUF_MAX(FRAME_MAX);
	int64_t left = deadline_left_ms(b->deadline);
	int64_t told = left - (left / 10 < 200 ? left / 10 : 200);
	uint8_t head[FRAME_HEAD];
	int r;

	wire_bytes_put(&message, 1, q->text);
	wire_request_encode(&payload, q->method->service, q->method->method, buf_view(&message),
			    (told > 0 ? told : 1) * 1000000, q->name);
	r = buf_check(&message, "the request", &q->err);
	if (r == 0)
		r = buf_check(&payload, "the request", &q->err);
	if (r < 0) {
		answer(b, b->begun++, r);
		c->next += 2;
		return 0;
	}
	forget_sent(c);
	frame_head_put(head, &(struct frame_head){ .len = (uint32_t)payload.len,
						   .stream = c->next,
						   .type = FRAME_REQUEST });
	buf_put(&c->out, head, sizeof head);
	buf_putv(&c->out, buf_view(&payload));
	c->next += 2;
	b->begun++;
	return buf_check(&c->out, "requests", e);
}

static int push_out(struct ttrpc_client *c, struct err *e)
{
	while (!c->shut && c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.p + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			c->shut = true;
		else if (n < 0)
			return err_sys(e, errno, "send to vouchsafed");
		else
			c->sent += (size_t)n;
	}
	return 0;
}

/* --- replies in ------------------------------------------------------------------ */

/* Leave in s only the bytes of v, which lie in it. */
static void cut(struct secret *s, struct view v)
{
	if (v.len > 0)
		memmove(s->p, v.p, v.len);
	explicit_bzero(s->p + v.len, s->cap - v.len);
	s->len = v.len;
}

static void on_reply(struct ttrpc_client *c, struct batch *b)
{
	struct view frame = { secret_bytes(&c->body), c->body.len }, value = { 0 };
	size_t i = (c->in.stream - b->first) / 2;
	struct ttrpc_request *q;
	struct wire_reply reply;
	int r;

	/* Not of this batch, answered, or no answer at all: nothing that anybody waits for. */
	if (c->in.type != FRAME_RESPONSE || c->in.stream % 2 == 0 || i >= b->begun || b->done[i])
		return;
	q = &b->requests[i];
	r = wire_reply_scan(&reply, frame, &q->err);
	if (r == 0 && reply.status != 0) {
		answer(b, i, api_status_err(reply.status, reply.message, &q->err));
		return;
	}
	if (r == 0)
		r = wire_bytes_scan(&value, reply.payload, 1, &q->err);
	if (r == 0) {
		cut(&c->body, value);
		secret_move(&q->reply, &c->body);
	} else {
		r = err_wrap_code(&q->err, CODE_API_MALFORMED, "the reply of vouchsafed");
	}
	answer(b, i, r);
}

/* One recv(2). Returns bytes, 0 for none now, or an error. */
static int receive(struct ttrpc_client *c, uint8_t *p, size_t n, struct err *e)
{
	ssize_t k;

	do
		k = recv(c->fd, p, n, 0);
	while (k < 0 && errno == EINTR);
	if (k > 0)
		return (int)k;
	if (k < 0 && errno == EAGAIN)
		return 0;
	if (k == 0 || errno == ECONNRESET)
		return err_code(e, CODE_API_UNREACHABLE, "vouchsafed closed the connection");
	return err_sys(e, errno, "receive from vouchsafed");
}

/* Read what there is, at most one frame. 1: go on reading, 0: none left now. */
static int pull_in(struct ttrpc_client *c, struct batch *b, struct err *e)
{
	int n, r;

	if (c->got < FRAME_HEAD) {
		n = receive(c, c->head + c->got, FRAME_HEAD - c->got, e);
		if (n <= 0)
			return n;
		c->got += (size_t)n;
		if (c->got < FRAME_HEAD)
			return 1;
		c->in = frame_head_get(c->head);
		if (c->in.len > FRAME_MAX)
			return err_code(e, CODE_API_MALFORMED, "reply of %u bytes, allowed %u",
					c->in.len, FRAME_MAX);
		r = secret_alloc(&c->body, c->in.len > 0 ? c->in.len : 1, e);
		if (r < 0)
			return r;
	}
	if (c->body.len < c->in.len) {
		n = receive(c, c->body.p + c->body.len, c->in.len - c->body.len, e);
		if (n <= 0)
			return n;
		c->body.len += (size_t)n;
	}
	if (c->body.len < c->in.len)
		return 1;
	on_reply(c, b);
	secret_done(&c->body);
	c->got = 0;
	return 1;
}

static int wait_for(struct ttrpc_client *c, struct batch *b, struct err *e)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	int64_t left = deadline_left_ms(b->deadline);

	if (left == 0)
		return err_code(e, CODE_API_DEADLINE, "no answer from vouchsafed in time");
	if (!c->shut && c->sent < c->out.len)
		p.events |= POLLOUT;
	if (poll(&p, 1, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
		return err_sys(e, errno, "poll");
	return 0;
}

static bool may_begin(const struct batch *b)
{
	return b->begun < b->n && b->begun - b->answered < TTRPC_WINDOW;
}

static int turn(struct ttrpc_client *c, struct batch *b, struct err *e)
{
	int r;

	while (may_begin(b)) {
		r = begin(c, b, e);
		if (r < 0)
			return r;
	}
	r = push_out(c, e);
	if (r < 0)
		return r;
	do
		r = pull_in(c, b, e);
	while (r > 0 && b->answered < b->n);
	if (r < 0 || b->answered == b->n || may_begin(b))
		return r < 0 ? r : 0;
	return wait_for(c, b, e);
}

int ttrpc_client_call(struct ttrpc_client *c, struct ttrpc_request *requests, size_t n,
		      struct deadline d, struct err *e)
{
	cleanup_free bool *done = calloc(n > 0 ? n : 1, sizeof *done);
	struct batch b = { .requests = requests, .n = n, .first = c->next, .deadline = d };
	struct err why;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		secret_done(&requests[i].reply);
	b.done = done;
	if (!done)
		r = err_set(&why, ERR_NOMEM, "no memory for %zu calls", n);
	else if (c->fd < 0 || n > (UINT32_MAX - c->next) / 2)
		r = err_code(&why, CODE_API_UNREACHABLE, "the connection to vouchsafed is closed");
	while (r == 0 && b.answered < n)
		r = turn(c, &b, &why);
	if (r >= 0)
		return 0;
	give_up(c);
	for (size_t i = 0; i < n; i++) {
		if (done && done[i])
			continue;
		requests[i].result = r;
		requests[i].err = why;
	}
	if (e)
		*e = why;
	return r;
}

int ttrpc_unseal(struct ttrpc_client *c, const char *name, struct view sealed, struct deadline d,
		 struct secret *out, struct err *e)
{
	struct ttrpc_request q = { .method = &ttrpc_unseal_secret, .text = sealed, .name = name };
	int r = ttrpc_client_call(c, &q, 1, d, e);

	if (r < 0)
		return r;
	if (q.result < 0) {
		if (e)
			*e = q.err;
		return q.result;
	}
	secret_move(out, &q.reply);
	return 0;
}
