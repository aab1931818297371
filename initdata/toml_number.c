/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml_scan.h"

#include <math.h>
#include <stdlib.h>

/*
 * Numbers, dates and times. The text is cut first, at the first character that none of them
 * has, and then matched as a whole, so that "12abc" is one wrong number.
 */
enum { TOKEN_MAX = 1024 };

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool in_token(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
	       c == '-' || c == '.' || c == '_' || c == ':';
}

/* A date may be followed by one space and its time. */
static bool date_then_time(const struct scan *s, size_t n)
{
	return n == 10 && scan_peek(s, 4) == '-' && scan_peek(s, 7) == '-' &&
	       scan_peek(s, 10) == ' ' && is_digit(scan_peek(s, 11)) &&
	       is_digit(scan_peek(s, 12)) && scan_peek(s, 13) == ':';
}

static struct view token(const struct scan *s)
{
	size_t n = 0;

	while (in_token(scan_peek(s, n)))
		n++;
	if (date_then_time(s, n)) {
		n++;
		while (in_token(scan_peek(s, n)))
			n++;
	}
	return (struct view){ s->text.p + s->m.at, n };
}

static int at(struct view v, size_t i)
{
	return i < v.len ? v.p[i] : -1;
}

/* --- dates and times ------------------------------------------------------ */

/* n digits at *i as a number within lo..hi; moves *i. */
static bool number(struct view v, size_t *i, unsigned n, unsigned lo, unsigned hi, unsigned *out)
{
	unsigned x = 0;

	while (n-- > 0) {
		int c = at(v, *i);

		if (!is_digit(c))
			return false;
		x = x * 10 + (unsigned)(c - '0');
		++*i;
	}
	if (out)
		*out = x;
	return x >= lo && x <= hi;
}

static bool literal(struct view v, size_t *i, int c)
{
	if (at(v, *i) != c)
		return false;
	++*i;
	return true;
}

static bool date(struct view v, size_t *i)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	unsigned y, m, d;
	bool leap;

	if (!number(v, i, 4, 0, 9999, &y) || !literal(v, i, '-') || !number(v, i, 2, 1, 12, &m) ||
	    !literal(v, i, '-') || !number(v, i, 2, 1, 31, &d))
		return false;
	leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
	return d <= days[m - 1] + (m == 2 && leap ? 1u : 0u);
}

/* RFC 3339 has a second 60 for leap seconds. */
static bool time_of_day(struct view v, size_t *i)
{
	if (!number(v, i, 2, 0, 23, NULL) || !literal(v, i, ':') || !number(v, i, 2, 0, 59, NULL) ||
	    !literal(v, i, ':') || !number(v, i, 2, 0, 60, NULL))
		return false;
	if (!literal(v, i, '.'))
		return true;
	if (!is_digit(at(v, *i)))
		return false;
	while (is_digit(at(v, *i)))
		++*i;
	return true;
}

static bool offset(struct view v, size_t *i)
{
	if (literal(v, i, 'Z') || literal(v, i, 'z'))
		return true;
	return (literal(v, i, '+') || literal(v, i, '-')) && number(v, i, 2, 0, 23, NULL) &&
	       literal(v, i, ':') && number(v, i, 2, 0, 59, NULL);
}

static bool is_datetime(struct view v)
{
	size_t i = 0;

	if (at(v, 2) == ':')
		return time_of_day(v, &i) && i == v.len;
	if (!date(v, &i))
		return false;
	if (i == v.len)
		return true;
	if (!literal(v, &i, 'T') && !literal(v, &i, 't') && !literal(v, &i, ' '))
		return false;
	if (!time_of_day(v, &i))
		return false;
	return i == v.len || (offset(v, &i) && i == v.len);
}

static bool looks_like_datetime(struct view v)
{
	return (is_digit(at(v, 0)) && is_digit(at(v, 1)) && at(v, 2) == ':') ||
	       (is_digit(at(v, 0)) && is_digit(at(v, 1)) && is_digit(at(v, 2)) &&
		is_digit(at(v, 3)) && at(v, 4) == '-');
}

/* TOML: precision that cannot be kept is cut off, not rounded. */
static void normalise(char *out, struct view v)
{
	enum { FRACTION_MAX = 18 };
	bool in_fraction = false;
	unsigned kept = 0;

	for (size_t i = 0; i < v.len; i++) {
		char c = (char)v.p[i];

		if (c == ' ' || c == 't')
			c = 'T';
		else if (c == 'z')
			c = 'Z';
		in_fraction = c == '.' || (in_fraction && is_digit(c));
		if (!in_fraction || kept++ <= FRACTION_MAX)
			*out++ = c;
	}
	*out = '\0';
}

/* --- numbers -------------------------------------------------------------- */

static int digit_of(int c, int base)
{
	int v = is_digit(c)            ? c - '0'
		: c >= 'a' && c <= 'f' ? c - 'a' + 10
		: c >= 'A' && c <= 'F' ? c - 'A' + 10
				       : 99;

	return v < base ? v : -1;
}

/*
 * Digits with single underscores between them, appended to out without those (out has room
 * for the whole token). False when there is none, or an underscore has no digit at a side.
 */
static bool digits(struct view v, size_t *i, int base, char *out, size_t *n)
{
	if (digit_of(at(v, *i), base) < 0)
		return false;
	for (;;) {
		out[(*n)++] = (char)at(v, (*i)++);
		if (at(v, *i) == '_') {
			++*i;
			if (digit_of(at(v, *i), base) < 0)
				return false;
		} else if (digit_of(at(v, *i), base) < 0) {
			return true;
		}
	}
}

/* True when text is within int64; it is counted downwards, where there is room for the minimum. */
static bool to_integer(int64_t *out, const char *text, size_t n, int base, bool minus)
{
	int64_t x = 0;

	for (size_t i = 0; i < n; i++)
		if (__builtin_mul_overflow(x, base, &x) ||
		    __builtin_sub_overflow(x, digit_of(text[i], base), &x))
			return false;
	if (!minus && x == INT64_MIN)
		return false;
	*out = minus ? x : -x;
	return true;
}

enum verdict { GOOD, BAD_FORM, BAD_ZERO, BAD_RANGE };

static enum verdict with_base(struct toml_scalar *out, struct view v, int base)
{
	char text[TOKEN_MAX];
	size_t i = 2, n = 0;

	if (!digits(v, &i, base, text, &n) || i != v.len)
		return BAD_FORM;
	out->kind = SCALAR_INTEGER;
	return to_integer(&out->integer, text, n, base, false) ? GOOD : BAD_RANGE;
}

/* The fraction and exponent behind an integer part that text[0..n) holds already. */
static enum verdict floating(struct toml_scalar *out, struct view v, size_t i, char *text, size_t n)
{
	if (at(v, i) == '.') {
		text[n++] = '.';
		i++;
		if (!digits(v, &i, 10, text, &n))
			return BAD_FORM;
	}
	if (at(v, i) == 'e' || at(v, i) == 'E') {
		text[n++] = 'e';
		i++;
		if (at(v, i) == '+' || at(v, i) == '-')
			text[n++] = (char)at(v, i++);
		if (!digits(v, &i, 10, text, &n))
			return BAD_FORM;
	}
	if (i != v.len)
		return BAD_FORM;
	text[n] = '\0';
	out->kind = SCALAR_FLOAT;
	out->number = strtod(text, NULL);
	return GOOD;
}

static enum verdict decimal(struct toml_scalar *out, struct view v)
{
	bool sign = at(v, 0) == '-' || at(v, 0) == '+', minus = at(v, 0) == '-';
	struct view word = { v.p + sign, v.len - sign };
	char text[TOKEN_MAX + 1];
	size_t i = sign, n = 0;

	if (view_is(word, "inf") || view_is(word, "nan")) {
		out->kind = SCALAR_FLOAT;
		out->number = copysign(view_is(word, "inf") ? (double)INFINITY : (double)NAN,
				       minus ? -1.0 : 1.0);
		return GOOD;
	}
	if (minus)
		text[n++] = '-';
	if (!digits(v, &i, 10, text, &n))
		return BAD_FORM;
	if (at(word, 0) == '0' && n > (minus ? 2u : 1u))
		return BAD_ZERO;
	if (i != v.len)
		return floating(out, v, i, text, n);
	out->kind = SCALAR_INTEGER;
	return to_integer(&out->integer, text + minus, n - minus, 10, minus) ? GOOD : BAD_RANGE;
}

static enum verdict numeric(struct toml_scalar *out, struct view v)
{
	if (view_starts(v, "0x"))
		return with_base(out, v, 16);
	if (view_starts(v, "0o"))
		return with_base(out, v, 8);
	if (view_starts(v, "0b"))
		return with_base(out, v, 2);
	return decimal(out, v);
}

int scan_scalar(struct scan *s, struct toml_scalar *out, struct err *e)
{
	static const char *const why[] = {
		[BAD_FORM] = "is no number, date or time (text stands in quotes)",
		[BAD_ZERO] = "has a leading zero",
		[BAD_RANGE] = "does not fit into 64 bits",
	};
	struct toml_scalar x = { 0 };
	struct view v = token(s);
	enum verdict is;

	if (v.len == 0)
		return scan_fail(s, s->m, ERR_FORMAT, e, "want a value, found %s", scan_found(s));
	if (v.len >= TOKEN_MAX)
		return scan_fail(s, s->m, ERR_LIMIT, e, "a number of over %d characters",
				 TOKEN_MAX - 1);
	if (looks_like_datetime(v)) {
		if (!is_datetime(v))
			return scan_fail(s, s->m, ERR_FORMAT, e, "\"%.*s\" is no date or time",
					 (int)(v.len > 40 ? 40 : v.len), (const char *)v.p);
		x.kind = SCALAR_DATETIME;
		normalise(x.date, v);
	} else {
		is = numeric(&x, v);
		if (is != GOOD)
			return scan_fail(s, s->m, ERR_FORMAT, e, "\"%.*s\" %s",
					 (int)(v.len > 40 ? 40 : v.len), (const char *)v.p,
					 why[is]);
	}
	*out = x;
	s->m.at += v.len;
	return 0;
}
