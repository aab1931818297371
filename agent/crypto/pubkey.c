/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "agent/crypto/ossl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

/*
 * The SPKI of an RSA key is written and read by hand: libcrypto's encoder and decoder look through
 * all their providers for each key, which takes longer than the quote's other checks together.
 *
 *   30 SEQUENCE
 *      30 SEQUENCE   06 OID 1.2.840.113549.1.1.1, 05 NULL      (algorithm[], whole)
 *      03 BIT STRING, no bit unused
 *         30 SEQUENCE   02 INTEGER n, 02 INTEGER e
 */
static const uint8_t algorithm[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
				     0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };

static void put_head(struct buf *b, uint8_t tag, size_t n)
{
	buf_putc(b, tag);
	if (n > 0xff) {
		buf_putc(b, 0x82);
		buf_putc(b, (uint8_t)(n >> 8));
	} else if (n > 0x7f) {
		buf_putc(b, 0x81);
	}
	buf_putc(b, (uint8_t)n);
}

/* Without leading zeros; a first bit that is set would make it negative. */
static void put_integer(struct buf *b, struct view v)
{
	bool pad = (v.p[0] & 0x80) != 0;

	put_head(b, 0x02, v.len + pad);
	if (pad)
		buf_putc(b, 0);
	buf_putv(b, v);
}

static int put_spki(struct buf *der, struct view n, struct view e, struct err *err)
{
	cleanup_buf struct buf key = BUF_MAX(PUBKEY_DER_MAX), bits = BUF_MAX(PUBKEY_DER_MAX);
	int r;

	put_integer(&key, n);
	put_integer(&key, e);
	buf_putc(&bits, 0);
	put_head(&bits, 0x30, key.len);
	buf_putv(&bits, buf_view(&key));
	r = buf_check(&key, "public key", err);
	if (r == 0)
		r = buf_check(&bits, "public key", err);
	if (r < 0)
		return r;
	buf_reset(&key);
	buf_put(&key, algorithm, sizeof algorithm);
	put_head(&key, 0x03, bits.len);
	buf_putv(&key, buf_view(&bits));
	r = buf_check(&key, "public key", err);
	if (r < 0)
		return r;
	put_head(der, 0x30, key.len);
	buf_putv(der, buf_view(&key));
	return buf_check(der, "public key", err);
}

int pubkey_rsa_spki(struct buf *der, struct view n, uint32_t e, struct err *err)
{
	uint32_t exponent = e == 0 ? 65537 : e;
	uint8_t bytes[4];
	size_t skip = 0;

	if (n.len < PUBKEY_RSA_MIN || n.len > PUBKEY_RSA_MAX || n.p[0] == 0)
		return err_set(err, ERR_FORMAT,
			       "RSA modulus of %zu bytes, want %d..%d without leading zeros", n.len,
			       PUBKEY_RSA_MIN, PUBKEY_RSA_MAX);
	if (exponent < 3 || exponent % 2 == 0)
		return err_set(err, ERR_FORMAT, "RSA exponent %u, want an odd one from 3",
			       exponent);
	for (size_t i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(exponent >> (24 - 8 * i));
	while (bytes[skip] == 0)
		skip++;
	return put_spki(der, n, (struct view){ bytes + skip, 4 - skip }, err);
}

/* --- reading -------------------------------------------------------------------------------- */

/* The content of the element at the front of *in, which is stepped over; false when it is none. */
static bool element(struct view *content, struct view *in, uint8_t tag)
{
	size_t n, head = 2;

	if (in->len < 2 || in->p[0] != tag)
		return false;
	n = in->p[1];
	if (n == 0x82 && in->len >= 4) {
		n = (size_t)in->p[2] << 8 | in->p[3];
		head = 4;
	} else if (n == 0x81 && in->len >= 3) {
		n = in->p[2];
		head = 3;
	} else if (n > 0x7f) {
		return false;
	}
	if (n > in->len - head)
		return false;
	*content = (struct view){ in->p + head, n };
	*in = (struct view){ in->p + head + n, in->len - head - n };
	return true;
}

static struct view without_zero(struct view v)
{
	return v.len > 1 && v.p[0] == 0 ? (struct view){ v.p + 1, v.len - 1 } : v;
}

/* n and e, borrowed, of exactly what put_spki() writes; false for everything else. */
static bool cut_spki(struct view *n, struct view *e, struct view spki)
{
	cleanup_buf struct buf again = BUF_MAX(PUBKEY_DER_MAX);
	struct view in = spki, outer, bits, key;

	if (!element(&outer, &in, 0x30) || outer.len < sizeof algorithm)
		return false;
	outer = (struct view){ outer.p + sizeof algorithm, outer.len - sizeof algorithm };
	if (!element(&bits, &outer, 0x03) || bits.len < 1)
		return false;
	bits = (struct view){ bits.p + 1, bits.len - 1 };
	if (!element(&key, &bits, 0x30) || !element(n, &key, 0x02) || !element(e, &key, 0x02) ||
	    n->len == 0 || e->len == 0)
		return false;
	*n = without_zero(*n);
	*e = without_zero(*e);
	/* The one form that there is. */
	return put_spki(&again, *n, *e, NULL) == 0 && view_eq(buf_view(&again), spki);
}

static int make_rsa(EVP_PKEY **out, struct view n, struct view e, struct err *err)
{
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	cleanup_param_bld OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	cleanup_bn BIGNUM *bn_n = BN_bin2bn(n.p, (int)n.len, NULL);
	cleanup_bn BIGNUM *bn_e = BN_bin2bn(e.p, (int)e.len, NULL);
	cleanup_params OSSL_PARAM *params = NULL;

	if (!ctx || !bld || !bn_n || !bn_e || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) ||
	    !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e))
		return ossl_err(err, "RSA key");
	params = OSSL_PARAM_BLD_to_param(bld);
	if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, out, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return ossl_err(err, "RSA key");
	return 0;
}

static int load_rsa(EVP_PKEY **out, struct view spki, struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = NULL;
	const uint8_t *p = spki.p;
	struct view modulus, exponent;
	int bytes, r;

	if (spki.len == 0 || spki.len > PUBKEY_DER_MAX)
		return err_set(e, ERR_FORMAT, "public key of %zu bytes, allowed 1..%u", spki.len,
			       PUBKEY_DER_MAX);
	if (cut_spki(&modulus, &exponent, spki)) {
		r = make_rsa(&pkey, modulus, exponent, e);
		if (r < 0)
			return r;
	} else {
		pkey = d2i_PUBKEY(NULL, &p, (long)spki.len);
		ERR_clear_error();
		if (!pkey || p != spki.p + spki.len)
			return err_set(e, ERR_FORMAT,
				       "public key is not the DER of one SubjectPublicKeyInfo");
	}
	if (!EVP_PKEY_is_a(pkey, "RSA"))
		return err_set(e, ERR_UNSUPPORTED, "public key is of type %s, want RSA",
			       EVP_PKEY_get0_type_name(pkey));
	bytes = EVP_PKEY_get_size(pkey);
	if (bytes < PUBKEY_RSA_MIN || bytes > PUBKEY_RSA_MAX)
		return err_set(e, ERR_UNSUPPORTED, "RSA modulus of %d bytes, want %d..%d", bytes,
			       PUBKEY_RSA_MIN, PUBKEY_RSA_MAX);
	*out = take(pkey);
	return 0;
}

int pubkey_rsa_verify_sha256(struct view spki, struct view message, struct view signature,
			     struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = NULL;
	cleanup_md_ctx EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;
	int r = load_rsa(&pkey, spki, e);

	if (r < 0)
		return r;
	if (!ctx || EVP_DigestVerifyInit(ctx, &how, EVP_sha256(), NULL, pkey) != 1 ||
	    EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PADDING) != 1)
		return ossl_err(e, "begin to verify a signature");
	if (EVP_DigestVerify(ctx, signature.p, signature.len, message.p, message.len) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_VERIFY, "the RSA signature does not match");
	}
	return 0;
}
