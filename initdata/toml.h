/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_TOML_H
#define INITDATA_TOML_H

#include "agent/base/buf.h"

/*
 * A strict and complete reader of TOML 1.0 (https://toml.io/en/v1.0.0). Errors carry line and
 * column (both from 1, columns in code points). Line ends inside strings become LF.
 *
 * TOML allows U+0000 in strings and keys (as an escape). Who asks for text as a C string never
 * gets one that such a character cuts short: see toml_string() and toml_key().
 */
#define TOML_TEXT_MAX  (4u << 20) /* bytes */
#define TOML_DEPTH_MAX 32         /* tables, arrays and dotted parts, nested */
#define TOML_NODES_MAX 100000     /* values and keys together */

enum toml_type {
	TOML_TABLE,
	TOML_ARRAY,
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOL,
	TOML_DATETIME,
};

struct toml; /* one value; belongs to its document */

#define cleanup_toml __attribute__((cleanup(toml_freep)))

/*
 * Read one document; the root is a table.
 * Errors: ERR_FORMAT ("line L, column C: what"), ERR_LIMIT, ERR_NOMEM.
 */
int toml_parse(struct toml **out, struct view text, struct err *e) MUST_CHECK;
void toml_free(struct toml *root);
static inline void toml_freep(struct toml **root)
{
	toml_free(*root);
}

enum toml_type toml_type(const struct toml *v);
const char *toml_type_name(enum toml_type t);

/* Member of a table by key, or NULL. */
const struct toml *toml_get(const struct toml *table, const char *key);

/* Members of a table or elements of an array, in order of the text. NULL at the end. */
const struct toml *toml_first(const struct toml *container);
const struct toml *toml_next(const struct toml *item);

/*
 * The key of a member, NUL-terminated; NULL for an element. A key that holds U+0000 is shown as
 * U+FFFD, and toml_get() never finds it; toml_key_view() has it whole ({ NULL } for an element).
 */
const char *toml_key(const struct toml *member);
struct view toml_key_view(const struct toml *member);

/* The line where it begins, from 1. */
unsigned toml_line(const struct toml *v);

/*
 * The text of a string, NUL-terminated; NULL when v is NULL or no string. With len NULL, also
 * NULL for a string that holds U+0000.
 */
const char *toml_string(const struct toml *v, size_t *len);
bool toml_bool(bool *out, const struct toml *v);
bool toml_integer(int64_t *out, const struct toml *v);
bool toml_float(double *out, const struct toml *v);

/*
 * A date, time or date-time as written, with 'T' and 'Z' in upper case and at most 18 digits of
 * a second's fraction; NULL when v is none.
 */
const char *toml_datetime(const struct toml *v);

/*
 * Append a TOML string that reads back as text, which is UTF-8: one line in double quotes, or
 * where there are line ends the three-quote forms, ''' where possible. For `initdata build`.
 */
void toml_put_string(struct buf *out, struct view text);

#endif
