/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/status.h"
#include "agent/api/ttrpc_parts.h"
#include "agent/base/log.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	EVENTS = 32,          /* taken from epoll at once */
	ACCEPTS = 16,         /* taken from a listener at once */
	ACCEPT_PAUSE_MS = 200, /* after running out of descriptors */
	ROUND_MS = 60000,     /* goes round at least so often */
	OVERSLEPT_MS = 2000,   /* later than this: the VM was suspended, or starved */
};

void ttrpc_wake(struct ttrpc_server *s)
{
	static const uint64_t one = 1;

	if (write(s->wake_fd, &one, sizeof one) < 0)
		return; /* full: it is awake already */
}

void ttrpc_wake_at(struct ttrpc_server *s, int64_t at)
{
	if (at >= s->wake_at)
		return;
	s->wake_at = at;
	ttrpc_wake(s);
}

/* --- admission ---------------------------------------------------------------- */

static bool admitted(const struct ttrpc_server *s, unsigned uid)
{
	if (uid == 0)
		return true;
	for (size_t i = 0; i < s->n_uids; i++)
		if (s->uids[i] == uid)
			return true;
	return false;
}

int ttrpc_admit(struct ttrpc_server *s, const struct api_peer *who, struct peer **peer,
		struct err *e)
{
	struct peer *p;

	if (!admitted(s, who->uid)) {
		s->stats.peers_denied++;
		return err_code(e, CODE_API_PEER_DENIED, "user id %u is not admitted to this socket",
				who->uid);
	}
	p = ttrpc_peer(s, who->uid);
	if (!p)
		return err_set(e, ERR_NOMEM, "no memory for a connection");
	if (s->n_conns < s->limits.connections &&
	    p->connections < s->limits.peer_connections) {
		*peer = p;
		return 0;
	}
	s->stats.connections_refused++;
	(void)err_code(e, CODE_API_PEER_BUSY, "user id %u has %u connections of %u, all have %u of %u",
		       who->uid, p->connections, s->limits.peer_connections, s->n_conns,
		       s->limits.connections);
	ttrpc_peer_release(p);
	return -ERR_LIMIT;
}

/* ttrpc has no refusal of a connection; an answer to the first id a client uses explains it. */
static void refuse(int fd, const struct err *e)
{
	cleanup_buf struct buf frame = BUF_MAX(FRAME_HEAD + 1024), body = BUF_MAX(1024);
	char text[API_STATUS_TEXT];
	uint8_t head[FRAME_HEAD];

	api_status_say(text, NULL, e);
	wire_status_encode(&body, api_status_of(e->kind), text);
	frame_head_put(head, &(struct frame_head){ .len = (uint32_t)body.len,
						   .stream = 1,
						   .type = FRAME_RESPONSE });
	buf_put(&frame, head, sizeof head);
	buf_putv(&frame, buf_view(&body));
	if (frame.len > 0 && send(fd, frame.p, frame.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("refusal not sent", "errno=%d", errno);
}

static void pause_accept(struct ttrpc_server *s, bool pause)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct epoll_event ev = { .events = pause ? 0 : EPOLLIN,
					  .data.ptr = &s->listeners[i] };

		if (s->listeners[i].fd >= 0)
			(void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->listeners[i].fd, &ev);
	}
	s->accept_at = pause ? clock_boot_ms() + ACCEPT_PAUSE_MS : 0;
	if (pause)
		ttrpc_wake_at(s, s->accept_at);
}

/* False: there is none left to accept now. */
static bool accept_one(struct ttrpc_server *s, struct listener *l)
{
	cleanup_close int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred = { 0 };
	socklen_t len = sizeof cred;
	struct peer *peer = NULL;
	struct api_peer who;
	struct conn *c;
	struct err e;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accept(s, true);
		return errno == EINTR || errno == ECONNABORTED;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return true;
	who = (struct api_peer){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
	if (ttrpc_admit(s, &who, &peer, &e) < 0) {
		log_debug("connection refused", "uid=%u pid=%d code=%s", who.uid, who.pid,
			  err_name(&e));
		refuse(fd, &e);
		return true;
	}
	c = ttrpc_conn_open(s, l, take_fd(fd), &who, peer);
	if (c)
		ttrpc_keep(c);
	return true;
}

static void accept_some(struct ttrpc_server *s, struct listener *l)
{
	(void)pthread_mutex_lock(&s->lock);
	for (int i = 0; i < ACCEPTS && l->fd >= 0 && !s->draining; i++)
		if (!accept_one(s, l))
			break;
	(void)pthread_mutex_unlock(&s->lock);
}

/* --- deadlines ------------------------------------------------------------------ */

static int64_t sweep_conns(struct ttrpc_server *s, int64_t now, bool forgive)
{
	struct conn *c, *next;
	int64_t at = TTRPC_NEVER;

	for (c = LIST_FIRST(&s->conns); c; c = next) {
		next = LIST_NEXT(c, all);
		if (forgive && c->rx_until != TTRPC_NEVER)
			c->rx_until = now + s->limits.read_ms;
		if (forgive && c->tx_until != TTRPC_NEVER)
			c->tx_until = now + s->limits.write_ms;
		if (!c->broken && c->rx_until > now && c->tx_until > now) {
			at = c->rx_until < at ? c->rx_until : at;
			at = c->tx_until < at ? c->tx_until : at;
			ttrpc_keep(c);
			continue;
		}
		if (!c->broken) {
			s->stats.stalled++;
			log_debug("stalled connection closed", "uid=%u pid=%d side=%s", c->who.uid,
				  c->who.pid, c->rx_until <= now ? "request" : "reply");
		}
		ttrpc_conn_close(c);
	}
	return at;
}

static int64_t sweep_calls(struct ttrpc_server *s, int64_t now)
{
	struct call *call, *next;
	int64_t at = TTRPC_NEVER;

	for (call = LIST_FIRST(&s->calls); call; call = next) {
		next = LIST_NEXT(call, all);
		if (call->answered)
			continue;
		if (call->expires <= now)
			ttrpc_call_expire(call);
		else
			at = call->expires < at ? call->expires : at;
	}
	return at;
}

static void begin_drain(struct ttrpc_server *s)
{
	struct conn *c;

	for (size_t i = 0; i < s->n_listeners; i++) {
		if (s->listeners[i].fd < 0)
			continue;
		(void)close(s->listeners[i].fd);
		s->listeners[i].fd = -1;
		s->sweep = true;
	}
	LIST_FOREACH(c, &s->conns, all)
		ttrpc_conn_events(c);
}

/* What one round does under the lock after its events. Returns false to end the thread. */
static bool keep_times(struct ttrpc_server *s, bool overslept)
{
	int64_t now = clock_boot_ms(), a, b;
	bool go;

	(void)pthread_mutex_lock(&s->lock);
	if (s->draining)
		begin_drain(s);
	if (s->accept_at > 0 && s->accept_at <= now && !s->draining)
		pause_accept(s, false);
	if (s->sweep || s->wake_at <= now || overslept) {
		s->sweep = false;
		s->wake_at = TTRPC_NEVER;
		b = sweep_calls(s, now);
		a = sweep_conns(s, now, overslept);
		a = a < b ? a : b;
		if (s->accept_at > 0 && s->accept_at < a)
			a = s->accept_at;
		if (a < s->wake_at)
			s->wake_at = a;
	}
	if (s->ping_done != s->ping_want || s->draining) {
		s->ping_done = s->ping_want;
		(void)pthread_cond_broadcast(&s->changed);
	}
	go = !s->stop;
	(void)pthread_mutex_unlock(&s->lock);
	return go;
}

static int sleep_ms(struct ttrpc_server *s, int64_t now)
{
	int64_t ms;

	(void)pthread_mutex_lock(&s->lock);
	ms = s->sweep ? 0 : s->wake_at - now;
	(void)pthread_mutex_unlock(&s->lock);
	return ms < 0 ? 0 : ms > ROUND_MS ? ROUND_MS : (int)ms;
}

static void on_event(struct ttrpc_server *s, const struct epoll_event *ev)
{
	struct source *src = ev->data.ptr;
	uint64_t count;

	switch (src->kind) {
	case SOURCE_WAKE:
		if (read(s->wake_fd, &count, sizeof count) < 0)
			return;
		break;
	case SOURCE_LISTENER:
		accept_some(s, ev->data.ptr);
		break;
	case SOURCE_CONN:
		ttrpc_conn_event(ev->data.ptr, ev->events);
		break;
	}
}

void *ttrpc_loop(void *server)
{
	struct ttrpc_server *s = server;
	struct epoll_event ev[EVENTS];
	bool overslept = false;

	while (keep_times(s, overslept)) {
		int64_t before = clock_boot_ms();
		int ms = sleep_ms(s, before);
		int n = epoll_wait(s->epoll, ev, EVENTS, ms);

		overslept = clock_boot_ms() - before > ms + OVERSLEPT_MS;
		for (int i = 0; i < n; i++)
			on_event(s, &ev[i]);
	}
	return NULL;
}
