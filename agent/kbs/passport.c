/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/passport.h"
#include "agent/base/flatjson.h"
#include "agent/kbs/client.h"
#include "agent/kbs/token.h"

static int fail(const char *what, struct err *e)
{
	return err_code(e, CODE_KBS_BAD_REPLY, "the agent's token reply %s", what);
}

/* The two members. */
static int find(struct view *token, struct view *pem, struct view in, struct err *e)
{
	struct view key, value;
	struct flatjson at;

	if (!flatjson_begin(&at, in))
		return fail("is no JSON object", e);
	while (flatjson_next(&at, &key, &value)) {
		struct view *member = view_is(key, "token")         ? token
				      : view_is(key, "tee_keypair") ? pem
								    : NULL;

		if (member && member->p)
			return fail("gives a member twice", e);
		if (member)
			*member = value;
	}
	if (!flatjson_end(&at))
		return fail("has a member that is no string, or does not end after its object", e);
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
			/* flatjson_next() saw to it that there is another. */
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
