/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "test/test.h"

#include <stdio.h>

enum { CAP = 65536 };

TEST(json_parse__outside_the_grammar__is_refused_with_the_place)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "", "offset 0" },
		{ "{\"a\":1,}", "comma before" },
		{ "[1,]", "comma before" },
		{ "{\"a\" 1}", "want ':'" },
		{ "[1 2]", "want ','" },
		{ "{} x", "behind the value" },
		{ "01", "leading zero" },
		{ "-", "want a value" },
		{ "1.", "fraction" },
		{ "1e", "exponent" },
		{ "+1", "want a value" },
		{ "NaN", "want a value" },
		{ "\"\\u0000\"", "\\u0000" },
		{ "\"\\ud800\"", "lone surrogate" },
		{ "\"\\udc00\"", "lone surrogate" },
		{ "\"\\ud800\\u0041\"", "lone surrogate" },
		{ "\"\\u12g4\"", "four hex" },
		{ "\"\\x\"", "bad escape" },
		{ "\"a\nb\"", "control character" },
		{ "\"\xff\"", "UTF-8" },
		{ "\"abc", "without end" },
		{ "{\"a\":1,\"a\":2}", "twice" },
		{ "[{\"b\":{\"k\":1,\"x\":2,\"k\":3}}]", "twice" },
		{ "{\"a\":1,\"\\u0061\":2}", "twice" },
		{ "nul", "want a value" },
		{ "{1:2}", "want a string" },
		{ "[", "want a value" },
		{ "\xef\xbb\xbf{}", "want a value" },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json *out = NULL;

		CHECK_ERR(json_parse(&out, view_str(rows[i].text), CAP, &e), ERR_FORMAT, e,
			  rows[i].words);
		CHECK(out == NULL);
	}
}

TEST(json_parse__over_depth_or_size__is_a_limit)
{
	char deep[2 * (JSON_DEPTH_MAX + 1) + 1];
	struct json *out = NULL;
	struct err e;

	for (int i = 0; i <= JSON_DEPTH_MAX; i++) {
		deep[i] = '[';
		deep[2 * JSON_DEPTH_MAX + 1 - i] = ']';
	}
	CHECK_ERR(json_parse(&out, (struct view){ (uint8_t *)deep, sizeof deep - 1 }, CAP, &e),
		  ERR_LIMIT, e, "deep");
	CHECK_INT(json_parse(&out, (struct view){ (uint8_t *)deep + 1, sizeof deep - 3 }, CAP, &e), 0);
	json_free(out);
	CHECK_ERR(json_parse(&out, view_str("[1]"), 2, &e), ERR_LIMIT, e, "allowed 2");
}

TEST(json_get__case_and_type__are_exact)
{
	cleanup_json struct json *d = NULL;
	const char *s = NULL;
	int64_t n = 0;
	struct err e;

	CHECK_INT(json_parse(&d, view_str(" {\"Kid\":\"x\",\"n\":12,\"f\":1.5,\"big\":9007199254740993,"
					  "\"t\":true,\"z\":null,\"a\":[1,2,3]} "), CAP, &e), 0);
	CHECK(json_get(d, "kid") == NULL);
	CHECK(strcmp(json_string(json_get(d, "Kid")), "x") == 0);
	CHECK(json_string(json_get(d, "n")) == NULL);
	CHECK(json_integer(&n, json_get(d, "n")) && n == 12);
	CHECK(!json_integer(&n, json_get(d, "f")));
	CHECK(json_is_true(json_get(d, "t")) && json_is_null(json_get(d, "z")));
	CHECK_INT(json_count(json_get(d, "a")), 3);
	CHECK(json_get(json_get(d, "a"), "x") == NULL);
	CHECK_ERR(json_need_string(&s, d, "n", "thing", &e), ERR_FORMAT, e, "thing has no string \"n\"");
	CHECK(s == NULL);
}

TEST(json_canonical__rfc8785_order_and_escapes)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "{\"b\":1,\"a\":\"test\",\"c\":{\"d\":\"e\"}}",
		  "{\"a\":\"test\",\"b\":1,\"c\":{\"d\":\"e\"}}" },
		/* RFC 8785 3.2.3: order of UTF-16 code units, not of code points. */
		{ "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,"
		  "\"\\u00f6\":7}",
		  "{\"\\r\":2,\"1\":4,\"\xc2\x80\":6,\"\xc3\xb6\":7,\"\xe2\x82\xac\":1,"
		  "\"\xf0\x9f\x98\x80\":5,\"\xef\xac\xb3\":3}" },
		{ "[ \"\\u001f\\\"\\\\\\/\\b\\f\\n\\r\\t\" , -0, true, false, null, {} , [] ]",
		  "[\"\\u001f\\\"\\\\/\\b\\f\\n\\r\\t\",0,true,false,null,{},[]]" },
		{ "{\"aa\":1,\"a\":2}", "{\"a\":2,\"aa\":1}" },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_json struct json *d = NULL;
		cleanup_buf struct buf out = BUF_MAX(CAP);

		CHECK_INT(json_parse(&d, view_str(rows[i].in), CAP, &e), 0);
		CHECK_INT(json_canonical(&out, d, &e), 0);
		if (!view_is(buf_view(&out), rows[i].want))
			test_fail(__FILE__, __LINE__, "row %zu gives %s", i, buf_str(&out));
	}
}

TEST(json_canonical__fraction__is_unsupported)
{
	cleanup_json struct json *d = NULL;
	cleanup_buf struct buf out = BUF_MAX(CAP);
	struct err e;

	CHECK_INT(json_parse(&d, view_str("[1.5]"), CAP, &e), 0);
	CHECK_ERR(json_canonical(&out, d, &e), ERR_UNSUPPORTED, e, "exact integer");
}

TEST(json_u64__digits_only__is_exact_to_the_last)
{
	static const struct {
		const char *text;
		bool is;
		uint64_t n;
	} rows[] = {
		{ "0", true, 0 },
		{ "999999999999999", true, 999999999999999 },
		{ "9007199254740993", true, 9007199254740993 }, /* 2^53 + 1: no double */
		{ "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 },
		{ "99999999999999999999999", false, 0 },
		{ "-1", false, 0 },
		{ "-0", false, 0 },
		{ "1.0", false, 0 },
		{ "1e3", false, 0 },
		{ "1.5", false, 0 },
		{ "\"5\"", false, 0 },
		{ "null", false, 0 },
		{ "true", false, 0 },
		{ "[1]", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_json struct json *d = NULL;
		uint64_t n = 7;

		CHECK_INT(json_parse(&d, view_str(rows[i].text), CAP, NULL), 0);
		CHECK_INT(json_u64(&n, d), rows[i].is);
		CHECK(n == (rows[i].is ? rows[i].n : 7));
	}
	CHECK(!json_u64(&(uint64_t){ 0 }, NULL));
}

TEST(json_u64__among_strings_and_words__each_number_has_its_own_text)
{
	cleanup_json struct json *d = NULL;
	const struct json *v;
	const char *text = "{\"a-1\":\"2,\\\"3\",\"b\":[1,{\"4\":18446744073709551615},-5,null],"
			   "\"c\":true,\"d\":9007199254740995}";
	uint64_t n = 0;
	int64_t i = 0;

	CHECK_INT(json_parse(&d, view_str(text), CAP, NULL), 0);
	v = json_first(json_get(d, "b"));
	CHECK(json_u64(&n, v) && n == 1);
	v = json_next(v);
	CHECK(json_u64(&n, json_get(v, "4")) && n == UINT64_MAX);
	v = json_next(v);
	CHECK(!json_u64(&n, v) && json_integer(&i, v) && i == -5);
	CHECK(json_string(v) == NULL);
	CHECK(json_u64(&n, json_get(d, "d")) && n == 9007199254740995);
}

TEST(json_integer__at_the_edge_of_doubles__is_exact_or_refused)
{
	static const struct {
		const char *text;
		bool good;
		int64_t want;
	} rows[] = {
		{ "9007199254740991", true, 9007199254740991 },
		{ "-9007199254740991", true, -9007199254740991 },
		/* A double cannot tell 2^53 from 2^53 + 1. */
		{ "9007199254740992", false, 0 },
		{ "9007199254740993", false, 0 },
		{ "-9007199254740993", false, 0 },
		{ "1e400", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_json struct json *d = NULL;
		int64_t n = 7;
		struct err e;

		CHECK_INT(json_parse(&d, view_str(rows[i].text), CAP, &e), 0);
		if (json_integer(&n, d) != rows[i].good || n != (rows[i].good ? rows[i].want : 7))
			test_fail(__FILE__, __LINE__, "%s gives %lld", rows[i].text, (long long)n);
	}
}

TEST(json_put_string__what_is_no_utf8__is_json_all_the_same)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "plain \xc3\xb6 \xf0\x9f\x98\x80", "\"plain \xc3\xb6 \xf0\x9f\x98\x80\"" },
		{ "cut \xc3", "\"cut \\ufffd\"" },
		{ "cut \xf0\x9f\x98", "\"cut \\ufffd\\ufffd\\ufffd\"" },
		{ "\xff\xc3\xb6", "\"\\ufffd\xc3\xb6\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" }, /* a surrogate */
		{ "\x1b[31m\n", "\"\\u001b[31m\\n\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf out = BUF_MAX(CAP);
		cleanup_json struct json *d = NULL;
		struct err e;

		json_put_string(&out, view_str(rows[i].in));
		if (!view_is(buf_view(&out), rows[i].want))
			test_fail(__FILE__, __LINE__, "row %zu gives %s", i, buf_str(&out));
		CHECK_INT(json_parse(&d, buf_view(&out), CAP, &e), 0);
	}
}
