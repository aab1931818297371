/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "agent/kbs/rcar.h"
#include "agent/kbs/session.h"
#include "test/unit/crypto/vector.h"

#include <stdatomic.h>
#include <time.h>

#define COOKIE "kbs-session-id=0123456789abcdef0123456789abcdef"

enum { CALLERS = 20, CROWD = 50, SOON_MS = 5000 };

/* A Trustee's /auth and /attest with a gate: while it is shut, /auth does not answer. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool shut;
	atomic_int auths, attests, evidences;
	atomic_int auth_fails; /* so many /auth fail with fail_code before one does not */
	enum err_code fail_code;
	atomic_int auth_status; /* 200, or with a refusal's body */
	atomic_int attest_status;
	atomic_llong retry_after_ms; /* with auth_status */
	atomic_int life_s;
	bool no_cookie;
	enum err_code evidence_code, additional_code;
	const char *additional; /* text of the other devices' evidence */
	struct digest primary, device; /* what both were asked over */
	char sent[4096];               /* the last body of /attest */
	atomic_llong clock; /* of the fake now_ms */
} world = { .lock = PTHREAD_MUTEX_INITIALIZER,
	    .changed = PTHREAD_COND_INITIALIZER,
	    .auth_status = 200,
	    .attest_status = 200,
	    .life_s = 300,
	    .clock = 1000000 };

static int64_t fake_now(void)
{
	return atomic_load(&world.clock);
}

static void gate(bool shut)
{
	(void)pthread_mutex_lock(&world.lock);
	world.shut = shut;
	(void)pthread_cond_broadcast(&world.changed);
	(void)pthread_mutex_unlock(&world.lock);
}

static void nap(int64_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

static void answer(struct http_reply *reply, int status, const char *body)
{
	reply->status = status;
	reply->body = BUF_MAX(8192);
	buf_puts(&reply->body, body);
}

static const char refusal[] = "{\"type\":\"x/AttestationError\",\"detail\":\"as the test wants\"}";

static int auth(const struct http_request *q, struct http_reply *reply, struct err *e)
{
	int status;

	atomic_fetch_add(&world.auths, 1);
	CHECK(!q->cookie);
	(void)pthread_mutex_lock(&world.lock);
	while (world.shut)
		(void)pthread_cond_wait(&world.changed, &world.lock);
	(void)pthread_mutex_unlock(&world.lock);
	if (atomic_fetch_sub(&world.auth_fails, 1) > 0)
		return err_code(e, world.fail_code, "as the test wants");
	status = atomic_load(&world.auth_status);
	answer(reply, status, status == 200 ? "{\"nonce\":\"n\",\"extra-params\":\"\"}" : refusal);
	reply->retry_after_ms = atomic_load(&world.retry_after_ms);
	if (!world.no_cookie)
		(void)snprintf(reply->set_cookie, sizeof reply->set_cookie, COOKIE);
	return 0;
}

static void attest(const struct http_request *q, struct http_reply *reply)
{
	cleanup_buf struct buf claims = BUF_MAX(256), body = BUF_MAX(1024);
	int n = atomic_fetch_add(&world.attests, 1) + 1, status = atomic_load(&world.attest_status);

	CHECK(q->cookie && strcmp(q->cookie, COOKIE) == 0);
	(void)snprintf(world.sent, sizeof world.sent, "%.*s", (int)q->body.len, (const char *)q->body.p);
	/* Each token is another one. */
	buf_printf(&claims, "{\"iat\":0,\"exp\":%d,\"n\":%d}", atomic_load(&world.life_s), n);
	buf_puts(&body, "{\"token\":\"h.");
	enc_base64(&body, ENC_B64U, buf_view(&claims));
	buf_puts(&body, ".s\"}");
	answer(reply, status, status == 200 ? buf_str(&body) : refusal);
}

static int round_trip(void *ctx, const struct http_request *q, struct http_reply *reply,
		      struct err *e)
{
	(void)ctx;
	CHECK(strcmp(q->method, "POST") == 0 && !q->bearer);
	/* The handshake has a deadline of its own, whoever waits for it. */
	CHECK(deadline_left_ms(q->deadline) > KBS_HANDSHAKE_MS - SOON_MS);
	if (strcmp(q->url, "http://t/kbs/v0/auth") == 0)
		return auth(q, reply, e);
	CHECK(strcmp(q->url, "http://t/kbs/v0/attest") == 0);
	attest(q, reply);
	return 0;
}

static int evidence(void *ctx, struct view report_data, char **json, struct err *e)
{
	(void)ctx;
	atomic_fetch_add(&world.evidences, 1);
	CHECK_INT(report_data.len, 48);
	memcpy(world.primary.b, report_data.p, world.primary.len = 48);
	if (world.evidence_code != CODE_OK)
		return err_code(e, world.evidence_code, "as the test wants");
	*json = strdup("{}");
	return *json ? 0 : -(int)ERR_NOMEM;
}

static int additional(void *ctx, struct view report_data, char **text, struct err *e)
{
	(void)ctx;
	CHECK_INT(report_data.len, 48);
	memcpy(world.device.b, report_data.p, world.device.len = 48);
	if (world.additional_code != CODE_OK)
		return err_code(e, world.additional_code, "additional evidence, as the test wants");
	*text = strdup(world.additional);
	return *text ? 0 : -(int)ERR_NOMEM;
}

static struct kbs_config config = { .url = "http://t",
				    .key_alg = TEEKEY_P256,
				    .evidence = { .tee = "sample", .evidence = evidence },
				    .round_trip = round_trip };
static struct kbs_stats stats;

static struct kbs_session *open_session(bool with_fake_clock)
{
	static struct kbs_session s;
	struct err e;

	config.now_ms = with_fake_clock ? fake_now : NULL;
	CHECK_INT(session_open(&s, &config, "http://t", &stats, &e), 0);
	return &s;
}

/* One call, its result and how long it took. */
struct call {
	struct kbs_session *s;
	int64_t deadline_ms, took_ms;
	pthread_t thread;
	struct secret token;
	uint64_t serial;
	struct err e;
	int r;
};

static void *ask(void *arg)
{
	struct call *c = arg;
	int64_t since = clock_boot_ms();

	c->r = session_token(c->s, &c->token, &c->serial, deadline_in(c->deadline_ms), &c->e);
	c->took_ms = clock_boot_ms() - since;
	return NULL;
}

static void begin(struct call *c, struct kbs_session *s, int64_t deadline_ms)
{
	*c = (struct call){ .s = s, .deadline_ms = deadline_ms };
	CHECK_INT(pthread_create(&c->thread, NULL, ask, c), 0);
}

static void end(struct call *c)
{
	(void)pthread_join(c->thread, NULL);
}

/* In the caller's own thread: 0, or the code. */
static enum err_code now_ask(struct kbs_session *s, int64_t deadline_ms, uint64_t *serial)
{
	struct call c = { .s = s, .deadline_ms = deadline_ms };

	(void)ask(&c);
	if (serial)
		*serial = c.serial;
	CHECK((c.r == 0) == (secret_bytes(&c.token) != NULL));
	secret_done(&c.token);
	if (c.r == 0)
		return CODE_OK;
	CHECK_INT(c.r, -(int)c.e.kind);
	return c.e.code;
}

static void until_auths(int n)
{
	for (int i = 0; atomic_load(&world.auths) < n && i < SOON_MS; i++)
		nap(1);
	CHECK_INT(atomic_load(&world.auths), n);
}

TEST(session_token__twenty_callers_at_once__one_handshake_and_one_token)
{
	struct kbs_session *s = open_session(false);
	static struct call c[CALLERS];

	gate(true);
	for (int i = 0; i < CALLERS; i++)
		begin(&c[i], s, SOON_MS);
	until_auths(1);
	nap(50);
	gate(false);
	for (int i = 0; i < CALLERS; i++) {
		end(&c[i]);
		CHECK_INT(c[i].r, 0);
		CHECK(secret_eq(&c[i].token, secret_bytes(&c[0].token), c[0].token.len));
		CHECK_INT(c[i].serial, c[0].serial);
		if (i > 0)
			secret_done(&c[i].token);
	}
	secret_done(&c[0].token);
	CHECK_INT(atomic_load(&world.auths), 1);
	CHECK_INT(atomic_load(&world.evidences), 1);
	CHECK_INT(stats.handshakes, 1);
	CHECK_INT(stats.quotes, 1);
	session_close(s);
}

TEST(session_token__deadlines_of_different_length__each_leaves_at_its_own_and_none_cancels)
{
	struct kbs_session *s = open_session(false);
	struct call c[4];

	gate(true);
	for (int i = 0; i < 3; i++)
		begin(&c[i], s, 60 * (i + 1));
	begin(&c[3], s, SOON_MS);
	for (int i = 0; i < 3; i++) {
		end(&c[i]);
		CHECK_ERR(c[i].r, ERR_TIMEOUT, c[i].e, "http://t gave no answer");
		CHECK_INT(c[i].e.code, CODE_NET_TIMEOUT);
		CHECK(c[i].took_ms >= 60 * (i + 1) && c[i].took_ms < 60 * (i + 1) + 4000);
	}
	gate(false);
	end(&c[3]);
	CHECK_INT(c[3].r, 0);
	secret_done(&c[3].token);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_OK);
	CHECK_INT(atomic_load(&world.auths), 1);
	session_close(s);
}

TEST(session_token__all_waiters_left__the_handshake_still_serves_the_next)
{
	struct kbs_session *s = open_session(false);

	gate(true);
	CHECK_INT(now_ask(s, 50, NULL), CODE_NET_TIMEOUT);
	gate(false);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_OK);
	CHECK_INT(atomic_load(&world.auths), 1);
	session_close(s);
}

TEST(session_token__deadline_passed_already__begins_nothing)
{
	struct kbs_session *s = open_session(false);

	CHECK_INT(now_ask(s, 0, NULL), CODE_NET_TIMEOUT);
	CHECK_INT(atomic_load(&world.auths), 0);
	session_close(s);
}

TEST(session_token__network_fails_twice__pauses_then_serves)
{
	struct kbs_session *s = open_session(false);
	struct call c;

	world.fail_code = CODE_NET_REFUSED;
	atomic_store(&world.auth_fails, 2);
	begin(&c, s, SOON_MS);
	end(&c);
	CHECK_INT(c.r, 0);
	secret_done(&c.token);
	/* The pauses are 250 and 500 ms, ± a half. */
	CHECK(c.took_ms >= 375 && c.took_ms < SOON_MS);
	CHECK_INT(atomic_load(&world.auths), 3);
	CHECK_INT(stats.handshakes_failed, 2);
	session_close(s);
}

TEST(session_token__a_crowd_and_no_network__few_handshakes_and_the_last_reason_for_each)
{
	struct kbs_session *s = open_session(false);
	static struct call c[CROWD];

	world.fail_code = CODE_NET_DNS;
	atomic_store(&world.auth_fails, 1000);
	for (int i = 0; i < CROWD; i++)
		begin(&c[i], s, 400 + i * 10);
	for (int i = 0; i < CROWD; i++) {
		end(&c[i]);
		CHECK_ERR(c[i].r, ERR_NETWORK, c[i].e, "gave up after");
		CHECK_INT(c[i].e.code, CODE_NET_DNS);
		CHECK(c[i].took_ms >= 400 + i * 10 && c[i].took_ms < 400 + i * 10 + 4000);
	}
	/* At 0, then 125 ms and 250 ms later at the earliest; the fourth after 500 more. */
	CHECK(atomic_load(&world.auths) >= 2 && atomic_load(&world.auths) <= 4);
	session_close(s);
}

TEST(session_token__a_handshake_begun_before_the_caller_came_breaks__the_next_one_serves_it)
{
	struct kbs_session *s = open_session(false);
	struct call first, second;

	gate(true);
	world.fail_code = CODE_NET_BROKEN;
	atomic_store(&world.auth_fails, 1);
	begin(&first, s, 100);
	until_auths(1);
	end(&first);
	CHECK_INT(first.e.code, CODE_NET_TIMEOUT);
	begin(&second, s, SOON_MS);
	nap(20);
	gate(false);
	end(&second);
	CHECK_INT(second.r, 0);
	secret_done(&second.token);
	CHECK_INT(atomic_load(&world.auths), 2);
	session_close(s);
}

TEST(session_token__an_old_reason__is_not_given_for_a_handshake_that_hangs)
{
	struct kbs_session *s = open_session(true);

	world.fail_code = CODE_NET_REFUSED;
	atomic_store(&world.auth_fails, 1);
	CHECK_INT(now_ask(s, 100, NULL), CODE_NET_REFUSED);
	/* While its pause lasts, it is the reason for the next one too. */
	CHECK_INT(now_ask(s, 50, NULL), CODE_NET_REFUSED);
	atomic_fetch_add(&world.clock, 10 * 1000);
	gate(true);
	CHECK_INT(now_ask(s, 100, NULL), CODE_NET_TIMEOUT);
	CHECK_INT(atomic_load(&world.auths), 2);
	gate(false);
	session_close(s);
}

TEST(session_token__an_outage_long_ago__does_not_lengthen_the_pause)
{
	struct kbs_session *s = open_session(true);

	world.fail_code = CODE_NET_REFUSED;
	atomic_store(&world.auth_fails, 1000);
	for (int i = 0; i < 8; i++) {
		CHECK_INT(now_ask(s, 20, NULL), CODE_NET_REFUSED);
		atomic_fetch_add(&world.clock, 3 * KBS_PAUSE_MAX_MS);
	}
	CHECK_INT(s->pause_ms, KBS_PAUSE_MAX_MS);
	CHECK_INT(s->tries, 8);
	atomic_fetch_add(&world.clock, 3600 * 1000);
	CHECK_INT(now_ask(s, 20, NULL), CODE_NET_REFUSED);
	CHECK_INT(s->pause_ms, KBS_PAUSE_MIN_MS);
	CHECK_INT(s->tries, 1);
	session_close(s);
}

static void check_retry_after(int64_t asked_ms, int64_t honoured_ms)
{
	struct kbs_session *s = open_session(true);

	atomic_store(&world.auth_status, 429);
	atomic_store(&world.retry_after_ms, asked_ms);
	CHECK_INT(now_ask(s, 50, NULL), CODE_KBS_BUSY);
	atomic_store(&world.auth_status, 200);
	atomic_fetch_add(&world.clock, honoured_ms - 500);
	CHECK_INT(now_ask(s, 50, NULL), CODE_KBS_BUSY);
	CHECK_INT(atomic_load(&world.auths), 1);
	atomic_fetch_add(&world.clock, 500);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_OK);
	CHECK_INT(atomic_load(&world.auths), 2);
	session_close(s);
}

TEST(session_token__retry_after__is_honoured)
{
	check_retry_after(7000, 7000);
}

TEST(session_token__retry_after_of_an_hour__counts_as_a_minute)
{
	check_retry_after(3600 * 1000, KBS_RETRY_AFTER_MAX_MS);
}

TEST(session_token__refused__gives_the_reason_to_all_for_five_seconds)
{
	struct kbs_session *s = open_session(true);
	static struct call c[CALLERS];

	atomic_store(&world.attest_status, 401);
	gate(true);
	for (int i = 0; i < CALLERS; i++)
		begin(&c[i], s, SOON_MS);
	until_auths(1);
	nap(50);
	gate(false);
	for (int i = 0; i < CALLERS; i++) {
		end(&c[i]);
		CHECK_ERR(c[i].r, ERR_DENIED, c[i].e, "as the test wants");
		CHECK_INT(c[i].e.code, CODE_KBS_ATTESTATION_FAILED);
	}
	atomic_fetch_add(&world.clock, KBS_REFUSAL_MS - 1);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_KBS_ATTESTATION_FAILED);
	CHECK_INT(atomic_load(&world.auths), 1);
	atomic_store(&world.attest_status, 200);
	atomic_fetch_add(&world.clock, 1);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_OK);
	CHECK_INT(atomic_load(&world.auths), 2);
	session_close(s);
}

TEST(session_token__a_token_with_less_than_its_reserve__is_renewed_first)
{
	static const struct {
		int life_s;
		int64_t fresh_ms; /* used without renewal for so long */
	} rows[] = { { 300, 270000 }, { 61, 31000 }, { 60, 30000 }, { 40, 20000 }, { 1, 500 } };
	struct kbs_session *s = open_session(true);
	uint64_t serial, before;
	int auths = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		atomic_store(&world.life_s, rows[i].life_s);
		session_drop(s, s->serial);
		CHECK_INT(now_ask(s, SOON_MS, &before), CODE_OK);
		CHECK_INT(atomic_load(&world.auths), ++auths);
		atomic_fetch_add(&world.clock, rows[i].fresh_ms);
		CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
		CHECK_INT(serial, before);
		CHECK_INT(atomic_load(&world.auths), auths);
		atomic_fetch_add(&world.clock, 1);
		CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
		CHECK(serial != before);
		CHECK_INT(atomic_load(&world.auths), ++auths);
	}
	session_close(s);
}

TEST(session_denied__token__is_used_on_and_renewed_once_half_a_minute_later)
{
	struct kbs_session *s = open_session(true);
	uint64_t first, serial, generation;

	CHECK_INT(now_ask(s, SOON_MS, &first), CODE_OK);
	generation = s->generation;
	session_denied(s, first);
	CHECK(s->generation != generation);
	atomic_fetch_add(&world.clock, KBS_STALE_MS - 1);
	/* Asked again and again, it is still the first denial that counts. */
	session_denied(s, first);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	CHECK_INT(serial, first);
	CHECK_INT(atomic_load(&world.auths), 1);
	atomic_fetch_add(&world.clock, 1);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	CHECK(serial != first);
	CHECK_INT(atomic_load(&world.auths), 2);
	/* A late denial of the old token says nothing about the new one. */
	session_denied(s, first);
	atomic_fetch_add(&world.clock, KBS_STALE_MS);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	CHECK_INT(atomic_load(&world.auths), 2);
	CHECK_INT(stats.denials, 3);
	session_close(s);
}

TEST(session_drop__of_an_old_token__leaves_the_new_one)
{
	struct kbs_session *s = open_session(true);
	uint64_t first, second, serial;

	CHECK_INT(now_ask(s, SOON_MS, &first), CODE_OK);
	session_drop(s, first);
	CHECK_INT(now_ask(s, SOON_MS, &second), CODE_OK);
	session_drop(s, first);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	CHECK_INT(serial, second);
	CHECK_INT(atomic_load(&world.auths), 2);
	session_close(s);
}

TEST(session_refused__token__is_a_refusal_for_all_for_five_seconds)
{
	struct kbs_session *s = open_session(true);
	uint64_t serial;

	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	session_refused(s, serial + 1);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_OK);
	session_refused(s, serial);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_KBS_TOKEN_REFUSED);
	CHECK_INT(atomic_load(&world.auths), 1);
	atomic_fetch_add(&world.clock, KBS_REFUSAL_MS);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_OK);
	CHECK_INT(atomic_load(&world.auths), 2);
	session_close(s);
}

static void *open_gate_soon(void *arg)
{
	(void)arg;
	nap(150);
	gate(false);
	return NULL;
}

TEST(session_close__with_waiters__sends_them_home_and_ends_the_handshake_early)
{
	struct kbs_session *s = open_session(false);
	static struct call c[CALLERS];
	pthread_t opener;

	gate(true);
	for (int i = 0; i < CALLERS; i++)
		begin(&c[i], s, 30 * 1000);
	until_auths(1);
	nap(50);
	CHECK_INT(pthread_create(&opener, NULL, open_gate_soon, NULL), 0);
	session_close(s);
	/* All callers are out by now: the session is erased under them. */
	for (int i = 0; i < CALLERS; i++) {
		end(&c[i]);
		CHECK_ERR(c[i].r, ERR_NETWORK, c[i].e, "stopping");
		CHECK(c[i].took_ms < SOON_MS);
	}
	(void)pthread_join(opener, NULL);
	CHECK_INT(atomic_load(&world.evidences), 0);
}

static atomic_int entered, left_it;

static void *stay_a_while(void *arg)
{
	session_enter(arg);
	atomic_store(&entered, 1);
	nap(200);
	atomic_store(&left_it, 1);
	session_leave(arg);
	return NULL;
}

TEST(session_close__with_a_caller_at_work__waits_for_it)
{
	struct kbs_session *s = open_session(false);
	pthread_t t;

	CHECK_INT(pthread_create(&t, NULL, stay_a_while, s), 0);
	while (!atomic_load(&entered))
		nap(1);
	session_close(s);
	CHECK_INT(atomic_load(&left_it), 1);
	(void)pthread_join(t, NULL);
}

TEST(session_sleep__stopped__ends_at_once)
{
	struct kbs_session *s = open_session(false);
	int64_t since;

	session_enter(s);
	session_stop(s);
	since = clock_boot_ms();
	CHECK(!session_sleep(s, 10 * 1000));
	CHECK(clock_boot_ms() - since < 8000);
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_NET_BROKEN);
	session_leave(s);
	session_close(s);
	session_close(s);
}

TEST(session_token__no_cookie__is_a_bad_reply)
{
	struct kbs_session *s = open_session(false);

	world.no_cookie = true;
	CHECK_INT(now_ask(s, SOON_MS, NULL), CODE_KBS_BAD_REPLY);
	CHECK_INT(atomic_load(&world.evidences), 0);
	session_close(s);
}

TEST(session_token__evidence_fails__its_code_or_evidence_failed)
{
	static const enum err_code rows[][2] = {
		{ CODE_TPM_NO_AK, CODE_TPM_NO_AK },
		{ CODE_GENERAL_SYSTEM, CODE_EVIDENCE_FAILED },
		/* A general network error of a device is no reason to ask Trustee again. */
		{ CODE_GENERAL_NETWORK, CODE_EVIDENCE_FAILED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kbs_session *s = open_session(true);

		world.evidence_code = rows[i][0];
		CHECK_INT(now_ask(s, SOON_MS, NULL), rows[i][1]);
		CHECK_INT(atomic_load(&world.evidences), (int)i + 1);
		CHECK_INT(atomic_load(&world.attests), 0);
		session_close(s);
	}
}

TEST(session_jitter__stays_within_a_half)
{
	int64_t least = INT64_MAX, most = 0;

	for (int i = 0; i < 2000; i++) {
		int64_t x = session_jitter(1000);

		least = x < least ? x : least;
		most = x > most ? x : most;
	}
	CHECK(least >= 501 && least < 600 && most <= 1501 && most > 1400);
	CHECK(session_jitter(0) >= 1);
}

/* --- other devices -------------------------------------------------------------------------- */

/* Both report data are those of exactly what was sent. */
static void check_report_data(const char *text)
{
	cleanup_json struct json *sent = NULL;
	cleanup_buf struct buf jwk = BUF_MAX(4096);
	struct digest d;

	CHECK_INT(json_parse(&sent, view_str(world.sent), sizeof world.sent, NULL), 0);
	CHECK_INT(json_canonical(&jwk, json_get(json_get(sent, "runtime-data"), "tee-pubkey"), NULL), 0);
	CHECK(strcmp(json_string(json_get(json_get(sent, "tee-evidence"), "additional_evidence")), text) ==
	      0);
	CHECK_INT(rcar_report_data(&d, HASH_SHA384, "n", buf_view(&jwk), text, NULL), 0);
	CHECK(memcmp(d.b, world.primary.b, 48) == 0);
	if (world.device.len == 0)
		return;
	CHECK_INT(rcar_device_report_data(&d, HASH_SHA384, "n", buf_view(&jwk), NULL), 0);
	CHECK(memcmp(d.b, world.device.b, 48) == 0);
	CHECK(memcmp(world.primary.b, world.device.b, 48) != 0);
}

TEST(additional_evidence__its_text__is_sent_and_hashed_as_it_is)
{
	/* Not canonical, with a quote and a character outside ASCII: it is not rewritten. */
	static const char text[] = "{ \"tpm\":{\"b\":1,\"a\":\"\xc3\xa9\\\"\"} ,\"sampledevice\":{}}";
	struct kbs_session *s;
	uint64_t serial;

	config.evidence.additional = additional;
	world.additional = text;
	s = open_session(false);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	check_report_data(text);
	session_close(s);
	/* A source without devices gives "". */
	world.additional = "";
	s = open_session(false);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	check_report_data("");
	session_close(s);
	config.evidence.additional = NULL;
	world.device.len = 0;
	s = open_session(false);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_OK);
	check_report_data("");
	session_close(s);
}

TEST(additional_evidence__that_fails__ends_the_handshake_before_anything_is_sent)
{
	struct kbs_session *s;
	uint64_t serial;

	config.evidence.additional = additional;
	world.additional_code = CODE_TPM_NO_AK;
	s = open_session(false);
	CHECK_INT(now_ask(s, SOON_MS, &serial), CODE_TPM_NO_AK);
	CHECK_INT(world.attests, 0);
	CHECK_INT(world.evidences, 0);
	session_close(s);
}
