/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/teekey.h"
#include "agent/base/enc.h"
#include "agent/crypto/ossl.h"

#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#define PEM_MAX     8192 /* bytes; RSA 2048 takes 1.7 KiB */
#define RSA_BITS    2048
#define BEGIN(what) "-----BEGIN " what "-----"

static const struct {
	const char *name; /* in aa.toml */
	const char *jwk;  /* member alg of the JWK, which does not name the curve */
	const char *type; /* libcrypto's */
	const char *curve;
	size_t width; /* of a coordinate, bytes */
	const char *pem_structure;
	const char *pem_begin;
} algs[] = {
	[TEEKEY_P256] = { "ECDH-ES+A256KW-P256", "ECDH-ES+A256KW", "EC", "P-256", 32,
			  "PrivateKeyInfo", BEGIN("PRIVATE KEY") },
	[TEEKEY_P521] = { "ECDH-ES+A256KW-P521", "ECDH-ES+A256KW", "EC", "P-521", 66,
			  "PrivateKeyInfo", BEGIN("PRIVATE KEY") },
	[TEEKEY_RSA] = { "RSA-OAEP-256", "RSA-OAEP-256", "RSA", NULL, 0, "type-specific",
			 BEGIN("RSA PRIVATE KEY") },
};

int teekey_alg_by_name(enum teekey_alg *out, struct view name, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		if (view_is(name, algs[i].name)) {
			*out = (enum teekey_alg)i;
			return 0;
		}
	}
	return err_set(e, ERR_UNSUPPORTED, "TEE key algorithm \"%.*s\", want %s, %s or %s",
		       VIEW_ARG(name), algs[TEEKEY_P256].name, algs[TEEKEY_P521].name,
		       algs[TEEKEY_RSA].name);
}

const char *teekey_alg_name(enum teekey_alg a)
{
	return algs[a].name;
}

enum teekey_alg teekey_alg(const struct teekey *k)
{
	return k->alg;
}

/* Take over *pkey. */
static int wrap_pkey(struct teekey **out, enum teekey_alg a, EVP_PKEY **pkey, struct err *e)
{
	struct teekey *k = malloc(sizeof *k);

	if (!k)
		return err_set(e, ERR_NOMEM, "no memory for a TEE key");
	*k = (struct teekey){ .alg = a, .pkey = take(*pkey) };
	*out = k;
	return 0;
}

int teekey_new(struct teekey **out, enum teekey_alg a, struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = NULL;
	int r = ossl_locked_heap(e);

	if (r < 0)
		return r;
	pkey = a == TEEKEY_RSA ? EVP_PKEY_Q_keygen(NULL, NULL, algs[a].type, (size_t)RSA_BITS)
			       : EVP_PKEY_Q_keygen(NULL, NULL, algs[a].type, algs[a].curve);
	if (!pkey)
		return ossl_err(e, "generate a TEE key");
	return wrap_pkey(out, a, &pkey, e);
}

int teekey_share(struct teekey **out, const struct teekey *k, struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = NULL;

	if (EVP_PKEY_up_ref(k->pkey) != 1)
		return ossl_err(e, "share a TEE key");
	pkey = k->pkey;
	return wrap_pkey(out, k->alg, &pkey, e);
}

void teekey_free(struct teekey *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

/* Append "name":"<base64url of the number>"; width 0 means without leading zeros. */
static int put_number(struct buf *out, const struct teekey *k, const char *param, const char *name,
		      size_t width, struct err *e)
{
	cleanup_bn BIGNUM *bn = NULL;
	uint8_t b[RSA_BITS / 8];
	size_t n;

	if (EVP_PKEY_get_bn_param(k->pkey, param, &bn) != 1)
		return ossl_err(e, "read the TEE key's public part");
	n = width ? width : (size_t)BN_num_bytes(bn);
	if (n > sizeof b || BN_bn2binpad(bn, b, (int)n) < 0)
		return ossl_err(e, "encode the TEE key's public part");
	buf_printf(out, "\"%s\":\"", name);
	enc_base64(out, ENC_B64U, (struct view){ b, n });
	buf_putc(out, '"');
	return 0;
}

int teekey_jwk(struct buf *out, const struct teekey *k, struct err *e)
{
	size_t w = algs[k->alg].width;
	int r;

	buf_printf(out, "{\"alg\":\"%s\",", algs[k->alg].jwk);
	if (k->alg == TEEKEY_RSA) {
		r = put_number(out, k, OSSL_PKEY_PARAM_RSA_E, "e", 0, e);
		if (r < 0)
			return r;
		buf_puts(out, ",\"kty\":\"RSA\",");
		r = put_number(out, k, OSSL_PKEY_PARAM_RSA_N, "n", 0, e);
	} else {
		buf_printf(out, "\"crv\":\"%s\",\"kty\":\"EC\",", algs[k->alg].curve);
		r = put_number(out, k, OSSL_PKEY_PARAM_EC_PUB_X, "x", w, e);
		if (r < 0)
			return r;
		buf_putc(out, ',');
		r = put_number(out, k, OSSL_PKEY_PARAM_EC_PUB_Y, "y", w, e);
	}
	if (r < 0)
		return r;
	buf_putc(out, '}');
	return buf_check(out, "public JWK", e);
}

/* A BIO that writes into a struct secret, so that the PEM is never in memory that grows or swaps.
 */
static int secret_write(BIO *bio, const char *p, int n)
{
	struct secret *s = BIO_get_data(bio);

	return n >= 0 && secret_append(s, p, (size_t)n, NULL) == 0 ? n : -1;
}

static long secret_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static void method_freep(BIO_METHOD **m)
{
	BIO_meth_free(*m);
}

static void encoder_freep(OSSL_ENCODER_CTX **c)
{
	OSSL_ENCODER_CTX_free(*c);
}

int teekey_pem(struct secret *out, const struct teekey *k, struct err *e)
{
	__attribute__((cleanup(method_freep))) BIO_METHOD *method =
		BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "struct secret");
	__attribute__((cleanup(encoder_freep))) OSSL_ENCODER_CTX *encoder =
		OSSL_ENCODER_CTX_new_for_pkey(k->pkey, EVP_PKEY_KEYPAIR, "PEM",
					      algs[k->alg].pem_structure, NULL);
	cleanup_bio BIO *bio = NULL;
	cleanup_secret struct secret pem = { 0 };
	int r = secret_alloc(&pem, PEM_MAX, e);

	if (r < 0)
		return r;
	if (!method || !encoder || !BIO_meth_set_write(method, secret_write) ||
	    !BIO_meth_set_ctrl(method, secret_ctrl))
		return ossl_err(e, "prepare to encode the TEE key");
	bio = BIO_new(method);
	if (!bio)
		return ossl_err(e, "prepare to encode the TEE key");
	BIO_set_data(bio, &pem);
	BIO_set_init(bio, 1);
	if (OSSL_ENCODER_to_bio(encoder, bio) != 1 || pem.len == 0)
		return ossl_err(e, "encode the TEE key");
	secret_move(out, &pem);
	return 0;
}

/* Never ask a terminal: an encrypted PEM is refused. */
static int no_password(char *p, int n, int writing, void *ctx)
{
	(void)p;
	(void)n;
	(void)writing;
	(void)ctx;
	return -1;
}

static bool is_alg(const EVP_PKEY *pkey, enum teekey_alg a)
{
	char group[32] = "";
	size_t n = 0;

	if (!EVP_PKEY_is_a(pkey, algs[a].type))
		return false;
	if (a == TEEKEY_RSA)
		return EVP_PKEY_get_bits(pkey) == RSA_BITS;
	return EVP_PKEY_get_group_name(pkey, group, sizeof group, &n) == 1 &&
	       strcmp(group, a == TEEKEY_P256 ? "prime256v1" : "secp521r1") == 0;
}

int teekey_from_pem(struct teekey **out, struct view pem, struct err *e)
{
	cleanup_bio BIO *bio = NULL;
	cleanup_pkey EVP_PKEY *pkey = NULL;
	int r = ossl_locked_heap(e);

	if (r < 0)
		return r;
	if (pem.len == 0 || pem.len > PEM_MAX)
		return err_set(e, ERR_FORMAT, "private key of %zu bytes, allowed 1..%d", pem.len,
			       PEM_MAX);
	if (!view_starts(pem, algs[TEEKEY_P256].pem_begin) &&
	    !view_starts(pem, algs[TEEKEY_RSA].pem_begin))
		return err_set(e, ERR_FORMAT,
			       "private key is no PEM of PKCS#8 (EC) or PKCS#1 (RSA)");
	bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	if (!bio)
		return ossl_err(e, "read a private key");
	pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	ERR_clear_error();
	if (!pkey)
		return err_set(e, ERR_FORMAT, "the private key's PEM does not parse");
	for (size_t i = 0; i < ARRAY_LEN(algs); i++)
		if (is_alg(pkey, (enum teekey_alg)i) && view_starts(pem, algs[i].pem_begin))
			return wrap_pkey(out, (enum teekey_alg)i, &pkey, e);
	return err_set(e, ERR_UNSUPPORTED,
		       "private key is neither P-256 nor P-521 (PKCS#8) nor RSA 2048 (PKCS#1)");
}
