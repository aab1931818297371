/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_token.h"

#include "agent/base/flatjson.h"

/* The member "token" of a flat object of strings. */
static bool find_token(struct view *out, struct view in)
{
	struct view key, value, token = { 0 };
	struct flatjson at;

	if (!flatjson_begin(&at, in))
		return false;
	while (flatjson_next(&at, &key, &value)) {
		if (!view_is(key, "token"))
			continue;
		if (token.p || (value.len > 0 && memchr(value.p, '\\', value.len)))
			return false;
		token = value;
	}
	if (!flatjson_end(&at))
		return false;
	*out = token;
	return token.p != NULL;
}

int rest_token_strip(struct secret *s, struct err *e)
{
	static const char head[] = "{\"token\":\"", tail[] = "\"}";
	const size_t at = sizeof head - 1;
	struct view all = { secret_bytes(s), s->len }, token;
	struct flatjson object;

	if (!flatjson_begin(&object, all))
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
