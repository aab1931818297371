/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/byte_list.h"

/* Digits by hand: evidence has thousands of these, and printf would take longer than the device. */
static size_t put_number(char *to, uint8_t v)
{
	size_t n = 0;

	if (v >= 100)
		to[n++] = (char)('0' + v / 100);
	if (v >= 10)
		to[n++] = (char)('0' + v / 10 % 10);
	to[n++] = (char)('0' + v % 10);
	return n;
}

void byte_list_put(struct buf *out, struct view bytes)
{
	char text[256];
	size_t n = 0;

	text[n++] = '[';
	for (size_t i = 0; i < bytes.len; i++) {
		if (i > 0)
			text[n++] = ',';
		n += put_number(text + n, bytes.p[i]);
		if (n > sizeof text - 8) {
			buf_put(out, text, n);
			n = 0;
		}
	}
	text[n++] = ']';
	buf_put(out, text, n);
}

int byte_list_get(struct buf *out, const struct json *list, size_t *bad)
{
	size_t i = 0;

	*bad = SIZE_MAX;
	if (!json_is_array(list))
		return -(int)ERR_FORMAT;
	for (const struct json *v = json_first(list); v; v = json_next(v), i++) {
		uint64_t b;

		if (!json_u64(&b, v) || b > UINT8_MAX) {
			*bad = i;
			return -(int)ERR_FORMAT;
		}
		buf_putc(out, (uint8_t)b);
	}
	return 0;
}
