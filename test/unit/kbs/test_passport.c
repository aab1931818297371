/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/passport.h"
#include "test/unit/kbs/trustee.h"

/* {"token":"h.<claims>.s","tee_keypair":"<pem, escaped>"} */
static void make(struct buf *out, const char *claims, const struct teekey *key)
{
	cleanup_secret struct secret pem = { 0 };
	struct err e;

	CHECK_INT(teekey_pem(&pem, key, &e), 0);
	buf_puts(out, "{\"token\":\"h.");
	enc_base64(out, ENC_B64U, view_str(claims));
	buf_puts(out, ".s\",\"tee_keypair\":\"");
	for (size_t i = 0; i < pem.len; i++) {
		uint8_t c = secret_bytes(&pem)[i];

		if (c == '\n')
			buf_puts(out, "\\n");
		else
			buf_putc(out, (char)c);
	}
	buf_puts(out, "\"}");
}

TEST(passport_read__what_an_agent_gives__token_key_and_how_long)
{
	static const struct {
		const char *claims;
		int64_t ms;
	} rows[] = {
		{ "{\"iat\":0,\"exp\":300}", 30000 },
		{ "{\"iat\":0,\"exp\":60}", 30000 },
		{ "{\"iat\":0,\"exp\":20}", 10000 },
		{ "{}", 30000 },
	};
	static const enum teekey_alg algs[] = { TEEKEY_P256, TEEKEY_P521, TEEKEY_RSA };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t a = 0; a < ARRAY_LEN(algs); a++) {
			cleanup_buf struct buf json = BUF_MAX(65536), want = BUF_MAX(4096),
					       got = BUF_MAX(4096);
			cleanup_teekey struct teekey *key = NULL, *read = NULL;
			cleanup_secret struct secret token = { 0 };
			int64_t life = 0;

			CHECK_INT(teekey_new(&key, algs[a], &e), 0);
			make(&json, rows[i].claims, key);
			CHECK_INT(passport_read(&token, &read, &life, buf_view(&json), &e), 0);
			CHECK_INT(life, rows[i].ms);
			CHECK_INT(secret_bytes(&token)[token.len - 1], 0);
			CHECK(strncmp((const char *)secret_bytes(&token), "h.", 2) == 0);
			CHECK_INT(strlen((const char *)secret_bytes(&token)), token.len - 1);
			CHECK_INT(teekey_jwk(&want, key, &e), 0);
			CHECK_INT(teekey_jwk(&got, read, &e), 0);
			CHECK(view_eq(buf_view(&want), buf_view(&got)));
		}
	}
}

TEST(passport_read__space_and_other_members__do_not_matter)
{
	cleanup_buf struct buf json = BUF_MAX(65536), plain = BUF_MAX(65536);
	cleanup_teekey struct teekey *key = NULL, *read = NULL;
	cleanup_secret struct secret token = { 0 };
	int64_t life;
	struct err e;

	CHECK_INT(teekey_new(&key, TEEKEY_P256, &e), 0);
	make(&plain, "{}", key);
	buf_puts(&json, " {\t\"later\" : \"\\u00e4\" ,\r\n");
	buf_put(&json, plain.p + 1, plain.len - 1);
	buf_puts(&json, "\n");
	CHECK_INT(passport_read(&token, &read, &life, buf_view(&json), &e), 0);
}

TEST(passport_read__malformed__is_refused_and_leaves_out_untouched)
{
	static const struct {
		const char *json, *words;
		enum err_code code;
	} rows[] = {
		{ "", "is no JSON object", CODE_KBS_BAD_REPLY },
		{ "null", "is no JSON object", CODE_KBS_BAD_REPLY },
		{ "\"h.e30.s\"", "is no JSON object", CODE_KBS_BAD_REPLY },
		{ "{}", "has no token", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\"}", "no tee_keypair", CODE_KBS_BAD_REPLY },
		{ "{\"tee_keypair\":\"x\"}", "has no token", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\"}", "no key", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"no PEM\"}", "no key",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":null}", "no string", CODE_KBS_BAD_REPLY },
		{ "{\"token\":[],\"tee_keypair\":\"\"}", "no string", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"token\":\"h.e30.s\",\"tee_keypair\":\"\"}", "twice",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\",\"tee_keypair\":\"\"}", "twice",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\"", "does not end",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\"}x", "does not end",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\",}", "no string",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\" \"tee_keypair\":\"\"}", "does not end",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\\", "no string", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\\u000a\"}", "escape",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30\\b.s\",\"tee_keypair\":\"\"}", "escape", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.\xc3\xa4\",\"tee_keypair\":\"\"}", "ASCII",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.s\",\"tee_keypair\":\"\x7f\"}", "ASCII", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"h.e30.\x01\",\"tee_keypair\":\"\"}", "no string",
		  CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"\",\"tee_keypair\":\"\"}", "dot", CODE_TOKEN_FORMAT },
		{ "{\"token\":\"no dots\",\"tee_keypair\":\"\"}", "dot", CODE_TOKEN_FORMAT },
		{ "{\"token\":\"h.!.s\",\"tee_keypair\":\"\"}", "token", CODE_TOKEN_FORMAT },
		/* {"iat":1,"exp":1} */
		{ "{\"token\":\"h.eyJpYXQiOjEsImV4cCI6MX0.s\",\"tee_keypair\":\"\"}", "exp - iat",
		  CODE_TOKEN_BAD_LIFE },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secret struct secret token = { 0 };
		struct teekey *key = NULL;
		int64_t life = -1;

		if (passport_read(&token, &key, &life, view_str(rows[i].json), &e) >= 0 ||
		    e.code != rows[i].code || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu gave %s: %s", i, err_name(&e),
				  e.msg);
		CHECK(!key && life == -1 && token.len == 0);
	}
}

TEST(passport_read__every_prefix_and_a_nul__is_refused)
{
	cleanup_buf struct buf json = BUF_MAX(65536);
	cleanup_teekey struct teekey *key = NULL;
	struct err e;

	CHECK_INT(teekey_new(&key, TEEKEY_P256, &e), 0);
	make(&json, "{}", key);
	for (size_t n = 0; n < json.len; n++) {
		cleanup_secret struct secret token = { 0 };
		struct teekey *read = NULL;
		uint8_t *copy = malloc(n + 1);
		int64_t life;

		/* Of its own size, so that a byte too many is seen by the sanitizer. */
		memcpy(copy, json.p, n);
		CHECK(passport_read(&token, &read, &life, (struct view){ copy, n }, &e) < 0);
		free(copy);
	}
	json.p[20] = 0;
	{
		cleanup_secret struct secret token = { 0 };
		struct teekey *read = NULL;
		int64_t life;

		CHECK(passport_read(&token, &read, &life, buf_view(&json), &e) < 0);
	}
}

TEST(passport_read__too_large__is_refused)
{
	cleanup_secret struct secret token = { 0 };
	struct teekey *key = NULL;
	uint8_t *large = calloc(1, PASSPORT_MAX + 1);
	int64_t life;
	struct err e;

	CHECK_ERR(
		passport_read(&token, &key, &life, ((struct view){ large, PASSPORT_MAX + 1 }), &e),
		ERR_LIMIT, e, "allowed 262144");
	free(large);
}

/* --- a client that has its token of another ------------------------------------------------ */

static struct {
	struct kbs *agent;
	int asked;
	enum err_code fails;
} desk;

static int from_agent(void *ctx, struct secret *json, struct deadline d, struct err *e)
{
	CHECK(ctx == &desk);
	desk.asked++;
	if (desk.fails != CODE_OK)
		return err_code(e, desk.fails, "as the test wants");
	return kbs_export_token(desk.agent, json, d, e);
}

static int no_evidence(void *ctx, struct view report_data, char **json, struct err *e)
{
	(void)ctx;
	(void)report_data;
	(void)json;
	return err_set(e, ERR_INTERNAL, "a client with a passport attests");
}

/* frozen: its clock is trustee.clock */
static struct kbs *hub(bool frozen)
{
	struct kbs_config config = {
		.url = "http://t",
		.evidence = { "tpm", no_evidence, NULL },
		.passport = from_agent,
		.passport_ctx = &desk,
		.round_trip = trustee_round_trip,
		.round_trip_ctx = &trustee,
		.now_ms = frozen ? trustee_now : NULL,
	};
	struct kbs *k = NULL;
	struct err e;

	CHECK_INT(kbs_new(&k, &config, &e), 0);
	return k;
}

TEST(kbs_get__with_a_passport__opens_with_its_key_and_never_attests)
{
	struct kbs *k;
	struct err e;

	desk.agent = trustee_client(true);
	k = hub(true);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(trustee_ask(k, "b", LONG_MS, &e), CODE_OK);
	CHECK_INT(desk.asked, 1);
	CHECK_INT(trustee.attests, 1);
	kbs_free(k);
	trustee_gone(desk.agent);
}

TEST(kbs_get__passport_shown_again__is_asked_for_in_time_and_keeps_what_is_cached)
{
	struct kbs *k;
	uint64_t generation;
	struct err e;

	desk.agent = trustee_client(true);
	k = hub(true);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	generation = kbs_generation(k);
	CHECK_INT(kbs_token_end_ms(k), trustee_now() + KBS_REFRESH_MS);
	atomic_fetch_add(&trustee.clock, KBS_REFRESH_MS / 2 + 1);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(desk.asked, 2);
	CHECK_INT(kbs_generation(k), generation);
	/* The agent's next token is another one. */
	atomic_fetch_add(&trustee.clock, 280 * 1000);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(desk.asked, 3);
	CHECK_INT(trustee.attests, 2);
	CHECK(kbs_generation(k) != generation);
	kbs_free(k);
	trustee_gone(desk.agent);
}

TEST(kbs_get__agent_with_another_key__is_followed)
{
	struct kbs *k;
	struct err e;

	desk.agent = trustee_client(true);
	k = hub(true);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	kbs_free(desk.agent);
	desk.agent = trustee_client(true);
	/* Trustee does not know the old token any more: at once, or when it is asked for again. */
	trustee.script[0] = (struct trustee_answer){ .status = 401, .kind = "TokenNotFound" };
	trustee.n_script = 1;
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	CHECK_INT(desk.asked, 2);
	CHECK_INT(trustee.attests, 2);
	kbs_free(k);
	trustee_gone(desk.agent);
}

TEST(kbs_get__agent_is_away__is_waited_for_and_then_named)
{
	struct kbs *k;
	struct err e;

	desk.agent = trustee_client(false);
	desk.fails = CODE_API_UNREACHABLE;
	k = hub(false);
	CHECK_INT(trustee_ask(k, "a", 600, &e), CODE_API_UNREACHABLE);
	CHECK(strstr(e.msg, "gave up after"));
	desk.fails = CODE_OK;
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_OK);
	kbs_free(k);
	trustee_gone(desk.agent);
}

TEST(kbs_get__agents_refusal__is_given_to_the_caller)
{
	struct kbs *k;
	struct err e;

	desk.agent = trustee_client(true);
	desk.fails = CODE_CONFIG_NO_TRUSTEE;
	k = hub(true);
	CHECK_INT(trustee_ask(k, "a", LONG_MS, &e), CODE_CONFIG_NO_TRUSTEE);
	CHECK_INT(desk.asked, 1);
	kbs_free(k);
	trustee_gone(desk.agent);
}
