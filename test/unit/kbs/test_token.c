/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/token.h"
#include "test/unit/crypto/vector.h"

/* "h." + base64url of the claims + ".s" */
static void make(struct buf *out, const char *claims)
{
	buf_puts(out, "h.");
	enc_base64(out, ENC_B64U, view_str(claims));
	buf_puts(out, ".s");
}

TEST(token_life_ms__exp_minus_iat__whatever_the_clock)
{
	static const struct {
		const char *claims;
		int64_t ms;
	} rows[] = {
		{ "{\"iat\":1600000000,\"exp\":1600000300}", 300000 },
		{ "{\"iat\":4102444800,\"exp\":4102444801}", 1000 },
		{ "{\"iat\":-5,\"exp\":5}", 10000 },
		{ "{\"iat\":0,\"exp\":86400}", TOKEN_LIFE_MAX_MS },
		{ "{\"iat\":1.6e9,\"exp\":1600000060.0}", 60000 },
		{ "{}", TOKEN_LIFE_NO_EXP_MS },
		{ "{\"iat\":1600000000}", TOKEN_LIFE_NO_EXP_MS },
		{ "{\"exp\":1600000000,\"Iat\":1}", TOKEN_LIFE_NO_EXP_MS },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf t = BUF_MAX(1024);
		int64_t got = -1;
		struct err e;

		make(&t, rows[i].claims);
		if (token_life_ms(&got, buf_view(&t), &e) < 0 || got != rows[i].ms)
			test_fail(__FILE__, __LINE__, "%s gave %lld", rows[i].claims,
				  (long long)got);
	}
}

TEST(token_life_ms__incredible_or_malformed__is_refused)
{
	static const struct {
		const char *claims;
		enum err_code code;
	} rows[] = {
		{ "{\"iat\":1600000000,\"exp\":1600000000}", CODE_TOKEN_BAD_LIFE },
		{ "{\"iat\":1600000001,\"exp\":1600000000}", CODE_TOKEN_BAD_LIFE },
		{ "{\"iat\":0,\"exp\":86401}", CODE_TOKEN_BAD_LIFE },
		{ "{\"iat\":-9007199254740991,\"exp\":9007199254740991}", CODE_TOKEN_BAD_LIFE },
		{ "{\"iat\":9007199254740991,\"exp\":-9007199254740991}", CODE_TOKEN_BAD_LIFE },
		{ "{\"iat\":0,\"exp\":1e300}", CODE_TOKEN_FORMAT },
		{ "{\"iat\":0,\"exp\":1.5}", CODE_TOKEN_FORMAT },
		{ "{\"iat\":0,\"exp\":\"300\"}", CODE_TOKEN_FORMAT },
		{ "{\"iat\":0,\"exp\":null}", CODE_TOKEN_FORMAT },
		{ "{\"iat\":true,\"exp\":300}", CODE_TOKEN_FORMAT },
		{ "{\"iat\":[],\"exp\":300}", CODE_TOKEN_FORMAT },
		{ "{\"iat\":0,\"exp\":60,\"exp\":3600}", CODE_TOKEN_FORMAT },
		{ "{\"iat\":0,\"exp\":60} ", CODE_OK },
		{ "{\"iat\":0,\"exp\":60}x", CODE_TOKEN_FORMAT },
		{ "{\"iat\":0,\"exp\":6", CODE_TOKEN_FORMAT },
		{ "[]", CODE_TOKEN_FORMAT },
		{ "\"exp\"", CODE_TOKEN_FORMAT },
		{ "null", CODE_TOKEN_FORMAT },
		{ "", CODE_TOKEN_FORMAT },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf t = BUF_MAX(1024);
		int64_t got = -1;
		struct err e = { 0 };
		int r;

		make(&t, rows[i].claims);
		r = token_life_ms(&got, buf_view(&t), &e);
		if (e.code != rows[i].code || r != -(int)err_entry(rows[i].code)->kind ||
		    (r < 0 && got != -1))
			test_fail(__FILE__, __LINE__, "%s gave %d %s", rows[i].claims, r,
				  err_name(&e));
	}
}

TEST(token__no_jwt__is_a_format_error_in_both_readers)
{
	static const char *const rows[] = { "",         "x",        ".",        "..",     "a.b",
					    "h.e30=.s", "h.e3 0.s", "h.e30+.s", "h.{}.s", "e30" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t life = -1;
		bool valid = true;
		struct err e = { 0 };

		CHECK_INT(token_life_ms(&life, view_str(rows[i]), &e), -ERR_FORMAT);
		CHECK_INT(e.code, CODE_TOKEN_FORMAT);
		CHECK_INT(token_valid_at(&valid, view_str(rows[i]), 0, &e), -ERR_FORMAT);
		CHECK_INT(e.code, CODE_TOKEN_FORMAT);
		CHECK(life == -1 && valid);
	}
	/* Neither a third part nor what is in the first is asked for. */
	CHECK_INT(token_life_ms(&(int64_t){ 0 }, view_str("?.e30"), &(struct err){ 0 }), 0);
}

TEST(token__over_its_cap__is_refused)
{
	cleanup_buf struct buf t = BUF_MAX(2 * TOKEN_MAX);
	int64_t life;
	struct err e;

	buf_puts(&t, "h.e30.");
	while (t.len < TOKEN_MAX)
		buf_putc(&t, 's');
	CHECK_INT(token_life_ms(&life, buf_view(&t), &e), 0);
	buf_putc(&t, 's');
	CHECK_ERR(token_life_ms(&life, buf_view(&t), &e), ERR_FORMAT, e, "allowed 131072");
}

TEST(token_valid_at__each_edge__as_upstream)
{
	static const struct {
		const char *claims;
		int64_t now;
		bool valid;
	} rows[] = {
		{ "{\"exp\":100}", 100, true },
		{ "{\"exp\":100}", 101, false },
		{ "{\"nbf\":100}", 100, true },
		{ "{\"nbf\":100}", 99, false },
		{ "{}", 0, true },
		{ "{\"nbf\":5,\"exp\":9}", 7, true },
		{ "{\"nbf\":9,\"exp\":5}", 7, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf t = BUF_MAX(1024);
		bool valid = !rows[i].valid;
		struct err e;

		make(&t, rows[i].claims);
		CHECK_INT(token_valid_at(&valid, buf_view(&t), rows[i].now, &e), 0);
		if (valid != rows[i].valid)
			test_fail(__FILE__, __LINE__, "%s at %lld", rows[i].claims,
				  (long long)rows[i].now);
	}
}

TEST(token_valid_at__shared_vectors__hold)
{
	cleanup_json struct json *doc = vector_json(test_shared("trustee/derived/tokens.json"));
	int n = 0;

	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c), n++) {
		bool valid = false, want = json_is_true(json_get(c, "valid"));
		struct err e = { 0 };
		/* The day that the vectors were made for. */
		int r = token_valid_at(&valid, view_str(vector_str(c, "token")), 1787234591, &e);

		if ((r == 0 && valid) != want)
			test_fail(__FILE__, __LINE__, "%s", vector_str(c, "why"));
	}
	CHECK_INT(n, 5);
}
