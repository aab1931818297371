/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/teed_serve.h"
#include "agent/api/teed.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { SEND_MS = 2000, ROUND_MS = 1000 };

struct connection {
	int fd; /* -1: free */
	bool pair;
	uid_t uid;
	struct deadline speak;
};

struct server {
	struct teed *t;
	struct tee tee;
	struct connection at[TEED_CONNECTIONS];
};

/* One packet; false when the other side is gone or takes nothing. */
static bool put(int fd, const struct buf *packet)
{
	struct deadline d = deadline_in(SEND_MS);

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (send(fd, packet->p, packet->len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return true;
		if ((errno != EAGAIN && errno != EINTR) || deadline_left_ms(d) == 0)
			return false;
		(void)poll(&p, 1, (int)deadline_left_ms(d));
	}
}

static bool put_failure(int fd, uint32_t id, const struct err *why)
{
	cleanup_buf struct buf packet = BUF_MAX(TEED_REPLY_MAX);

	teed_failure_encode(&packet, id, why);
	return buf_check(&packet, "reply", NULL) == 0 && put(fd, &packet);
}

static int carry_out(const struct tee *tee, const struct teed_request *q, struct tee_quote *out,
		     struct err *e)
{
	if (q->op == TEED_EXTEND)
		return tee->extend(tee->ctx, q->reg, q->data, e);
	return tee->quote(tee->ctx, q->data, out, e);
}

/* False: close the connection. */
static bool answer(struct server *s, const struct connection *c, const struct teed_request *q)
{
	static const enum teed_kind kinds[] = { [TEE_SNP] = TEED_SNP, [TEE_TDX] = TEED_TDX };
	cleanup_buf struct buf packet = BUF_MAX(TEED_REPLY_MAX);
	cleanup_tee_quote struct tee_quote quote = { 0 };
	const char *op = q->op == TEED_QUOTE ? "quote" : "extend";
	int64_t began = clock_boot_ms();
	struct err e = { 0 };

	s->t->local.client = c->fd;
	if (carry_out(&s->tee, q, &quote, &e) < 0) {
		log_warn("request failed", "op=%s uid=%u code=%s what=\"%s\"", op, (unsigned)c->uid,
			 err_name(&e), e.msg);
		return put_failure(c->fd, q->id, &e);
	}
	log_debug("request", "op=%s uid=%u ms=%lld", op, (unsigned)c->uid,
		  (long long)(clock_boot_ms() - began));
	teed_reply_encode(&packet, q->id, q->op == TEED_EXTEND ? TEED_NONE : kinds[quote.kind],
			  buf_view(&quote.report), buf_view(&quote.certs));
	if (buf_check(&packet, "reply", &e) < 0)
		return put_failure(c->fd, q->id, &e);
	return put(c->fd, &packet);
}

/* Something came. False: close the connection. */
static bool serve_packet(struct server *s, struct connection *c)
{
	uint8_t packet[TEED_REQUEST_MAX];
	struct teed_request q;
	struct err e;
	ssize_t n = recv(c->fd, packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	/* A longer one was cut: its length tells. */
	if (n > (ssize_t)sizeof packet)
		(void)err_code(&e, CODE_API_MALFORMED, "request of %zd bytes", n);
	else if (teed_request_parse(&q, (struct view){ packet, (size_t)n }, &e) == 0) {
		bool keep = answer(s, c, &q);

		c->speak = deadline_in(TEED_SPEAK_MS);
		return keep;
	}
	log_warn("connection cut", "uid=%u code=%s what=\"%s\"", (unsigned)c->uid, err_name(&e), e.msg);
	return false;
}

static void close_connection(struct connection *c)
{
	(void)close(c->fd);
	c->fd = -1;
}

static bool is_admitted(const struct teed *t, uid_t uid)
{
	if (uid == 0)
		return true;
	for (size_t i = 0; i < t->n_uids; i++)
		if (uid == t->uids[i])
			return true;
	return false;
}

static struct connection *free_place(struct server *s)
{
	for (size_t i = 0; i < TEED_CONNECTIONS; i++)
		if (s->at[i].fd < 0)
			return &s->at[i];
	return NULL;
}

/*
 * Who closes with something unread takes the answer away from the other side as well: no more
 * comes, and what came is read.
 */
static void refuse(int fd, uid_t uid)
{
	uint8_t packet[TEED_REQUEST_MAX];
	struct err e;

	(void)err_code(&e, CODE_API_PEER_DENIED, "uid %u may not ask the TEE's device", (unsigned)uid);
	log_warn("refused", "uid=%u code=%s", (unsigned)uid, err_name(&e));
	(void)shutdown(fd, SHUT_RD);
	(void)recv(fd, packet, sizeof packet, MSG_DONTWAIT);
	(void)put_failure(fd, 0, &e);
}

static void accept_one(struct server *s)
{
	struct connection *c = free_place(s);
	cleanup_close int fd =
		accept4(s->t->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t n = sizeof who;

	if (fd < 0 || !c)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || !is_admitted(s->t, who.uid)) {
		refuse(fd, who.uid);
		return;
	}
	*c = (struct connection){ .fd = take_fd(fd),
				  .uid = who.uid,
				  .speak = deadline_in(TEED_SPEAK_MS) };
}

/* True: the pair's other end is gone. */
static bool serve_ready(struct server *s, const struct pollfd p[TEED_CONNECTIONS])
{
	for (size_t i = 0; i < TEED_CONNECTIONS; i++) {
		struct connection *c = &s->at[i];
		bool keep = true;

		if (c->fd < 0)
			continue;
		if (p[i].revents)
			keep = serve_packet(s, c);
		else if (!c->pair && deadline_left_ms(c->speak) == 0)
			keep = false;
		if (keep)
			continue;
		if (c->pair)
			return true;
		close_connection(c);
	}
	return false;
}

/* 1: go on; 0: the end. */
static int round_once(struct server *s, struct deadline *idle, struct err *e)
{
	struct pollfd p[TEED_CONNECTIONS + 2];
	struct pollfd *listener = &p[TEED_CONNECTIONS], *signals = listener + 1;
	bool busy = false;

	for (size_t i = 0; i < TEED_CONNECTIONS; i++) {
		p[i] = (struct pollfd){ .fd = s->at[i].fd, .events = POLLIN };
		busy = busy || s->at[i].fd >= 0;
	}
	*listener = (struct pollfd){ .fd = free_place(s) ? s->t->listen_fd : -1, .events = POLLIN };
	*signals = (struct pollfd){ .fd = s->t->signals, .events = POLLIN };
	if (poll(p, ARRAY_LEN(p), s->t->listen_fd >= 0 ? ROUND_MS : -1) < 0)
		return errno == EINTR ? 1 : err_sys(e, errno, "poll");
	if (signals->revents || serve_ready(s, p))
		return 0;
	if (listener->revents)
		accept_one(s);
	if (busy || listener->revents)
		*idle = deadline_in(s->t->idle_ms);
	return s->t->idle_ms == 0 || s->t->listen_fd < 0 || deadline_left_ms(*idle) > 0;
}

int teed_serve(struct teed *t, struct err *e)
{
	struct server s = { .t = t };
	struct deadline idle = deadline_in(t->idle_ms);
	int r;

	tee_local(&s.tee, &t->local);
	for (size_t i = 0; i < TEED_CONNECTIONS; i++)
		s.at[i].fd = -1;
	if (t->pair_fd >= 0)
		s.at[0] = (struct connection){ .fd = t->pair_fd, .pair = true, .uid = (uid_t)-1 };
	if (t->listen_fd >= 0)
		(void)fcntl(t->listen_fd, F_SETFL, O_NONBLOCK);
	do
		r = round_once(&s, &idle, e);
	while (r > 0);
	for (size_t i = 0; i < TEED_CONNECTIONS; i++)
		if (s.at[i].fd >= 0)
			close_connection(&s.at[i]);
	if (t->listen_fd >= 0)
		(void)close(t->listen_fd);
	return r;
}

int teed_confine(struct err *e)
{
	int r;

	if ((r = sandbox_limits(e)) < 0 || (r = sandbox_keep_powers(0, e)) < 0)
		return r;
	return sandbox_syscalls_device(e);
}
