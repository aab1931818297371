/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml_scan.h"
#include "agent/base/enc.h"

#include <stdarg.h>
#include <stdio.h>

/* Continuation bytes are not counted, so that the number is what an editor shows. */
static unsigned column(const struct scan *s, struct mark m)
{
	unsigned n = 1;

	for (size_t i = m.line_start; i < m.at; i++)
		n += (s->text.p[i] & 0xc0) != 0x80;
	return n;
}

int scan_fail(const struct scan *s, struct mark where, enum err_kind kind, struct err *e,
	      const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(what, sizeof what, fmt, ap) < 0)
		what[0] = '\0';
	va_end(ap);
	return err_set(e, kind, "line %u, column %u: %s", where.line, column(s, where), what);
}

static void next_line(struct scan *s)
{
	s->m.line++;
	s->m.line_start = s->m.at;
}

/* Bytes of the UTF-8 sequence at p, or 0. */
static size_t sequence(const uint8_t *p, size_t left)
{
	size_t n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

	return n <= left && enc_is_utf8((struct view){ p, n }) ? n : 0;
}

static int fail_not_utf8(struct scan *s, struct err *e)
{
	size_t n;

	while ((n = sequence(s->text.p + s->m.at, s->text.len - s->m.at)) > 0) {
		bool line_end = s->text.p[s->m.at] == '\n';

		s->m.at += n;
		if (line_end)
			next_line(s);
	}
	return scan_fail(s, s->m, ERR_FORMAT, e, "byte 0x%02x is not UTF-8", s->text.p[s->m.at]);
}

int scan_begin(struct scan *s, struct view text, struct err *e)
{
	if (view_starts(text, "\xef\xbb\xbf"))
		text = (struct view){ text.p + 3, text.len - 3 };
	*s = (struct scan){ .text = text, .m = { .line = 1 } };
	return enc_is_utf8(text) ? 0 : fail_not_utf8(s, e);
}

const char *scan_found(const struct scan *s)
{
	static _Thread_local char word[24];
	int c = scan_peek(s, 0);

	if (c < 0)
		return "the end of the text";
	if (c == '\n' || (c == '\r' && scan_peek(s, 1) == '\n'))
		return "the end of the line";
	if (c < ' ' || c == 0x7f)
		(void)snprintf(word, sizeof word, "control character 0x%02x", (unsigned)c);
	else
		(void)snprintf(word, sizeof word, "'%.*s'",
			       (int)sequence(s->text.p + s->m.at, s->text.len - s->m.at),
			       (const char *)s->text.p + s->m.at);
	return word;
}

void scan_blanks(struct scan *s)
{
	while (scan_peek(s, 0) == ' ' || scan_peek(s, 0) == '\t')
		s->m.at++;
}

bool scan_newline(struct scan *s)
{
	size_t n = scan_peek(s, 0) == '\r' ? 1 : 0;

	if (scan_peek(s, n) != '\n')
		return false;
	s->m.at += n + 1;
	next_line(s);
	return true;
}

int scan_rest(struct scan *s, struct err *e)
{
	scan_blanks(s);
	if (scan_peek(s, 0) != '#')
		return 0;
	for (;; s->m.at++) {
		int c = scan_peek(s, 0);

		if (c < 0 || c == '\n' || (c == '\r' && scan_peek(s, 1) == '\n'))
			return 0;
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return scan_fail(s, s->m, ERR_FORMAT, e, "%s in a comment", scan_found(s));
	}
}

int scan_gap(struct scan *s, struct err *e)
{
	int r;

	do {
		r = scan_rest(s, e);
		if (r < 0)
			return r;
	} while (scan_newline(s));
	return 0;
}
