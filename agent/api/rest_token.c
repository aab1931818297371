/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_token.h"

#include "agent/base/mem.h"

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
 * The member "token" of a flat object of strings. By hand, because a JSON library would copy
 * the private key beside it.
 */
static bool find_token(struct view *out, struct view in)
{
	struct view key, value, token = { 0 };

	if (!eat(&in, '{'))
		return false;
	do {
		if (!eat_string(&key, &in) || !eat(&in, ':') || !eat_string(&value, &in))
			return false;
		if (!view_is(key, "token"))
			continue;
		if (token.p || (value.len > 0 && memchr(value.p, '\\', value.len)))
			return false;
		token = value;
	} while (eat(&in, ','));
	if (!eat(&in, '}') || in.len > 0)
		return false;
	*out = token;
	return token.p != NULL;
}

int rest_token_strip(struct secret *s, struct err *e)
{
	static const char head[] = "{\"token\":\"", tail[] = "\"}";
	const size_t at = sizeof head - 1;
	struct view all = { secret_bytes(s), s->len }, token;

	skip_space(&all);
	if (all.len == 0 || all.p[0] != '{')
		return 0;
	if (!find_token(&token, all)) {
		secret_done(s);
		return err_set(e, ERR_FORMAT,
			       "the token reply is no object of strings with a token");
	}
	/* The reply began with as much as head, and ended with as much as tail. */
	memmove(s->p + at, token.p, token.len);
	memcpy(s->p, head, at);
	memcpy(s->p + at + token.len, tail, sizeof tail - 1);
	s->len = at + token.len + sizeof tail - 1;
	explicit_bzero(s->p + s->len, s->cap - s->len);
	return 0;
}
