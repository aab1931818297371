/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml_scan.h"

static bool is_control(int c)
{
	return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f;
}

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void put_utf8(struct buf *out, uint32_t u)
{
	if (u < 0x80) {
		buf_putc(out, (uint8_t)u);
		return;
	}
	if (u < 0x800) {
		buf_putc(out, (uint8_t)(0xc0 | u >> 6));
	} else {
		if (u < 0x10000) {
			buf_putc(out, (uint8_t)(0xe0 | u >> 12));
		} else {
			buf_putc(out, (uint8_t)(0xf0 | u >> 18));
			buf_putc(out, (uint8_t)(0x80 | (u >> 12 & 63)));
		}
		buf_putc(out, (uint8_t)(0x80 | (u >> 6 & 63)));
	}
	buf_putc(out, (uint8_t)(0x80 | (u & 63)));
}

/* m stands on the backslash; behind "\u" or "\U" come n digits. */
static int unicode_escape(struct scan *s, struct buf *out, size_t n, struct err *e)
{
	uint32_t u = 0;

	for (size_t i = 0; i < n; i++) {
		int v = hex_value(scan_peek(s, 2 + i));

		if (v < 0)
			return scan_fail(s, s->m, ERR_FORMAT, e,
					 "this escape wants %zu hexadecimal digits", n);
		u = u << 4 | (uint32_t)v;
	}
	/* TOML: only Unicode scalar values. */
	if (u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
		return scan_fail(s, s->m, ERR_FORMAT, e, "U+%04X is no Unicode scalar value", u);
	put_utf8(out, u);
	s->m.at += 2 + n;
	return 0;
}

/* The backslash that ends a line takes all white space before the next character away. */
static bool line_ending_backslash(struct scan *s)
{
	struct scan ahead = *s;

	ahead.m.at++;
	scan_blanks(&ahead);
	if (!scan_newline(&ahead))
		return false;
	do
		scan_blanks(&ahead);
	while (scan_newline(&ahead));
	*s = ahead;
	return true;
}

static int escape(struct scan *s, struct buf *out, bool multi, struct err *e)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	int c = scan_peek(s, 1);
	const char *at = c > 0 ? strchr(from, c) : NULL;

	if (at) {
		buf_putc(out, (uint8_t)to[at - from]);
		s->m.at += 2;
		return 0;
	}
	if (c == 'u' || c == 'U')
		return unicode_escape(s, out, c == 'u' ? 4 : 8, e);
	if (multi && line_ending_backslash(s))
		return 0;
	return scan_fail(
		s, s->m, ERR_FORMAT, e,
		"unknown escape; want \\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX or \\UXXXXXXXX");
}

/* "…" or '…'; the opening quote is not yet taken. */
static int one_line(struct scan *s, struct buf *out, int quote, struct err *e)
{
	struct mark start = s->m;

	s->m.at++;
	for (;;) {
		int c = scan_peek(s, 0), r;

		if (c == quote) {
			s->m.at++;
			return 0;
		}
		if (c < 0 || c == '\n' || (c == '\r' && scan_peek(s, 1) == '\n'))
			return scan_fail(s, start, ERR_FORMAT, e,
					 "the string that begins here has no end on its line");
		if (is_control(c))
			return scan_fail(s, s->m, ERR_FORMAT, e, "%s in a string", scan_found(s));
		if (c == '\\' && quote == '"') {
			r = escape(s, out, false, e);
			if (r < 0)
				return r;
			continue;
		}
		buf_putc(out, (uint8_t)c);
		s->m.at++;
	}
}

/*
 * A run of quotes inside a three-quote string. Up to two belong to the content, three end it,
 * with up to two of content before them; a sixth belongs to nothing and fails as what follows.
 * Returns true at the end of the string.
 */
static bool quotes(struct scan *s, struct buf *out, int quote)
{
	size_t n = 1, content;

	while (n < 5 && scan_peek(s, n) == quote)
		n++;
	content = n < 3 ? n : n - 3;
	buf_put(out, quote == '"' ? "\"\"" : "''", content);
	s->m.at += n;
	return n >= 3;
}

/* Line ends become LF, as TOML allows and the other readers of initdata do. */
static int multi_line(struct scan *s, struct buf *out, int quote, struct err *e)
{
	struct mark start = s->m;

	s->m.at += 3;
	(void)scan_newline(s);
	for (;;) {
		int c = scan_peek(s, 0), r;

		if (c < 0)
			return scan_fail(s, start, ERR_FORMAT, e,
					 "the string that begins here has no end");
		if (c == quote) {
			if (quotes(s, out, quote))
				return 0;
		} else if (c == '\\' && quote == '"') {
			r = escape(s, out, true, e);
			if (r < 0)
				return r;
		} else if (scan_newline(s)) {
			buf_putc(out, '\n');
		} else if (is_control(c)) {
			return scan_fail(s, s->m, ERR_FORMAT, e, "%s in a string", scan_found(s));
		} else {
			buf_putc(out, (uint8_t)c);
			s->m.at++;
		}
	}
}

int scan_string(struct scan *s, struct buf *out, bool multi, struct err *e)
{
	int quote = scan_peek(s, 0), r;

	if (multi && scan_peek(s, 1) == quote && scan_peek(s, 2) == quote)
		r = multi_line(s, out, quote, e);
	else
		r = one_line(s, out, quote, e);
	return r < 0 ? r : buf_check(out, "TOML string", e);
}

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

int scan_key_part(struct scan *s, struct buf *out, struct err *e)
{
	size_t n = 0;
	int c = scan_peek(s, 0);

	if (c == '"' || c == '\'')
		return scan_string(s, out, false, e);
	while (is_bare(scan_peek(s, n)))
		n++;
	if (n == 0)
		return scan_fail(s, s->m, ERR_FORMAT, e,
				 "want a key, found %s (a key with other characters than "
				 "A-Za-z0-9_- stands in quotes)",
				 scan_found(s));
	buf_put(out, s->text.p + s->m.at, n);
	s->m.at += n;
	return buf_check(out, "TOML key", e);
}
