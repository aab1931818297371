/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/digest.h"
#include "agent/crypto/teekey.h"
#include "test/unit/crypto/vector.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

static const enum teekey_alg all[] = { TEEKEY_P256, TEEKEY_P521, TEEKEY_RSA };

TEST(teekey_alg_by_name__the_three_and_nothing_else)
{
	enum teekey_alg a = TEEKEY_RSA;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		CHECK_INT(teekey_alg_by_name(&a, view_str(teekey_alg_name(all[i])), &e), 0);
		CHECK_INT(a, all[i]);
	}
	a = TEEKEY_P521;
	CHECK_ERR(teekey_alg_by_name(&a, view_str("ECDH-ES+A256KW"), &e), ERR_UNSUPPORTED, e,
		  "ECDH-ES+A256KW-P256, ECDH-ES+A256KW-P521 or RSA-OAEP-256");
	CHECK_ERR(teekey_alg_by_name(&a, view_str("rsa-oaep-256"), &e), ERR_UNSUPPORTED, e,
		  "rsa-oaep");
	CHECK_ERR(teekey_alg_by_name(&a, view_str(""), &e), ERR_UNSUPPORTED, e, "\"\"");
	CHECK_INT(a, TEEKEY_P521);
}

/* Exactly the members of spec 1.8 in RFC 8785 order: what is hashed must be what is sent. */
TEST(teekey_jwk__every_alg__is_canonical_and_of_full_width)
{
	static const struct {
		const char *begin;
		size_t len;
		const char *number;
		size_t chars;
	} want[] = {
		[TEEKEY_P256] = { "{\"alg\":\"ECDH-ES+A256KW\",\"crv\":\"P-256\",\"kty\":\"EC\","
				  "\"x\":\"",
				  5, "y", 43 },
		[TEEKEY_P521] = { "{\"alg\":\"ECDH-ES+A256KW\",\"crv\":\"P-521\",\"kty\":\"EC\","
				  "\"x\":\"",
				  5, "x", 88 },
		[TEEKEY_RSA] = { "{\"alg\":\"RSA-OAEP-256\",\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":"
				 "\"",
				 4, "n", 342 },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		cleanup_teekey struct teekey *k = NULL;
		cleanup_buf struct buf jwk = BUF_MAX(4096), canonical = BUF_MAX(4096);
		cleanup_json struct json *doc = NULL;
		struct err e;

		CHECK_INT(teekey_new(&k, all[i], &e), 0);
		CHECK_INT(teekey_alg(k), all[i]);
		CHECK_INT(teekey_jwk(&jwk, k, &e), 0);
		CHECK(view_starts(buf_view(&jwk), want[i].begin));
		CHECK_INT(json_parse(&doc, buf_view(&jwk), 4096, &e), 0);
		CHECK_INT(json_count(doc), want[i].len);
		CHECK_INT(strlen(vector_str(doc, want[i].number)), want[i].chars);
		CHECK_INT(json_canonical(&canonical, doc, &e), 0);
		CHECK(view_eq(buf_view(&jwk), buf_view(&canonical)));
	}
}

TEST(teekey_new__twice__makes_two_keys)
{
	cleanup_teekey struct teekey *a = NULL, *b = NULL;
	cleanup_buf struct buf ja = BUF_MAX(4096), jb = BUF_MAX(4096);
	struct err e;

	CHECK_INT(teekey_new(&a, TEEKEY_P256, &e), 0);
	CHECK_INT(teekey_new(&b, TEEKEY_P256, &e), 0);
	CHECK_INT(teekey_jwk(&ja, a, &e), 0);
	CHECK_INT(teekey_jwk(&jb, b, &e), 0);
	CHECK(!view_eq(buf_view(&ja), buf_view(&jb)));
}

TEST(teekey_jwk__buffer_too_small__is_a_limit)
{
	cleanup_teekey struct teekey *k = NULL;
	cleanup_buf struct buf jwk = BUF_MAX(40);
	struct err e;

	CHECK_INT(teekey_new(&k, TEEKEY_P256, &e), 0);
	CHECK_ERR(teekey_jwk(&jwk, k, &e), ERR_LIMIT, e, "exceeds 40 bytes");
}

TEST(teekey_pem__every_alg__reads_back_as_the_same_key)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const char *begin =
			all[i] == TEEKEY_RSA ? "-----BEGIN RSA PRIV" : "-----BEGIN PRIV";
		cleanup_teekey struct teekey *k = NULL, *again = NULL;
		cleanup_buf struct buf a = BUF_MAX(4096), b = BUF_MAX(4096);
		cleanup_secret struct secret pem = { 0 };
		struct view text;
		struct err e;

		CHECK_INT(teekey_new(&k, all[i], &e), 0);
		CHECK_INT(teekey_pem(&pem, k, &e), 0);
		text = (struct view){ secret_bytes(&pem), pem.len };
		CHECK(view_starts(text, begin));
		CHECK(text.p[text.len - 1] == '\n');
		CHECK_INT(teekey_from_pem(&again, text, &e), 0);
		CHECK_INT(teekey_alg(again), all[i]);
		CHECK_INT(teekey_jwk(&a, k, &e), 0);
		CHECK_INT(teekey_jwk(&b, again, &e), 0);
		CHECK(view_eq(buf_view(&a), buf_view(&b)));
	}
}

TEST(teekey_from_pem__malformed__fails_and_leaves_out_untouched)
{
	static const struct {
		const char *pem;
		enum err_kind kind;
		const char *words;
	} bad[] = {
		{ "", ERR_FORMAT, "0 bytes" },
		{ "hello", ERR_FORMAT, "no PEM" },
		{ "-----BEGIN EC PRIV"
		  "ATE KEY-----\nAAAA\n",
		  ERR_FORMAT, "no PEM" },
		{ "-----BEGIN PRIV"
		  "ATE KEY-----\nAAAA\n",
		  ERR_FORMAT, "does not parse" },
		{ "-----BEGIN PRIV"
		  "ATE KEY-----\nAAAA\n-----END PRIV"
		  "ATE KEY-----\n",
		  ERR_FORMAT, "does not parse" },
		/* Encrypted: must not ask anybody for a password. */
		{ "-----BEGIN RSA PRIV"
		  "ATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
		  "DEK-Info: "
		  "AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n"
		  "-----END RSA PRIV"
		  "ATE KEY-----\n",
		  ERR_FORMAT, "does not parse" },
		/* Ed25519 (RFC 8410 10.3). */
		{ "-----BEGIN PRIV"
		  "ATE KEY-----\n"
		  "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
		  "-----END PRIV"
		  "ATE KEY-----\n",
		  ERR_UNSUPPORTED, "neither P-256" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct teekey *k = NULL;
		struct err e;

		CHECK_ERR(teekey_from_pem(&k, view_str(bad[i].pem), &e), bad[i].kind, e,
			  bad[i].words);
		CHECK(!k);
	}
}

static void refuse_pem(EVP_PKEY *pkey, bool traditional)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct teekey *k = NULL;
	char *p;
	long n;
	struct err e;

	CHECK(pkey && bio);
	if (traditional)
		CHECK_INT(
			PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL),
			1);
	else
		CHECK_INT(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &p);
	CHECK_ERR(teekey_from_pem(&k, (struct view){ (uint8_t *)p, (size_t)n }, &e),
		  ERR_UNSUPPORTED, e, "neither P-256");
	CHECK(!k);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
}

TEST(teekey_from_pem__other_keys_and_forms__are_unsupported)
{
	refuse_pem(EVP_EC_gen("P-384"), false);
	refuse_pem(EVP_RSA_gen(1024), true);
	/* The right key in the form that Trustee's tools do not read. */
	refuse_pem(EVP_RSA_gen(2048), false);
}

/* Source: vectors/trustee/derived: the client's x of *-leading-zeros begins with a zero byte. */
TEST(teekey_jwk__trustee_keys__match_vectors)
{
	static const char *const files[] = {
		"jwe-p256.json",         "jwe-p256-leading-zeros.json",
		"jwe-p521.json",         "jwe-p521-leading-zeros.json",
		"jwe-rsa-oaep-256.json",
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[128];
		cleanup_json struct json *doc = NULL;
		cleanup_teekey struct teekey *k = NULL;
		cleanup_buf struct buf got = BUF_MAX(4096), want = BUF_MAX(4096);
		struct err e;

		(void)snprintf(path, sizeof path, "trustee/derived/%s", files[i]);
		doc = vector_json(test_shared(path));
		k = vector_key(doc);
		CHECK_INT(teekey_jwk(&got, k, &e), 0);
		CHECK_INT(json_canonical(&want, json_get(doc, "tee_pubkey"), &e), 0);
		CHECK(view_eq(buf_view(&got), buf_view(&want)));
	}
}
