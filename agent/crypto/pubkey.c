/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "agent/crypto/ossl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static void der_freep(uint8_t **p)
{
	OPENSSL_free(*p);
}

struct pubkey {
	EVP_PKEY *pkey;
};

void pubkey_free(struct pubkey *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

/* Takes the key over on success. */
static int own(struct pubkey **out, EVP_PKEY **pkey, struct err *e)
{
	struct pubkey *k = malloc(sizeof *k);

	if (!k)
		return err_set(e, ERR_NOMEM, "no memory for a public key");
	k->pkey = take(*pkey);
	*out = k;
	return 0;
}

int pubkey_rsa_new(struct pubkey **out, struct view n, uint32_t e, struct err *err)
{
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	cleanup_param_bld OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	cleanup_bn BIGNUM *bn_n = NULL;
	cleanup_params OSSL_PARAM *params = NULL;
	cleanup_pkey EVP_PKEY *pkey = NULL;
	uint32_t exponent = e == 0 ? 65537 : e;

	if (n.len < PUBKEY_RSA_MIN || n.len > PUBKEY_RSA_MAX || n.p[0] == 0)
		return err_set(err, ERR_FORMAT,
			       "RSA modulus of %zu bytes, want %d..%d without leading zeros", n.len,
			       PUBKEY_RSA_MIN, PUBKEY_RSA_MAX);
	if (exponent < 3 || exponent % 2 == 0)
		return err_set(err, ERR_FORMAT, "RSA exponent %u, want an odd one from 3",
			       exponent);
	bn_n = BN_bin2bn(n.p, (int)n.len, NULL);
	if (!ctx || !bld || !bn_n || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) ||
	    !OSSL_PARAM_BLD_push_uint(bld, OSSL_PKEY_PARAM_RSA_E, exponent))
		return ossl_err(err, "RSA key");
	params = OSSL_PARAM_BLD_to_param(bld);
	if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return ossl_err(err, "RSA key");
	return own(out, &pkey, err);
}

int pubkey_spki(struct buf *der, const struct pubkey *k, struct err *e)
{
	__attribute__((cleanup(der_freep))) uint8_t *p = NULL;
	int n = i2d_PUBKEY(k->pkey, &p);

	if (n <= 0)
		return ossl_err(e, "encode a public key");
	buf_put(der, p, (size_t)n);
	return buf_check(der, "public key", e);
}

int pubkey_rsa_spki(struct buf *der, struct view n, uint32_t e, struct err *err)
{
	cleanup_pubkey struct pubkey *k = NULL;
	int r = pubkey_rsa_new(&k, n, e, err);

	return r < 0 ? r : pubkey_spki(der, k, err);
}

int pubkey_verify_sha256(const struct pubkey *k, struct view message, struct view signature,
			 struct err *e)
{
	cleanup_md_ctx EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;

	if (!ctx || EVP_DigestVerifyInit(ctx, &how, EVP_sha256(), NULL, k->pkey) != 1 ||
	    EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PADDING) != 1)
		return ossl_err(e, "begin to verify a signature");
	if (EVP_DigestVerify(ctx, signature.p, signature.len, message.p, message.len) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_VERIFY, "the RSA signature does not match");
	}
	return 0;
}

static int load_rsa(struct pubkey **out, struct view spki, struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = NULL;
	const uint8_t *p = spki.p;
	int bytes;

	if (spki.len == 0 || spki.len > PUBKEY_DER_MAX)
		return err_set(e, ERR_FORMAT, "public key of %zu bytes, allowed 1..%u", spki.len,
			       PUBKEY_DER_MAX);
	pkey = d2i_PUBKEY(NULL, &p, (long)spki.len);
	ERR_clear_error();
	if (!pkey || p != spki.p + spki.len)
		return err_set(e, ERR_FORMAT,
			       "public key is not the DER of one SubjectPublicKeyInfo");
	if (!EVP_PKEY_is_a(pkey, "RSA"))
		return err_set(e, ERR_UNSUPPORTED, "public key is of type %s, want RSA",
			       EVP_PKEY_get0_type_name(pkey));
	bytes = EVP_PKEY_get_size(pkey);
	if (bytes < PUBKEY_RSA_MIN || bytes > PUBKEY_RSA_MAX)
		return err_set(e, ERR_UNSUPPORTED, "RSA modulus of %d bytes, want %d..%d", bytes,
			       PUBKEY_RSA_MIN, PUBKEY_RSA_MAX);
	return own(out, &pkey, e);
}

int pubkey_rsa_verify_sha256(struct view spki, struct view message, struct view signature,
			     struct err *e)
{
	cleanup_pubkey struct pubkey *k = NULL;
	int r = load_rsa(&k, spki, e);

	return r < 0 ? r : pubkey_verify_sha256(k, message, signature, e);
}
