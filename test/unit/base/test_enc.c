/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "test/test.h"

static const struct {
	const char *plain, *b64, *b64u;
} good[] = {
	/* RFC 4648 section 10, and bytes that use the two differing characters. */
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xfb\xff\xfe", "+//+", "-__-" },
};

TEST(enc_base64__rfc4648_vectors__go_both_ways)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		for (int a = ENC_B64; a <= ENC_B64U; a++) {
			cleanup_buf struct buf out = BUF_MAX(64), back = BUF_MAX(64);
			const char *text = a == ENC_B64 ? good[i].b64 : good[i].b64u;

			enc_base64(&out, (enum enc_alphabet)a, view_str(good[i].plain));
			CHECK(view_is(buf_view(&out), text));
			CHECK_INT(enc_base64_decode(&back, (enum enc_alphabet)a, view_str(text), NULL), 0);
			CHECK(view_is(buf_view(&back), good[i].plain));
		}
	}
}

TEST(enc_base64__exactly_the_room_and_less__all_or_marked)
{
	const struct view four = view_str("abcd");

	for (size_t room = 5; room <= 9; room++) {
		cleanup_buf struct buf std = BUF_MAX(room), url = BUF_MAX(room), hex = BUF_MAX(room);

		enc_base64(&std, ENC_B64, four);
		enc_base64(&url, ENC_B64U, four);
		enc_hex(&hex, four);
		CHECK_INT(buf_check(&std, "std", NULL), room < 8 ? -ERR_LIMIT : 0);
		CHECK_INT(buf_check(&url, "url", NULL), room < 6 ? -ERR_LIMIT : 0);
		CHECK_INT(buf_check(&hex, "hex", NULL), room < 8 ? -ERR_LIMIT : 0);
		CHECK(strcmp(buf_str(&std), room < 8 ? "" : "YWJjZA==") == 0);
		CHECK(strcmp(buf_str(&url), room < 6 ? "" : "YWJjZA") == 0);
		CHECK(strcmp(buf_str(&hex), room < 8 ? "" : "61626364") == 0);
	}
}

TEST(enc_base64_decode__not_strict__is_refused)
{
	static const struct {
		enum enc_alphabet a;
		const char *text, *words;
	} bad[] = {
		{ ENC_B64, "Zg", "multiple of 4" },   { ENC_B64, "Zg=", "multiple of 4" },
		{ ENC_B64, "Zh==", "bits set" },      { ENC_B64U, "Zg==", "bad character" },
		{ ENC_B64, "-__-", "bad character" }, { ENC_B64U, "+//+", "bad character" },
		{ ENC_B64, "Zm9v\n", "multiple" },    { ENC_B64U, "Zm 9v", "middle of a byte" },
		{ ENC_B64, "====", "bad character" }, { ENC_B64U, "A", "middle of a byte" },
		{ ENC_B64, "Z===", "bad character" }, { ENC_B64U, "Zm9", "bits set" },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_buf struct buf out = BUF_MAX(64);
		uint8_t small[8];
		size_t n = sizeof small;

		CHECK_ERR(enc_base64_decode(&out, bad[i].a, view_str(bad[i].text), &e), ERR_FORMAT, e,
			  bad[i].words);
		CHECK_INT(out.len, 0);
		CHECK_ERR(enc_base64_decode_into(small, &n, bad[i].a, view_str(bad[i].text), &e),
			  ERR_FORMAT, e, bad[i].words);
		CHECK_INT(n, sizeof small);
	}
}

TEST(enc_base64_decode__over_the_cap__is_a_limit)
{
	cleanup_buf struct buf out = BUF_MAX(3);
	uint8_t three[3];
	size_t n = 3;
	struct err e;

	CHECK_INT(enc_base64_decode(&out, ENC_B64, view_str("Zm9v"), NULL), 0);
	CHECK_ERR(enc_base64_decode(&out, ENC_B64, view_str("Zg=="), &e), ERR_LIMIT, e, "3 bytes");
	CHECK_ERR(enc_base64_decode_into(three, &n, ENC_B64U, view_str("Zm9vYg"), &e), ERR_LIMIT, e,
		  "allowed 3");
}

TEST(enc_hex_decode__wrong_length_or_digit__is_refused)
{
	uint8_t b[2] = { 7, 7 };
	struct err e;

	CHECK_INT(enc_hex_decode(b, 2, view_str("aB09"), NULL), 0);
	CHECK(b[0] == 0xab && b[1] == 0x09);
	CHECK_ERR(enc_hex_decode(b, 2, view_str("aB0"), &e), ERR_FORMAT, e, "want 4");
	CHECK_ERR(enc_hex_decode(b, 2, view_str("aB0g"), &e), ERR_FORMAT, e, "offset 2");
}

TEST(enc_is_utf8__table)
{
	static const struct {
		const char *s;
		bool ok;
	} rows[] = {
		{ "plain", true },         { "\xc3\xa4", true },          { "\xe2\x82\xac", true },
		{ "\xf0\x9f\x98\x80", true }, { "\xf4\x8f\xbf\xbf", true }, { "\xc3", false },
		{ "\xc0\x80", false },     { "\xe0\x80\x80", false },     { "\xed\xa0\x80", false },
		{ "\xf4\x90\x80\x80", false }, { "\xf0\x80\x80\x80", false }, { "\xff", false },
		{ "\x80", false },         { "\xe2\x82", false },         { "\xf5\x80\x80\x80", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (enc_is_utf8(view_str(rows[i].s)) != rows[i].ok)
			test_fail(__FILE__, __LINE__, "row %zu", i);
}
