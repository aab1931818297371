/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/kdf.h"
#include "agent/crypto/ossl.h"

#include <openssl/core_names.h>

#define SCRYPT_N      65536u
#define SCRYPT_R      8u
#define SCRYPT_P      1u
#define SCRYPT_MEMORY (96u << 20) /* the library's own limit, above the 64 MiB that N and r take */

OSSL_CLEANUP(mac, EVP_MAC, EVP_MAC_free)
OSSL_CLEANUP(mac_ctx, EVP_MAC_CTX, EVP_MAC_CTX_free)
#define cleanup_mac     __attribute__((cleanup(mac_freep)))
#define cleanup_mac_ctx __attribute__((cleanup(mac_ctx_freep)))

/* libcrypto's parameters are not const, and only read. */
static OSSL_PARAM octets(const char *name, struct view v)
{
	return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)v.p, v.len);
}

static int derive(struct key32 *out, const char *name, const OSSL_PARAM *params, struct err *e)
{
	cleanup_kdf EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	cleanup_kdf_ctx EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	cleanup_key32 struct key32 k = { 0 };

	if (!ctx || EVP_KDF_derive(ctx, k.b, sizeof k.b, params) != 1)
		return ossl_err(e, name);
	*out = k;
	return 0;
}

int kdf_hkdf(struct key32 *out, struct view key, struct view salt, const char *info, struct err *e)
{
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256, 0),
		octets(OSSL_KDF_PARAM_KEY, key),
		octets(OSSL_KDF_PARAM_SALT, salt),
		octets(OSSL_KDF_PARAM_INFO, view_str(info)),
		OSSL_PARAM_construct_end(),
	};

	return derive(out, "HKDF", params, e);
}

int kdf_scrypt(struct key32 *out, struct view password, struct view salt, struct err *e)
{
	uint64_t n = SCRYPT_N, memory = SCRYPT_MEMORY;
	uint32_t r = SCRYPT_R, p = SCRYPT_P;
	OSSL_PARAM params[] = {
		octets(OSSL_KDF_PARAM_PASSWORD, password),
		octets(OSSL_KDF_PARAM_SALT, salt),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
		OSSL_PARAM_construct_end(),
	};

	return derive(out, "SCRYPT", params, e);
}

int hmac_sha256(struct digest *out, const struct key32 *key, const struct view *parts, size_t n,
		struct err *e)
{
	cleanup_mac EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	cleanup_mac_ctx EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};
	struct digest d = { 0 };

	if (!ctx || EVP_MAC_init(ctx, key->b, sizeof key->b, params) != 1)
		return ossl_err(e, "HMAC");
	for (size_t i = 0; i < n; i++)
		if (parts[i].len > 0 && EVP_MAC_update(ctx, parts[i].p, parts[i].len) != 1)
			return ossl_err(e, "HMAC");
	if (EVP_MAC_final(ctx, d.b, &d.len, sizeof d.b) != 1)
		return ossl_err(e, "HMAC");
	*out = d;
	return 0;
}
