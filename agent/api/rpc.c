/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rpc.h"

#include "agent/api/frame.h"
#include "agent/api/status.h"
#include "agent/api/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { BUSY_MS = 20, TOLD_MS = 200 };

void rpc_close(struct rpc_link *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
}

/* Between calls nothing is on its way: what can be read now is the end, or nonsense. */
static bool is_gone(const struct rpc_link *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static int connect_to(struct rpc_link *l, struct deadline d, struct err *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const struct timespec pause = { .tv_nsec = BUSY_MS * 1000000 };
	size_t n = strlen(l->path);

	if (fd < 0)
		return err_sys(e, errno, "socket");
	if (n > RPC_PATH_MAX)
		return err_set(e, ERR_LIMIT, "socket path of %zu bytes, allowed %d", n,
			       RPC_PATH_MAX);
	memcpy(a.sun_path, l->path, n);
	while (connect(fd, (const struct sockaddr *)&a, sizeof a) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || deadline_left_ms(d) == 0) {
			(void)err_sys(e, errno, "connect to %s", l->path);
			return err_wrap_code(e, CODE_API_UNREACHABLE, "no connection");
		}
		(void)nanosleep(&pause, NULL);
	}
	l->fd = take_fd(fd);
	l->stream = 1;
	return 0;
}

int rpc_ready(struct rpc_link *l, struct deadline d, struct err *e)
{
	if (l->fd >= 0 && (is_gone(l) || l->stream > UINT32_MAX - 2))
		rpc_close(l);
	return l->fd >= 0 ? 0 : connect_to(l, d, e);
}

static int wait_for(const struct rpc_link *l, short events, struct deadline d, struct err *e)
{
	struct pollfd p = { .fd = l->fd, .events = events };
	int64_t left = deadline_left_ms(d);

	if (left == 0)
		return err_code(e, CODE_API_DEADLINE, "no answer from %s in time", l->path);
	if (poll(&p, 1, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
		return err_sys(e, errno, "poll");
	return 0;
}

static int closed(const struct rpc_link *l, struct err *e)
{
	return err_code(e, CODE_API_UNREACHABLE, "%s closed the connection", l->path);
}

static int send_all(const struct rpc_link *l, struct view v, struct deadline d, struct err *e)
{
	while (v.len > 0) {
		ssize_t n = send(l->fd, v.p, v.len, MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			v.p += n;
			v.len -= (size_t)n;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return closed(l, e);
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, errno, "send to %s", l->path);
		r = wait_for(l, POLLOUT, d, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_all(const struct rpc_link *l, uint8_t *p, size_t len, struct deadline d,
		    struct err *e)
{
	while (len > 0) {
		ssize_t n = recv(l->fd, p, len, 0);
		int r;

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n == 0 || errno == ECONNRESET)
			return closed(l, e);
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, errno, "receive from %s", l->path);
		r = wait_for(l, POLLIN, d, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int send_request(const struct rpc_link *l, const char *service, const char *method,
			struct view message, struct deadline d, struct err *e)
{
	cleanup_buf struct buf payload = BUF_MAX(FRAME_MAX);
	int64_t left = deadline_left_ms(d);
	/* A little less than the time left, so that the reason for being late arrives in it. */
	int64_t told = left - (left / 10 < TOLD_MS ? left / 10 : TOLD_MS);
	uint8_t head[FRAME_HEAD];
	int r;

	wire_request_encode(&payload, service, method, message, (told > 0 ? told : 1) * 1000000,
			    NULL);
	r = buf_check(&payload, "the request", e);
	if (r < 0)
		return r;
	frame_head_put(head, &(struct frame_head){ .len = (uint32_t)payload.len,
						   .stream = l->stream,
						   .type = FRAME_REQUEST });
	r = send_all(l, (struct view){ head, sizeof head }, d, e);
	return r < 0 ? r : send_all(l, buf_view(&payload), d, e);
}

/* The payload of the answer on our stream; what else a server may send is passed over. */
static int read_answer(const struct rpc_link *l, struct secret *out, struct deadline d,
		       struct err *e)
{
	for (;;) {
		cleanup_secret struct secret body = { 0 };
		uint8_t raw[FRAME_HEAD];
		struct frame_head head;
		int r = read_all(l, raw, sizeof raw, d, e);

		if (r < 0)
			return r;
		head = frame_head_get(raw);
		if (head.len > FRAME_MAX)
			return err_code(e, CODE_API_MALFORMED, "reply of %u bytes, allowed %u",
					head.len, FRAME_MAX);
		r = secret_alloc(&body, head.len > 0 ? head.len : 1, e);
		if (r == 0)
			r = read_all(l, body.p, head.len, d, e);
		if (r < 0)
			return r;
		body.len = head.len;
		if (head.type == FRAME_RESPONSE && head.stream == l->stream) {
			secret_move(out, &body);
			return 0;
		}
	}
}

void rpc_cut(struct secret *s, struct view v)
{
	if (v.len > 0)
		memmove(s->p, v.p, v.len);
	explicit_bzero(s->p + v.len, s->cap - v.len);
	s->len = v.len;
}

int rpc_call(struct rpc_link *l, const char *service, const char *method, struct view message,
	     struct deadline d, struct secret *reply, struct err *e)
{
	cleanup_secret struct secret body = { 0 };
	struct wire_reply answer;
	int r;

	if (l->fd < 0)
		return err_code(e, CODE_API_UNREACHABLE, "not connected to %s", l->path);
	r = send_request(l, service, method, message, d, e);
	if (r == 0)
		r = read_answer(l, &body, d, e);
	if (r < 0) {
		rpc_close(l);
		return r;
	}
	l->stream += 2;
	r = wire_reply_scan(&answer, (struct view){ secret_bytes(&body), body.len }, e);
	if (r < 0) {
		rpc_close(l);
		return err_wrap_code(e, CODE_API_MALFORMED, "the reply of %s", l->path);
	}
	if (answer.status != 0)
		return api_status_err(answer.status, answer.message, e);
	if (answer.payload.len == 0)
		secret_done(&body);
	else
		rpc_cut(&body, answer.payload);
	secret_move(reply, &body);
	return 0;
}
