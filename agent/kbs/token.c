/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/token.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"

/* The second of the parts between dots, decoded. Neither of the others is looked at. */
static int claims(struct json **out, struct view token, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(TOKEN_MAX);
	cleanup_json struct json *doc = NULL;
	const uint8_t *first = token.p ? memchr(token.p, '.', token.len) : NULL;
	struct view part;
	const uint8_t *second;
	int r;

	if (token.len > TOKEN_MAX)
		return err_code(e, CODE_TOKEN_FORMAT, "a token of %zu bytes, allowed %u", token.len,
				TOKEN_MAX);
	if (!first)
		return err_code(e, CODE_TOKEN_FORMAT, "a token without a dot");
	part.p = first + 1;
	part.len = token.len - (size_t)(part.p - token.p);
	second = memchr(part.p, '.', part.len);
	if (second)
		part.len = (size_t)(second - part.p);
	r = enc_base64_decode(&text, ENC_B64U, part, e);
	if (r == 0)
		r = json_parse(&doc, buf_view(&text), TOKEN_MAX, e);
	if (r == -ERR_NOMEM)
		return r;
	if (r < 0)
		return err_wrap_code(e, CODE_TOKEN_FORMAT, "token");
	if (!json_is_object(doc))
		return err_code(e, CODE_TOKEN_FORMAT, "the token's claims are no JSON object");
	*out = take(doc);
	return 0;
}

/* A NumericDate, when the claim is there. Anything but an integer is no date of Trustee's. */
static int date(int64_t *out, bool *there, const struct json *c, const char *name, struct err *e)
{
	const struct json *v = json_get(c, name);

	*there = v != NULL;
	if (v && !json_integer(out, v))
		return err_code(e, CODE_TOKEN_FORMAT, "the token's %s is no whole number", name);
	return 0;
}

int token_life_ms(int64_t *out, struct view token, struct err *e)
{
	cleanup_json struct json *c = NULL;
	bool has_exp, has_iat;
	int64_t exp = 0, iat = 0, life;
	int r;

	if ((r = claims(&c, token, e)) < 0 || (r = date(&exp, &has_exp, c, "exp", e)) < 0 ||
	    (r = date(&iat, &has_iat, c, "iat", e)) < 0)
		return r;
	if (!has_exp || !has_iat) {
		*out = TOKEN_LIFE_NO_EXP_MS;
		return 0;
	}
	/* Both lie within ±2^53: neither step can overflow. */
	life = exp - iat;
	if (life <= 0 || life > TOKEN_LIFE_MAX_MS / 1000)
		return err_code(e, CODE_TOKEN_BAD_LIFE, "exp - iat is %lld s, allowed 1..%lld",
				(long long)life, TOKEN_LIFE_MAX_MS / 1000);
	*out = life * 1000;
	return 0;
}

int token_valid_at(bool *out, struct view token, int64_t now, struct err *e)
{
	cleanup_json struct json *c = NULL;
	bool has_exp, has_nbf;
	int64_t exp = 0, nbf = 0;
	int r;

	if ((r = claims(&c, token, e)) < 0 || (r = date(&exp, &has_exp, c, "exp", e)) < 0 ||
	    (r = date(&nbf, &has_nbf, c, "nbf", e)) < 0)
		return r;
	*out = !(has_exp && exp < now) && !(has_nbf && nbf > now);
	return 0;
}
