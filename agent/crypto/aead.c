/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/aead.h"
#include "agent/crypto/ossl.h"

#include <openssl/err.h>

static int want_size(struct view v, size_t want, const char *what, struct err *e)
{
	if (v.len != want)
		return err_set(e, ERR_FORMAT, "%s of %zu bytes, want %zu", what, v.len, want);
	return 0;
}

/* Room for a plaintext of n bytes; none is made for an empty one. */
static int make_room(struct secret *s, size_t n, struct err *e)
{
	return n == 0 ? 0 : secret_alloc(s, n, e);
}

/* Run the bytes through the cipher into s, which has room for them. */
static int update(EVP_CIPHER_CTX *ctx, struct secret *s, struct view in, struct err *e)
{
	int n = 0;

	if (in.len == 0)
		return 0;
	if (EVP_DecryptUpdate(ctx, s->p, &n, in.p, (int)in.len) != 1 || (size_t)n != in.len)
		return ossl_err(e, "decrypt");
	s->len = in.len;
	return 0;
}

int aead_gcm_open(struct secret *out, const struct key32 *key, struct view iv, struct view aad,
		  struct view ciphertext, struct view tag, struct err *e)
{
	cleanup_cipher_ctx EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	cleanup_secret struct secret plain = { 0 };
	uint8_t t[AEAD_GCM_TAG], none[1];
	int n = 0;
	int r = want_size(iv, AEAD_GCM_IV, "GCM iv", e);

	if (r == 0)
		r = want_size(tag, AEAD_GCM_TAG, "GCM tag", e);
	if (r == 0)
		r = make_room(&plain, ciphertext.len, e);
	if (r < 0)
		return r;
	if (aad.len > SECRET_MAX)
		return err_set(e, ERR_LIMIT, "associated data of %zu bytes, allowed %u", aad.len,
			       SECRET_MAX);
	memcpy(t, tag.p, sizeof t);
	if (!ctx || EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key->b, iv.p, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof t, t) != 1)
		return ossl_err(e, "begin to decrypt");
	if (aad.len > 0 && EVP_DecryptUpdate(ctx, NULL, &n, aad.p, (int)aad.len) != 1)
		return ossl_err(e, "associated data");
	r = update(ctx, &plain, ciphertext, e);
	if (r < 0)
		return r;
	if (EVP_DecryptFinal_ex(ctx, none, &n) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_VERIFY, "the authentication tag does not match");
	}
	secret_move(out, &plain);
	return 0;
}

int aead_gcm_open_appended(struct secret *out, const struct key32 *key, struct view iv,
			   struct view aad, struct view sealed, struct err *e)
{
	size_t n;

	if (sealed.len < AEAD_GCM_TAG)
		return err_set(e, ERR_FORMAT, "GCM text of %zu bytes, shorter than its tag of %d",
			       sealed.len, AEAD_GCM_TAG);
	n = sealed.len - AEAD_GCM_TAG;
	return aead_gcm_open(out, key, iv, aad, (struct view){ sealed.p, n },
			     (struct view){ sealed.p + n, AEAD_GCM_TAG }, e);
}

int aead_ctr(struct secret *out, const struct key32 *key, struct view iv, struct view ciphertext,
	     struct err *e)
{
	cleanup_cipher_ctx EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	cleanup_secret struct secret plain = { 0 };
	int r = want_size(iv, AEAD_CTR_IV, "CTR iv", e);

	if (r == 0)
		r = make_room(&plain, ciphertext.len, e);
	if (r < 0)
		return r;
	if (!ctx || EVP_DecryptInit_ex2(ctx, EVP_aes_256_ctr(), key->b, iv.p, NULL) != 1)
		return ossl_err(e, "begin to decrypt");
	r = update(ctx, &plain, ciphertext, e);
	if (r < 0)
		return r;
	secret_move(out, &plain);
	return 0;
}
