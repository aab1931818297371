/* SPDX-License-Identifier: Apache-2.0 */
#include "test/bench/floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

static EVP_PKEY *tee_key;

size_t b64(char *out, const void *in, size_t n)
{
	return (size_t)EVP_EncodeBlock((unsigned char *)out, in, (int)n);
}

static size_t b64u(char *out, const void *in, size_t n)
{
	size_t len = b64(out, in, n);

	while (len > 0 && out[len - 1] == '=')
		out[--len] = '\0';
	for (char *p = out; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return len;
}

size_t unb64u(uint8_t *out, const char *in, size_t n)
{
	char *text = malloc(n + 4);
	size_t pad = (4 - n % 4) % 4;
	int len;

	need(text != NULL && pad < 3, "base64url");
	for (size_t i = 0; i < n; i++)
		text[i] = in[i] == '-' ? '+' : in[i] == '_' ? '/' : in[i];
	memcpy(text + n, "===", pad);
	len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)(n + pad));
	free(text);
	need(len >= 0, "base64url");
	return (size_t)len - pad;
}

const char *member(const char *json, const char *name, size_t *n)
{
	char key[64];
	const char *p;

	(void)snprintf(key, sizeof key, "\"%s\":", name);
	p = strstr(json, key);
	if (!p)
		die("no \"%s\" in a reply", name);
	p += strlen(key);
	p += strspn(p, " ") + 1;
	*n = strcspn(p, "\"");
	return p;
}

static EVP_PKEY *ec_key(const char *x, size_t nx, const char *y, size_t ny)
{
	char group[] = "P-256";
	uint8_t point[1 + 33 + 33] = { 4 };
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 65),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;

	need(nx == 43 && ny == 43, "EC key");
	(void)unb64u(point + 1, x, nx);
	(void)unb64u(point + 33, y, ny);
	need(ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
		     EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1,
	     "EC key");
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *ec_key_of_json(const char *json)
{
	size_t nx, ny;
	const char *x = member(json, "x", &nx), *y = member(json, "y", &ny);

	return ec_key(x, nx, y, ny);
}

void make_tee_key(char jwk[256])
{
	uint8_t point[65];
	char x[48], y[48];
	size_t n = 0;

	tee_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	need(tee_key &&
		     EVP_PKEY_get_octet_string_param(tee_key, OSSL_PKEY_PARAM_PUB_KEY, point,
						     sizeof point, &n) == 1 &&
		     n == 65,
	     "TEE key");
	(void)b64u(x, point + 1, 32);
	(void)b64u(y, point + 33, 32);
	(void)snprintf(jwk, 256,
		       "{\"alg\":\"ECDH-ES+A256KW\",\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\","
		       "\"y\":\"%s\"}",
		       x, y);
}

static void content_key(uint8_t cek[64], EVP_PKEY *epk, const uint8_t wrapped[40])
{
	char info[] = "\0\0\0\x0e"
		      "ECDH-ES+A256KW"
		      "\0\0\0\0"
		      "\0\0\0\0"
		      "\0\0\x01\0";
	char hash[] = "SHA256";
	uint8_t z[32], kek[32];
	size_t nz = sizeof z;
	int n = 0;
	EVP_PKEY_CTX *ecdh = EVP_PKEY_CTX_new_from_pkey(NULL, tee_key, NULL);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SSKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, z, sizeof z),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
		OSSL_PARAM_construct_end(),
	};

	need(ecdh && EVP_PKEY_derive_init(ecdh) == 1 && EVP_PKEY_derive_set_peer(ecdh, epk) == 1 &&
		     EVP_PKEY_derive(ecdh, z, &nz) == 1 &&
		     EVP_KDF_derive(ctx, kek, 32, params) == 1,
	     "ECDH");
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	need(EVP_DecryptInit_ex2(c, EVP_aes_256_wrap(), kek, NULL, NULL) == 1 &&
		     EVP_DecryptUpdate(c, cek, &n, wrapped, 40) == 1 && n == 32,
	     "unwrap");
	EVP_CIPHER_CTX_free(c);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	EVP_PKEY_CTX_free(ecdh);
}

size_t jwe_open(char *out)
{
	static uint8_t cipher[FLOOR_ROOM];
	uint8_t header[1024], wrapped[48], cek[64], iv[16], tag[20];
	size_t nprot, nkey, niv, ntext, ntag, len;
	const char *protected = member(reply, "protected", &nprot);
	const char *key = member(reply, "encrypted_key", &nkey), *ivt = member(reply, "iv", &niv);
	const char *text = member(reply, "ciphertext", &ntext), *tagt = member(reply, "tag", &ntag);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	EVP_PKEY *epk;
	int n = 0, m = 0;

	need(nprot < 1024 && nkey == 54 && niv == 16 && ntag == 22, "JWE");
	len = unb64u(header, protected, nprot);
	header[len] = '\0';
	(void)unb64u(wrapped, key, nkey);
	(void)unb64u(iv, ivt, niv);
	(void)unb64u(tag, tagt, ntag);
	len = unb64u(cipher, text, ntext);
	epk = ec_key_of_json((const char *)header);
	content_key(cek, epk, wrapped);
	need(EVP_DecryptInit_ex2(c, EVP_aes_256_gcm(), cek, iv, NULL) == 1 &&
		     EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)protected, (int)nprot) == 1 &&
		     EVP_DecryptUpdate(c, (uint8_t *)out, &n, cipher, (int)len) == 1 &&
		     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 &&
		     EVP_DecryptFinal_ex(c, (uint8_t *)out + n, &m) == 1,
	     "decrypt");
	out[n + m] = '\0';
	EVP_PKEY_free(epk);
	EVP_CIPHER_CTX_free(c);
	return (size_t)(n + m);
}

void sha384(uint8_t out[64], const void *in, size_t n)
{
	need(EVP_Digest(in, n, out, NULL, EVP_sha384(), NULL) == 1, "SHA-384");
}

void verify(const char *jwk, const char *signed_text, size_t n, const char *signature, size_t ns)
{
	uint8_t raw[80], der[80], *p = der;
	EVP_PKEY *key = ec_key_of_json(jwk);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *sig = ECDSA_SIG_new();
	int len;

	need(ns == 86 && unb64u(raw, signature, ns) == 64, "signature");
	(void)ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
	len = i2d_ECDSA_SIG(sig, &p);
	need(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		     EVP_DigestVerify(ctx, der, (size_t)len, (const uint8_t *)signed_text, n) == 1,
	     "the signature does not match");
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}
