/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_TOML_SCAN_H
#define INITDATA_TOML_SCAN_H

#include "agent/base/buf.h"

/* The lower half of the TOML reader: places, characters, strings, numbers. Only for toml*.c. */

/* A place in the text. */
struct mark {
	size_t at;         /* offset */
	size_t line_start; /* offset of the line's first byte */
	unsigned line;     /* from 1 */
};

struct scan {
	struct view text; /* valid UTF-8, checked by scan_begin() */
	struct mark m;
};

/* One number or date as it stands in the text, checked and converted. */
struct toml_scalar {
	enum { SCALAR_INTEGER, SCALAR_FLOAT, SCALAR_DATETIME } kind;
	int64_t integer;
	double number;
	char date[64]; /* normalised; NUL-terminated */
};

/* Fail at a place: "line L, column C: …". Returns -kind. */
int scan_fail(const struct scan *s, struct mark where, enum err_kind kind, struct err *e,
	      const char *fmt, ...) PRINTF(5, 6);

/* Start at the text's first character, behind a byte order mark. Errors: ERR_FORMAT (not UTF-8). */
int scan_begin(struct scan *s, struct view text, struct err *e) MUST_CHECK;

/* The byte `ahead` further on, or -1 at the end. */
static inline int scan_peek(const struct scan *s, size_t ahead)
{
	return ahead < s->text.len - s->m.at ? s->text.p[s->m.at + ahead] : -1;
}

/* What stands here, for a message; good until the next call. */
const char *scan_found(const struct scan *s);

/* Skip tabs and spaces. */
void scan_blanks(struct scan *s);

/* Take LF or CRLF. False when there is none. */
bool scan_newline(struct scan *s);

/* Blanks, then perhaps a comment up to its line's end. Errors: ERR_FORMAT (control character). */
int scan_rest(struct scan *s, struct err *e) MUST_CHECK;

/* Blanks, comments and line ends, as between the elements of an array. */
int scan_gap(struct scan *s, struct err *e) MUST_CHECK;

/* Append the content of the string that begins here. multi: the three-quote forms may stand here.
 */
int scan_string(struct scan *s, struct buf *out, bool multi, struct err *e) MUST_CHECK;

/* Append one part of a key: bare or a one-line string. */
int scan_key_part(struct scan *s, struct buf *out, struct err *e) MUST_CHECK;

/* The number, date or time that begins here. Errors: ERR_FORMAT, ERR_LIMIT (its length). */
int scan_scalar(struct scan *s, struct toml_scalar *out, struct err *e) MUST_CHECK;

#endif
