/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_KBS_JWE_MAKE_H
#define TEST_UNIT_KBS_JWE_MAKE_H

#include "test/unit/crypto/vector.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

/* What Trustee does with a resource (spec/trustee.md 3.3, 3.4), for P-256 keys only. */

static inline EVP_PKEY *jwe_public_key(const struct json *jwk)
{
	uint8_t point[65] = { 4 };
	char group[] = "P-256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;
	size_t n = 32, m = 32;
	struct err e;

	CHECK_INT(
		enc_base64_decode_into(point + 1, &n, ENC_B64U, view_str(vector_str(jwk, "x")), &e),
		0);
	CHECK_INT(enc_base64_decode_into(point + 33, &m, ENC_B64U, view_str(vector_str(jwk, "y")),
					 &e),
		  0);
	CHECK(n == 32 && m == 32);
	CHECK(EVP_PKEY_fromdata_init(ctx) == 1 &&
	      EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static inline void jwe_kek(uint8_t kek[32], EVP_PKEY *own, EVP_PKEY *peer)
{
	uint8_t z[32], info[] = "\0\0\0\x0e"
				"ECDH-ES+A256KW"
				"\0\0\0\0"
				"\0\0\0\0"
				"\0\0\1\0";
	char sha256[] = "SHA256";
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SSKDF", NULL);
	EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
	size_t n = sizeof z;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, z, sizeof z),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
		OSSL_PARAM_construct_end(),
	};

	CHECK(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	      EVP_PKEY_derive(ctx, z, &n) == 1 && n == sizeof z);
	CHECK_INT(EVP_KDF_derive(k, kek, 32, params), 1);
	EVP_KDF_CTX_free(k);
	EVP_KDF_free(kdf);
	EVP_PKEY_CTX_free(ctx);
}

static inline void jwe_member(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	buf_printf(out, ",\"%s\":\"", name);
	enc_base64(out, ENC_B64U, (struct view){ p, n });
	buf_putc(out, '"');
}

static inline void jwe_header(struct buf *out, EVP_PKEY *ephemeral)
{
	cleanup_buf struct buf json = BUF_MAX(1024);
	uint8_t point[65];
	size_t n = 0;

	CHECK(EVP_PKEY_get_octet_string_param(ephemeral, OSSL_PKEY_PARAM_PUB_KEY, point,
					      sizeof point, &n) == 1 &&
	      n == sizeof point);
	buf_puts(&json,
		 "{\"alg\":\"ECDH-ES+A256KW\",\"enc\":\"A256GCM\",\"epk\":{\"crv\":\"P-256\","
		 "\"kty\":\"EC\"");
	jwe_member(&json, "x", point + 1, 32);
	jwe_member(&json, "y", point + 33, 32);
	buf_puts(&json, "}}");
	enc_base64(out, ENC_B64U, buf_view(&json));
}

/* Append the flattened JWE of at most 4096 bytes of text for the key of a JWK. */
static inline void jwe_make(struct buf *out, const struct json *jwk, const char *text)
{
	static const uint8_t cek[32] = { 1, 2, 3 }, iv[12] = { 4, 5, 6 };
	cleanup_buf struct buf header = BUF_MAX(2048);
	EVP_PKEY *peer = jwe_public_key(jwk), *ephemeral = EVP_EC_gen("P-256");
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t kek[32], wrapped[40], ciphertext[4096], tag[16];
	int n = 0, tail = 0;

	CHECK(strlen(text) <= sizeof ciphertext);
	jwe_kek(kek, ephemeral, peer);
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	CHECK(EVP_EncryptInit_ex(c, EVP_aes_256_wrap(), NULL, kek, NULL) == 1 &&
	      EVP_EncryptUpdate(c, wrapped, &n, cek, sizeof cek) == 1 && n == sizeof wrapped);
	jwe_header(&header, ephemeral);
	CHECK_INT(EVP_CIPHER_CTX_reset(c), 1);
	CHECK(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, cek, iv) == 1 &&
	      EVP_EncryptUpdate(c, NULL, &n, header.p, (int)header.len) == 1 &&
	      EVP_EncryptUpdate(c, ciphertext, &n, (const uint8_t *)text, (int)strlen(text)) == 1 &&
	      EVP_EncryptFinal_ex(c, ciphertext + n, &tail) == 1 &&
	      EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1);
	buf_printf(out, "{\"protected\":\"%s\"", buf_str(&header));
	jwe_member(out, "encrypted_key", wrapped, sizeof wrapped);
	jwe_member(out, "iv", iv, sizeof iv);
	jwe_member(out, "ciphertext", ciphertext, (size_t)(n + tail));
	jwe_member(out, "tag", tag, sizeof tag);
	buf_putc(out, '}');
	EVP_CIPHER_CTX_free(c);
	EVP_PKEY_free(ephemeral);
	EVP_PKEY_free(peer);
}

#endif
