/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml.h"

/* Can stand between three single quotes and read back the same from any reader. */
static bool fits_literal(struct view text)
{
	if (text.p[text.len - 1] == '\'')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.p[i];

		/* A CR would be dropped by some readers and kept by others. */
		if ((c < ' ' && c != '\t' && c != '\n') || c == 0x7f)
			return false;
		if (c == '\'' && text.len - i >= 3 && memcmp(text.p + i, "'''", 3) == 0)
			return false;
	}
	return true;
}

static void put_escaped(struct buf *out, uint8_t c, bool multi)
{
	static const char from[] = "\b\t\n\f\r\"\\", to[] = "btnfr\"\\";
	const char *at = c ? strchr(from, c) : NULL;

	if (c == '\t' || (c == '\n' && multi))
		buf_putc(out, c);
	else if (at)
		buf_printf(out, "\\%c", to[at - from]);
	else if (c < ' ' || c == 0x7f)
		buf_printf(out, "\\u%04X", c);
	else
		buf_putc(out, c);
}

void toml_put_string(struct buf *out, struct view text)
{
	bool multi = text.len > 0 && memchr(text.p, '\n', text.len);
	const char *quote = multi ? "\"\"\"" : "\"";

	if (multi && fits_literal(text)) {
		buf_puts(out, "'''\n");
		buf_putv(out, text);
		buf_puts(out, "'''");
		return;
	}
	buf_puts(out, quote);
	if (multi)
		buf_putc(out, '\n');
	for (size_t i = 0; i < text.len; i++)
		put_escaped(out, text.p[i], multi);
	buf_puts(out, quote);
}
