/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jwe.h"
#include "agent/base/enc.h"
#include "agent/crypto/aead.h"
#include "agent/crypto/ossl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define HEADER_MAX  4096 /* bytes of the decoded protected header */
#define Z_MAX       66   /* bytes of a shared secret on P-521 */
#define WRAPPED_CEK 40   /* RFC 3394: a key of 32 bytes and its check */
#define RSA_BYTES   256

/* The five members, still in base64url, borrowed from the document. */
struct members {
	struct view protected, encrypted_key, iv, ciphertext, tag;
};

static int bad(struct err *e, const char *what)
{
	return err_code(e, CODE_KBS_BAD_REPLY, "encrypted reply: %s", what);
}

/* Malformed input is Trustee's doing; limits and memory keep their own kind. */
static int bad_or(struct err *e, int r, const char *what)
{
	if (r == -ERR_FORMAT)
		return err_wrap_code(e, CODE_KBS_BAD_REPLY, "%s", what);
	return err_wrap(e, r, "%s", what);
}

static int get_members(struct members *m, const struct json *doc, struct err *e)
{
	/* aad would change what is authenticated; the others are of forms Trustee never sends. */
	static const char *const refused[] = { "aad", "header", "unprotected", "recipients" };
	const struct {
		const char *name;
		struct view *to;
	} want[] = {
		{ "protected", &m->protected },
		{ "encrypted_key", &m->encrypted_key },
		{ "iv", &m->iv },
		{ "ciphertext", &m->ciphertext },
		{ "tag", &m->tag },
	};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (json_get(doc, refused[i]))
			return err_code(e, CODE_KBS_BAD_REPLY,
					"encrypted reply: member \"%s\" is not accepted",
					refused[i]);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const char *text;
		int r = json_need_string(&text, doc, want[i].name, "JWE", e);

		if (r < 0)
			return bad_or(e, r, "encrypted reply");
		*want[i].to = view_str(text);
	}
	return 0;
}

/* Decode a field of exactly n bytes. */
static int get_exactly(uint8_t *p, size_t n, struct view text, const char *name, struct err *e)
{
	size_t len = n;
	int r = enc_base64_decode_into(p, &len, ENC_B64U, text, e);

	if (r < 0 && r != -ERR_LIMIT)
		return bad_or(e, r, name);
	if (r < 0 || len != n)
		return err_code(e, CODE_KBS_BAD_REPLY, "encrypted reply: %s is not of %zu bytes",
				name, n);
	return 0;
}

static int get_header(struct json **out, struct view protected, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(HEADER_MAX);
	int r = enc_base64_decode(&text, ENC_B64U, protected, e);

	if (r == 0)
		r = json_parse(out, buf_view(&text), HEADER_MAX, e);
	if (r < 0)
		return bad_or(e, r, "protected header of the encrypted reply");
	return 0;
}

static int unsupported(struct err *e, const char *name, const char *value, const char *want)
{
	return err_code(e, CODE_KBS_JWE_ALG, "the reply has %s \"%.60s\", want \"%s\"", name, value,
			want);
}

/* alg and enc are the key's and A256GCM, and nothing else changes what the bytes mean. */
static int check_header(const struct json *header, enum teekey_alg a, struct err *e)
{
	static const char *const refused[] = { "zip", "crit", "apu", "apv" };
	const char *want = a == TEEKEY_RSA ? "RSA-OAEP-256" : "ECDH-ES+A256KW";
	const char *alg, *enc;
	int r = json_need_string(&alg, header, "alg", "JWE header", e);

	if (r == 0)
		r = json_need_string(&enc, header, "enc", "JWE header", e);
	if (r < 0)
		return bad_or(e, r, "encrypted reply");
	if (strcmp(alg, "RSA1_5") == 0)
		return err_code(
			e, CODE_KBS_JWE_ALG,
			"the reply is encrypted with RSA1_5, which is refused (use RSA-OAEP-256)");
	if (strcmp(alg, want) != 0)
		return unsupported(e, "alg", alg, want);
	if (strcmp(enc, "A256GCM") != 0)
		return unsupported(e, "enc", enc, "A256GCM");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (json_get(header, refused[i]))
			return err_code(e, CODE_KBS_BAD_REPLY,
					"encrypted reply: header member \"%s\" is not accepted",
					refused[i]);
	return 0;
}

/* Z: the shared x coordinate at its full width, left zeros kept. */
static int agree(struct secret *z, const struct teekey *k, const struct json *epk, struct err *e)
{
	size_t width = k->alg == TEEKEY_P521 ? Z_MAX : 32, n = width;
	cleanup_pkey EVP_PKEY *peer = NULL;
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = NULL;
	int r = ossl_ec_from_jwk(&peer, epk, k->alg == TEEKEY_P521 ? "P-521" : "P-256", false, e);

	if (r < 0)
		return bad_or(e, r, "epk of the encrypted reply");
	r = secret_alloc(z, width, e);
	if (r < 0)
		return r;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	if (!ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
	    EVP_PKEY_derive(ctx, z->p, &n) != 1 || n != width)
		return ossl_err(e, "agree on a key");
	z->len = n;
	return 0;
}

/* One round of the Concat KDF (RFC 7518 4.6.2); libcrypto's SSKDF puts the counter in front. */
static int derive_kek(struct key32 *kek, struct secret *z, struct err *e)
{
	/* AlgorithmID with its length, empty PartyU and PartyV, SuppPubInfo 256 bits. */
	static const char info[] = "\0\0\0\x0e"
				   "ECDH-ES+A256KW"
				   "\0\0\0\0"
				   "\0\0\0\0"
				   "\0\0\x01\0";
	char hash[] = "SHA256", fixed[sizeof info];
	cleanup_kdf EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SSKDF", NULL);
	cleanup_kdf_ctx EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, z->p, z->len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, fixed, sizeof info - 1),
		OSSL_PARAM_construct_end(),
	};

	memcpy(fixed, info, sizeof info);
	if (!ctx || EVP_KDF_derive(ctx, kek->b, sizeof kek->b, params) != 1)
		return ossl_err(e, "derive a key");
	return 0;
}

/* What does not unwrap and what does not authenticate look the same from outside. */
static int not_ours(struct err *e)
{
	ERR_clear_error();
	return err_code(e, CODE_KBS_DECRYPT,
			"the encrypted reply does not authenticate under this guest's TEE key");
}

static int unwrap_cek(struct key32 *cek, const struct key32 *kek,
		      const uint8_t wrapped[WRAPPED_CEK], struct err *e)
{
	cleanup_cipher_ctx EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct {
		struct key32 cek;
		struct key32 spare; /* the cipher may use room up to the size of its input */
	} out = { 0 };
	int n = 0, ok;

	if (!ctx)
		return ossl_err(e, "unwrap a key");
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	if (EVP_DecryptInit_ex2(ctx, EVP_aes_256_wrap(), kek->b, NULL, NULL) != 1)
		return ossl_err(e, "unwrap a key");
	ok = EVP_DecryptUpdate(ctx, out.cek.b, &n, wrapped, WRAPPED_CEK) == 1 && n == sizeof cek->b;
	if (ok)
		*cek = out.cek;
	explicit_bzero(&out, sizeof out);
	return ok ? 0 : not_ours(e);
}

static int cek_by_ecdh(struct key32 *cek, const struct teekey *k, const struct json *header,
		       struct view encrypted_key, struct err *e)
{
	const struct json *epk = json_get(header, "epk");
	cleanup_secret struct secret z = { 0 };
	cleanup_key32 struct key32 kek = { 0 };
	uint8_t wrapped[WRAPPED_CEK];
	int r;

	if (!json_is_object(epk))
		return bad(e, "the header has no epk");
	r = get_exactly(wrapped, sizeof wrapped, encrypted_key, "encrypted_key", e);
	if (r == 0)
		r = agree(&z, k, epk, e);
	if (r == 0)
		r = derive_kek(&kek, &z, e);
	if (r == 0)
		r = unwrap_cek(cek, &kek, wrapped, e);
	return r;
}

static int cek_by_rsa(struct key32 *cek, const struct teekey *k, struct view encrypted_key,
		      struct err *e)
{
	cleanup_pkey_ctx EVP_PKEY_CTX *ctx = NULL;
	cleanup_secret struct secret plain = { 0 };
	uint8_t wrapped[RSA_BYTES];
	size_t n = RSA_BYTES;
	int r = get_exactly(wrapped, sizeof wrapped, encrypted_key, "encrypted_key", e);

	if (r == 0)
		r = secret_alloc(&plain, RSA_BYTES, e);
	if (r < 0)
		return r;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	if (!ctx || EVP_PKEY_decrypt_init(ctx) != 1 ||
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) != 1 ||
	    EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) != 1)
		return ossl_err(e, "decrypt a key");
	if (EVP_PKEY_decrypt(ctx, plain.p, &n, wrapped, sizeof wrapped) != 1 || n != sizeof cek->b)
		return not_ours(e);
	memcpy(cek->b, plain.p, sizeof cek->b);
	return 0;
}

/* Decode the ciphertext and decrypt it into locked memory. */
static int open_text(struct secret *out, const struct key32 *cek, const struct members *m,
		     struct err *e)
{
	size_t n = m->ciphertext.len / 4 * 3 + 3;
	cleanup_free uint8_t *ciphertext = NULL;
	uint8_t iv[AEAD_GCM_IV], tag[AEAD_GCM_TAG];
	int r = get_exactly(iv, sizeof iv, m->iv, "iv", e);

	if (r == 0)
		r = get_exactly(tag, sizeof tag, m->tag, "tag", e);
	if (r < 0)
		return r;
	ciphertext = malloc(n);
	if (!ciphertext)
		return err_set(e, ERR_NOMEM, "no memory for an encrypted reply of %zu bytes", n);
	r = enc_base64_decode_into(ciphertext, &n, ENC_B64U, m->ciphertext, e);
	if (r < 0)
		return bad_or(e, r, "ciphertext of the encrypted reply");
	r = aead_gcm_open(out, cek, (struct view){ iv, sizeof iv }, m->protected,
			  (struct view){ ciphertext, n }, (struct view){ tag, sizeof tag }, e);
	return r == -ERR_VERIFY ? not_ours(e) : r;
}

int jwe_decrypt(struct secret *out, const struct teekey *k, struct view text, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	cleanup_json struct json *header = NULL;
	cleanup_key32 struct key32 cek = { 0 };
	struct members m = { 0 };
	int r = json_parse(&doc, text, JWE_TEXT_MAX, e);

	if (r < 0)
		return bad_or(e, r, "encrypted reply");
	r = get_members(&m, doc, e);
	if (r == 0)
		r = get_header(&header, m.protected, e);
	if (r == 0)
		r = check_header(header, k->alg, e);
	if (r == 0 && k->alg == TEEKEY_RSA)
		r = cek_by_rsa(&cek, k, m.encrypted_key, e);
	else if (r == 0)
		r = cek_by_ecdh(&cek, k, header, m.encrypted_key, e);
	if (r < 0)
		return r;
	return open_text(out, &cek, &m, e);
}
