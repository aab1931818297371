/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "agent/base/buf.h"

/*
 * Strict JSON (RFC 8259), read through cJSON behind a check of our own, because cJSON accepts
 * more than the standard: leading zeros, control characters, bad UTF-8, lone surrogates, and
 * \u0000, which would cut a C string short. Refused besides: duplicate keys, trailing bytes,
 * a depth over JSON_DEPTH_MAX. Memory is erased before it is freed.
 */
#define JSON_DEPTH_MAX 32

struct json; /* one value; belongs to its document, which is the value json_parse() gave */

#define cleanup_json __attribute__((cleanup(json_freep)))

/*
 * Read one document.
 *
 * out   set on success only; free with json_free()
 * text  borrowed for the call
 * max   most bytes of text
 *
 * Errors: ERR_LIMIT (text or depth), ERR_FORMAT (with the offset), ERR_NOMEM.
 */
int json_parse(struct json **out, struct view text, size_t max, struct err *e) MUST_CHECK;

/* Erase and free a whole document; NULL is nothing. */
void json_free(struct json *doc);

static inline void json_freep(struct json **doc)
{
	json_free(*doc);
}

/* The member of that name (exact case), or NULL: no object, no such member. */
const struct json *json_get(const struct json *object, const char *key);

/* First member or element; NULL when empty, NULL or no container. Then json_next() until NULL. */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *item);

/* Name of a member of an object; NULL for an array's element. Borrowed from the document. */
const char *json_key(const struct json *member);

bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_null(const struct json *v);
bool json_is_true(const struct json *v);
bool json_is_false(const struct json *v);

/* The text of a string, borrowed from the document; NULL when v is NULL or no string. */
const char *json_string(const struct json *v);

/* True, and *out, when v is a number without a fraction and within ±(2^53 - 1), where doubles are exact. */
bool json_integer(int64_t *out, const struct json *v);

/*
 * True, and *out, when v is written as a whole number within 0..2^64-1: only digits. A number never
 * goes through a double on the way, which json_integer()'s do.
 */
bool json_u64(uint64_t *out, const struct json *v);

/* Number of members or elements. */
size_t json_count(const struct json *container);

/*
 * The member `key` of `object` as text. what names the object in the message.
 * Errors: ERR_FORMAT when it is missing or no string.
 */
int json_need_string(const char **out, const struct json *object, const char *key,
		     const char *what, struct err *e) MUST_CHECK;

/*
 * Append a JSON string with its quotes, escaped as RFC 8785 3.2.2.2 wants it. A byte that is no
 * UTF-8 (of a device, or of a message that was cut) becomes \ufffd: what is written is JSON.
 */
void json_put_string(struct buf *out, struct view in);

/*
 * Append the canonical form of RFC 8785: members sorted by UTF-16 code units, no white space.
 * Errors: ERR_UNSUPPORTED (a number that json_integer() does not take: nothing that we hash has
 * one), ERR_LIMIT, ERR_NOMEM.
 */
int json_canonical(struct buf *out, const struct json *v, struct err *e) MUST_CHECK;

#endif
