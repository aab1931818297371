/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/json.h"

/* Bytes of the UTF-8 character that text begins with; 0 when it begins with none. */
static size_t character(struct view text)
{
	for (size_t n = 1; n <= 4 && n <= text.len; n++)
		if (enc_is_utf8((struct view){ text.p, n }))
			return n;
	return 0;
}

void json_put_string(struct buf *out, struct view text)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";

	buf_putc(out, '"');
	for (size_t i = 0, n; i < text.len; i += n) {
		uint8_t c = text.p[i];
		const char *at = c ? strchr(from, c) : NULL;

		n = c < 0x80 ? 1 : character((struct view){ text.p + i, text.len - i });
		if (at)
			buf_printf(out, "\\%c", to[at - from]);
		else if (c < ' ')
			buf_printf(out, "\\u%04x", c);
		else if (n > 0)
			buf_put(out, text.p + i, n);
		else
			buf_puts(out, "\\ufffd");
		n = n > 0 ? n : 1;
	}
	buf_putc(out, '"');
}
