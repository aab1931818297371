/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/digest.h"
#include "agent/crypto/ossl.h"

#include <openssl/rand.h>

static const struct {
	const char *name;
	size_t len;
	const EVP_MD *(*md)(void);
} algs[] = {
	[HASH_SHA256] = { "sha256", 32, EVP_sha256 },
	[HASH_SHA384] = { "sha384", 48, EVP_sha384 },
	[HASH_SHA512] = { "sha512", 64, EVP_sha512 },
	[HASH_SM3] = { "sm3", 32, EVP_sm3 },
};

const char *hash_name(enum hash_alg a)
{
	return algs[a].name;
}

size_t hash_len(enum hash_alg a)
{
	return algs[a].len;
}

int hash_by_name(enum hash_alg *out, struct view name, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		if (view_is(name, algs[i].name)) {
			*out = (enum hash_alg)i;
			return 0;
		}
	}
	return err_set(e, ERR_UNSUPPORTED, "hash algorithm \"%.*s\", want sha256, sha384, sha512 or sm3",
		       VIEW_ARG(name));
}

int digest_parts(struct digest *out, enum hash_alg a, const struct view *parts, size_t n,
		 struct err *e)
{
	cleanup_md_ctx EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct digest d = { 0 };
	unsigned len = 0;

	if (!ctx || EVP_DigestInit_ex(ctx, algs[a].md(), NULL) != 1)
		return ossl_err(e, "begin a digest");
	for (size_t i = 0; i < n; i++)
		if (EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) != 1)
			return ossl_err(e, "digest");
	if (EVP_DigestFinal_ex(ctx, d.b, &len) != 1)
		return ossl_err(e, "end a digest");
	d.len = len;
	*out = d;
	return 0;
}

int digest_of(struct digest *out, enum hash_alg a, struct view bytes, struct err *e)
{
	return digest_parts(out, a, &bytes, 1, e);
}

int random_bytes(uint8_t *out, size_t n, struct err *e)
{
	if (n > 1u << 20)
		return err_set(e, ERR_CRYPTO, "%zu random bytes at once, allowed %u", n, 1u << 20);
	if (n > 0 && RAND_bytes(out, (int)n) != 1)
		return ossl_err(e, "random bytes");
	return 0;
}
