/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/flatjson.h"

#include <string.h>

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

bool flatjson_begin(struct flatjson *in, struct view text)
{
	in->rest = text;
	in->first = true;
	return eat(&in->rest, '{');
}

bool flatjson_next(struct flatjson *in, struct view *key, struct view *value)
{
	struct view at = in->rest;

	if (!in->first && !eat(&at, ','))
		return false;
	if (!eat_string(key, &at) || !eat(&at, ':') || !eat_string(value, &at))
		return false;
	in->rest = at;
	in->first = false;
	return true;
}

bool flatjson_end(struct flatjson *in)
{
	return eat(&in->rest, '}') && in->rest.len == 0;
}
