/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/passport.h"
#include "agent/kbs/client.h"
#include "agent/kbs/token.h"

static int fail(const char *what, struct err *e)
{
	return err_code(e, CODE_KBS_BAD_REPLY, "the agent's token reply %s", what);
}

static void skip_space(struct view *in)
{
	while (in->len > 0 && memchr(" \t\r\n", in->p[0], 4)) {
		in->p++;
		in->len--;
	}
}

/* The character c, and the space around it, off the front of *in. */
static bool eat(struct view *in, char c)
{
	skip_space(in);
	if (in->len == 0 || in->p[0] != (uint8_t)c)
		return false;
	in->p++;
	in->len--;
	skip_space(in);
	return true;
}

/* A JSON string off the front of *in: what is between its quotes, still escaped. */
static bool eat_string(struct view *out, struct view *in)
{
	if (in->len == 0 || in->p[0] != '"')
		return false;
	for (size_t i = 1; i < in->len && in->p[i] >= 0x20; i++) {
		if (in->p[i] == '"') {
			*out = (struct view){ in->p + 1, i - 1 };
			*in = (struct view){ in->p + i + 1, in->len - i - 1 };
			return true;
		}
		if (in->p[i] == '\\')
			i++;
	}
	return false;
}

/*
 * The two members. By hand, because a JSON library would copy the private key into memory that
 * is neither locked nor erased.
 */
static int find(struct view *token, struct view *pem, struct view in, struct err *e)
{
	if (!eat(&in, '{'))
		return fail("is no JSON object", e);
	do {
		struct view key, value, *member = NULL;

		if (!eat_string(&key, &in) || !eat(&in, ':') || !eat_string(&value, &in))
			return fail("has a member that is no string", e);
		if (view_is(key, "token"))
			member = token;
		else if (view_is(key, "tee_keypair"))
			member = pem;
		if (member && member->p)
			return fail("gives a member twice", e);
		if (member)
			*member = value;
	} while (eat(&in, ','));
	if (!eat(&in, '}') || in.len > 0)
		return fail("does not end after its object", e);
	return token->p && pem->p ? 0 : fail("has no token, or no tee_keypair", e);
}

/* A PEM and a JWT are ASCII: other escapes than these have no place in them. */
static int unescape(struct secret *out, struct view text, struct err *e)
{
	static const char from[] = "nrt/\\\"", to[] = "\n\r\t/\\\"";
	cleanup_secret struct secret s = { 0 };
	int r = secret_alloc(&s, text.len + 1, e);

	for (size_t i = 0; r == 0 && i < text.len; i++) {
		uint8_t c = text.p[i];

		if (c == '\\') {
			/* eat_string() saw to it that there is another. */
			const char *at = text.p[++i] ? strchr(from, text.p[i]) : NULL;

			if (!at)
				return fail("has an escape that is none of its kind", e);
			c = (uint8_t)to[at - from];
		}
		if (c >= 0x7f)
			return fail("is not ASCII", e);
		r = secret_append(&s, &c, 1, e);
	}
	if (r == 0)
		secret_move(out, &s);
	return r;
}

int passport_read(struct secret *token, struct teekey **key, int64_t *life_ms, struct view json,
		  struct err *e)
{
	cleanup_secret struct secret t = { 0 }, pem = { 0 };
	cleanup_teekey struct teekey *k = NULL;
	struct view token_text = { 0 }, pem_text = { 0 };
	int64_t life = 0;
	int r;

	if (json.len > PASSPORT_MAX)
		return err_set(e, ERR_LIMIT, "a token reply of %zu bytes, allowed %u", json.len,
			       PASSPORT_MAX);
	if ((r = find(&token_text, &pem_text, json, e)) < 0 ||
	    (r = unescape(&t, token_text, e)) < 0 || (r = unescape(&pem, pem_text, e)) < 0 ||
	    (r = token_life_ms(&life, (struct view){ secret_bytes(&t), t.len }, e)) < 0)
		return r;
	r = teekey_from_pem(&k, (struct view){ secret_bytes(&pem), pem.len }, e);
	if (r < 0)
		return r == -ERR_NOMEM ? r : fail("has a tee_keypair that is no key", e);
	r = secret_append(&t, "", 1, e);
	if (r < 0)
		return r;
	secret_move(token, &t);
	*key = take(k);
	*life_ms = life / 2 < KBS_REFRESH_MS ? life / 2 : KBS_REFRESH_MS;
	return 0;
}
