/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/status.h"
#include "agent/api/ttrpc_parts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* --- peers ---------------------------------------------------------------------- */

struct peer *ttrpc_peer(struct ttrpc_server *s, unsigned uid)
{
	struct peer *p;

	LIST_FOREACH(p, &s->peers, all)
		if (p->uid == uid)
			return p;
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->uid = uid;
	LIST_INSERT_HEAD(&s->peers, p, all);
	return p;
}

void ttrpc_peer_release(struct peer *p)
{
	if (p->connections > 0 || p->calls > 0)
		return;
	LIST_REMOVE(p, all);
	free(p);
}

/* --- replies -------------------------------------------------------------------- */

static size_t reply_len(const struct reply *r)
{
	return r->head_len + r->body.len + r->secret.len;
}

/* Take a reply out of the accounts and free it; erases its plaintext. */
static void reply_free(struct conn *c, struct reply *r)
{
	if (r->secret.p) {
		c->secret_bytes -= r->secret.cap;
		c->peer->secret_bytes -= r->secret.cap;
	}
	c->n_out--;
	c->server->n_replies--;
	secret_done(&r->secret);
	buf_done(&r->body);
	free(r);
}

static void broken(struct conn *c)
{
	c->broken = true;
	c->server->sweep = true;
	ttrpc_wake(c->server);
}

void ttrpc_conn_events(struct conn *c)
{
	struct epoll_event ev = { .data.ptr = c };

	if (c->fd < 0)
		return;
	if (c->n_out >= TTRPC_OUT_HIGH)
		c->paused = true;
	else if (c->n_out <= TTRPC_OUT_LOW)
		c->paused = false;
	if (!c->paused && !c->server->draining)
		/* What is there already and is not enough must not wake us all the time. */
		ev.events |= c->rx_short ? EPOLLIN | EPOLLRDHUP | EPOLLET : EPOLLIN;
	if (c->n_out > 0)
		ev.events |= EPOLLOUT;
	if (ev.events == c->events)
		return;
	c->events = ev.events;
	(void)epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/* One sendmsg of what is left of r. Returns as sendmsg does. */
static ssize_t send_rest(int fd, const struct reply *r)
{
	const uint8_t *tail = r->secret.p ? secret_bytes(&r->secret) : r->body.p;
	size_t tail_len = r->body.len + r->secret.len, skip = r->sent;
	struct iovec iov[2];
	struct msghdr m = { .msg_iov = iov };

	if (skip < r->head_len)
		iov[m.msg_iovlen++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)(r->head + skip),
			.iov_len = r->head_len - skip,
		};
	skip = skip > r->head_len ? skip - r->head_len : 0;
	if (skip < tail_len)
		iov[m.msg_iovlen++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)(tail + skip),
			.iov_len = tail_len - skip,
		};
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void flush(struct conn *c)
{
	struct ttrpc_server *s = c->server;
	bool progress = false;
	struct reply *r;

	while (!c->broken && (r = STAILQ_FIRST(&c->out)) != NULL) {
		ssize_t n;

		if (r->sent == 0 && !ttrpc_keep_write(c, reply_len(r)))
			return;
		n = send_rest(c->fd, r);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			broken(c);
			return;
		}
		if (n < 0)
			break;
		progress = true;
		r->sent += (size_t)n;
		if (r->sent < reply_len(r)) {
			if (!ttrpc_unkeep(c))
				return;
			continue;
		}
		STAILQ_REMOVE_HEAD(&c->out, next);
		reply_free(c, r);
	}
	if (c->n_out == 0)
		c->tx_until = TTRPC_NEVER;
	else if (progress || c->tx_until == TTRPC_NEVER)
		c->tx_until = clock_boot_ms() + s->limits.write_ms;
	ttrpc_wake_at(s, c->tx_until);
	ttrpc_conn_events(c);
	ttrpc_keep(c);
	if (progress) {
		ttrpc_pool_kick(&s->local);
		ttrpc_pool_kick(&s->trustee);
	}
	if (s->draining && s->n_replies == 0)
		(void)pthread_cond_broadcast(&s->changed);
}

/* Append a frame around what result holds and send what the socket takes now. */
static void push(struct conn *c, uint32_t stream, const uint8_t *inner, size_t inner_len,
		 struct api_result *result)
{
	struct reply *r = calloc(1, sizeof *r);
	bool first = c->n_out == 0;

	if (!r) {
		broken(c);
		return;
	}
	r->body = result->message;
	result->message = BUF_MAX(0);
	secret_move(&r->secret, &result->secret);
	frame_head_put(r->head, &(struct frame_head){
					.len = (uint32_t)(inner_len + r->body.len + r->secret.len),
					.stream = stream,
					.type = FRAME_RESPONSE });
	if (inner_len > 0)
		memcpy(r->head + FRAME_HEAD, inner, inner_len);
	r->head_len = FRAME_HEAD + inner_len;
	if (r->secret.p) {
		c->secret_bytes += r->secret.cap;
		c->peer->secret_bytes += r->secret.cap;
	}
	STAILQ_INSERT_TAIL(&c->out, r, next);
	c->n_out++;
	c->server->n_replies++;
	/* Behind others it has to wait for EPOLLOUT anyway. */
	if (first)
		flush(c);
	else
		ttrpc_conn_events(c);
}

void ttrpc_conn_status(struct conn *c, uint32_t stream, enum api_status status, const char *text)
{
	struct api_result result = { .message = BUF_MAX(2048) };
	unsigned slot = status < API_STATUS_COUNT && status >= 0 ? (unsigned)status : API_UNKNOWN;

	if (c->fd < 0 || c->broken)
		return;
	c->server->stats.replies[slot]++;
	wire_status_encode(&result.message, status, text);
	if (result.message.failed) {
		buf_done(&result.message);
		broken(c);
		return;
	}
	push(c, stream, NULL, 0, &result);
}

void ttrpc_conn_refuse(struct conn *c, uint32_t stream, const struct err *e)
{
	char text[API_STATUS_TEXT];

	api_status_say(text, NULL, e);
	ttrpc_conn_status(c, stream, api_status_of(e->kind), text);
}

static void too_long(struct conn *c, uint32_t stream, uint64_t len)
{
	char text[128];

	(void)snprintf(text, sizeof text, "message length %llu exceed maximum message size of %u",
		       (unsigned long long)len, FRAME_MAX);
	ttrpc_conn_status(c, stream, API_INVALID_ARGUMENT, text);
}

void ttrpc_conn_result(struct conn *c, uint32_t stream, struct api_result *result)
{
	size_t len = result->message.len + result->secret.len, limit, n;
	uint8_t inner[WIRE_HEAD_MAX];
	struct err e;

	limit = c->server->limits.peer_secret_bytes;
	n = wire_ok_head(inner, len, result->secret.p ? result->secret_field : 0);
	if (result->message.failed) {
		(void)err_set(&e, ERR_NOMEM, "no memory for a reply");
		ttrpc_conn_refuse(c, stream, &e);
	} else if (n + len > FRAME_MAX) {
		too_long(c, stream, n + len);
	} else if (result->secret.cap > limit ||
		   c->peer->secret_bytes > limit - result->secret.cap) {
		(void)err_code(&e, CODE_API_PEER_BUSY,
			       "user id %u has %zu bytes of secrets that it has not read, allowed %zu",
			       c->who.uid, c->peer->secret_bytes, limit);
		ttrpc_conn_refuse(c, stream, &e);
	} else if (c->fd >= 0 && !c->broken) {
		c->server->stats.replies[API_OK]++;
		push(c, stream, inner, n, result);
	}
	buf_done(&result->message);
	secret_done(&result->secret);
}

/* --- requests ------------------------------------------------------------------- */

static void uncharge(struct conn *c)
{
	c->peer->request_bytes -= c->rx_charge;
	c->rx_charge = 0;
}

/* A header has come: make room, or let the payload pass. */
static void on_begin(struct conn *c)
{
	struct ttrpc_server *s = c->server;
	const struct frame_head *h = &c->rx.head;
	size_t limit = s->limits.peer_request_bytes;
	struct err e;

	(void)pthread_mutex_lock(&s->lock);
	c->rx_busy = false;
	if (h->len > FRAME_MAX || h->type != FRAME_REQUEST) {
		frame_skip(&c->rx);
	} else if (h->len > limit || c->peer->request_bytes > limit - h->len ||
		   frame_keep(&c->rx, &e) < 0) {
		c->rx_busy = true;
		frame_skip(&c->rx);
	} else {
		c->rx_charge = h->len;
		c->peer->request_bytes += h->len;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

static void on_skipped(struct conn *c)
{
	const struct frame_head *h = &c->rx.head;
	struct err e;

	if (h->len > FRAME_MAX) {
		too_long(c, h->stream, h->len);
	} else if (c->rx_busy) {
		(void)err_code(&e, CODE_API_PEER_BUSY,
			       "user id %u has %zu bytes of requests in flight, allowed %zu",
			       c->who.uid, c->peer->request_bytes,
			       c->server->limits.peer_request_bytes);
		ttrpc_conn_refuse(c, h->stream, &e);
	} else if (h->type == FRAME_DATA) {
		ttrpc_conn_status(c, h->stream, API_INVALID_ARGUMENT,
				  "Stream is no longer active");
	}
}

static void on_request(struct conn *c)
{
	struct frame_head h = c->rx.head;
	struct wire_request request = { 0 };
	struct err e;
	int r = 0;

	if (h.stream % 2 != 0)
		r = wire_request_decode(&request, (struct view){ c->rx.body, h.len }, &e);
	(void)pthread_mutex_lock(&c->server->lock);
	if (h.stream % 2 == 0) {
		ttrpc_conn_status(c, h.stream, API_INVALID_ARGUMENT, "stream id must be odd");
	} else if (r < 0) {
		ttrpc_conn_refuse(c, h.stream, &e);
	} else {
		size_t charge = c->rx_charge;

		c->rx_charge = 0; /* goes on with the call */
		ttrpc_call_begin(c, h.stream, &request, charge);
	}
	(void)pthread_mutex_unlock(&c->server->lock);
}

static void on_frame_end(struct conn *c)
{
	(void)pthread_mutex_lock(&c->server->lock);
	uncharge(c);
	c->rx_until = TTRPC_NEVER;
	(void)pthread_mutex_unlock(&c->server->lock);
	frame_next(&c->rx);
}

static void consume(struct conn *c, struct view in)
{
	/* A frame without payload is whole with no byte left to feed. */
	while (in.len > 0 || c->rx.begun) {
		enum frame_step step = frame_feed(&c->rx, &in);

		if (step == FRAME_MORE)
			break;
		if (step == FRAME_BEGUN) {
			on_begin(c);
			continue;
		}
		if (step == FRAME_WHOLE) {
			on_request(c);
		} else {
			(void)pthread_mutex_lock(&c->server->lock);
			on_skipped(c);
			(void)pthread_mutex_unlock(&c->server->lock);
		}
		on_frame_end(c);
	}
}

/* A kept frame has a time for all of it, a skipped one costs nothing and only must go on. */
static void keep_read_time(struct conn *c)
{
	struct ttrpc_server *s = c->server;

	if (!frame_partial(&c->rx))
		return;
	(void)pthread_mutex_lock(&s->lock);
	if (c->rx_until == TTRPC_NEVER || c->rx.skip) {
		c->rx_until = clock_boot_ms() + s->limits.read_ms;
		ttrpc_wake_at(s, c->rx_until);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

static void after_read(struct conn *c)
{
	struct ttrpc_server *s = c->server;

	(void)pthread_mutex_lock(&s->lock);
	c->rx_mid = frame_partial(&c->rx);
	c->rx_short = false;
	/* Less came than was there when we looked. */
	if (c->rx_mid)
		(void)ttrpc_unkeep(c);
	ttrpc_conn_events(c);
	ttrpc_keep(c);
	(void)pthread_mutex_unlock(&s->lock);
}

/* False: the peer is gone. whole: c has a place in the store. */
static bool read_some(struct conn *c, bool whole)
{
	struct ttrpc_server *s = c->server;
	ssize_t most = whole ? ttrpc_keep_read(c) : TTRPC_SCRATCH;
	ssize_t n;

	if (most <= 0)
		return most == 0;
	do
		n = recv(c->fd, s->scratch, (size_t)most, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return false;
	if (n > 0) {
		consume(c, (struct view){ s->scratch, (size_t)n });
		keep_read_time(c);
	}
	after_read(c);
	return true;
}

void ttrpc_conn_event(struct conn *c, uint32_t events)
{
	struct ttrpc_server *s = c->server;
	bool alive = true, read, whole;

	(void)pthread_mutex_lock(&s->lock);
	if (events & EPOLLOUT)
		flush(c);
	read = (events & EPOLLIN) && !c->paused && !s->draining && !c->broken;
	whole = c->number != 0;
	/* Until it has read, no other thread may give it a place. */
	if (read && !whole)
		c->rx_mid = true;
	(void)pthread_mutex_unlock(&s->lock);

	if (read)
		alive = read_some(c, whole);
	else if (events & (EPOLLHUP | EPOLLERR))
		alive = false;
	/* The rest of the frame will never come. rx_short: only this thread changes it. */
	if (read && c->rx_short && (events & (EPOLLHUP | EPOLLRDHUP)))
		alive = false;
	if (alive)
		return;
	(void)pthread_mutex_lock(&s->lock);
	ttrpc_conn_close(c);
	(void)pthread_mutex_unlock(&s->lock);
}

/* --- from accept to close --------------------------------------------------------- */

struct conn *ttrpc_conn_open(struct ttrpc_server *s, const struct listener *from, int fd,
			     const struct api_peer *who, struct peer *peer)
{
	struct conn *c = calloc(1, sizeof *c);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (!c || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(c);
		(void)close(fd);
		ttrpc_peer_release(peer);
		return NULL;
	}
	*c = (struct conn){ .source.kind = SOURCE_CONN,
			    .server = s,
			    .from = from,
			    .peer = peer,
			    .who = *who,
			    .rx_until = TTRPC_NEVER,
			    .fd = fd,
			    .events = EPOLLIN,
			    .tx_until = TTRPC_NEVER,
			    .refs = 1 };
	STAILQ_INIT(&c->out);
	LIST_INSERT_HEAD(&s->conns, c, all);
	s->n_conns++;
	s->stats.connections_total++;
	peer->connections++;
	return c;
}

void ttrpc_conn_unref(struct conn *c)
{
	if (--c->refs > 0)
		return;
	ttrpc_peer_release(c->peer);
	free(c);
}

void ttrpc_conn_close(struct conn *c)
{
	struct ttrpc_server *s = c->server;
	struct reply *r;

	ttrpc_keep_close(c);
	(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	(void)close(c->fd);
	c->fd = -1;
	uncharge(c);
	frame_next(&c->rx);
	while ((r = STAILQ_FIRST(&c->out)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->out, next);
		reply_free(c, r);
	}
	LIST_REMOVE(c, all);
	s->n_conns--;
	c->peer->connections--;
	ttrpc_calls_abandon(c);
	if (s->draining)
		(void)pthread_cond_broadcast(&s->changed);
	ttrpc_conn_unref(c);
}
