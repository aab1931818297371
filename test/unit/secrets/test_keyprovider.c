/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/base/enc.h"
#include "agent/secrets/keyprovider.h"
#include "test/test.h"

#include <openssl/evp.h>
#include <stdio.h>

static struct {
	uint8_t kek[64];
	size_t len;
	char asked[4096];
} trustee = { .len = 32 };

static int resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		    struct err *e)
{
	int r = secret_alloc(out, sizeof trustee.kek, e);

	(void)ctx;
	(void)d;
	(void)snprintf(trustee.asked, sizeof trustee.asked, "%s", uri->text);
	return r < 0 ? r : secret_append(out, trustee.kek, trustee.len, e);
}

static int unwrap(struct secret *out, const char *request, struct err *e)
{
	return keyprovider_unwrap(out, view_str(request), resource, NULL, deadline_in(1000), e);
}

/* A request around a packet; the frame can be replaced to make it wrong. */
static char *request(const char *packet)
{
	static char text[16384];
	cleanup_buf struct buf b64 = BUF_MAX(8192);

	enc_base64(&b64, ENC_B64, view_str(packet));
	(void)snprintf(text, sizeof text,
		       "{\"op\":\"keyunwrap\",\"keywrapparams\":{\"ec\":null,\"optsdata\":null},"
		       "\"keyunwrapparams\":{\"dc\":null,\"annotation\":\"%s\"}}",
		       buf_str(&b64));
	return text;
}

/* The bytes of {"keyunwrapresults":{"optsdata":[…]}}. */
static size_t reply_bytes(uint8_t *out, size_t max, const struct secret *reply)
{
	cleanup_json struct json *doc = NULL;
	const struct json *list;
	size_t n = 0;

	CHECK_INT(json_parse(&doc, (struct view){ secret_bytes(reply), reply->len }, 1u << 20, NULL), 0);
	list = json_get(json_get(doc, "keyunwrapresults"), "optsdata");
	CHECK(json_is_array(list));
	for (const struct json *v = json_first(list); v; v = json_next(v)) {
		int64_t x;

		CHECK(json_integer(&x, v) && x >= 0 && x < 256 && n < max);
		out[n++] = (uint8_t)x;
	}
	return n;
}

/* "plain text" under a KEK of zeros by libcrypto, not by our own aead. */
static void encrypt(char *b64, size_t max, bool gcm, const char *plain)
{
	static const uint8_t zero[32];
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	cleanup_buf struct buf text = BUF_MAX(4096);
	uint8_t out[512];
	int n = 0, m = 0;

	CHECK(EVP_EncryptInit_ex(c, gcm ? EVP_aes_256_gcm() : EVP_aes_256_ctr(), NULL, zero, zero) == 1);
	CHECK(EVP_EncryptUpdate(c, out, &n, (const uint8_t *)plain, (int)strlen(plain)) == 1);
	CHECK(EVP_EncryptFinal_ex(c, out + n, &m) == 1);
	n += m;
	if (gcm) {
		CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, out + n) == 1);
		n += 16;
	}
	EVP_CIPHER_CTX_free(c);
	enc_base64(&text, ENC_B64, (struct view){ out, (size_t)n });
	(void)snprintf(b64, max, "%s", buf_str(&text));
}

#define IV12 "AAAAAAAAAAAAAAAA"
#define IV16 "AAAAAAAAAAAAAAAAAAAAAA=="

TEST(keyprovider_unwrap__both_ciphers_v1_and_v2__give_the_bytes)
{
	for (int i = 0; i < 4; i++) {
		bool gcm = i & 1, v2 = i & 2;
		cleanup_secret struct secret reply = { 0 };
		char wrapped[1024], packet[2048];
		uint8_t got[256];
		struct err e = { 0 };
		size_t n;

		encrypt(wrapped, sizeof wrapped, gcm, "{\"symkey\":\"x\"}");
		(void)snprintf(packet, sizeof packet,
			       "{%s\"kid\":\"kbs:///default/key/1\",\"wrapped_data\":\"%s\",\"iv\":\"%s\","
			       "\"wrap_type\":\"%s\"}",
			       v2 ? "\"version\":\"0.1.0\",\"provider\":\"kbs\",\"provider_settings\":{},"
				    "\"annotations\":{}," :
				    "",
			       wrapped, gcm ? IV12 : IV16, gcm ? "A256GCM" : "A256CTR");
		if (unwrap(&reply, request(packet), &e) < 0)
			test_fail(__FILE__, __LINE__, "%d: %s", i, e.msg);
		n = reply_bytes(got, sizeof got, &reply);
		CHECK(n == 14 && memcmp(got, "{\"symkey\":\"x\"}", 14) == 0);
		CHECK(strcmp(trustee.asked, "kbs:///default/key/1") == 0);
	}
}

TEST(keyprovider_unwrap__malformed_request__is_named)
{
	static const char *const rows[] = {
		"",
		"[]",
		"{}",
		"{\"op\":1,\"keywrapparams\":{},\"keyunwrapparams\":{\"annotation\":\"e30=\"}}",
		"{\"op\":\"x\",\"keyunwrapparams\":{\"annotation\":\"e30=\"}}",
		"{\"op\":\"x\",\"keywrapparams\":{}}",
		"{\"op\":\"x\",\"keywrapparams\":{},\"keyunwrapparams\":{}}",
		"{\"op\":\"x\",\"keywrapparams\":{},\"keyunwrapparams\":{\"annotation\":\"e30\"}}",
		"{\"op\":\"x\",\"keywrapparams\":{},\"keyunwrapparams\":{\"annotation\":\"e30=\",\"dc\":{}}}",
		"{\"op\":\"x\",\"keywrapparams\":{},\"keyunwrapparams\":{\"annotation\":\"e30=\"}} x",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secret struct secret reply = { 0 };
		struct err e = { 0 };

		CHECK(unwrap(&reply, rows[i], &e) < 0);
		if (e.code != CODE_KEYPROVIDER_REQUEST)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err_name(&e));
		CHECK(secret_bytes(&reply) == NULL);
	}
}

TEST(keyprovider_unwrap__bad_packet__has_its_code)
{
	static const struct {
		const char *packet;
		enum err_code code;
	} rows[] = {
		{ "{\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12 "\",\"wrap_type\":\"A256GCM\"}",
		  CODE_KEYPROVIDER_REQUEST },
		{ "{\"kid\":\"kbs:///a/b/c\",\"iv\":\"" IV12 "\",\"wrap_type\":\"A256GCM\"}",
		  CODE_KEYPROVIDER_REQUEST },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"wrap_type\":\"A256GCM\"}",
		  CODE_KEYPROVIDER_PACKET },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12 "\"}",
		  CODE_KEYPROVIDER_PACKET },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12
		  "\",\"wrap_type\":\"a256gcm\"}",
		  CODE_KEYPROVIDER_PACKET },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV16
		  "\",\"wrap_type\":\"A256GCM\"}",
		  CODE_KEYPROVIDER_PACKET },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12
		  "\",\"wrap_type\":\"A256CTR\"}",
		  CODE_KEYPROVIDER_PACKET },
		{ "{\"kid\":\"http://x\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12
		  "\",\"wrap_type\":\"A256GCM\"}",
		  CODE_KEYPROVIDER_PACKET },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12
		  "\",\"wrap_type\":\"A256GCM\",\"provider\":\"KBS\"}",
		  CODE_KEYPROVIDER_PROVIDER },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12
		  "\",\"wrap_type\":\"A256GCM\",\"version\":\"0.2.0\"}",
		  CODE_KEYPROVIDER_PACKET },
		/* Decrypts under no key: shorter than a tag, and one with a wrong tag. */
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV12
		  "\",\"wrap_type\":\"A256GCM\"}",
		  CODE_KEYPROVIDER_UNWRAP },
		{ "{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		  "\"iv\":\"" IV12 "\",\"wrap_type\":\"A256GCM\"}",
		  CODE_KEYPROVIDER_UNWRAP },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secret struct secret reply = { 0 };
		struct err e = { 0 };

		CHECK(unwrap(&reply, request(rows[i].packet), &e) < 0);
		if (e.code != rows[i].code)
			test_fail(__FILE__, __LINE__, "row %zu: %s: %s", i, err_name(&e), e.msg);
		CHECK(secret_bytes(&reply) == NULL);
	}
}

TEST(keyprovider_unwrap__kek_that_is_no_32_bytes__is_refused)
{
	cleanup_secret struct secret reply = { 0 };
	struct err e = { 0 };

	trustee.len = 33;
	CHECK(unwrap(&reply,
		     request("{\"kid\":\"kbs:///a/b/c\",\"wrapped_data\":\"AAAA\",\"iv\":\"" IV16
			     "\",\"wrap_type\":\"A256CTR\"}"),
		     &e) < 0);
	CHECK_INT(e.code, CODE_KEYPROVIDER_KEK);
	CHECK(strstr(e.msg, "33 bytes") != NULL);
}

static void shared_case(const char *input)
{
	cleanup_buf struct buf kek = BUF_MAX(64), in = BUF_MAX(65536), want = BUF_MAX(65536);
	cleanup_secret struct secret reply = { 0 };
	uint8_t got[4096], expected[4096];
	struct secret other = { 0 };
	struct err e = { 0 };
	size_t n;

	CHECK_INT(fs_read(&kek, test_shared("local/keyprovider/own-kek.bin"), 64, &e), 0);
	CHECK_INT(fs_read(&in, test_shared(input), 65536, &e), 0);
	CHECK_INT(fs_read(&want, test_shared("local/keyprovider/own-expected-output.json"), 65536, &e), 0);
	memcpy(trustee.kek, kek.p, kek.len);
	trustee.len = kek.len;
	if (keyprovider_unwrap(&reply, buf_view(&in), resource, NULL, deadline_in(1000), &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", input, e.msg);
	n = reply_bytes(got, sizeof got, &reply);
	CHECK_INT(secret_alloc(&other, want.len, &e), 0);
	CHECK_INT(secret_append(&other, want.p, want.len, &e), 0);
	CHECK_INT(reply_bytes(expected, sizeof expected, &other), n);
	CHECK(memcmp(got, expected, n) == 0);
	secret_done(&other);
}

TEST(keyprovider_unwrap__shared_gcm_request__gives_the_expected_output)
{
	shared_case("local/keyprovider/own-unwrap-input-gcm.json");
}

TEST(keyprovider_unwrap__shared_ctr_request__gives_the_expected_output)
{
	shared_case("local/keyprovider/own-unwrap-input-ctr.json");
}
