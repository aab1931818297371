/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/teed.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { TRIES = 5, PAUSE_MS = 200 };

int teed_client_init(struct teed_client *c, const char *path, int fd, struct err *e)
{
	*c = (struct teed_client){ .fd = fd };
	if ((size_t)snprintf(c->path, sizeof c->path, "%s", path ? path : "") >= sizeof c->path)
		return err_set(e, ERR_LIMIT, "the path of vouchsafe-teed's socket is over %zu bytes",
			       sizeof c->path - 1);
	if (pthread_mutex_init(&c->lock, NULL) != 0)
		return err_set(e, ERR_NOMEM, "no memory for a lock");
	return 0;
}

static int unreachable(struct err *e, const char *what, int sys)
{
	int r = err_code(e, CODE_TEE_UNREACHABLE, "vouchsafe-teed: %s%s%s", what, sys ? ": " : "",
			 sys ? strerrorname_np(sys) : "");

	if (e)
		e->sys = sys;
	return r;
}

/* 0 when ready. Errors: tee.timeout. */
static int wait_for(int fd, short events, struct deadline d, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = deadline_left_ms(d);
		int n = poll(&p, 1, (int)left);

		if (n > 0)
			return 0;
		if (n == 0)
			return err_code(e, CODE_TEE_TIMEOUT, "vouchsafe-teed has not answered in time");
		if (errno != EINTR)
			return err_sys(e, errno, "poll");
	}
}

/* Nobody but root, or ourselves in a test, speaks for the device. */
static int check_server(int fd, struct err *e)
{
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t n = sizeof who;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return unreachable(e, "peer", errno);
	if (who.uid != 0 && who.uid != geteuid())
		return err_code(e, CODE_TEE_UNREACHABLE,
				"vouchsafe-teed's socket belongs to uid %u, not to root",
				(unsigned)who.uid);
	return 0;
}

static int connect_to(const char *path, struct deadline d, struct err *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int r;

	if (fd < 0)
		return err_sys(e, errno, "socket");
	memcpy(a.sun_path, path, strlen(path) + 1);
	/* A full queue is EAGAIN, and no poll tells when it has room. */
	while (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		const struct timespec pause = { .tv_nsec = 20 * 1000000 };

		if (errno != EAGAIN && errno != EINTR)
			return unreachable(e, path, errno);
		if (deadline_left_ms(d) == 0)
			return err_code(e, CODE_TEE_TIMEOUT, "vouchsafe-teed is busy");
		(void)nanosleep(&pause, NULL);
	}
	r = check_server(fd, e);
	return r < 0 ? r : take_fd(fd);
}

static int send_request(int fd, struct view packet, struct deadline d, struct err *e)
{
	for (;;) {
		ssize_t n = send(fd, packet.p, packet.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r;

		if (n == (ssize_t)packet.len)
			return 0;
		/* Who refuses us says so and closes: that is still to be read. */
		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return unreachable(e, "send", errno);
		r = wait_for(fd, POLLOUT, d, e);
		if (r < 0)
			return r;
	}
}

/* One packet into *packet. */
static int receive(int fd, struct buf *packet, struct deadline d, struct err *e)
{
	cleanup_free uint8_t *room = malloc(TEED_REPLY_MAX);
	ssize_t n;
	int r;

	if (!room)
		return err_set(e, ERR_NOMEM, "no memory for a report");
	for (;;) {
		r = wait_for(fd, POLLIN, d, e);
		if (r < 0)
			return r;
		n = recv(fd, room, TEED_REPLY_MAX, MSG_DONTWAIT | MSG_TRUNC);
		if (n > 0)
			break;
		if (n == 0)
			return unreachable(e, "it ended in the middle", 0);
		if (errno != EAGAIN && errno != EINTR)
			return unreachable(e, "receive", errno);
	}
	if ((size_t)n > TEED_REPLY_MAX)
		return err_code(e, CODE_API_MALFORMED, "vouchsafe-teed: reply of %zd bytes, allowed %u",
				n, TEED_REPLY_MAX);
	buf_done(packet);
	*packet = BUF_MAX(TEED_REPLY_MAX);
	buf_put(packet, room, (size_t)n);
	return buf_check(packet, "vouchsafe-teed's reply", e);
}

static int exchange(int fd, const struct teed_request *q, struct buf *packet, struct teed_reply *out,
		    struct deadline d, struct err *e)
{
	cleanup_buf struct buf request = BUF_MAX(TEED_REQUEST_MAX);
	struct teed_reply reply;
	int r;

	teed_request_encode(&request, q);
	r = buf_check(&request, "request", e);
	if (r == 0)
		r = send_request(fd, buf_view(&request), d, e);
	if (r < 0)
		return r;
	/* On a pair the answer to a call that nobody waits for any more comes first. */
	do {
		r = receive(fd, packet, d, e);
		if (r == 0)
			r = teed_reply_parse(&reply, buf_view(packet), e);
		if (r < 0)
			return r;
	} while (reply.id != q->id && reply.id != 0);
	if (reply.failed)
		return teed_reply_error(&reply, e);
	if ((q->op == TEED_EXTEND) != (reply.kind == TEED_NONE))
		return err_code(e, CODE_API_MALFORMED, "vouchsafe-teed: the answer to another request");
	*out = reply;
	return 0;
}

static int call(struct teed_client *c, const struct teed_request *q, struct buf *packet,
		struct teed_reply *out, struct deadline d, struct err *e)
{
	int fd, r;

	if (c->path[0] == '\0')
		return exchange(c->fd, q, packet, out, d, e);
	fd = connect_to(c->path, d, e);
	if (fd < 0)
		return fd;
	r = exchange(fd, q, packet, out, d, e);
	(void)close(fd);
	return r;
}

int teed_call(struct teed_client *c, struct teed_request *q, struct buf *packet,
	      struct teed_reply *out, struct deadline d, struct err *e)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };
	const bool shared = c->path[0] == '\0';
	struct err why = { 0 };
	int r;

	if (shared)
		(void)pthread_mutex_lock(&c->lock);
	q->id = __atomic_add_fetch(&c->last_id, 1, __ATOMIC_RELAXED);
	if (q->id == 0)
		q->id = __atomic_add_fetch(&c->last_id, 1, __ATOMIC_RELAXED);
	r = call(c, q, packet, out, d, &why);
	/* The service manager starts it again; to extend twice would be wrong. */
	for (int i = 1; r < 0 && why.code == CODE_TEE_UNREACHABLE && why.sys != EACCES && !shared &&
			q->op == TEED_QUOTE && i < TRIES && deadline_left_ms(d) > PAUSE_MS;
	     i++) {
		(void)nanosleep(&pause, NULL);
		r = call(c, q, packet, out, d, &why);
	}
	if (shared)
		(void)pthread_mutex_unlock(&c->lock);
	if (r < 0 && e)
		*e = why;
	return r;
}
