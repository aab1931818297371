/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/ttrpc_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/*
 * Connections in the service manager's store. What the next process gets is a stream of bytes:
 * it can go on only where a frame begins, in both directions. So a connection is in the store
 * only while each system call on it moves whole frames: kill -9 falls before such a call or after
 * it. The removal is sent before the first byte of any other call, and the manager handles what
 * was sent before it learns that we died.
 */
enum { RETRY_MS = 250 };

static size_t index_of(const struct conn *c)
{
	return (size_t)(c->from - c->server->listeners);
}

void ttrpc_keep(struct conn *c)
{
	struct ttrpc_server *s = c->server;

	if (!s->store.store || c->stored || c->fd < 0 || c->broken || c->who.uid != 0 ||
	    c->rx_mid || c->n_out > 0)
		return;
	if (c->number == 0) {
		if (s->n_kept >= TTRPC_KEPT_MAX || s->last_number >= TTRPC_NUMBER_MAX)
			return;
		c->number = ++s->last_number;
		s->n_kept++;
	}
	c->stored = s->store.store(s->store.ctx, index_of(c), c->number, c->fd) == 0;
	if (!c->stored)
		ttrpc_wake_at(s, clock_boot_ms() + RETRY_MS);
}

bool ttrpc_unkeep(struct conn *c)
{
	struct ttrpc_server *s = c->server;

	if (!c->stored)
		return true;
	c->stored = false;
	if (s->store.unstore(s->store.ctx, index_of(c), c->number) == 0)
		return true;
	/* It is still there: a successor must find it ended. */
	(void)shutdown(c->fd, SHUT_RDWR);
	c->broken = true;
	s->sweep = true;
	ttrpc_wake(s);
	return false;
}

void ttrpc_keep_close(struct conn *c)
{
	struct ttrpc_server *s = c->server;

	/* At our own end it stays: after a restart the client goes on. */
	if (c->stored && (c->broken || !s->stop) && ttrpc_unkeep(c))
		(void)shutdown(c->fd, SHUT_RDWR);
	if (c->number == 0)
		return;
	/* Another one may have its place. */
	if (s->n_kept-- == TTRPC_KEPT_MAX)
		s->sweep = true;
	c->number = 0;
}

/* Will the socket take n bytes in one call? The kernel counts its own overhead too. */
static bool fits(const struct conn *c, size_t n)
{
	int room = 0, used = 0;
	socklen_t len = sizeof room;

	if (getsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0 ||
	    ioctl(c->fd, SIOCOUTQ, &used) < 0 || used > room)
		return false;
	return n + n / 4 + TTRPC_ROOM_SPARE <= (size_t)(room - used);
}

bool ttrpc_keep_write(struct conn *c, size_t n)
{
	return !c->stored || fits(c, n) || ttrpc_unkeep(c);
}

/* Length of the frame at the front, FRAME_HEAD included; 0: its header is not there yet. */
static uint64_t frame_len(const uint8_t *p, size_t n)
{
	return n < FRAME_HEAD ? 0 : (uint64_t)FRAME_HEAD + frame_head_get(p).len;
}

/* A frame lies in the socket in part: look again when more comes, but not for ever. */
static void wait_for_rest(struct conn *c)
{
	struct ttrpc_server *s = c->server;

	(void)pthread_mutex_lock(&s->lock);
	c->rx_short = true;
	if (c->rx_until == TTRPC_NEVER) {
		c->rx_until = clock_boot_ms() + s->limits.read_ms;
		ttrpc_wake_at(s, c->rx_until);
	}
	ttrpc_conn_events(c);
	(void)pthread_mutex_unlock(&s->lock);
}

static ssize_t begin_large(struct conn *c)
{
	bool ok;

	(void)pthread_mutex_lock(&c->server->lock);
	c->rx_mid = true;
	ok = ttrpc_unkeep(c);
	(void)pthread_mutex_unlock(&c->server->lock);
	return ok ? TTRPC_SCRATCH : -1;
}

ssize_t ttrpc_keep_read(struct conn *c)
{
	uint8_t *p = c->server->scratch;
	size_t whole = 0;
	uint64_t len;
	ssize_t n;

	if (frame_partial(&c->rx)) {
		len = (c->rx.begun ? (uint64_t)FRAME_HEAD + c->rx.head.len : FRAME_HEAD) - c->rx.got;
		return len < TTRPC_SCRATCH ? (ssize_t)len : TTRPC_SCRATCH;
	}
	do
		n = recv(c->fd, p, TTRPC_SCRATCH, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	while ((len = frame_len(p + whole, (size_t)n - whole)) > 0 && len <= (size_t)n - whole)
		whole += (size_t)len;
	if (whole > 0)
		return (ssize_t)whole;
	if (len > TTRPC_SCRATCH)
		return begin_large(c);
	wait_for_rest(c);
	return 0;
}

/* What was handed over is one of our connections, and its peer would be admitted today. */
static int check(struct ttrpc_server *s, size_t listener, unsigned number, int fd,
		 struct api_peer *who, struct err *e)
{
	int type = 0, family = 0, listening = 1;
	socklen_t a = sizeof type, b = sizeof family, d = sizeof listening;
	struct ucred cred = { 0 };
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &a) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &b) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &d) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_sys(e, errno, "a connection handed over");
	if (type != SOCK_STREAM || family != AF_UNIX || listening != 0)
		return err_set(e, ERR_FORMAT, "what was handed over is no unix connection");
	if (listener >= s->n_listeners || number == 0 || number > TTRPC_NUMBER_MAX)
		return err_set(e, ERR_FORMAT, "connection %u of socket %zu was handed over", number,
			       listener);
	if (s->n_kept >= TTRPC_KEPT_MAX)
		return err_set(e, ERR_LIMIT, "over %d connections were handed over",
			       TTRPC_KEPT_MAX);
	if (cred.uid != 0)
		return err_code(e, CODE_API_PEER_DENIED, "user id %u has no connection in the store",
				cred.uid);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, errno, "a connection handed over");
	*who = (struct api_peer){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
	return 0;
}

/* locked */
static int adopt(struct ttrpc_server *s, size_t listener, unsigned number, int fd, struct err *e)
{
	struct peer *peer = NULL;
	struct api_peer who;
	struct conn *c;
	int r = check(s, listener, number, fd, &who, e);

	if (r == 0)
		r = ttrpc_admit(s, &who, &peer, e);
	if (r < 0) {
		(void)shutdown(fd, SHUT_RDWR);
		(void)close(fd);
		return r;
	}
	c = ttrpc_conn_open(s, &s->listeners[listener], fd, &who, peer);
	if (!c)
		return err_set(e, ERR_NOMEM, "no memory for a connection");
	c->number = number;
	c->stored = true;
	s->n_kept++;
	if (number > s->last_number)
		s->last_number = number;
	return 0;
}

int ttrpc_server_adopt(struct ttrpc_server *s, size_t listener, unsigned number, int fd,
		       struct err *e)
{
	cleanup_close int own = fd;
	const struct conn *c;
	int r;

	if (!s->store.store)
		return err_set(e, ERR_UNSUPPORTED, "this server keeps no connections");
	(void)pthread_mutex_lock(&s->lock);
	LIST_FOREACH(c, &s->conns, all) {
		if (c->number != number)
			continue;
		/* A removal would take the other one too; an ended one the manager drops itself. */
		(void)shutdown(own, SHUT_RDWR);
		(void)pthread_mutex_unlock(&s->lock);
		return err_set(e, ERR_FORMAT, "connection %u was handed over twice", number);
	}
	r = adopt(s, listener, number, take_fd(own), e);
	(void)pthread_mutex_unlock(&s->lock);
	if (r < 0)
		(void)s->store.unstore(s->store.ctx, listener, number);
	return r;
}
