/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TTRPC_SERVER_H
#define API_TTRPC_SERVER_H

#include "agent/api/service.h"

#include <sys/types.h>

/*
 * A ttrpc server on unix sockets. Source of the protocol: spec/local-api.md 1.
 *
 * One thread reads all connections and keeps all times; two bounded pools run the methods, so
 * that what can be answered at once never stands behind calls that wait for Trustee. Threads
 * start when there is work and end when there is none. Replies leave in any order; who writes
 * never waits for a client: what the socket does not take at once stays queued (plaintext in
 * its locked memory) until the client reads, or TTRPC_WRITE_MS pass without it.
 *
 *   what happens                          answer
 *   even stream id                        3  "stream id must be odd"
 *   stream id of a call in flight         3  "stream id N is in use"
 *   payload over FRAME_MAX                drained; 3 "message length N exceed maximum …"
 *   data frame                            3  "Stream is no longer active"
 *   frame of another type                 none
 *   Request does not decode               3  api.malformed
 *   unknown service                       3  "S service does not exist"
 *   unknown method                        12 "M method"
 *   declared, not served                  5  "/S/M is not supported"
 *   timeout_nano passed (<= 0: 50 s)      4  "timeout"; a late result is erased
 *   reply over FRAME_MAX                  3  "message length N exceed maximum …"
 *   a cap reached                         8  api.peer-busy; the call did not run
 *   user not admitted                     7  api.peer-denied on stream 1, then closed
 *   frame not complete in TTRPC_READ_MS   closed
 *
 * An idle client is never closed: kata-agent opens one connection and never another. With a
 * store (below) root's connections outlive the process too.
 */
#define TTRPC_TIMEOUT_MS     (50 * 1000)   /* of a call that sends none */
#define TTRPC_TIMEOUT_MAX_MS (3600 * 1000) /* a longer one counts as this */
#define TTRPC_READ_MS        (10 * 1000)   /* from a frame's first byte to its last */
#define TTRPC_WRITE_MS       (30 * 1000)   /* a reply without progress */
#define TTRPC_LISTENERS_MAX  4

/* Caps. A peer is a user id: what one does never takes the room of another. */
struct ttrpc_limits {
	unsigned connections;           /* of all peers: 256 */
	unsigned peer_connections;      /* 128 */
	unsigned connection_calls;      /* in flight on one connection: 256 */
	unsigned peer_calls;            /* in flight: 384 */
	size_t peer_secret_bytes;       /* plaintext in replies not yet read: 8 MiB */
	size_t peer_request_bytes;      /* requests being read or in flight: 16 MiB */
	unsigned local_threads;         /* 2 */
	unsigned trustee_threads;       /* 16 */
	unsigned peer_trustee_threads;  /* 12 */
	unsigned queue;                 /* calls that wait for a thread, each pool: 1024 */
	int64_t read_ms, write_ms;      /* as above; for tests */
	int64_t timeout_ms;
	int64_t thread_idle_ms;         /* a thread without work ends: 5000 */
};

/*
 * Where connections are while no frame is under way on them, so that a process that is started
 * after kill -9 goes on with them: the service manager's store. Only root's, at most
 * TTRPC_KEPT_MAX, each under its number; a place is free again when its connection ends.
 *
 * A request of at most 8 KiB is taken from the socket in one piece, when all of it is there; a
 * connection is out of the store while a larger one is read, and while a reply is written that
 * the socket's buffer has no room for. A call in flight at kill -9 gets no answer.
 *
 * At the end by ttrpc_server_drain() what is in the store stays there.
 *
 * Both are called with the server's lock held. store: must not wait; not 0: tried again a little
 * later. unstore: may wait TTRPC_UNSTORE_MS; not 0: the connection is ended.
 */
#define TTRPC_KEPT_MAX   12
#define TTRPC_NUMBER_MAX 999999999u
#define TTRPC_UNSTORE_MS 500
struct ttrpc_store {
	int (*store)(void *ctx, size_t listener, unsigned number, int fd); /* fd is borrowed */
	int (*unstore)(void *ctx, size_t listener, unsigned number);
	void *ctx;
};

struct ttrpc_config {
	const unsigned *uids; /* admitted besides 0; copied */
	size_t n_uids;
	struct ttrpc_store store; /* store NULL: none */
	struct ttrpc_limits limits; /* a member that is 0 means its default */
};

/* For status and metrics. */
struct ttrpc_stats {
	unsigned connections, calls, threads; /* now */
	unsigned kept; /* connections with a place in the store */
	unsigned waiting_local, waiting_trustee;
	size_t secret_bytes; /* plaintext in replies not yet read */
	uint64_t connections_total, calls_total;
	uint64_t peers_denied, connections_refused, stalled; /* stalled: closed for a deadline */
	uint64_t timeouts, late; /* late: results that nobody waited for any more */
	uint64_t replies[API_STATUS_COUNT]; /* by status */
};

struct ttrpc_server; /* thread-safe */

/* Nothing is started or bound yet. Errors: ERR_NOMEM, ERR_SYSTEM. */
int ttrpc_server_new(struct ttrpc_server **out, const struct ttrpc_config *config, struct err *e)
	MUST_CHECK;

/*
 * Serve methods on a unix socket. The path appears in one step, when it can be connected to and
 * has its mode and group: who waits for the file may connect at once. What was there is replaced.
 *
 * path     absolute, at most 101 bytes (a suffix is added while it is made)
 * mode     e.g. 0660
 * gid      group of the socket, or -1 to leave it
 * methods  borrowed until ttrpc_server_free()
 *
 * Errors: ERR_LIMIT (path, TTRPC_LISTENERS_MAX), ERR_SYSTEM.
 */
int ttrpc_server_listen(struct ttrpc_server *s, const char *path, mode_t mode, gid_t gid,
			const struct api_method *methods, size_t n_methods, struct err *e)
	MUST_CHECK;

/*
 * Go on with a connection that the store handed over. Between ttrpc_server_listen() and
 * ttrpc_server_start().
 *
 * listener  by order of ttrpc_server_listen(), from 0
 * number    under which it is in the store
 * fd        taken in any case; the connection is ended and out of the store on failure
 *
 * Errors: ERR_DENIED (its peer is not root), ERR_LIMIT (a cap), ERR_FORMAT (no unix connection;
 * number or listener), ERR_UNSUPPORTED (no store), ERR_SYSTEM, ERR_NOMEM.
 */
int ttrpc_server_adopt(struct ttrpc_server *s, size_t listener, unsigned number, int fd,
		       struct err *e) MUST_CHECK;

/*
 * Start the reading thread. Threads inherit the confinement of the one that calls this, and
 * later threads inherit from it: call it when that is complete. All signals are blocked in them.
 * Errors: ERR_SYSTEM.
 */
int ttrpc_server_start(struct ttrpc_server *s, struct err *e) MUST_CHECK;

/* For a watchdog: does the reading thread go round within ms? Errors: ERR_TIMEOUT. */
int ttrpc_server_ping(struct ttrpc_server *s, int64_t ms, struct err *e) MUST_CHECK;

void ttrpc_server_stats(struct ttrpc_server *s, struct ttrpc_stats *out);

/*
 * Stop: remove the socket files (where they are still ours), read no more requests, let the
 * calls in flight end and their replies be read, then close all connections. After it nothing
 * is served any more, whatever it returns.
 *
 * Errors: ERR_TIMEOUT (the deadline passed; the message counts what was left).
 */
int ttrpc_server_drain(struct ttrpc_server *s, struct deadline d, struct err *e);

/*
 * Drains with no time, waits for methods that still run (each has its own deadline) and frees.
 * A program that ends anyway need not wait for them: it exits instead.
 */
void ttrpc_server_free(struct ttrpc_server *s);

#endif
