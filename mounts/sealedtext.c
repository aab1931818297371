/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/sealedtext.h"

struct view sealedtext_trim(struct view v)
{
	while (v.len > 0 && memchr(" \t\r\n\v\f", v.p[v.len - 1], 6))
		v.len--;
	return v;
}

static bool is_b64u(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* Three runs of base64url with dots between them at v's start. */
static bool three_parts(struct view v)
{
	size_t at = 0;

	for (int part = 0; part < 3; part++) {
		size_t from = at;

		while (at < v.len && is_b64u(v.p[at]))
			at++;
		if (at == from)
			return false;
		if (part < 2 && (at >= v.len || v.p[at++] != '.'))
			return false;
	}
	return true;
}

bool sealedtext_within(struct view v)
{
	const size_t n = strlen(SEALED_PREFIX);

	for (size_t i = 0; i + n <= v.len; i++) {
		struct view rest = { v.p + i, v.len - i };

		if (!sealedtext_is(rest))
			continue;
		if (i == 0 || v.p[i - 1] == '=')
			return true;
		if (three_parts((struct view){ rest.p + n, rest.len - n }))
			return true;
	}
	return false;
}
