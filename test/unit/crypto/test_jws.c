/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jwk.h"
#include "agent/crypto/jws.h"
#include "test/unit/crypto/vector.h"

static void put_jwk(struct buf *out, const struct json *jwk)
{
	struct err e;

	CHECK_INT(json_canonical(out, jwk, &e), 0);
}

/* Append header.payload.signature with a header and payload of this text. */
static void put_jws(struct buf *out, const char *header, const char *payload, const char *signature)
{
	enc_base64(out, ENC_B64U, view_str(header));
	buf_putc(out, '.');
	enc_base64(out, ENC_B64U, view_str(payload));
	buf_printf(out, ".%s", signature);
}

TEST(jws_parse__token_of_jwcrypto__gives_its_parts)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jws.json"));
	const char *text = vector_str(doc, "compact");
	cleanup_jws struct jws j = { 0 };
	struct err e;

	CHECK_INT(jws_parse(&j, view_str(text), &e), 0);
	CHECK(strcmp(j.alg, "ES256") == 0);
	CHECK(strcmp(j.kid, "kbs:///test/key/1") == 0);
	CHECK(view_is(buf_view(&j.payload), "{\"a\":1}"));
	CHECK(j.has_signature);
	CHECK(j.signing_input.p == (const uint8_t *)text);
	CHECK_INT(j.signing_input.len, strrchr(text, '.') - text);
}

TEST(jws_parse__one_thing_wrong__fails_and_leaves_out_untouched)
{
	static const struct {
		const char *header;
		enum err_kind kind;
		const char *words;
	} bad[] = {
		{ "", ERR_FORMAT, "JWS header" },
		{ "[]", ERR_FORMAT, "no JSON object" },
		{ "\"ES256\"", ERR_FORMAT, "no JSON object" },
		{ "{\"alg\":\"ES256\"}", ERR_FORMAT, "kid" },
		{ "{\"kid\":\"k\"}", ERR_FORMAT, "alg" },
		{ "{\"alg\":\"ES256\",\"kid\":1}", ERR_FORMAT, "kid" },
		{ "{\"alg\":null,\"kid\":\"k\"}", ERR_FORMAT, "alg" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"b64\":false}", ERR_FORMAT, "b64" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"b64\":1}", ERR_FORMAT, "b64" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"b64\":null}", ERR_FORMAT, "b64" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"crit\":[]}", ERR_FORMAT, "crit" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"b64\":true,\"crit\":[\"b64\"]}", ERR_FORMAT,
		  "crit" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"kid\":\"l\"}", ERR_FORMAT, "JWS header" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\"}x", ERR_FORMAT, "JWS header" },
		{ "{\"alg\":\"ES256ES256ES256ES256ES256ES256ES\",\"kid\":\"k\"}", ERR_LIMIT,
		  "allowed 31" },
	};
	struct jws j = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_buf struct buf text = BUF_MAX(4096);

		put_jws(&text, bad[i].header, "{}", "AA");
		CHECK_ERR(jws_parse(&j, buf_view(&text), &e), bad[i].kind, e, bad[i].words);
		CHECK(!j.payload.p && j.alg[0] == '\0');
	}
}

TEST(jws_parse__kid_at_and_over_its_limit)
{
	char kid[JWS_KID_MAX + 2] = "";

	for (int over = 0; over <= 1; over++) {
		cleanup_buf struct buf text = BUF_MAX(4096), header = BUF_MAX(2048);
		cleanup_jws struct jws j = { 0 };
		struct err e;

		for (int i = 0; i < JWS_KID_MAX + over; i++)
			kid[i] = 'k';
		buf_printf(&header, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
		put_jws(&text, buf_str(&header), "{}", "AA");
		if (over)
			CHECK_ERR(jws_parse(&j, buf_view(&text), &e), ERR_LIMIT, e, "allowed 512");
		else
			CHECK_INT(jws_parse(&j, buf_view(&text), &e), 0);
	}
}

TEST(jws_parse__cut_wrongly__fails)
{
	static const char *const texts[] = {
		"",
		".",
		"..",
		"...",
		"a",
		"a.b",
		"eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30",
		"eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.AA.AA",
		"eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e3.AA",
		"eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ==.e30.AA",
		"eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30=.AA",
		" eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.AA",
	};
	struct jws j = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		CHECK_ERR(jws_parse(&j, view_str(texts[i]), &e), ERR_FORMAT, e, "");
}

TEST(jws_parse__over_the_limit__fails)
{
	cleanup_free char *text = malloc(JWS_TEXT_MAX + 1);
	struct jws j = { 0 };
	struct err e;

	CHECK(text != NULL);
	for (size_t i = 0; i <= JWS_TEXT_MAX; i++)
		text[i] = 'A';
	CHECK_ERR(jws_parse(&j, (struct view){ (uint8_t *)text, JWS_TEXT_MAX + 1 }, &e), ERR_LIMIT,
		  e, "allowed 65536");
}

TEST(jws_verify_es256__token_of_jwcrypto__holds_and_no_part_may_change)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jws.json"));
	cleanup_free char *text = strdup(vector_str(doc, "compact"));
	cleanup_buf struct buf key = BUF_MAX(4096);
	struct err e;

	put_jwk(&key, json_get(doc, "public_jwk"));
	for (size_t at = 0; at <= strlen(text); at++) {
		cleanup_jws struct jws j = { 0 };
		char kept = text[at];

		/* The last round changes nothing; the last character of a part has unused bits. */
		if (kept != '\0' && (kept == '.' || text[at + 1] == '.' || text[at + 1] == '\0'))
			continue;
		if (kept != '\0')
			text[at] = kept == 'A' ? 'B' : 'A';
		if (jws_parse(&j, view_str(text), &e) < 0) {
			CHECK(at < 60);
		} else if (kept == '\0') {
			CHECK_INT(jws_verify_es256(&j, buf_view(&key), &e), 0);
		} else {
			int r = jws_verify_es256(&j, buf_view(&key), &e);

			CHECK(r == -ERR_VERIFY || r == -ERR_UNSUPPORTED);
			CHECK(r != -ERR_VERIFY || e.code == CODE_SEALED_SIGNATURE);
		}
		text[at] = kept;
	}
}

TEST(jws_verify_es256__wrong_keys__are_told_apart)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jws.json"));
	cleanup_jws struct jws j = { 0 };
	static const struct {
		const char *member; /* of the vector, or NULL */
		const char *jwk;
		enum err_code code;
		const char *words;
	} bad[] = {
		{ "other_jwk", NULL, CODE_SEALED_SIGNATURE, "kbs:///test/key/1" },
		{ "off_curve_jwk", NULL, CODE_SEALED_KEY, "not on curve" },
		{ NULL, "", CODE_SEALED_KEY, "signing key" },
		{ NULL, "{}", CODE_SEALED_KEY, "kty" },
		{ NULL, "[]", CODE_SEALED_KEY, "kty" },
		{ NULL, "{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}", CODE_SEALED_KEY,
		  "kty \"RSA\"" },
		{ NULL, "{\"kty\":\"oct\",\"k\":\"AAAA\"}", CODE_SEALED_KEY, "kty \"oct\"" },
		{ NULL, "{\"kty\":\"EC\",\"crv\":\"P-384\"}", CODE_SEALED_KEY, "crv \"P-384\"" },
		{ NULL, "{\"kty\":\"EC\",\"crv\":\"secp256k1\"}", CODE_SEALED_KEY, "secp256k1" },
		{ NULL, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}",
		  CODE_SEALED_KEY, "x is not of 32 bytes" },
		{ NULL, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":1}", CODE_SEALED_KEY, "x" },
		/* The point at infinity has no place here. */
		{ NULL,
		  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		  "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		  "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		  CODE_SEALED_KEY, "not on curve" },
	};
	struct err e;

	CHECK_INT(jws_parse(&j, view_str(vector_str(doc, "compact")), &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_buf struct buf key = BUF_MAX(4096);

		if (bad[i].member)
			put_jwk(&key, json_get(doc, bad[i].member));
		else
			buf_puts(&key, bad[i].jwk);
		CHECK_ERR(jws_verify_es256(&j, buf_view(&key), &e), err_entry(bad[i].code)->kind, e,
			  bad[i].words);
		CHECK_INT(e.code, bad[i].code);
	}
}

TEST(jws_verify_es256__other_algorithms_and_odd_signatures__are_refused)
{
	static const struct {
		const char *alg, *signature;
		enum err_code code;
		const char *words;
	} bad[] = {
		{ "none", "", CODE_SEALED_ALGORITHM, "none" },
		{ "HS256", "AA", CODE_SEALED_ALGORITHM, "HS256" },
		{ "es256", "AA", CODE_SEALED_ALGORITHM, "es256" },
		{ "ES256", "", CODE_SEALED_SIGNATURE, "64 bytes" },
		{ "ES256", "AA", CODE_SEALED_SIGNATURE, "64 bytes" },
		{ "ES256", "!", CODE_SEALED_SIGNATURE, "64 bytes" },
		/* r = s = 0 */
		{ "ES256",
		  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		  "AA"
		  "AAAA",
		  CODE_SEALED_SIGNATURE, "does not match" },
		/* all ones: over the order */
		{ "ES256",
		  "________________________________________________________________________________"
		  "_____"
		  "w",
		  CODE_SEALED_SIGNATURE, "does not match" },
	};
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jws.json"));
	cleanup_buf struct buf key = BUF_MAX(4096);
	struct err e;

	put_jwk(&key, json_get(doc, "public_jwk"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_buf struct buf text = BUF_MAX(4096), header = BUF_MAX(256);
		cleanup_jws struct jws j = { 0 };

		buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"k\"}", bad[i].alg);
		put_jws(&text, buf_str(&header), "{}", bad[i].signature);
		CHECK_INT(jws_parse(&j, buf_view(&text), &e), 0);
		CHECK_ERR(jws_verify_es256(&j, buf_view(&key), &e), err_entry(bad[i].code)->kind, e,
			  bad[i].words);
		CHECK_INT(e.code, bad[i].code);
	}
}

/* RFC 7515 A.3: key, and the signing input of its example; the header has no kid, so it is made by
 * hand. */
TEST(jws_verify_es256__rfc7515_a3__holds)
{
	static const char key[] = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
				  "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
	static const char text[] =
		"eyJhbGciOiJFUzI1NiJ9."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9"
		"pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-"
		"F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJq"
		"PP3-Kg6NU1Q";
	struct jws j = { .alg = "ES256", .kid = "rfc" };
	size_t n = sizeof j.signature;
	const char *dot = strrchr(text, '.');
	struct err e;

	j.signing_input = (struct view){ (const uint8_t *)text, (size_t)(dot - text) };
	CHECK_INT(enc_base64_decode_into(j.signature, &n, ENC_B64U, view_str(dot + 1), &e), 0);
	j.has_signature = true;
	CHECK_INT(jws_verify_es256(&j, view_str(key), &e), 0);
	j.has_signature = false;
	CHECK_ERR(jws_verify_es256(&j, view_str(key), &e), ERR_VERIFY, e, "not of 64 bytes");
	j.has_signature = true;
	j.signature[63] ^= 1;
	CHECK_ERR(jws_verify_es256(&j, view_str(key), &e), ERR_VERIFY, e, "does not match");
}

static void load_secret(struct secret *s, struct view v)
{
	struct err e;

	CHECK_INT(secret_alloc(s, v.len, &e), 0);
	CHECK_INT(secret_append(s, v.p, v.len, &e), 0);
}

TEST(jws_sign_es256__own_key__verifies_and_other_keys_fail)
{
	static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jws.json"));
	cleanup_buf struct buf jwk = BUF_MAX(4096), text = BUF_MAX(4096), small = BUF_MAX(20);
	cleanup_secret struct secret key = { 0 }, no_d = { 0 };
	cleanup_jws struct jws j = { 0 };
	struct err e;

	put_jwk(&jwk, json_get(doc, "jwk"));
	load_secret(&key, buf_view(&jwk));
	buf_puts(&text, "sealed.");
	CHECK_INT(jws_sign_es256(&text, view_str(header), view_str("{}"), &key, &e), 0);
	CHECK(view_starts(buf_view(&text), "sealed."));
	CHECK_INT(jws_parse(&j, (struct view){ text.p + 7, text.len - 7 }, &e), 0);
	CHECK_INT(jws_verify_es256(&j, buf_view(&jwk), &e), 0);
	CHECK_ERR(jws_sign_es256(&small, view_str(header), view_str("{}"), &key, &e), ERR_LIMIT, e,
		  "20");

	buf_reset(&jwk);
	put_jwk(&jwk, json_get(doc, "public_jwk"));
	load_secret(&no_d, buf_view(&jwk));
	CHECK_ERR(jws_sign_es256(&text, view_str(header), view_str("{}"), &no_d, &e), ERR_FORMAT, e,
		  "d");
	CHECK_INT(e.code, CODE_SEALED_KEY);
}

TEST(jws_sign_es256__d_of_another_key__is_refused)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jws.json"));
	const struct json *other = json_get(doc, "other_jwk");
	cleanup_buf struct buf jwk = BUF_MAX(4096), text = BUF_MAX(4096);
	cleanup_secret struct secret key = { 0 };
	struct err e;

	buf_printf(&jwk,
		   "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"d\":\"%s\"}",
		   vector_str(other, "x"), vector_str(other, "y"),
		   vector_str(json_get(doc, "jwk"), "d"));
	load_secret(&key, buf_view(&jwk));
	CHECK_ERR(jws_sign_es256(&text, view_str("{}"), view_str("{}"), &key, &e), ERR_FORMAT, e,
		  "does not belong");
}

TEST(jwk_generate_es256__new_key__signs_and_its_public_half_verifies)
{
	cleanup_secret struct secret key = { 0 };
	cleanup_buf struct buf public = BUF_MAX(JWK_TEXT_MAX), text = BUF_MAX(4096);
	cleanup_json struct json *p = NULL, *s = NULL;
	cleanup_jws struct jws j = { 0 };
	struct err e;

	CHECK_INT(jwk_generate_es256(&key, &public, "a \"kid\"", &e), 0);
	CHECK_INT(jws_sign_es256(&text, view_str("{\"alg\":\"ES256\",\"kid\":\"k\"}"),
				 view_str("{}"), &key, &e),
		  0);
	CHECK_INT(jws_parse(&j, buf_view(&text), &e), 0);
	CHECK_INT(jws_verify_es256(&j, buf_view(&public), &e), 0);
	CHECK_INT(json_parse(&p, buf_view(&public), JWK_TEXT_MAX, &e), 0);
	CHECK_INT(json_parse(&s, (struct view){ secret_bytes(&key), key.len }, JWK_TEXT_MAX, &e),
		  0);
	CHECK_INT(json_count(p), 7);
	CHECK_INT(json_count(s), 8);
	CHECK(strcmp(vector_str(p, "kid"), "a \"kid\"") == 0);
	CHECK(!json_get(p, "d"));
	CHECK_INT(strlen(vector_str(s, "d")), 43);
	CHECK(strcmp(vector_str(p, "x"), vector_str(s, "x")) == 0);
}

TEST(jws_claims__token__gives_the_second_part_or_says_why_not)
{
	static const char *const bad[] = { "only-one-part", "a.b", "a.!.c",
					   "a.e30=.c",      "",    "a.e30.c.d" };
	cleanup_buf struct buf claims = BUF_MAX(4096);
	struct err e;

	CHECK_INT(jws_claims(&claims, view_str("x.e30.y"), &e), 0);
	CHECK(view_is(buf_view(&claims), "{}"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_ERR(jws_claims(&claims, view_str(bad[i]), &e), ERR_FORMAT, e, "token");
		CHECK_INT(e.code, CODE_TOKEN_FORMAT);
	}
	CHECK(view_is(buf_view(&claims), "{}"));
}

TEST(jws_claims__trustee_tokens__are_read)
{
	cleanup_json struct json *doc = vector_json(test_shared("trustee/derived/tokens.json"));
	cleanup_buf struct buf real = BUF_MAX(65536);
	struct err e;
	int good = 0;

	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c)) {
		cleanup_buf struct buf claims = BUF_MAX(65536);

		if (jws_claims(&claims, view_str(vector_str(c, "token")), &e) == 0)
			good++;
		else
			CHECK(strcmp(vector_str(c, "token"), "only-one-part") == 0);
	}
	CHECK_INT(good, 4);
	CHECK_INT(fs_read(&real, test_shared("trustee/extracted/attestation-token-long-lived.jwt"),
			  65536, &e),
		  0);
	while (real.len > 0 && real.p[real.len - 1] == '\n')
		real.len--;
	{
		cleanup_buf struct buf claims = BUF_MAX(65536);

		CHECK_INT(jws_claims(&claims, buf_view(&real), &e), 0);
		CHECK(strstr(buf_str(&claims), "2006149618") != NULL);
	}
}
