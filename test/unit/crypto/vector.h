/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_CRYPTO_VECTOR_H
#define TEST_UNIT_CRYPTO_VECTOR_H

#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/crypto/teekey.h"
#include "test/test.h"

/* Read a JSON vector; the path is what test_vector() or test_shared() gave. */
static inline struct json *vector_json(const char *path)
{
	cleanup_buf struct buf b = BUF_MAX(16u << 20);
	struct json *doc = NULL;
	struct err e = { 0 };

	if (fs_read(&b, path, 16u << 20, &e) < 0 || json_parse(&doc, buf_view(&b), b.len, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, e.msg);
	return doc;
}

/* A member that must be a string. */
static inline const char *vector_str(const struct json *o, const char *key)
{
	const char *s = json_string(json_get(o, key));

	if (!s)
		test_fail(__FILE__, __LINE__, "the vector has no \"%s\"", key);
	return s;
}

/* Append the bytes of hex text. */
static inline void vector_unhex(struct buf *out, const char *hex)
{
	size_t n = strlen(hex) / 2;
	uint8_t *p = malloc(n + 1);
	struct err e;

	if (!p || enc_hex_decode(p, n, view_str(hex), &e) < 0)
		test_fail(__FILE__, __LINE__, "the vector's hex is bad");
	buf_put(out, p, n);
	free(p);
}

static inline bool secret_is(const struct secret *s, const char *text)
{
	return secret_eq(s, text, strlen(text));
}

/* The key of a vector that has tee_private_der_b64_pkcs8 or _pkcs1, by way of its PEM. */
static inline struct teekey *vector_key(const struct json *v)
{
	const char *ec = json_string(json_get(v, "tee_private_der_b64_pkcs8"));
	const char *what = ec ? "PRIVATE KEY" : "RSA PRIVATE KEY";
	const char *der = ec ? ec : vector_str(v, "tee_private_der_b64_pkcs1");
	cleanup_buf struct buf pem = BUF_MAX(8192);
	struct teekey *k = NULL;
	struct err e = { 0 };

	buf_printf(&pem, "-----BEGIN %s-----\n", what);
	for (size_t i = 0; i < strlen(der); i += 64)
		buf_printf(&pem, "%.64s\n", der + i);
	buf_printf(&pem, "-----END %s-----\n", what);
	if (teekey_from_pem(&k, buf_view(&pem), &e) < 0)
		test_fail(__FILE__, __LINE__, "the vector's key: %s", e.msg);
	return k;
}

#endif
