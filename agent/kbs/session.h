/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KBS_SESSION_H
#define KBS_SESSION_H

#include "agent/kbs/client.h"

#include <pthread.h>

/*
 * A TEE key with its token, and the single handshake that renews it: the part of client.c that
 * the client's own traffic and GetToken's export key share. Private to this room.
 */
struct kbs_session {
	const struct kbs_config *config; /* the client's copy */
	const char *base;                /* URL without a trailing slash */
	struct kbs_stats *stats;         /* under lock */
	struct teekey *key;              /* with a passport: the last one's, NULL before the first */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	unsigned callers;    /* inside session_token(), or between session_enter() and _leave() */
	struct secret token; /* NUL-terminated; empty: none */
	int64_t token_end_ms, token_life_ms;
	bool stale;
	int64_t denied_ms;   /* of the first denial since the token came */
	uint64_t serial;     /* of the token; changes when one comes or goes */
	uint64_t generation; /* changes with serial and with each denial: what is cached under it */

	bool running, joinable, closing;
	pthread_t thread;
	uint64_t finished; /* handshakes that ended */
	bool failed;       /* the last one */
	struct err last;   /* its reason */
	int64_t last_ms;
	int64_t pause_ms, retry_at_ms, retry_after_ms;
	unsigned tries; /* that failed in a row */
};

int64_t session_now(const struct kbs_session *s);

/* Errors: ERR_CRYPTO, ERR_NOMEM. */
int session_open(struct kbs_session *s, const struct kbs_config *config, const char *base,
		 struct kbs_stats *stats, struct err *e) MUST_CHECK;

/* Sends callers home (net.broken); nothing begins after it. */
void session_stop(struct kbs_session *s);

/* Stops, and waits for the callers and for a running handshake. Safe on a zeroed session. */
void session_close(struct kbs_session *s);

/* From enter to leave session_close() waits for this caller. */
void session_enter(struct kbs_session *s);
void session_leave(struct kbs_session *s);

/* Sleep. False, at once, when the session closes. */
bool session_sleep(struct kbs_session *s, int64_t ms);

/*
 * A valid token, attested for when there is none, copied into *token (NUL-terminated).
 * serial  out: what session_drop() and session_denied() want
 * Errors: as kbs_get().
 */
int session_token(struct kbs_session *s, struct secret *token, uint64_t *serial, struct deadline d,
		  struct err *e) MUST_CHECK;

/*
 * The key that the token of that serial names, for the caller to free. NULL without an error when
 * that token is not the session's any more: ask for another.
 * Errors: ERR_NOMEM, ERR_CRYPTO, ERR_INTERNAL.
 */
int session_key(struct teekey **out, struct kbs_session *s, uint64_t serial,
		struct err *e) MUST_CHECK;

/* That token does not count any more. */
void session_drop(struct kbs_session *s, uint64_t serial);

/*
 * That token does not count, and was obtained because the one before it did not: a refusal
 * (kbs.token-refused) like that of a handshake, shared for KBS_REFUSAL_MS.
 */
void session_refused(struct kbs_session *s, uint64_t serial);

/* A policy denied a resource to that token. */
void session_denied(struct kbs_session *s, uint64_t serial);

/* The pause that a reply asks for, at most KBS_RETRY_AFTER_MAX_MS. */
int64_t session_retry_after(const struct http_reply *reply);

/* A pause with jitter: ms ± a half, at least 1. */
int64_t session_jitter(int64_t ms);

#endif
