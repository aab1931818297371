/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jwe.h"
#include "test/unit/kbs/trustee.h"

TEST(kbs_get__five_secrets__one_handshake_and_a_request_each)
{
	struct kbs *k = trustee_client(false);
	struct kbs_stats stats;
	struct err e;

	CHECK_INT(kbs_generation(k), 0);
	CHECK_INT(kbs_token_end_ms(k), 0);
	for (int i = 0; i < 5; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "%d", i);
		CHECK_INT(trustee_ask(k, name, LONG_MS, &e), CODE_OK);
	}
	CHECK(strcmp(trustee.last_url, "http://t/kbs/v0/resource/default/key/4") == 0);
	CHECK(strcmp(trustee.init_data, "null") == 0);
	kbs_stats(k, &stats);
	CHECK_INT(stats.requests, 7);
	CHECK_INT(trustee.auths + trustee.attests + trustee.gets, 7);
	CHECK_INT(stats.handshakes, 1);
	CHECK_INT(stats.quotes, 1);
	CHECK_INT(stats.handshakes_failed + stats.denials, 0);
	CHECK(stats.token_left_ms > 290000 && stats.token_left_ms <= 300000);
	CHECK_INT(kbs_generation(k), 1);
	CHECK(kbs_token_end_ms(k) > clock_boot_ms());
	trustee_gone(k);
}

static void *ask_one(void *k)
{
	struct err e;

	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	return NULL;
}

TEST(kbs_get__twenty_threads__one_handshake)
{
	struct kbs *k = trustee_client(false);
	pthread_t t[20];

	for (int i = 0; i < 20; i++)
		CHECK_INT(pthread_create(&t[i], NULL, ask_one, k), 0);
	for (int i = 0; i < 20; i++)
		(void)pthread_join(t[i], NULL);
	CHECK_INT(trustee.auths, 1);
	CHECK_INT(trustee.gets, 20);
	trustee_gone(k);
}

TEST(kbs_get__final_replies__their_code_at_once_and_no_second_attestation)
{
	static const struct {
		struct trustee_answer answer;
		enum err_code code;
	} rows[] = {
		{ { .status = 401, .kind = "PolicyDeny" }, CODE_KBS_POLICY_DENIED },
		{ { .status = 401, .kind = "PluginInternalError" }, CODE_KBS_NOT_FOUND },
		{ { .status = 401, .kind = "PolicyEngineError" }, CODE_KBS_POLICY_BROKEN },
		{ { .status = 401, .kind = "JweError" }, CODE_KBS_KEY_UNUSABLE },
		{ { .status = 404, .kind = "PluginNotFound" }, CODE_KBS_PLUGIN_MISSING },
		{ { .status = 404, .kind = "InvalidRequestPath" }, CODE_KBS_URI },
		{ { .status = 401, .body = "no JSON" }, CODE_KBS_BAD_REPLY },
		{ { .status = 400, .body = "" }, CODE_KBS_UNEXPECTED_STATUS },
		{ { .status = 200, .body = "" }, CODE_KBS_BAD_REPLY },
		{ { .status = 200, .body = "plain text" }, CODE_KBS_BAD_REPLY },
		{ { .code = CODE_NET_TOO_LARGE }, CODE_NET_TOO_LARGE },
		{ { .code = CODE_TLS_UNTRUSTED }, CODE_TLS_UNTRUSTED },
		{ { .code = CODE_NET_REDIRECT }, CODE_NET_REDIRECT },
		{ { .code = CODE_NET_TIMEOUT }, CODE_NET_TIMEOUT },
	};
	struct kbs *k = trustee_client(true);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };

		trustee.always = rows[i].answer;
		if (trustee_ask(k, "a", LONG_MS, &e) != rows[i].code)
			test_fail(__FILE__, __LINE__, "row %zu gave %s: %s", i, err_name(&e),
				  e.msg);
		CHECK_INT(trustee.gets, i + 1);
	}
	CHECK_INT(trustee.auths, 1);
	trustee_gone(k);
}

TEST(kbs_get__token_does_not_count__one_new_handshake_and_the_secret)
{
	static const char *const kinds[] = { "TokenNotFound", "TokenVerifierError",
					     "AttestationError" };
	struct kbs *k = trustee_client(true);
	struct err e;

	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	for (int i = 0; i < 3; i++) {
		trustee.script[0] = (struct trustee_answer){ .status = 401, .kind = kinds[i] };
		trustee.n_script = 1;
		trustee.at_script = 0;
		CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
		CHECK_INT(trustee.auths, i + 2);
	}
	/* 0, then 1 with the first token, and 2 for each that went and each that came. */
	CHECK_INT(kbs_generation(k), 7);
	trustee_gone(k);
}

TEST(kbs_get__fresh_token_does_not_count__token_refused_shared_by_who_comes_soon)
{
	struct kbs *k = trustee_client(true);
	struct err e;

	trustee.always = (struct trustee_answer){ .status = 401, .kind = "TokenVerifierError" };
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_KBS_TOKEN_REFUSED);
	CHECK_INT(trustee.auths, 2);
	CHECK_INT(trustee.gets, 2);
	for (int i = 0; i < 10; i++)
		CHECK_INT(trustee_ask(k, "b", LONG_MS, &e), CODE_KBS_TOKEN_REFUSED);
	/* The reason is everybody's: it does not name another caller's resource. */
	CHECK(strstr(e.msg, "key/b") && !strstr(e.msg, "key/a"));
	CHECK_INT(trustee.auths + trustee.gets, 4);
	trustee.always = (struct trustee_answer){ 0 };
	atomic_fetch_add(&trustee.clock, KBS_REFUSAL_MS);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(trustee.auths, 3);
	trustee_gone(k);
}

TEST(kbs_get__denied__attests_once_at_the_first_call_half_a_minute_later)
{
	struct kbs *k = trustee_client(true);
	struct kbs_stats stats;
	struct err e;

	trustee.always = (struct trustee_answer){ .status = 401, .kind = "PolicyDeny" };
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_KBS_POLICY_DENIED);
	CHECK(strstr(e.msg, "kbs:///default/key/a") && strstr(e.msg, "as the test wants"));
	/* What was cached before the denial must go. */
	CHECK_INT(kbs_generation(k), 2);
	atomic_fetch_add(&trustee.clock, KBS_STALE_MS - 1);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_KBS_POLICY_DENIED);
	CHECK_INT(trustee.auths, 1);
	atomic_fetch_add(&trustee.clock, 1);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_KBS_POLICY_DENIED);
	CHECK_INT(trustee.auths, 2);
	/* That call's denial makes the new token stale in its turn. */
	trustee.always = (struct trustee_answer){ 0 };
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(trustee.auths, 2);
	atomic_fetch_add(&trustee.clock, KBS_STALE_MS);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(trustee.auths, 3);
	kbs_stats(k, &stats);
	CHECK_INT(stats.denials, 3);
	trustee_gone(k);
}

TEST(kbs_get__server_errors_and_network__are_retried_with_growing_pauses)
{
	struct kbs *k = trustee_client(false);
	int64_t since;
	struct err e;

	CHECK_INT(kbs_attest(k, deadline_in(LONG_MS), &e), 0);
	trustee.script[0] = (struct trustee_answer){ .status = 503 };
	trustee.script[1] = (struct trustee_answer){ .code = CODE_NET_BROKEN };
	trustee.script[2] = (struct trustee_answer){ .code = CODE_NET_DNS };
	trustee.script[3] = (struct trustee_answer){ .status = 500 };
	trustee.n_script = 4;
	since = clock_boot_ms();
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	/* 250, 500, 1000 and 2000 ms, ± a half; four of 250 would be 1500 at most. */
	CHECK(clock_boot_ms() - since >= 1875);
	CHECK_INT(trustee.gets, 5);
	CHECK_INT(trustee.auths, 1);
	trustee_gone(k);
}

TEST(kbs_get__asked_to_slow_down__waits_so_long_or_gives_up_when_it_cannot)
{
	struct kbs *k = trustee_client(false);
	int64_t since = clock_boot_ms();
	struct err e;

	trustee.script[0] = (struct trustee_answer){ .status = 429, .retry_after_ms = 1000 };
	trustee.n_script = 1;
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK(clock_boot_ms() - since >= 1000);
	trustee.always = (struct trustee_answer){ .status = 429, .retry_after_ms = 20000 };
	since = clock_boot_ms();
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_KBS_BUSY);
	CHECK(strstr(e.msg, "gave up after"));
	CHECK(clock_boot_ms() - since < LONG_MS / 2);
	CHECK_INT(trustee.gets, 3);
	trustee_gone(k);
}

TEST(kbs_get__network_away_to_the_end__keeps_the_last_reason)
{
	struct kbs *k = trustee_client(false);
	int64_t since = clock_boot_ms();
	struct err e;

	trustee.always = (struct trustee_answer){ .code = CODE_NET_UNREACHABLE };
	CHECK_INT(trustee_ask(k, "a", 600, &e), CODE_NET_UNREACHABLE);
	CHECK(strstr(e.msg, "gave up after"));
	CHECK(clock_boot_ms() - since <= 4000);
	CHECK(trustee.gets >= 3 && trustee.gets <= 5);
	/* No err wanted: nothing is written through NULL. */
	{
		cleanup_secret struct secret out = { 0 };
		struct uri uri;

		CHECK_INT(uri_parse(&uri, view_str("kbs:///a/b/c"), &e), 0);
		CHECK_INT(kbs_get(k, &out, &uri, deadline_in(50), NULL), -ERR_NETWORK);
	}
	trustee_gone(k);
}

TEST(kbs_get__the_next_pause_would_end_behind_the_deadline__tries_once_more_before_it)
{
	struct kbs *k = trustee_client(false);
	int64_t since = clock_boot_ms();
	struct err e;

	/* 125 to 375 ms, then 250 to 750 ms and 500 to 1500 ms: one of them does not fit. */
	trustee.always = (struct trustee_answer){ .status = 503 };
	CHECK_INT(trustee_ask(k, "a", 1500, &e), CODE_KBS_SERVER_ERROR);
	CHECK(clock_boot_ms() - since >= 1250 && clock_boot_ms() - since <= 4500);
	trustee_gone(k);
}

TEST(kbs_get__last_try_runs_out_of_time__keeps_the_reason_of_those_before)
{
	struct kbs *k = trustee_client(false);
	struct err e;

	trustee.script[0] = (struct trustee_answer){ .status = 503 };
	trustee.script[1] = (struct trustee_answer){ .code = CODE_NET_BROKEN };
	trustee.n_script = 2;
	trustee.always = (struct trustee_answer){ .code = CODE_NET_TIMEOUT };
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_NET_BROKEN);
	CHECK(strstr(e.msg, "gave up after") && strstr(e.msg, "3 tries"));
	/* With nothing before it, it is itself the reason. */
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_NET_TIMEOUT);
	CHECK(!strstr(e.msg, "gave up"));
	trustee_gone(k);
}

TEST(kbs_get__bad_token__is_a_refusal_with_its_code)
{
	static const struct {
		const char *claims;
		enum err_code code;
	} rows[] = {
		{ "{\"iat\":300,\"exp\":300}", CODE_TOKEN_BAD_LIFE },
		{ "{\"iat\":0,\"exp\":86401}", CODE_TOKEN_BAD_LIFE },
		{ "{\"iat\":0,\"exp\":1,\"exp\":2}", CODE_TOKEN_FORMAT },
		{ "garbage", CODE_TOKEN_FORMAT },
	};
	struct kbs *k = trustee_client(true);
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		trustee.claims = rows[i].claims;
		CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), rows[i].code);
		CHECK_INT(trustee_ask(k, "b", LONG_MS, &e), rows[i].code);
		CHECK_INT(trustee.auths, i + 1);
		atomic_fetch_add(&trustee.clock, KBS_REFUSAL_MS);
	}
	CHECK_INT(trustee.gets, 0);
	/* No exp: a minute, of which the first half is used. */
	trustee.claims = "{\"iat\":0}";
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(kbs_token_end_ms(k), trustee_now() + 60000);
	trustee_gone(k);
}

/* The key pair and token of an export, checked against what Trustee saw. */
static struct teekey *exported(struct kbs *k, int *token)
{
	cleanup_secret struct secret out = { 0 };
	cleanup_json struct json *doc = NULL;
	struct teekey *key = NULL;
	struct err e;

	CHECK_INT(kbs_export_token(k, &out, deadline_in(LONG_MS), &e), 0);
	CHECK_INT(json_parse(&doc, (struct view){ secret_bytes(&out), out.len }, 8192, &e), 0);
	CHECK_INT(json_count(doc), 2);
	*token = 0;
	while (*token < trustee.attests &&
	       strcmp(trustee.token[*token], vector_str(doc, "token")) != 0)
		(*token)++;
	CHECK(*token < trustee.attests);
	CHECK_INT(teekey_from_pem(&key, view_str(vector_str(doc, "tee_keypair")), &e), 0);
	return key;
}

static void check_same_key(const struct json *attested, const struct teekey *key, bool same)
{
	cleanup_buf struct buf a = BUF_MAX(4096), b = BUF_MAX(4096);
	struct err e;

	CHECK_INT(json_canonical(&a, attested, &e), 0);
	CHECK_INT(teekey_jwk(&b, key, &e), 0);
	CHECK(view_eq(buf_view(&a), buf_view(&b)) == same);
}

static int open_with(const struct teekey *key, const struct json *encrypted_to, struct err *e)
{
	cleanup_secret struct secret out = { 0 };
	cleanup_buf struct buf jwe = BUF_MAX(8192);

	jwe_make(&jwe, encrypted_to, "traffic");
	return jwe_decrypt(&out, key, buf_view(&jwe), e);
}

TEST(kbs_export_token__exported_key__is_the_tokens_own_and_opens_nothing_of_the_daemons)
{
	struct kbs *k = trustee_client(true);
	cleanup_teekey struct teekey *key = NULL, *again = NULL;
	struct kbs_stats stats;
	int token, same;
	uint64_t generation;
	struct err e;

	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	generation = kbs_generation(k);
	key = exported(k, &token);
	CHECK_INT(trustee.auths, 2);
	CHECK_INT(token, 1);
	check_same_key(trustee.key[1], key, true);
	check_same_key(trustee.key[0], key, false);
	/* The daemon's traffic is encrypted to key 0. */
	CHECK_INT(open_with(key, trustee.key[1], &e), 0);
	CHECK_INT(open_with(key, trustee.key[0], &e), -ERR_VERIFY);
	CHECK_INT(e.code, CODE_KBS_DECRYPT);
	/* Cached with its token, and the daemon's token is not touched by it. */
	again = exported(k, &same);
	CHECK_INT(same, token);
	CHECK_INT(trustee_ask(k, "b", LONG_MS, &e), CODE_OK);
	CHECK_INT(trustee.auths, 2);
	CHECK_INT(kbs_generation(k), generation);
	/* And the daemon does not take what was encrypted to the exported key. */
	trustee.encrypt_to = 1;
	CHECK_INT(trustee_ask(k, "c", LONG_MS, &e), CODE_KBS_DECRYPT);
	kbs_stats(k, &stats);
	CHECK_INT(stats.handshakes, 2);
	CHECK_INT(stats.quotes, 2);
	trustee_gone(k);
}

TEST(kbs_export_token__token_at_its_end__is_renewed)
{
	struct kbs *k = trustee_client(true);
	cleanup_teekey struct teekey *key = NULL, *again = NULL;
	int first, second;

	key = exported(k, &first);
	atomic_fetch_add(&trustee.clock, 270001);
	again = exported(k, &second);
	CHECK(first == 0 && second == 1);
	check_same_key(trustee.key[1], again, true);
	trustee_gone(k);
}

TEST(kbs_new__initdata_and_tee__are_copied_and_sent)
{
	char tee[] = "sample", toml[] = "version = \"0.1.0\"\n";
	struct kbs_config config = {
		.url = "http://t",
		.key_alg = TEEKEY_P256,
		.initdata = view_str(toml),
		.evidence = { .tee = tee, .evidence = trustee_evidence },
		.round_trip = trustee_round_trip,
		.round_trip_ctx = &trustee,
	};
	struct kbs *k = NULL;
	struct err e;

	CHECK_INT(kbs_new(&k, &config, &e), 0);
	toml[0] = tee[0] = 'X';
	CHECK_INT(kbs_attest(k, deadline_in(LONG_MS), &e), 0);
	CHECK(strcmp(trustee.init_data, "version = \"0.1.0\"\n") == 0);
	trustee_gone(k);
}

/* One made beforehand: the daemon's own where it is of the kind wanted, never the one given away. */
TEST(kbs_new__key_made_beforehand__is_used_for_its_own_traffic_alone)
{
	static const struct {
		enum teekey_alg made;
		bool used;
	} rows[] = { { TEEKEY_P256, true }, { TEEKEY_P521, false } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_teekey struct teekey *key = NULL, *given = NULL;
		struct kbs_config config = {
			.url = "http://t",
			.key_alg = TEEKEY_P256,
			.evidence = { .tee = "sample", .evidence = trustee_evidence },
			.round_trip = trustee_round_trip,
			.round_trip_ctx = &trustee,
		};
		struct kbs *k = NULL;
		int token, own = trustee.attests;
		struct err e;

		CHECK_INT(teekey_new(&key, rows[i].made, &e), 0);
		config.key = key;
		CHECK_INT(kbs_new(&k, &config, &e), 0);
		CHECK_INT(kbs_attest(k, deadline_in(LONG_MS), &e), 0);
		check_same_key(trustee.key[own], key, rows[i].used);
		given = exported(k, &token);
		check_same_key(trustee.key[token], given, true);
		check_same_key(trustee.key[own], given, false);
		kbs_free(k);
	}
	trustee_gone(NULL);
}

TEST(kbs_new__urls__only_those_that_a_request_can_be_made_of)
{
	static const struct {
		const char *url;
		bool good;
	} rows[] = {
		{ "http://t", true },
		{ "HTTPS://kbs.example:8080/", true },
		{ "https://[2001:db8::1]:8443/base/path//", true },
		{ "https://192.0.2.7/a-b_c~d", true },
		{ "", false },
		{ "t", false },
		{ "ftp://t", false },
		{ "http:/t", false },
		{ "http://", false },
		{ "http:///path", false },
		{ "http://user:password@t", false },
		{ "http://user@t", false },
		{ "http://t?q", false },
		{ "http://t/#f", false },
		{ "http://t/a?q", false },
		{ "http://t/a#f", false },
		{ "http://t/../x", false },
		{ "http://t/a//b", false },
		{ "http://t/a b", false },
		{ "http://t:99999", false },
		{ "http://t:", false },
		{ "http://::1", false },
		{ "http://t\r\nX: y", false },
		{ "http://t\xc3\xa4", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kbs_config config = { .url = rows[i].url, .evidence = { .tee = "sample" } };
		struct kbs *k = NULL;
		struct err e = { 0 };
		int r = kbs_new(&k, &config, &e);

		if ((r == 0) != rows[i].good || (r < 0 && (e.code != CODE_CONFIG_VALUE || k)))
			test_fail(__FILE__, __LINE__, "%s gave %d %s", rows[i].url, r, e.msg);
		kbs_free(k);
	}
}

static void *ask_in_vain(void *k)
{
	struct err e;

	CHECK_INT(trustee_ask(k, "a", 30000, &e), CODE_KBS_BUSY);
	return NULL;
}

TEST(kbs_free__with_callers_between_two_tries__sends_them_home)
{
	struct kbs *k = trustee_client(false);
	int64_t since = clock_boot_ms();
	pthread_t t[8];

	trustee.always = (struct trustee_answer){ .status = 429, .retry_after_ms = 20000 };
	for (int i = 0; i < 8; i++)
		CHECK_INT(pthread_create(&t[i], NULL, ask_in_vain, k), 0);
	for (int gets = 0; gets < 8;) {
		(void)nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
		(void)pthread_mutex_lock(&trustee.lock);
		gets = trustee.gets;
		(void)pthread_mutex_unlock(&trustee.lock);
	}
	trustee_gone(k);
	CHECK(clock_boot_ms() - since < 5000);
	for (int i = 0; i < 8; i++)
		(void)pthread_join(t[i], NULL);
	kbs_free(NULL);
}
