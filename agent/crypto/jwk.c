/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jwk.h"
#include "agent/base/enc.h"
#include "agent/crypto/ossl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#define WIDTH_MAX 66 /* bytes of a P-521 coordinate */
#define WIDTH_256 32

/* Decode a member of exactly n bytes: RFC 7518 6.2.1.2 wants the full width. */
static int get_number(uint8_t *p, size_t n, const struct json *jwk, const char *name, struct err *e)
{
	const char *text;
	size_t len = n;
	int r = json_need_string(&text, jwk, name, "JWK", e);

	if (r < 0)
		return r;
	r = enc_base64_decode_into(p, &len, ENC_B64U, view_str(text), e);
	if (r < 0 && r != -ERR_LIMIT)
		return err_wrap(e, r, "JWK member %s", name);
	if (r < 0 || len != n)
		return err_set(e, ERR_FORMAT, "JWK member %s is not of %zu bytes", name, n);
	return 0;
}

static int need(const struct json *jwk, const char *name, const char *want, struct err *e)
{
	const char *text;
	int r = json_need_string(&text, jwk, name, "JWK", e);

	if (r < 0)
		return r;
	if (strcmp(text, want) != 0)
		return err_set(e, ERR_FORMAT, "JWK has %s \"%.40s\", want \"%s\"", name, text,
			       want);
	return 0;
}

static int push_private(OSSL_PARAM_BLD *bld, BIGNUM **d, const struct json *jwk, struct err *e)
{
	cleanup_key32 struct key32 k = { 0 };
	int r = get_number(k.b, sizeof k.b, jwk, "d", e);

	if (r < 0)
		return r;
	*d = BN_secure_new();
	if (!*d || !BN_bin2bn(k.b, sizeof k.b, *d) ||
	    !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, *d))
		return ossl_err(e, "JWK member d");
	return 0;
}

/* The secret number belongs to the public point. */
static int check_pair(EVP_PKEY *pkey, struct err *e)
{
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);

	if (!ctx)
		return ossl_err(e, "check a JWK");
	if (EVP_PKEY_check(ctx) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_FORMAT, "JWK member d does not belong to x and y");
	}
	return 0;
}

int ossl_ec_from_jwk(EVP_PKEY **out, const struct json *jwk, const char *crv, bool private_key,
		     struct err *e)
{
	size_t width = strcmp(crv, "P-521") == 0 ? WIDTH_MAX : WIDTH_256;
	uint8_t point[1 + 2 * WIDTH_MAX] = { 0x04 };
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = NULL;
	cleanup_param_bld OSSL_PARAM_BLD *bld = NULL;
	cleanup_bn BIGNUM *d = NULL;
	cleanup_params OSSL_PARAM *params = NULL;
	cleanup_pkey EVP_PKEY *pkey = NULL;
	int r = need(jwk, "kty", "EC", e);

	if (r == 0)
		r = need(jwk, "crv", crv, e);
	if (r == 0)
		r = get_number(point + 1, width, jwk, "x", e);
	if (r == 0)
		r = get_number(point + 1 + width, width, jwk, "y", e);
	if (r == 0 && private_key)
		r = ossl_locked_heap(e);
	if (r < 0)
		return r;
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	bld = OSSL_PARAM_BLD_new();
	if (!ctx || !bld ||
	    !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, crv, 0) ||
	    !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width))
		return ossl_err(e, "JWK");
	if (private_key) {
		r = push_private(bld, &d, jwk, e);
		if (r < 0)
			return r;
	}
	params = OSSL_PARAM_BLD_to_param(bld);
	if (!params || EVP_PKEY_fromdata_init(ctx) != 1)
		return ossl_err(e, "JWK");
	if (EVP_PKEY_fromdata(ctx, &pkey, private_key ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
			      params) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_FORMAT, "JWK: the point is not on curve %s%s", crv,
			       private_key ? ", or d is out of range" : "");
	}
	if (private_key)
		r = check_pair(pkey, e);
	if (r == 0)
		*out = take(pkey);
	return r;
}

/* Append "name": "<base64url of p>", by hand: nothing that may be d passes through a struct buf. */
static int put_number(struct secret *s, const char *name, const uint8_t p[WIDTH_256], struct err *e)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char line[16];
	int r;

	(void)snprintf(line, sizeof line, ",\n  \"%s\": \"", name);
	r = secret_append(s, line, strlen(line), e);
	for (size_t bit = 0; r == 0 && bit < 8 * WIDTH_256; bit += 6) {
		size_t i = bit / 8;
		unsigned two = (unsigned)p[i] << 8 | (i + 1 < WIDTH_256 ? p[i + 1] : 0u);

		r = secret_append(s, &digits[two >> (10 - bit % 8) & 63], 1, e);
	}
	return r < 0 ? r : secret_append(s, "\"", 1, e);
}

static int get_key(uint8_t x[WIDTH_256], uint8_t y[WIDTH_256], struct key32 *d, struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = EVP_EC_gen("P-256");
	cleanup_bn BIGNUM *bx = NULL, *by = NULL, *bd = BN_secure_new();

	if (!pkey || !bd || EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &bx) != 1 ||
	    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &by) != 1 ||
	    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &bd) != 1 ||
	    BN_bn2binpad(bx, x, WIDTH_256) < 0 || BN_bn2binpad(by, y, WIDTH_256) < 0 ||
	    BN_bn2binpad(bd, d->b, WIDTH_256) < 0)
		return ossl_err(e, "generate a signing key");
	return 0;
}

int jwk_generate_es256(struct secret *private_json, struct buf *public_json, const char *kid,
		       struct err *e)
{
	cleanup_buf struct buf head = BUF_MAX(JWK_TEXT_MAX / 2);
	cleanup_secret struct secret s = { 0 };
	cleanup_key32 struct key32 d = { 0 };
	uint8_t x[WIDTH_256], y[WIDTH_256];
	int r = ossl_locked_heap(e);

	if (r == 0)
		r = get_key(x, y, &d, e);
	if (r < 0)
		return r;
	buf_puts(&head, "{\n  \"kty\": \"EC\",\n  \"crv\": \"P-256\",\n  \"alg\": \"ES256\",\n"
			"  \"use\": \"sig\",\n  \"kid\": ");
	json_put_string(&head, view_str(kid));
	r = buf_check(&head, "JWK", e);
	if (r == 0)
		r = secret_alloc(&s, JWK_TEXT_MAX, e);
	/* The public form first, then the same text with d. */
	for (int with_d = 0; r == 0 && with_d <= 1; with_d++) {
		s.len = 0;
		r = secret_append(&s, head.p, head.len, e);
		if (r == 0 && with_d)
			r = put_number(&s, "d", d.b, e);
		if (r == 0)
			r = put_number(&s, "x", x, e);
		if (r == 0)
			r = put_number(&s, "y", y, e);
		if (r == 0)
			r = secret_append(&s, "\n}\n", 3, e);
		if (r == 0 && !with_d)
			buf_put(public_json, secret_bytes(&s), s.len);
	}
	if (r == 0)
		r = buf_check(public_json, "public JWK", e);
	if (r == 0)
		secret_move(private_json, &s);
	return r;
}
