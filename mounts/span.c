/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/span.h"

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_space(struct view t, size_t at)
{
	while (at < t.len && is_space(t.p[at]))
		at++;
	return at;
}

/* at stands on the opening quote; the offset behind the closing one. */
static size_t skip_string(struct view t, size_t at)
{
	for (at++; at < t.len; at++) {
		if (t.p[at] == '\\')
			at++;
		else if (t.p[at] == '"')
			return at + 1;
	}
	return t.len;
}

static size_t skip_value(struct view t, size_t at)
{
	size_t depth = 0;

	while (at < t.len) {
		uint8_t c = t.p[at];

		if (c == '"') {
			at = skip_string(t, at);
			if (depth == 0)
				return at;
			continue;
		}
		if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (depth == 0)
				return at;
			if (--depth == 0)
				return at + 1;
		} else if (depth == 0 && (c == ',' || is_space(c))) {
			return at;
		}
		at++;
	}
	return t.len;
}

/* at stands before a child; in an object that is its key. Only a key is a string before a colon. */
static size_t to_value(struct view t, size_t at)
{
	size_t behind;

	at = skip_space(t, at);
	if (at >= t.len || t.p[at] != '"')
		return at;
	behind = skip_space(t, skip_string(t, at));
	if (behind >= t.len || t.p[behind] != ':')
		return at;
	return skip_space(t, behind + 1);
}

size_t span_root(struct view text)
{
	return skip_space(text, 0);
}

bool span_first(size_t *at, struct view text, size_t container)
{
	size_t v;

	if (container >= text.len || (text.p[container] != '{' && text.p[container] != '['))
		return false;
	v = skip_space(text, container + 1);
	if (v >= text.len || text.p[v] == '}' || text.p[v] == ']')
		return false;
	*at = to_value(text, v);
	return true;
}

bool span_next(size_t *at, struct view text)
{
	size_t behind = skip_space(text, skip_value(text, *at));

	if (behind >= text.len || text.p[behind] != ',')
		return false;
	*at = to_value(text, behind + 1);
	return true;
}

size_t span_len(struct view text, size_t at)
{
	return at < text.len ? skip_value(text, at) - at : 0;
}
