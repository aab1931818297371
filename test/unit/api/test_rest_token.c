/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_token.h"
#include "agent/base/mem.h"
#include "test/test.h"

static void fill(struct secret *s, const char *text)
{
	struct err e;

	CHECK_INT(secret_alloc(s, strlen(text) + 64, &e), 0);
	CHECK_INT(secret_append(s, text, strlen(text), &e), 0);
}

static void check(const char *in, const char *want)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;

	fill(&s, in);
	if (rest_token_strip(&s, &e) != 0 || !secret_eq(&s, want, strlen(want)))
		test_fail(__FILE__, __LINE__, "%s gave \"%.*s\"", in, (int)s.len,
			  (const char *)secret_bytes(&s));
	/* Nothing of the key is left behind the new end. */
	CHECK(!memmem(s.p, s.cap, "PRIVATE", 7));
	CHECK(!memmem(s.p, s.cap, "tee_keypair", 11));
}

TEST(rest_token_strip__with_a_key__leaves_the_token_only)
{
	static const char want[] = "{\"token\":\"a.b.c\"}";

	check("{\"token\":\"a.b.c\",\"tee_keypair\":\"-----BEGIN PRIV" "ATE KEY-----\\nx\\n\"}", want);
	check("{\"tee_keypair\":\"-----BEGIN PRIVATE "
	      "KEY-----\\nx\\\"token\\\"\\n\",\"token\":\"a.b.c\"}",
	      want);
	check(" {\n\t\"tee_keypair\" : \"PRIVATE\" ,\r\n \"token\" : \"a.b.c\" } \n", want);
	check("{\"token\":\"a.b.c\"}", want);
	check("{\"token\":\"\",\"tee_keypair\":\"PRIVATE\"}", "{\"token\":\"\"}");
	check("{\"token\":\"a.b.c\",\"tee_keypair\":\"PRIVATE\",\"more\":\"\\u0041\"}", want);
}

TEST(rest_token_strip__bare_token__stays)
{
	cleanup_secret struct secret none = { 0 };
	struct err e;

	check("a.b.c", "a.b.c");
	check("\"a.b.c\"", "\"a.b.c\"");
	check("  ", "  ");
	CHECK_INT(rest_token_strip(&none, &e), 0);
	CHECK_INT(none.len, 0);
}

TEST(rest_token_strip__object_that_is_unclear__is_erased)
{
	static const char *const rows[] = {
		"{",
		"{}",
		"{\"tee_keypair\":\"PRIVATE\"}",
		"{\"token\":1}",
		"{\"token\":null,\"k\":\"v\"}",
		"{\"token\":\"a\",\"k\":{\"token\":\"b\"}}",
		"{\"token\":\"a\",\"k\":[\"x\"]}",
		"{\"token\":\"a\\n\",\"k\":\"v\"}",
		"{\"token\":\"a\",\"token\":\"b\"}",
		"{\"token\":\"a\"",
		"{\"token\":\"a\"}}",
		"{\"token\":\"a\"} {\"tee_keypair\":\"PRIVATE\"}",
		"{\"token\":\"a\",}",
		"{\"token\":\"a",
		"{\"token\":\"a\\",
		"{\"token\" \"a\"}",
		"{token:\"a\"}",
		"{\"tok\\u0065n\":\"a\"}",
		"{\"token\":\"a\nb\"}",
		"{\"token\":\"a\",,\"k\":\"v\"}",
		"{\"token\":\"",
		"{\"\":\"a\"}",
		"{\"token\":'a'}",
		"{\"token\":\"a\" \"k\":\"v\"}",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct secret s = { 0 };
		struct err e;

		fill(&s, rows[i]);
		if (rest_token_strip(&s, &e) != -(int)ERR_FORMAT || s.p)
			test_fail(__FILE__, __LINE__, "%s was taken", rows[i]);
		CHECK(strstr(e.msg, "token reply") != NULL && !strstr(e.msg, "PRIVATE"));
	}
}
