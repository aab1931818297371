/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "agent/crypto/ossl.h"

#include <openssl/asn1t.h>
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

static uint32_t exponent_of(uint32_t e)
{
	return e == 0 ? 65537 : e;
}

static int check_numbers(struct view n, uint32_t exponent, struct err *e)
{
	if (n.len < PUBKEY_RSA_MIN || n.len > PUBKEY_RSA_MAX || n.p[0] == 0)
		return err_set(e, ERR_FORMAT,
			       "RSA modulus of %zu bytes, want %d..%d without leading zeros", n.len,
			       PUBKEY_RSA_MIN, PUBKEY_RSA_MAX);
	if (exponent < 3 || exponent % 2 == 0)
		return err_set(e, ERR_FORMAT, "RSA exponent %u, want an odd one from 3", exponent);
	return 0;
}

int pubkey_rsa_new(struct pubkey **out, struct view n, uint32_t e, struct err *err)
{
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	cleanup_param_bld OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	cleanup_bn BIGNUM *bn_n = NULL;
	cleanup_params OSSL_PARAM *params = NULL;
	cleanup_pkey EVP_PKEY *pkey = NULL;
	int r = check_numbers(n, exponent_of(e), err);

	if (r < 0)
		return r;
	bn_n = BN_bin2bn(n.p, (int)n.len, NULL);
	if (!ctx || !bld || !bn_n || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) ||
	    !OSSL_PARAM_BLD_push_uint(bld, OSSL_PKEY_PARAM_RSA_E, exponent_of(e)))
		return ossl_err(err, "RSA key");
	params = OSSL_PARAM_BLD_to_param(bld);
	if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return ossl_err(err, "RSA key");
	return own(out, &pkey, err);
}

/*
 * RSAPublicKey (RFC 8017 A.1.1). libcrypto's encoder of keys would do it too, but it looks through
 * all encoders of all providers each time: a tenth of a millisecond.
 */
struct rsa_numbers {
	ASN1_INTEGER *n, *e;
};

/* clang-format off */
ASN1_SEQUENCE(rsa_numbers) = {
	ASN1_SIMPLE(struct rsa_numbers, n, ASN1_INTEGER),
	ASN1_SIMPLE(struct rsa_numbers, e, ASN1_INTEGER),
} static_ASN1_SEQUENCE_END_name(struct rsa_numbers, rsa_numbers)
/* clang-format on */

static void numbers_done(struct rsa_numbers *x)
{
	ASN1_INTEGER_free(x->n);
	ASN1_INTEGER_free(x->e);
}

static void spki_freep(X509_PUBKEY **x)
{
	X509_PUBKEY_free(*x);
}

/* The numbers as they stand in an SPKI's BIT STRING. */
static int encode_numbers(uint8_t **p, struct view n, uint32_t e, struct err *err)
{
	__attribute__((cleanup(numbers_done))) struct rsa_numbers x = { NULL, ASN1_INTEGER_new() };
	cleanup_bn BIGNUM *bn = BN_bin2bn(n.p, (int)n.len, NULL);
	int len;

	x.n = bn ? BN_to_ASN1_INTEGER(bn, NULL) : NULL;
	if (!x.n || !x.e || ASN1_INTEGER_set_uint64(x.e, e) != 1)
		return ossl_err(err, "RSA key");
	len = ASN1_item_i2d((const ASN1_VALUE *)&x, p, ASN1_ITEM_rptr(rsa_numbers));
	return len > 0 ? len : ossl_err(err, "encode a public key");
}

int pubkey_rsa_spki(struct buf *der, struct view n, uint32_t e, struct err *err)
{
	__attribute__((cleanup(spki_freep))) X509_PUBKEY *spki = X509_PUBKEY_new();
	__attribute__((cleanup(der_freep))) uint8_t *numbers = NULL;
	__attribute__((cleanup(der_freep))) uint8_t *p = NULL;
	int r = check_numbers(n, exponent_of(e), err);

	if (r == 0)
		r = encode_numbers(&numbers, n, exponent_of(e), err);
	if (r < 0)
		return r;
	if (!spki || X509_PUBKEY_set0_param(spki, OBJ_nid2obj(NID_rsaEncryption), V_ASN1_NULL, NULL,
					    numbers, r) != 1)
		return ossl_err(err, "encode a public key");
	(void)take(numbers);
	r = i2d_X509_PUBKEY(spki, &p);
	if (r <= 0)
		return ossl_err(err, "encode a public key");
	buf_put(der, p, (size_t)r);
	return buf_check(der, "public key", err);
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
