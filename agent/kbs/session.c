/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/session.h"
#include "agent/base/log.h"
#include "agent/kbs/passport.h"
#include "agent/kbs/rcar.h"
#include "agent/kbs/token.h"

#include <stdio.h>
#include <time.h>

enum { STACK_BYTES = 512 * 1024, WAIT_SLICE_MS = 1000, FORGET_MS = 5 * 60 * 1000 };

int64_t session_now(const struct kbs_session *s)
{
	return s->config->now_ms ? s->config->now_ms() : clock_boot_ms();
}

int64_t session_jitter(int64_t ms)
{
	uint32_t x = 0;

	/* Without randomness there is still a pause. */
	if (random_bytes((uint8_t *)&x, sizeof x, NULL) < 0)
		x = 0;
	return ms / 2 + (int64_t)(x % (uint32_t)(ms + 1)) + 1;
}

int64_t session_retry_after(const struct http_reply *reply)
{
	return reply->retry_after_ms < KBS_RETRY_AFTER_MAX_MS ? reply->retry_after_ms
							      : KBS_RETRY_AFTER_MAX_MS;
}

/* Wait on a condition (CLOCK_MONOTONIC) for at most ms. */
static void wait_ms(pthread_cond_t *c, pthread_mutex_t *m, int64_t ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(c, m, &t);
}

static void count(struct kbs_session *s, uint64_t *counter)
{
	(void)pthread_mutex_lock(&s->lock);
	(*counter)++;
	(void)pthread_mutex_unlock(&s->lock);
}

/* One POST of the handshake; *reply is filled when the status is 200. */
static int post(struct kbs_session *s, struct http_reply *reply, const char *step,
		enum rcar_step which, struct view body, const char *cookie, struct deadline d,
		struct err *e)
{
	cleanup_free char *url = NULL;
	struct http_request q = {
		.method = "POST",
		.content_type = "application/json",
		.cookie = cookie,
		.body = body,
		.reply_max = RCAR_REPLY_MAX,
		.deadline = d,
	};
	bool unused;
	int r;

	if (asprintf(&url, "%s/kbs/v0/%s", s->base, step) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a URL");
	q.url = url;
	count(s, &s->stats->requests);
	r = s->config->round_trip(s->config->round_trip_ctx, &q, reply, e);
	if (r < 0)
		return r;
	if (reply->status == 200)
		return 0;
	r = rcar_refusal(&unused, which, reply->status, buf_view(&reply->body), url, e);
	s->retry_after_ms = session_retry_after(reply);
	http_reply_done(reply);
	return r;
}

/* The devices' evidence over their own report data: the text that the primary's are over. */
static int make_additional(struct kbs_session *s, const struct rcar_challenge *c, struct view jwk,
			   char **text, struct err *e)
{
	const struct kbs_evidence_source *source = &s->config->evidence;
	struct digest rd;
	int r;

	if (!source->additional) {
		*text = strdup("");
		return *text ? 0 : err_set(e, ERR_NOMEM, "no memory for evidence");
	}
	r = rcar_device_report_data(&rd, c->hash, c->nonce, jwk, e);
	return r < 0 ? r : source->additional(source->ctx, digest_view(&rd), text, e);
}

/* Evidence of all or of none. */
static int make_evidence(struct kbs_session *s, const struct rcar_challenge *c, struct view jwk,
			 char **json, char **additional, struct err *e)
{
	const struct kbs_evidence_source *source = &s->config->evidence;
	struct digest rd;
	int r;

	if ((r = make_additional(s, c, jwk, additional, e)) < 0 ||
	    (r = rcar_report_data(&rd, c->hash, c->nonce, jwk, *additional, e)) < 0)
		return r;
	count(s, &s->stats->quotes);
	r = source->evidence(source->ctx, digest_view(&rd), json, e);
	if (r < 0 && strncmp(err_name(e), "general.", 8) == 0)
		return err_wrap_code(e, CODE_EVIDENCE_FAILED, "evidence of %s", source->tee);
	return r < 0 ? err_wrap(e, r, "evidence of %s", source->tee) : 0;
}

static int attest(struct kbs_session *s, const struct rcar_challenge *c, const char *cookie,
		  struct secret *token, struct deadline d, struct err *e)
{
	cleanup_buf struct buf jwk = BUF_MAX(8192), body = BUF_MAX(RCAR_BODY_MAX);
	cleanup_http_reply struct http_reply reply = { 0 };
	cleanup_free char *evidence = NULL, *additional = NULL;
	int r;

	if ((r = teekey_jwk(&jwk, s->key, e)) < 0 ||
	    (r = make_evidence(s, c, buf_view(&jwk), &evidence, &additional, e)) < 0)
		return r;
	rcar_attestation(&body, c->nonce, buf_view(&jwk), evidence, additional, s->config->initdata);
	r = buf_check(&body, "the attestation", e);
	if (r < 0)
		return r;
	r = post(s, &reply, "attest", RCAR_ATTEST, buf_view(&body), cookie, d, e);
	if (r < 0)
		return r;
	return rcar_token(token, buf_view(&reply.body), e);
}

static bool stopping(struct kbs_session *s)
{
	bool yes;

	(void)pthread_mutex_lock(&s->lock);
	yes = s->closing;
	(void)pthread_mutex_unlock(&s->lock);
	return yes;
}

static int handshake(struct kbs_session *s, struct secret *token, int64_t *life_ms, struct err *e)
{
	__attribute__((cleanup(rcar_challenge_done))) struct rcar_challenge c = { 0 };
	struct deadline d = deadline_in(KBS_HANDSHAKE_MS);
	cleanup_buf struct buf body = BUF_MAX(4096);
	cleanup_http_reply struct http_reply reply = { 0 };
	int r;

	rcar_request(&body, s->config->evidence.tee);
	if ((r = buf_check(&body, "the request", e)) < 0 ||
	    (r = post(s, &reply, "auth", RCAR_AUTH, buf_view(&body), NULL, d, e)) < 0 ||
	    (r = rcar_challenge(&c, buf_view(&reply.body), e)) < 0)
		return r;
	if (reply.set_cookie[0] == '\0')
		return err_code(e, CODE_KBS_BAD_REPLY, "/auth gave no session cookie");
	if (stopping(s))
		return err_code(e, CODE_NET_BROKEN, "stopping");
	r = attest(s, &c, reply.set_cookie, token, d, e);
	if (r < 0)
		return r;
	return token_life_ms(life_ms, (struct view){ secret_bytes(token), token->len - 1 }, e);
}

/* The same out of another process's hands. */
static int take_passport(struct kbs_session *s, struct secret *token, struct teekey **key,
			 int64_t *life_ms, struct err *e)
{
	cleanup_secret struct secret json = { 0 };
	int r = s->config->passport(s->config->passport_ctx, &json, deadline_in(KBS_HANDSHAKE_MS), e);

	if (r < 0)
		return r;
	return passport_read(token, key, life_ms, (struct view){ secret_bytes(&json), json.len }, e);
}

/* Under lock. A passport that is shown again counts on: what was released under it stays so. */
static void new_token(struct kbs_session *s, struct secret *token, struct teekey **key)
{
	bool same = *key && s->token.len > 0 &&
		    secret_eq(&s->token, secret_bytes(token), token->len);

	secret_move(&s->token, token);
	if (*key) {
		teekey_free(s->key);
		s->key = take(*key);
	}
	s->serial += !same;
	s->generation += !same;
}

static bool transient(const struct err *e)
{
	return e->kind == ERR_NETWORK || e->kind == ERR_TIMEOUT;
}

/* Under lock. */
static void note_failure(struct kbs_session *s, const struct err *e)
{
	int64_t now = session_now(s);

	s->failed = true;
	s->last = *e;
	s->last_ms = now;
	s->tries++;
	s->stats->handshakes_failed++;
	if (!transient(e)) {
		s->pause_ms = 0;
		s->retry_at_ms = 0;
		return;
	}
	s->pause_ms = s->pause_ms == 0 ? KBS_PAUSE_MIN_MS : s->pause_ms * 2;
	if (s->pause_ms > KBS_PAUSE_MAX_MS)
		s->pause_ms = KBS_PAUSE_MAX_MS;
	s->retry_at_ms = now + session_jitter(s->pause_ms);
	if (s->retry_after_ms > 0 && s->retry_at_ms < now + s->retry_after_ms)
		s->retry_at_ms = now + s->retry_after_ms;
}

static void *run(void *arg)
{
	struct kbs_session *s = arg;
	cleanup_secret struct secret token = { 0 };
	cleanup_teekey struct teekey *key = NULL;
	struct err e = { 0 };
	int64_t life = 0;
	int r;

	s->retry_after_ms = 0;
	r = s->config->passport ? take_passport(s, &token, &key, &life, &e)
				: handshake(s, &token, &life, &e);
	(void)pthread_mutex_lock(&s->lock);
	if (r == 0) {
		new_token(s, &token, &key);
		s->token_life_ms = life;
		s->token_end_ms = session_now(s) + life;
		s->stale = false;
		s->failed = false;
		s->pause_ms = 0;
		s->retry_at_ms = 0;
		s->tries = 0;
	} else {
		note_failure(s, &e);
		log_debug("handshake failed", "code=%s what=\"%s\"", err_name(&e), e.msg);
	}
	s->running = false;
	s->finished++;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Under lock, with none running. */
static int start(struct kbs_session *s, struct err *e)
{
	pthread_attr_t a;
	int n;

	if (s->joinable)
		(void)pthread_join(s->thread, NULL);
	s->joinable = false;
	/* Nobody waited for so long: what failed then belongs to another outage. */
	if (session_now(s) - s->last_ms > FORGET_MS) {
		s->pause_ms = 0;
		s->tries = 0;
	}
	(void)pthread_attr_init(&a);
	(void)pthread_attr_setstacksize(&a, STACK_BYTES);
	s->running = true;
	n = pthread_create(&s->thread, &a, run, s);
	(void)pthread_attr_destroy(&a);
	if (n != 0) {
		s->running = false;
		return err_sys(e, n, "thread for the handshake");
	}
	s->joinable = true;
	s->stats->handshakes++;
	return 0;
}

/* Under lock. */
static bool usable(const struct kbs_session *s)
{
	int64_t now = session_now(s);
	int64_t reserve =
		KBS_REFRESH_MS < s->token_life_ms / 2 ? KBS_REFRESH_MS : s->token_life_ms / 2;

	if (s->token.len == 0 || s->token_end_ms - now < reserve)
		return false;
	return !s->stale || now - s->denied_ms < KBS_STALE_MS;
}

/* seen: how many handshakes had ended when the caller came. */
static int give_up(struct kbs_session *s, int64_t since_ms, uint64_t seen, struct err *e)
{
	long long waited = (long long)(clock_boot_ms() - since_ms);

	/* A reason from before this caller's time counts only while it is why we wait. */
	if (s->failed && transient(&s->last) && (s->finished != seen || !s->running)) {
		if (e)
			*e = s->last;
		return err_wrap(e, -(int)s->last.kind, "gave up after %lld ms, %u tries", waited,
				s->tries);
	}
	return err_code(e, CODE_NET_TIMEOUT, "Trustee at %.200s gave no answer within %lld ms",
			s->base, waited);
}

/* Under lock: until there is a usable token, a refusal, or no time. */
static int wait_for_token(struct kbs_session *s, struct deadline d, struct err *e)
{
	int64_t since = clock_boot_ms();
	uint64_t seen = s->finished;

	for (;;) {
		int64_t left = deadline_left_ms(d), now = session_now(s), wait = left;

		if (s->closing)
			return err_code(e, CODE_NET_BROKEN, "stopping");
		if (usable(s))
			return 0;
		/* A refusal is shared: by who waited for it, and for a while by who comes later. */
		if (!s->running && s->failed && !transient(&s->last) &&
		    (s->finished != seen || now - s->last_ms < KBS_REFUSAL_MS)) {
			if (e)
				*e = s->last;
			return -(int)s->last.kind;
		}
		if (left == 0)
			return give_up(s, since, seen, e);
		if (!s->running && now >= s->retry_at_ms) {
			int r = start(s, e);

			if (r < 0)
				return r;
			continue;
		}
		if (!s->running && s->retry_at_ms - now < wait)
			wait = s->retry_at_ms - now;
		wait_ms(&s->changed, &s->lock, wait < WAIT_SLICE_MS ? wait : WAIT_SLICE_MS);
	}
}

/* Under lock. */
static void leave(struct kbs_session *s)
{
	s->callers--;
	if (s->closing && s->callers == 0)
		(void)pthread_cond_broadcast(&s->changed);
}

int session_token(struct kbs_session *s, struct secret *token, uint64_t *serial, struct deadline d,
		  struct err *e)
{
	cleanup_secret struct secret copy = { 0 };
	int r;

	(void)pthread_mutex_lock(&s->lock);
	s->callers++;
	r = wait_for_token(s, d, e);
	if (r == 0)
		r = secret_alloc(&copy, s->token.len, e);
	if (r == 0)
		r = secret_append(&copy, secret_bytes(&s->token), s->token.len, e);
	*serial = s->serial;
	leave(s);
	(void)pthread_mutex_unlock(&s->lock);
	if (r == 0)
		secret_move(token, &copy);
	return r;
}

void session_enter(struct kbs_session *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->callers++;
	(void)pthread_mutex_unlock(&s->lock);
}

void session_leave(struct kbs_session *s)
{
	(void)pthread_mutex_lock(&s->lock);
	leave(s);
	(void)pthread_mutex_unlock(&s->lock);
}

bool session_sleep(struct kbs_session *s, int64_t ms)
{
	struct deadline d = deadline_in(ms);
	int64_t left;
	bool closing;

	(void)pthread_mutex_lock(&s->lock);
	while (!s->closing && (left = deadline_left_ms(d)) > 0)
		wait_ms(&s->changed, &s->lock, left);
	closing = s->closing;
	(void)pthread_mutex_unlock(&s->lock);
	return !closing;
}

/* Under lock. */
static void drop(struct kbs_session *s)
{
	secret_done(&s->token);
	s->serial++;
	s->generation++;
}

int session_key(struct teekey **out, struct kbs_session *s, uint64_t serial, struct err *e)
{
	int r = 0;

	(void)pthread_mutex_lock(&s->lock);
	*out = NULL;
	if (s->serial == serial)
		r = s->key ? teekey_share(out, s->key, e)
			   : err_set(e, ERR_INTERNAL, "a token without its key");
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

void session_drop(struct kbs_session *s, uint64_t serial)
{
	(void)pthread_mutex_lock(&s->lock);
	if (s->serial == serial && s->token.len > 0)
		drop(s);
	(void)pthread_mutex_unlock(&s->lock);
}

void session_refused(struct kbs_session *s, uint64_t serial)
{
	(void)pthread_mutex_lock(&s->lock);
	if (s->serial == serial && s->token.len > 0) {
		drop(s);
		s->failed = true;
		(void)err_code(&s->last, CODE_KBS_TOKEN_REFUSED,
			       "Trustee at %.200s refuses the tokens that it gives", s->base);
		s->last_ms = session_now(s);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void session_denied(struct kbs_session *s, uint64_t serial)
{
	(void)pthread_mutex_lock(&s->lock);
	s->stats->denials++;
	if (s->serial == serial && !s->stale) {
		s->stale = true;
		s->denied_ms = session_now(s);
	}
	/* What is cached was released before the policy said no. */
	s->generation++;
	(void)pthread_mutex_unlock(&s->lock);
}

int session_open(struct kbs_session *s, const struct kbs_config *config, const char *base,
		 struct kbs_stats *stats, struct err *e)
{
	pthread_condattr_t attr;

	s->config = config;
	s->base = base;
	s->stats = stats;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (config->passport)
		return 0;
	if (config->key && teekey_alg(config->key) == config->key_alg)
		return teekey_share(&s->key, config->key, e);
	return teekey_new(&s->key, config->key_alg, e);
}

void session_stop(struct kbs_session *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->closing = true;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
}

void session_close(struct kbs_session *s)
{
	if (!s->config)
		return;
	session_stop(s);
	(void)pthread_mutex_lock(&s->lock);
	while (s->running || s->callers > 0)
		wait_ms(&s->changed, &s->lock, WAIT_SLICE_MS);
	(void)pthread_mutex_unlock(&s->lock);
	if (s->joinable)
		(void)pthread_join(s->thread, NULL);
	teekey_free(s->key);
	secret_done(&s->token);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->lock);
	*s = (struct kbs_session){ 0 };
}
