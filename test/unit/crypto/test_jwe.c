/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jwe.h"
#include "test/unit/crypto/vector.h"

#include <pthread.h>

/* A reply in parts that a test can change one by one; members of NULL are left out. */
struct reply {
	char *header; /* JSON text */
	char *encrypted_key, *iv, *ciphertext, *tag;
	const char *extra; /* further members, with a comma in front */
};

static char *dup_member(const struct json *doc, const char *name)
{
	char *s = strdup(vector_str(doc, name));

	CHECK(s != NULL);
	return s;
}

static struct reply cut_reply(const char *body)
{
	cleanup_json struct json *doc = NULL;
	struct buf header = BUF_MAX(4096);
	struct reply r = { .extra = "" };
	struct err e;

	CHECK_INT(json_parse(&doc, view_str(body), JWE_TEXT_MAX, &e), 0);
	CHECK_INT(enc_base64_decode(&header, ENC_B64U, view_str(vector_str(doc, "protected")), &e),
		  0);
	r.header = buf_take(&header);
	r.encrypted_key = dup_member(doc, "encrypted_key");
	r.iv = dup_member(doc, "iv");
	r.ciphertext = dup_member(doc, "ciphertext");
	r.tag = dup_member(doc, "tag");
	return r;
}

static void free_reply(struct reply *r)
{
	free(r->header);
	free(r->encrypted_key);
	free(r->iv);
	free(r->ciphertext);
	free(r->tag);
}

static void join_reply(struct buf *out, const struct reply *r)
{
	const char *const names[] = { "encrypted_key", "iv", "ciphertext", "tag" };
	const char *const values[] = { r->encrypted_key, r->iv, r->ciphertext, r->tag };

	buf_puts(out, "{\"protected\":\"");
	enc_base64(out, ENC_B64U, view_str(r->header));
	buf_putc(out, '"');
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (values[i])
			buf_printf(out, ",\"%s\":\"%s\"", names[i], values[i]);
	buf_printf(out, "%s}", r->extra);
}

/* Replace one text by another in the header. */
static void edit(char **text, const char *from, const char *to)
{
	char *at = strstr(*text, from);
	struct buf b = BUF_MAX(16384);

	if (!at)
		test_fail(__FILE__, __LINE__, "\"%s\" is not in %s", from, *text);
	buf_put(&b, *text, (size_t)(at - *text));
	buf_puts(&b, to);
	buf_puts(&b, at + strlen(from));
	free(*text);
	*text = buf_take(&b);
}

static void check_plaintext(const struct json *v)
{
	cleanup_teekey struct teekey *k = vector_key(v);
	cleanup_buf struct buf want = BUF_MAX(65536);
	cleanup_secret struct secret out = { 0 };
	struct err e = { 0 };

	vector_unhex(&want, vector_str(v, "plaintext_hex"));
	if (jwe_decrypt(&out, k, view_str(vector_str(v, "response_body")), &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	CHECK(secret_eq(&out, want.p, want.len));
	CHECK((secret_bytes(&out) == NULL) == (want.len == 0));
}

TEST(jwe_decrypt__replies_of_jwcrypto__give_plaintext)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));
	int n = 0;

	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c), n++)
		check_plaintext(c);
	CHECK_INT(n, 9);
}

TEST(jwe_decrypt__trustee_vectors__give_plaintext)
{
	static const char *const files[] = {
		"jwe-p256.json",         "jwe-p256-leading-zeros.json",
		"jwe-p521.json",         "jwe-p521-leading-zeros.json",
		"jwe-rsa-oaep-256.json",
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[128];
		cleanup_json struct json *doc = NULL;

		(void)snprintf(path, sizeof path, "trustee/derived/%s", files[i]);
		doc = vector_json(test_shared(path));
		check_plaintext(doc);
	}
}

TEST(jwe_decrypt__trustee_bad_tag_and_rsa1_5__are_refused)
{
	cleanup_json struct json *good = vector_json(test_shared("trustee/derived/jwe-p256.json"));
	cleanup_json struct json *bad =
		vector_json(test_shared("trustee/derived/jwe-p256-bad-tag.json"));
	cleanup_json struct json *old = vector_json(test_shared("trustee/derived/jwe-rsa1_5.json"));
	cleanup_teekey struct teekey *k = vector_key(good);
	cleanup_teekey struct teekey *rsa = NULL;
	cleanup_secret struct secret out = { 0 };
	struct err e;

	CHECK_ERR(jwe_decrypt(&out, k, view_str(vector_str(bad, "response_body")), &e), ERR_VERIFY,
		  e, "does not authenticate");
	CHECK_INT(e.code, CODE_KBS_DECRYPT);
	CHECK_INT(teekey_new(&rsa, TEEKEY_RSA, &e), 0);
	CHECK_ERR(jwe_decrypt(&out, rsa, view_str(vector_str(old, "response_body")), &e),
		  ERR_UNSUPPORTED, e, "RSA1_5");
	CHECK_INT(e.code, CODE_KBS_JWE_ALG);
	CHECK(!secret_bytes(&out));
}

/* The first case of that name's prefix in our own vectors. */
static const struct json *own_case(const struct json *doc, const char *name)
{
	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c))
		if (strcmp(vector_str(c, "name"), name) == 0)
			return c;
	test_fail(__FILE__, __LINE__, "no case %s", name);
}

static void expect(const struct teekey *k, const struct reply *r, enum err_code code,
		   const char *words)
{
	cleanup_buf struct buf text = BUF_MAX(JWE_TEXT_MAX);
	cleanup_secret struct secret out = { 0 };
	struct err e = { 0 };

	CHECK_INT(secret_alloc(&out, 4, &e), 0);
	CHECK_INT(secret_append(&out, "keep", 4, &e), 0);
	join_reply(&text, r);
	if (code == CODE_OK) {
		CHECK_INT(jwe_decrypt(&out, k, buf_view(&text), &e), 0);
		CHECK(secret_is(&out, "vouched for"));
		return;
	}
	CHECK_ERR(jwe_decrypt(&out, k, buf_view(&text), &e), err_entry(code)->kind, e, words);
	if (e.code != code)
		test_fail(__FILE__, __LINE__, "code is %s, want %s (%s)", err_name(&e),
			  err_entry(code)->name, e.msg);
	CHECK(secret_is(&out, "keep"));
}

TEST(jwe_decrypt__one_wrong_header_member__is_refused)
{
	static const struct {
		const char *from, *to;
		enum err_code code;
		const char *words;
	} bad[] = {
		{ "\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":\"RSA1_5\"", CODE_KBS_JWE_ALG,
		  "RSA1_5, which is refused" },
		{ "\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":\"RSA-OAEP-256\"", CODE_KBS_JWE_ALG,
		  "alg \"RSA-OAEP-256\"" },
		{ "\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":\"ECDH-ES\"", CODE_KBS_JWE_ALG,
		  "want \"ECDH-ES+A256KW\"" },
		{ "\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":\"dir\"", CODE_KBS_JWE_ALG, "dir" },
		{ "\"alg\":\"ECDH-ES+A256KW\",", "", CODE_KBS_BAD_REPLY, "alg" },
		{ "\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":7", CODE_KBS_BAD_REPLY, "alg" },
		{ "A256GCM", "A128GCM", CODE_KBS_JWE_ALG, "enc \"A128GCM\"" },
		{ "A256GCM", "A256CBC-HS512", CODE_KBS_JWE_ALG, "enc" },
		{ "{\"alg\"", "{\"zip\":\"DEF\",\"alg\"", CODE_KBS_BAD_REPLY, "\"zip\"" },
		{ "{\"alg\"", "{\"crit\":[\"x\"],\"alg\"", CODE_KBS_BAD_REPLY, "\"crit\"" },
		{ "{\"alg\"", "{\"apu\":\"\",\"alg\"", CODE_KBS_BAD_REPLY, "\"apu\"" },
		{ "{\"alg\"", "{\"apv\":\"AA\",\"alg\"", CODE_KBS_BAD_REPLY, "\"apv\"" },
		{ "\"epk\"", "\"epq\"", CODE_KBS_BAD_REPLY, "no epk" },
		{ "\"crv\":\"P-256\"", "\"crv\":\"P-521\"", CODE_KBS_BAD_REPLY, "want \"P-256\"" },
		{ "\"crv\":\"P-256\"", "\"crv\":\"P-384\"", CODE_KBS_BAD_REPLY, "crv \"P-384\"" },
		{ "\"kty\":\"EC\"", "\"kty\":\"OKP\"", CODE_KBS_BAD_REPLY, "kty" },
		{ "\"x\":\"", "\"x\":\"AAAA", CODE_KBS_BAD_REPLY, "x is not of 32 bytes" },
		{ "\"y\":\"", "\"z\":\"", CODE_KBS_BAD_REPLY, "y" },
		{ "{\"alg\"", "[{\"alg\"", CODE_KBS_BAD_REPLY, "protected header" },
		{ "{\"alg\"", "{\"enc\":\"A256GCM\",\"alg\"", CODE_KBS_BAD_REPLY,
		  "protected header" },
		/* Nothing but a space, and the AAD is another. */
		{ "{\"alg\"", "{ \"alg\"", CODE_KBS_DECRYPT, "does not authenticate" },
	};
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));
	const struct json *c = own_case(doc, "p256-text");
	cleanup_teekey struct teekey *k = vector_key(c);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct reply r = cut_reply(vector_str(c, "response_body"));

		edit(&r.header, bad[i].from, bad[i].to);
		expect(k, &r, bad[i].code, bad[i].words);
		free_reply(&r);
	}
}

/* A point that is not on the curve would give away the key, bit by bit. */
TEST(jwe_decrypt__epk_off_the_curve__is_refused_before_any_agreement)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));
	const struct json *c = own_case(doc, "p256-text");
	cleanup_teekey struct teekey *k = vector_key(c);
	struct reply r = cut_reply(vector_str(c, "response_body"));
	char *x = strstr(r.header, "\"x\":\"") + 5;

	x[3] = x[3] == 'A' ? 'B' : 'A';
	expect(k, &r, CODE_KBS_BAD_REPLY, "not on curve P-256");
	free_reply(&r);
}

static char *longer(char *s)
{
	struct buf b = BUF_MAX(16384);

	buf_printf(&b, "%sAAAA", s);
	free(s);
	return buf_take(&b);
}

TEST(jwe_decrypt__one_wrong_member__is_refused)
{
	static const char *const names[] = { "encrypted_key", "iv", "ciphertext", "tag" };
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));
	static const char *const cases[] = { "p256-text", "p521-text", "rsa-text" };

	for (size_t n = 0; n < ARRAY_LEN(cases) * ARRAY_LEN(names); n++) {
		const struct json *c = own_case(doc, cases[n / ARRAY_LEN(names)]);
		cleanup_teekey struct teekey *k = vector_key(c);
		size_t m = n % ARRAY_LEN(names);
		struct reply r = cut_reply(vector_str(c, "response_body"));
		char **const members[] = { &r.encrypted_key, &r.iv, &r.ciphertext, &r.tag };
		char **p = members[m], *kept = *p;

		expect(k, &r, CODE_OK, "");
		(*p)[1] ^= (*p)[1] == 'A' ? 'A' ^ 'B' : (*p)[1] ^ 'A';
		expect(k, &r, CODE_KBS_DECRYPT, "does not authenticate");
		(*p)[1] = '+';
		expect(k, &r, CODE_KBS_BAD_REPLY, "bad character");
		*p = NULL;
		expect(k, &r, CODE_KBS_BAD_REPLY, names[m]);
		*p = strdup("");
		expect(k, &r, m == 2 ? CODE_KBS_DECRYPT : CODE_KBS_BAD_REPLY,
		       m == 2 ? "" : names[m]);
		free(*p);
		kept[1] = 'A';
		*p = longer(kept);
		expect(k, &r, m == 2 ? CODE_KBS_DECRYPT : CODE_KBS_BAD_REPLY,
		       m == 2 ? "" : "bytes");
		free_reply(&r);
	}
}

TEST(jwe_decrypt__extra_members__only_harmless_ones_pass)
{
	static const struct {
		const char *extra;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ ",\"ignored\":1", CODE_OK, "" },
		{ ",\"aad\":\"AA\"", CODE_KBS_BAD_REPLY, "\"aad\"" },
		{ ",\"aad\":null", CODE_KBS_BAD_REPLY, "\"aad\"" },
		{ ",\"header\":{\"alg\":\"dir\"}", CODE_KBS_BAD_REPLY, "\"header\"" },
		{ ",\"unprotected\":{}", CODE_KBS_BAD_REPLY, "\"unprotected\"" },
		{ ",\"recipients\":[]", CODE_KBS_BAD_REPLY, "\"recipients\"" },
		{ ",\"tag\":\"AA\"", CODE_KBS_BAD_REPLY, "encrypted reply" },
		{ "} {", CODE_KBS_BAD_REPLY, "encrypted reply" },
	};
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));
	const struct json *c = own_case(doc, "p256-text");
	cleanup_teekey struct teekey *k = vector_key(c);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reply r = cut_reply(vector_str(c, "response_body"));

		r.extra = rows[i].extra;
		expect(k, &r, rows[i].code, rows[i].words);
		free_reply(&r);
	}
}

TEST(jwe_decrypt__not_even_json__is_refused)
{
	static const char *const texts[] = {
		"",         "{", "[]", "null", "\"x\"", "{\"protected\":1}", "{\"protected\":\"\"}",
		"a.b.c.d.e"
	};
	cleanup_teekey struct teekey *k = NULL;
	cleanup_secret struct secret out = { 0 };
	struct err e;

	CHECK_INT(teekey_new(&k, TEEKEY_P256, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CHECK_ERR(jwe_decrypt(&out, k, view_str(texts[i]), &e), ERR_FORMAT, e,
			  "encrypted reply");
		CHECK_INT(e.code, CODE_KBS_BAD_REPLY);
	}
}

TEST(jwe_decrypt__too_much__is_a_limit)
{
	cleanup_teekey struct teekey *k = NULL;
	cleanup_secret struct secret out = { 0 };
	cleanup_free char *spaces = malloc(JWE_TEXT_MAX + 1);
	struct err e;

	CHECK_INT(teekey_new(&k, TEEKEY_P256, &e), 0);
	CHECK(spaces != NULL);
	for (size_t i = 0; i <= JWE_TEXT_MAX; i++)
		spaces[i] = ' ';
	CHECK_INT(jwe_decrypt(&out, k, (struct view){ (uint8_t *)spaces, JWE_TEXT_MAX + 1 }, &e),
		  -ERR_LIMIT);
}

TEST(jwe_decrypt__reply_to_another_key__does_not_authenticate)
{
	static const enum teekey_alg algs[] = { TEEKEY_P256, TEEKEY_P521, TEEKEY_RSA };
	static const char *const cases[] = { "p256-text", "p521-text", "rsa-text" };
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));

	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		cleanup_teekey struct teekey *k = NULL;
		cleanup_secret struct secret out = { 0 };
		struct err e;

		CHECK_INT(teekey_new(&k, algs[i], &e), 0);
		CHECK_ERR(
			jwe_decrypt(&out, k,
				    view_str(vector_str(own_case(doc, cases[i]), "response_body")),
				    &e),
			ERR_VERIFY, e, "does not authenticate");
		CHECK_INT(e.code, CODE_KBS_DECRYPT);
	}
}

TEST(jwe_decrypt__key_of_the_wrong_size_inside_rsa__is_refused)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));
	const struct json *v = json_get(doc, "wrong_cek");
	cleanup_teekey struct teekey *k = vector_key(v);
	cleanup_secret struct secret out = { 0 };
	struct err e;
	int n = 0;

	for (const struct json *b = json_first(json_get(v, "response_bodies")); b;
	     b = json_next(b), n++) {
		CHECK_ERR(jwe_decrypt(&out, k, view_str(json_string(b)), &e), ERR_VERIFY, e,
			  "does not authenticate");
		CHECK(!secret_bytes(&out));
	}
	CHECK_INT(n, 2);
}

struct shared {
	const struct teekey *key;
	const char *body;
};

static void *decrypt_often(void *ctx)
{
	const struct shared *s = ctx;

	for (int i = 0; i < 20; i++) {
		cleanup_secret struct secret out = { 0 };
		struct err e;

		if (jwe_decrypt(&out, s->key, view_str(s->body), &e) < 0 ||
		    !secret_is(&out, "vouched for"))
			return ctx;
	}
	return NULL;
}

TEST(jwe_decrypt__one_key_many_threads__all_get_the_plaintext)
{
	static const char *const cases[] = { "p256-text", "p521-text", "rsa-text" };
	cleanup_json struct json *doc = vector_json(test_vector("crypto/jwe.json"));

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct json *c = own_case(doc, cases[i]);
		cleanup_teekey struct teekey *k = vector_key(c);
		struct shared s = { k, vector_str(c, "response_body") };
		pthread_t t[6];
		void *bad;

		for (size_t n = 0; n < ARRAY_LEN(t); n++)
			CHECK_INT(pthread_create(&t[n], NULL, decrypt_often, &s), 0);
		for (size_t n = 0; n < ARRAY_LEN(t); n++) {
			CHECK_INT(pthread_join(t[n], &bad), 0);
			CHECK(!bad);
		}
	}
}
