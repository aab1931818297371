/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jws.h"
#include "agent/base/enc.h"
#include "agent/crypto/jwk.h"
#include "agent/crypto/ossl.h"

#include <openssl/err.h>

#define SIGNATURE 64 /* bytes: r then s */
#define HALF      32
#define DER_MAX   72 /* bytes of the longest ECDSA-Sig-Value on P-256 */

/* Cut at dots into exactly three parts. */
static int cut(struct view parts[3], struct view text, struct err *e)
{
	size_t n = 0, from = 0;

	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.p[i] != '.')
			continue;
		if (n < 3)
			parts[n] = (struct view){ text.p + from, i - from };
		n++;
		from = i + 1;
	}
	if (n != 3)
		return err_set(e, ERR_FORMAT, "JWS has %zu parts, want 3", n);
	return 0;
}

/* Copy a mandatory text member of the header into room bytes. */
static int get_text(char *out, size_t room, const struct json *header, const char *name,
		    struct err *e)
{
	const char *text;
	size_t n;
	int r = json_need_string(&text, header, name, "JWS header", e);

	if (r < 0)
		return r;
	n = strlen(text);
	if (n >= room)
		return err_set(e, ERR_LIMIT, "JWS header member %s of %zu bytes, allowed %zu", name,
			       n, room - 1);
	memcpy(out, text, n + 1);
	return 0;
}

static int read_header(struct jws *j, struct view part, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(JWS_TEXT_MAX);
	cleanup_json struct json *header = NULL;
	const struct json *b64;
	int r = enc_base64_decode(&text, ENC_B64U, part, e);

	if (r == 0)
		r = json_parse(&header, buf_view(&text), JWS_TEXT_MAX, e);
	if (r < 0)
		return err_wrap(e, r, "JWS header");
	if (!json_is_object(header))
		return err_set(e, ERR_FORMAT, "JWS header is no JSON object");
	/* RFC 7515 4.1.11: what is critical must be understood, and we understand no extension. */
	if (json_get(header, "crit"))
		return err_set(e, ERR_FORMAT, "JWS header has crit, which is not accepted");
	b64 = json_get(header, "b64");
	/* Upstream writes a stray "b64":true; false (RFC 7797) would change what is signed. */
	if (b64 && !json_is_true(b64))
		return err_set(e, ERR_FORMAT, "JWS header has a b64 other than true");
	r = get_text(j->alg, sizeof j->alg, header, "alg", e);
	if (r == 0)
		r = get_text(j->kid, sizeof j->kid, header, "kid", e);
	return r;
}

int jws_parse(struct jws *out, struct view text, struct err *e)
{
	cleanup_jws struct jws j = { .payload = BUF_MAX(JWS_TEXT_MAX) };
	struct view parts[3] = { 0 };
	size_t n = SIGNATURE;
	int r;

	if (text.len > JWS_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "JWS of %zu bytes, allowed %u", text.len,
			       JWS_TEXT_MAX);
	r = cut(parts, text, e);
	if (r == 0)
		r = read_header(&j, parts[0], e);
	if (r < 0)
		return r;
	r = enc_base64_decode(&j.payload, ENC_B64U, parts[1], e);
	if (r < 0)
		return err_wrap(e, r, "JWS payload");
	j.signing_input = (struct view){ text.p, (size_t)(parts[1].p - text.p) + parts[1].len };
	j.has_signature = enc_base64_decode_into(j.signature, &n, ENC_B64U, parts[2], NULL) == 0 &&
			  n == SIGNATURE;
	*out = j;
	j = (struct jws){ 0 };
	return 0;
}

void jws_done(struct jws *j)
{
	buf_done(&j->payload);
	*j = (struct jws){ 0 };
}

static int bad_key(struct err *e, int r)
{
	if (r == -ERR_FORMAT || r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_SEALED_KEY, "signing key");
	return err_wrap(e, r, "signing key");
}

static int read_key(EVP_PKEY **out, struct view jwk, bool private_key, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	int r = json_parse(&doc, jwk, JWK_TEXT_MAX, e);

	if (r == 0)
		r = ossl_ec_from_jwk(out, doc, "P-256", private_key, e);
	return r < 0 ? bad_key(e, r) : 0;
}

int jws_verify_es256(const struct jws *j, struct view jwk, struct err *e)
{
	const struct ecdsa_signature rs = { { j->signature, HALF }, { j->signature + HALF, HALF },
					    false };
	cleanup_pkey EVP_PKEY *pkey = NULL;
	int r;

	if (strcmp(j->alg, "ES256") != 0)
		return err_code(e, CODE_SEALED_ALGORITHM, "signed with \"%s\", want \"ES256\"",
				j->alg);
	r = read_key(&pkey, jwk, false, e);
	if (r < 0)
		return r;
	if (!j->has_signature)
		return err_code(e, CODE_SEALED_SIGNATURE, "the signature is not of %d bytes",
				SIGNATURE);
	r = ossl_ecdsa_verify(pkey, ECDSA_P256, j->signing_input, rs, e);
	if (r == -ERR_VERIFY)
		return err_code(e, CODE_SEALED_SIGNATURE,
				"the signature does not match the key \"%.200s\"", j->kid);
	return r;
}

static int sign(uint8_t rs[SIGNATURE], EVP_PKEY *pkey, struct view input, struct err *e)
{
	cleanup_md_ctx EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	cleanup_ecdsa ECDSA_SIG *sig = NULL;
	uint8_t der[DER_MAX];
	const uint8_t *p = der;
	size_t n = sizeof der;

	if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) != 1 ||
	    EVP_DigestSign(ctx, der, &n, input.p, input.len) != 1)
		return ossl_err(e, "sign");
	sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
	if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), rs, HALF) < 0 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), rs + HALF, HALF) < 0)
		return ossl_err(e, "read the signature");
	return 0;
}

int jws_sign_es256(struct buf *out, struct view header_json, struct view payload_json,
		   const struct secret *jwk, struct err *e)
{
	cleanup_pkey EVP_PKEY *pkey = NULL;
	uint8_t rs[SIGNATURE];
	size_t from = out->len;
	int r = read_key(&pkey, (struct view){ secret_bytes(jwk), jwk->len }, true, e);

	if (r < 0)
		return r;
	enc_base64(out, ENC_B64U, header_json);
	buf_putc(out, '.');
	enc_base64(out, ENC_B64U, payload_json);
	r = buf_check(out, "JWS", e);
	if (r == 0)
		r = sign(rs, pkey, (struct view){ out->p + from, out->len - from }, e);
	if (r < 0)
		return r;
	buf_putc(out, '.');
	enc_base64(out, ENC_B64U, (struct view){ rs, sizeof rs });
	return buf_check(out, "JWS", e);
}

int jws_claims(struct buf *out, struct view token, struct err *e)
{
	struct view parts[3] = { 0 };
	int r = cut(parts, token, e);

	if (r == 0)
		r = enc_base64_decode(out, ENC_B64U, parts[1], e);
	if (r == -ERR_FORMAT)
		return err_wrap_code(e, CODE_TOKEN_FORMAT, "token");
	return r < 0 ? err_wrap(e, r, "token") : 0;
}
