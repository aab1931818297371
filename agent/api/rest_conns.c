/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_conns.h"

#include "agent/api/rest_route.h"
#include "agent/base/clock.h"
#include "agent/base/mem.h"

#include <netinet/in.h>
#include <pthread.h>

enum { SEND_GRACE_MS = 1000 };

struct rest_conn {
	bool used;
	bool cut; /* shut down; its end is only a matter of time */
	bool local;
	int fd;
	struct in6_addr addr;
	enum rest_phase phase;
	int64_t since; /* of the phase */
	size_t held;
};

struct rest_conns {
	pthread_mutex_t lock;
	size_t held; /* bytes, also of connections that are gone already */
	size_t held_max;
	uint64_t accepted, refused, cut;
	struct rest_conn all[REST_CONNS_TABLE];
};

int rest_conns_new(struct rest_conns **out, size_t held_max, struct err *e)
{
	struct rest_conns *c = calloc(1, sizeof *c);

	if (!c || pthread_mutex_init(&c->lock, NULL) != 0) {
		free(c);
		return err_set(e, ERR_NOMEM, "no memory for the table of connections");
	}
	c->held_max = held_max;
	*out = c;
	return 0;
}

void rest_conns_free(struct rest_conns *c)
{
	if (!c)
		return;
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

static void lock(struct rest_conns *c)
{
	(void)pthread_mutex_lock(&c->lock);
}

static void unlock(struct rest_conns *c)
{
	(void)pthread_mutex_unlock(&c->lock);
}

/* An IPv4 address as ::ffff:a.b.c.d: only to compare. */
static struct in6_addr address(const struct sockaddr *peer)
{
	struct in6_addr a = { 0 };

	if (peer->sa_family == AF_INET) {
		a.s6_addr[10] = a.s6_addr[11] = 0xff;
		memcpy(a.s6_addr + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr,
		       4);
	} else if (peer->sa_family == AF_INET6) {
		a = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
	}
	return a;
}

static void cut(struct rest_conns *c, struct rest_conn *conn)
{
	(void)shutdown(conn->fd, SHUT_RDWR);
	conn->cut = true;
	c->cut++;
}

static int64_t limit_ms(enum rest_phase phase)
{
	static const int64_t table[] = { [REST_WAITING] = REST_WAIT_MS,
					 [REST_READING] = REST_READ_MS,
					 [REST_WORKING] = INT64_MAX,
					 [REST_SENDING] = REST_SEND_MS };

	return table[phase];
}

/* Whose connections are counted, or one of which has to go. */
struct group {
	const struct in6_addr *addr; /* of that address only */
	bool foreign;                /* of no local address only */
};

static bool in_group(const struct rest_conn *conn, struct group g)
{
	if (!conn->used || conn->cut || (g.foreign && conn->local))
		return false;
	return !g.addr || memcmp(g.addr, &conn->addr, sizeof conn->addr) == 0;
}

static unsigned count(const struct rest_conns *c, struct group g)
{
	unsigned n = 0;

	for (size_t i = 0; i < REST_CONNS_TABLE; i++)
		n += in_group(&c->all[i], g);
	return n;
}

/* A connection that waits for its client: none of those has a call in flight. */
static bool cut_one(struct rest_conns *c, struct group g)
{
	int64_t now = clock_boot_ms();
	struct rest_conn *oldest = NULL;

	for (size_t i = 0; i < REST_CONNS_TABLE; i++) {
		struct rest_conn *conn = &c->all[i];

		if (!in_group(conn, g) || conn->phase == REST_WORKING ||
		    (conn->phase == REST_SENDING && now - conn->since < SEND_GRACE_MS))
			continue;
		if (!oldest || conn->since < oldest->since)
			oldest = conn;
	}
	if (oldest)
		cut(c, oldest);
	return oldest != NULL;
}

static bool make_room(struct rest_conns *c, struct group g, unsigned max)
{
	return count(c, g) < max || cut_one(c, g);
}

bool rest_conns_admit(struct rest_conns *c, const struct sockaddr *peer)
{
	struct in6_addr addr = address(peer);
	bool local = rest_peer_is_local(peer), ok;

	lock(c);
	ok = local ? make_room(c, (struct group){ .addr = &addr }, REST_CONNS_ADDRESS)
		   : make_room(c, (struct group){ .foreign = true }, REST_CONNS_FOREIGN);
	ok = ok && make_room(c, (struct group){ 0 }, REST_CONNS);
	if (!ok)
		c->refused++;
	unlock(c);
	return ok;
}

struct rest_conn *rest_conns_add(struct rest_conns *c, const struct sockaddr *peer, int fd)
{
	struct rest_conn *conn = NULL;

	lock(c);
	for (size_t i = 0; i < REST_CONNS_TABLE && !conn; i++)
		if (!c->all[i].used)
			conn = &c->all[i];
	if (conn) {
		*conn = (struct rest_conn){ .used = true,
					    .local = rest_peer_is_local(peer),
					    .fd = fd,
					    .addr = address(peer),
					    .since = clock_boot_ms() };
		c->accepted++;
	} else {
		c->refused++;
	}
	unlock(c);
	return conn;
}

void rest_conns_remove(struct rest_conns *c, struct rest_conn *conn)
{
	if (!conn)
		return;
	lock(c);
	*conn = (struct rest_conn){ .fd = -1 };
	unlock(c);
}

void rest_conns_phase(struct rest_conns *c, struct rest_conn *conn, enum rest_phase phase)
{
	lock(c);
	conn->phase = phase;
	conn->since = clock_boot_ms();
	if (phase != REST_SENDING)
		conn->held = 0;
	unlock(c);
}

/* The bytes that wait for connections which are not cut, and the oldest of them but one. */
static size_t waiting(struct rest_conns *c, const struct rest_conn *but, struct rest_conn **oldest)
{
	size_t sum = 0;

	*oldest = NULL;
	for (size_t i = 0; i < REST_CONNS_TABLE; i++) {
		struct rest_conn *conn = &c->all[i];

		if (!conn->used || conn->cut || conn->held == 0)
			continue;
		sum += conn->held;
		if (conn != but && (!*oldest || conn->since < (*oldest)->since))
			*oldest = conn;
	}
	return sum;
}

void rest_conns_hold(struct rest_conns *c, struct rest_conn *conn, size_t bytes)
{
	struct rest_conn *oldest;

	lock(c);
	conn->held = bytes;
	conn->since = clock_boot_ms();
	c->held += bytes;
	while (waiting(c, conn, &oldest) > c->held_max && oldest)
		cut(c, oldest);
	unlock(c);
}

void rest_conns_release(struct rest_conns *c, size_t bytes)
{
	lock(c);
	c->held -= bytes < c->held ? bytes : c->held;
	unlock(c);
}

void rest_conns_sweep(struct rest_conns *c, int64_t now_ms)
{
	lock(c);
	for (size_t i = 0; i < REST_CONNS_TABLE; i++) {
		struct rest_conn *conn = &c->all[i];

		if (conn->used && !conn->cut && now_ms - conn->since > limit_ms(conn->phase))
			cut(c, conn);
	}
	unlock(c);
}

void rest_conns_stats(struct rest_conns *c, struct rest_conns_stats *out)
{
	struct rest_conns_stats s = { 0 };

	lock(c);
	for (size_t i = 0; i < REST_CONNS_TABLE; i++) {
		const struct rest_conn *conn = &c->all[i];

		s.connections += conn->used;
		s.working += conn->used && conn->phase == REST_WORKING;
		s.sending += conn->used && conn->phase == REST_SENDING;
	}
	s.held = c->held;
	s.accepted = c->accepted;
	s.refused = c->refused;
	s.cut = c->cut;
	unlock(c);
	*out = s;
}
