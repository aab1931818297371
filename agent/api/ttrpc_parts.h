/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TTRPC_PARTS_H
#define API_TTRPC_PARTS_H

#include "agent/api/frame.h"
#include "agent/api/ttrpc_server.h"
#include "agent/api/wire.h"

#include <pthread.h>
#include <sys/queue.h>
#include <sys/types.h>

/*
 * Inside the server; included by ttrpc_*.c only.
 *
 *   ttrpc_server.c  made, listening, drained, freed
 *   ttrpc_loop.c    the reading thread: events, admission, deadlines
 *   ttrpc_conn.c    one connection: frames in, replies out
 *   ttrpc_call.c    one call: dispatch, the pools, its end
 *   ttrpc_keep.c    connections in the service manager's store, and taken over from it
 *
 * One lock guards everything. It is never held while a method runs or a Request is decoded;
 * system calls made under it never wait (but a removal from the store, TTRPC_UNSTORE_MS). Only the reading thread opens, reads and closes
 * connections, so that an event never meets a connection that is gone.
 *
 * "locked" in a comment: the caller holds the lock. "loop": only the reading thread calls it.
 */
#define TTRPC_STACK     (256u << 10) /* of a thread; what is not touched costs nothing */
#define TTRPC_OUT_HIGH  128          /* queued replies that stop reading from a connection … */
#define TTRPC_OUT_LOW   32           /* … and start it again */
#define TTRPC_NEVER     INT64_MAX    /* a time that does not come */
#define TTRPC_SCRATCH   8192         /* bytes read at once; a longer frame is a large one */
#define TTRPC_ROOM_SPARE 4096        /* of a socket's buffer, for the kernel */

struct ttrpc_server;
struct ttrpc_pool;
struct call;

enum source_kind { SOURCE_WAKE, SOURCE_LISTENER, SOURCE_CONN };

/* What an epoll event points at; first member of each kind. */
struct source {
	enum source_kind kind;
};

struct listener {
	struct source source;
	int fd; /* -1: closed */
	char path[108];
	dev_t dev;
	ino_t ino;
	const struct api_method *methods;
	size_t n_methods;
};

/* One user id and what it uses now. */
struct peer {
	LIST_ENTRY(peer) all;
	unsigned uid;
	unsigned connections, calls, trustee_threads;
	size_t secret_bytes, request_bytes;
};

/* One frame on its way out: head, then body or secret. */
struct reply {
	STAILQ_ENTRY(reply) next;
	uint8_t head[FRAME_HEAD + WIRE_HEAD_MAX];
	size_t head_len;
	struct buf body;
	struct secret secret;
	size_t sent; /* bytes of all of it */
};

struct conn {
	struct source source;
	LIST_ENTRY(conn) all;
	struct ttrpc_server *server;
	const struct listener *from;
	struct peer *peer;
	struct api_peer who;
	/* loop */
	struct frame_reader rx;
	size_t rx_charge;  /* of peer->request_bytes, for the frame being read */
	int64_t rx_until;  /* the frame being read must be complete; TTRPC_NEVER between frames */
	bool rx_busy;      /* the frame is skipped because its peer has too many in flight */
	/* locked */
	bool rx_mid;   /* bytes of an unfinished frame were taken, or may be just now */
	bool rx_short; /* the frame at the front is not whole yet and lies in the socket */
	bool stored;
	unsigned number; /* of its place in the store; 0: it has none */
	int fd; /* -1: closed */
	bool broken, paused;
	uint32_t events;
	STAILQ_HEAD(, reply) out;
	unsigned n_out;
	size_t secret_bytes;
	int64_t tx_until; /* the next byte must be taken; TTRPC_NEVER when nothing waits */
	unsigned calls;
	unsigned refs; /* calls, and 1 while it is open */
};

enum call_state { CALL_QUEUED, CALL_RUNNING };

struct call {
	LIST_ENTRY(call) all;
	TAILQ_ENTRY(call) queued;
	struct conn *conn;
	const struct api_method *method;
	struct ttrpc_pool *pool; /* where it is queued or runs */
	enum call_state state;
	uint32_t stream;
	bool answered; /* timed out, or its connection is gone: the result is dropped */
	bool local;    /* its handle_local comes next */
	int64_t expires;
	struct wire_request request;
	size_t charge; /* of peer->request_bytes */
	struct api_call api;
};

struct worker {
	pthread_t thread;
	struct ttrpc_pool *pool;
	enum { WORKER_NONE, WORKER_LIVE, WORKER_GONE } state; /* GONE: wants a join */
};

struct ttrpc_pool {
	struct ttrpc_server *server;
	const char *name; /* of its threads, at most 15 bytes */
	TAILQ_HEAD(, call) queue;
	unsigned n_queued, n_threads, n_idle, max_threads;
	bool trustee;
	struct worker *workers; /* max_threads of them */
	pthread_cond_t work;
};

struct ttrpc_server {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* ping answered, drained, a thread ended */
	struct ttrpc_limits limits;
	unsigned *uids;
	size_t n_uids;
	struct ttrpc_store store;
	unsigned n_kept, last_number; /* places in use; the last that was given */
	struct listener listeners[TTRPC_LISTENERS_MAX];
	size_t n_listeners;
	LIST_HEAD(, conn) conns;
	LIST_HEAD(, call) calls;
	LIST_HEAD(, peer) peers;
	unsigned n_conns, n_calls, n_replies;
	struct ttrpc_pool local, trustee;
	struct ttrpc_stats stats; /* the counters of it */
	/* the reading thread */
	pthread_t loop;
	struct source wake;
	int epoll, wake_fd;
	bool started, draining, stop, stop_workers;
	bool sweep;      /* a connection broke: look at all of them */
	int64_t wake_at; /* when the next deadline may pass */
	int64_t accept_at; /* accepting is paused until then; 0: it is not */
	uint64_t ping_want, ping_done;
	uint8_t scratch[TTRPC_SCRATCH];
};

/* ttrpc_server.c */
int ttrpc_thread(pthread_t *t, const char *name, void *(*run)(void *), void *arg, struct err *e)
	MUST_CHECK;
/* Wait for s->changed at most ms. locked. */
void ttrpc_wait(struct ttrpc_server *s, pthread_cond_t *cond, int64_t ms);

/* ttrpc_loop.c */
void *ttrpc_loop(void *server);
/* Let the reading thread look at its deadlines at that time or before. locked. */
void ttrpc_wake_at(struct ttrpc_server *s, int64_t at);
/* Let it go round now. locked or not. */
void ttrpc_wake(struct ttrpc_server *s);
/* May this one connect? *peer on success. locked. Errors: ERR_DENIED, ERR_LIMIT, ERR_NOMEM. */
int ttrpc_admit(struct ttrpc_server *s, const struct api_peer *who, struct peer **peer,
		struct err *e) MUST_CHECK;

/* ttrpc_conn.c */
/* Takes fd; NULL for no memory. loop, locked */
struct conn *ttrpc_conn_open(struct ttrpc_server *s, const struct listener *from, int fd,
			     const struct api_peer *who, struct peer *peer);
void ttrpc_conn_event(struct conn *c, uint32_t events);              /* loop, not locked */
void ttrpc_conn_close(struct conn *c); /* loop (or after its end), locked; c may be freed */
void ttrpc_conn_unref(struct conn *c); /* locked */
void ttrpc_conn_events(struct conn *c); /* tell epoll what is wanted now. locked */
/* Queue a reply and send what the socket takes. locked. result is emptied. */
void ttrpc_conn_status(struct conn *c, uint32_t stream, enum api_status status, const char *text);
void ttrpc_conn_refuse(struct conn *c, uint32_t stream, const struct err *e);
void ttrpc_conn_result(struct conn *c, uint32_t stream, struct api_result *result);
/* The peer of a uid, made when there is none; NULL for no memory. locked. */
struct peer *ttrpc_peer(struct ttrpc_server *s, unsigned uid);
void ttrpc_peer_release(struct peer *p); /* frees it when it uses nothing. locked */

/* ttrpc_keep.c */
void ttrpc_keep(struct conn *c);   /* into the store, where it may be there now. locked */
bool ttrpc_unkeep(struct conn *c); /* out of it; false: it could not, c is broken. locked */
void ttrpc_keep_close(struct conn *c); /* before its descriptor is closed. locked */
/* Before the first byte of a reply of n bytes; false: c is broken. locked */
bool ttrpc_keep_write(struct conn *c, size_t n);
/*
 * How many bytes to read now, so that they end with a frame or lie in one large frame; 0: none
 * yet, -1: the connection ended. For a connection that has a number. loop, not locked.
 */
ssize_t ttrpc_keep_read(struct conn *c);

/* ttrpc_call.c */
int ttrpc_pool_init(struct ttrpc_pool *p, struct ttrpc_server *s, const char *name,
		    unsigned max_threads, bool trustee, struct err *e) MUST_CHECK;
void ttrpc_pool_done(struct ttrpc_pool *p); /* after its threads ended; not locked */
/* A connection or peer has room again: queued calls may be ready. locked. */
void ttrpc_pool_kick(struct ttrpc_pool *p);
/* Begin a call; takes *request, and charge from the peer's account. loop, locked. */
void ttrpc_call_begin(struct conn *c, uint32_t stream, struct wire_request *request, size_t charge);
void ttrpc_call_expire(struct call *call);      /* its time is over. loop, locked */
void ttrpc_calls_abandon(const struct conn *c); /* nobody waits any more. locked */

#endif
