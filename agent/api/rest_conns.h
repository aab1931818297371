/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_REST_CONNS_H
#define API_REST_CONNS_H

#include "agent/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Who is connected to the REST API, for how long, and who has to go. All containers of a pod come
 * from 127.0.0.1, so a cap alone would let one of them lock out the others. Instead, where a
 * cap is reached, the connection that has kept us waiting longest is cut to make room; a client
 * that speaks at once is never that one.
 *
 *   phase     from … to                                 cut after
 *   WAITING   accepted, or answered; next header whole  REST_WAIT_MS
 *   READING   header; body                              REST_READ_MS
 *   WORKING   request whole; answer known               never (a call has its own deadline)
 *   SENDING   answer begun; taken                       REST_SEND_MS
 *
 * These are times for all of it, not between two bytes. A connection is cut by shutdown(2): whoever
 * owns the socket sees its end and closes it.
 */
#define REST_CONNS         256 /* at once */
#define REST_CONNS_ADDRESS 192 /* of one local address */
#define REST_CONNS_FOREIGN 8   /* of all others together: they get 403 and no more */
#define REST_CONNS_TABLE   512 /* and those that are cut and not yet closed */
#define REST_WAIT_MS       (30 * 1000)
#define REST_READ_MS       (15 * 1000)
#define REST_SEND_MS       (60 * 1000)

enum rest_phase { REST_WAITING, REST_READING, REST_WORKING, REST_SENDING };

struct rest_conns; /* thread-safe */
struct rest_conn;

/*
 * held_max  bytes of plaintext in answers not yet taken
 * Errors: ERR_NOMEM.
 */
int rest_conns_new(struct rest_conns **out, size_t held_max, struct err *e) MUST_CHECK;

/* No connection may be left. Accepts NULL. */
void rest_conns_free(struct rest_conns *c);

/* May one more come in from there? Cuts another one for it if need be. */
bool rest_conns_admit(struct rest_conns *c, const struct sockaddr *peer);

/*
 * One has come in; WAITING from now on. NULL: no room, do not serve it.
 * fd  must stay open until rest_conns_remove()
 */
struct rest_conn *rest_conns_add(struct rest_conns *c, const struct sockaddr *peer, int fd);

/* Before its socket is closed. Accepts NULL. */
void rest_conns_remove(struct rest_conns *c, struct rest_conn *conn);

void rest_conns_phase(struct rest_conns *c, struct rest_conn *conn, enum rest_phase phase);

/*
 * An answer of that many bytes of plaintext waits for this connection. Who has left such answers
 * untaken longest is cut while they are more than held_max bytes.
 */
void rest_conns_hold(struct rest_conns *c, struct rest_conn *conn, size_t bytes);

/* The plaintext is erased. */
void rest_conns_release(struct rest_conns *c, size_t bytes);

/* Cut what is over its time at now_ms of CLOCK_BOOTTIME; call it every second or so. */
void rest_conns_sweep(struct rest_conns *c, int64_t now_ms);

struct rest_conns_stats {
	unsigned connections, working, sending;
	size_t held;
	uint64_t accepted, refused, cut;
};

void rest_conns_stats(struct rest_conns *c, struct rest_conns_stats *out);

#endif
