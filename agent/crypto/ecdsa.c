/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/ecdsa.h"
#include "agent/crypto/ossl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

enum { POINT_MAX = 1 + 96, DER_SIG_MAX = 256 };

static const struct {
	const char *group;
	size_t width;
	const char *digest;
} curves[] = {
	[ECDSA_P256] = { "P-256", 32, "SHA256" },
	[ECDSA_P384] = { "P-384", 48, "SHA384" },
};

/* The signature as libcrypto takes it. Integers over the order are left to its verification. */
static int to_der(uint8_t out[DER_SIG_MAX], size_t *len, struct ecdsa_signature in, struct err *e)
{
	cleanup_ecdsa ECDSA_SIG *sig = ECDSA_SIG_new();
	cleanup_bn BIGNUM *r = NULL, *s = NULL;
	BIGNUM *(*read)(const unsigned char *, int, BIGNUM *) = in.little ? BN_lebin2bn : BN_bin2bn;
	uint8_t *p = out;
	int n;

	if (in.r.len > ECDSA_INTEGER_MAX || in.s.len > ECDSA_INTEGER_MAX)
		return err_set(e, ERR_LIMIT, "signature integers of %zu and %zu bytes, allowed %d",
			       in.r.len, in.s.len, ECDSA_INTEGER_MAX);
	r = read(in.r.p, (int)in.r.len, NULL);
	s = read(in.s.p, (int)in.s.len, NULL);
	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1)
		return ossl_err(e, "read a signature");
	(void)take(r);
	(void)take(s);
	n = i2d_ECDSA_SIG(sig, NULL);
	if (n <= 0 || n > DER_SIG_MAX || i2d_ECDSA_SIG(sig, &p) != n)
		return ossl_err(e, "encode a signature");
	*len = (size_t)n;
	return 0;
}

bool ossl_on_curve(const EVP_PKEY *pkey, enum ecdsa_curve curve)
{
	char group[32];
	size_t n;

	if (!EVP_PKEY_is_a(pkey, "EC") ||
	    EVP_PKEY_get_group_name(pkey, group, sizeof group, &n) != 1)
		return false;
	/* libcrypto says "prime256v1" of the one curve and "secp384r1" of the other. */
	return OBJ_txt2nid(group) ==
	       (curve == ECDSA_P256 ? NID_X9_62_prime256v1 : NID_secp384r1);
}

int ossl_ecdsa_verify(EVP_PKEY *pkey, enum ecdsa_curve curve, struct view message,
		      struct ecdsa_signature signature, struct err *e)
{
	cleanup_md_ctx EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[DER_SIG_MAX];
	size_t len;
	int r;

	if (!ossl_on_curve(pkey, curve))
		return err_set(e, ERR_UNSUPPORTED, "the key is not one of %s", curves[curve].group);
	r = to_der(der, &len, signature, e);
	if (r < 0)
		return r;
	if (!ctx ||
	    EVP_DigestVerifyInit_ex(ctx, NULL, curves[curve].digest, NULL, NULL, pkey, NULL) != 1)
		return ossl_err(e, "begin to verify a signature");
	if (EVP_DigestVerify(ctx, der, len, message.p, message.len) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_VERIFY, "the ECDSA signature does not match");
	}
	return 0;
}

static int key_of_point(EVP_PKEY **out, enum ecdsa_curve curve, struct view point, struct err *e)
{
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	cleanup_pkey_ctx EVP_PKEY_CTX *check = NULL;
	cleanup_pkey EVP_PKEY *pkey = NULL;
	uint8_t octets[POINT_MAX] = { 4 };
	char group[8];
	OSSL_PARAM params[3];

	if (point.len != 2 * curves[curve].width)
		return err_set(e, ERR_FORMAT, "public key of %zu bytes, want %zu for %s", point.len,
			       2 * curves[curve].width, curves[curve].group);
	memcpy(octets + 1, point.p, point.len);
	memcpy(group, curves[curve].group, strlen(curves[curve].group) + 1);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets,
						      1 + point.len);
	params[2] = OSSL_PARAM_construct_end();
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1)
		return ossl_err(e, "begin to read a public key");
	if (EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1)
		check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (!check || EVP_PKEY_public_check(check) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_FORMAT, "the public key is no point of %s",
			       curves[curve].group);
	}
	*out = take(pkey);
	return 0;
}

int ecdsa_verify(enum ecdsa_curve curve, struct view point, struct view message,
		 struct ecdsa_signature signature, struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = NULL;
	int r = key_of_point(&pkey, curve, point, e);

	return r < 0 ? r : ossl_ecdsa_verify(pkey, curve, message, signature, e);
}
