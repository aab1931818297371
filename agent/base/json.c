/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "agent/base/enc.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>

/* Our struct is never defined: a document is a cJSON tree under another name. */
static const cJSON *in(const struct json *v)
{
	return (const cJSON *)(const void *)v;
}

static const struct json *out_of(const cJSON *v)
{
	return (const struct json *)(const void *)v;
}

/* Every block carries its size in front, so that free can erase it. */
union block {
	size_t size;
	max_align_t align;
};

static void *erasing_malloc(size_t n)
{
	union block *b = n < SIZE_MAX - sizeof *b ? malloc(sizeof *b + n) : NULL;

	if (!b)
		return NULL;
	b->size = n;
	return b + 1;
}

static void erasing_free(void *p)
{
	union block *b = p;

	if (!b)
		return;
	b--;
	explicit_bzero(b + 1, b->size);
	free(b);
}

static void set_hooks(void)
{
	cJSON_Hooks h = { erasing_malloc, erasing_free };

	cJSON_InitHooks(&h);
}

/* The check before cJSON: a recursive descent over the grammar that builds nothing. */
struct scan {
	const uint8_t *p;
	size_t len;
	size_t at;
	unsigned depth;
	bool inexact; /* a number was seen that is not plainly a small integer */
};

enum { EXACT_DIGITS = 15 }; /* that many always fit into a double */

static int bad(const struct scan *s, const char *what, struct err *e)
{
	return err_set(e, ERR_FORMAT, "JSON at offset %zu: %s", s->at, what);
}

static void skip_space(struct scan *s)
{
	while (s->at < s->len && strchr(" \t\r\n", s->p[s->at]) && s->p[s->at] != '\0')
		s->at++;
}

static int peek(const struct scan *s)
{
	return s->at < s->len ? s->p[s->at] : -1;
}

static int hex4(const struct scan *s, size_t at, uint32_t *out)
{
	uint8_t b[2];

	if (s->len - at < 4 || enc_hex_decode(b, 2, (struct view){ s->p + at, 4 }, NULL) < 0)
		return -1;
	*out = (uint32_t)b[0] << 8 | b[1];
	return 0;
}

/* at stands behind the 'u'. */
static int scan_unicode(struct scan *s, struct err *e)
{
	uint32_t u, low;

	if (hex4(s, s->at, &u) < 0)
		return bad(s, "\\u without four hex digits", e);
	if (u == 0)
		return bad(s, "\\u0000 is not accepted", e);
	s->at += 4;
	if (u >= 0xdc00 && u < 0xe000)
		return bad(s, "lone surrogate", e);
	if (u < 0xd800 || u >= 0xe000)
		return 0;
	if (s->len - s->at < 6 || s->p[s->at] != '\\' || s->p[s->at + 1] != 'u' ||
	    hex4(s, s->at + 2, &low) < 0 || low < 0xdc00 || low >= 0xe000)
		return bad(s, "lone surrogate", e);
	s->at += 6;
	return 0;
}

static int scan_string(struct scan *s, struct err *e)
{
	size_t start;
	int r;

	if (peek(s) != '"')
		return bad(s, "want a string", e);
	start = ++s->at;
	while (peek(s) != '"') {
		int c = peek(s);

		if (c < ' ')
			return bad(s, c < 0 ? "string without end" : "control character in a string",
				   e);
		s->at++;
		if (c != '\\')
			continue;
		c = peek(s);
		if (c <= 0 || !strchr("\"\\/bfnrtu", c))
			return bad(s, "bad escape", e);
		s->at++;
		if (c == 'u') {
			r = scan_unicode(s, e);
			if (r < 0)
				return r;
		}
	}
	if (!enc_is_utf8((struct view){ s->p + start, s->at - start }))
		return bad(s, "string is not UTF-8", e);
	s->at++;
	return 0;
}

static bool digits(struct scan *s)
{
	size_t from = s->at;

	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return s->at > from;
}

static int scan_number(struct scan *s, struct err *e)
{
	const size_t from = s->at;
	size_t plain;

	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0')
		s->at++;
	else if (!digits(s))
		return bad(s, "want a value", e);
	if (peek(s) >= '0' && peek(s) <= '9')
		return bad(s, "leading zero", e);
	plain = s->at;
	if (peek(s) == '.') {
		s->at++;
		if (!digits(s))
			return bad(s, "fraction without digits", e);
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (!digits(s))
			return bad(s, "exponent without digits", e);
	}
	s->inexact |= s->p[from] == '-' || s->at != plain || plain - from > EXACT_DIGITS;
	return 0;
}

static int scan_value(struct scan *s, struct err *e);

/* at stands behind the opening bracket; close is '}' or ']'. */
static int scan_container(struct scan *s, int close, struct err *e)
{
	int r;

	if (++s->depth > JSON_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "JSON nested over %d deep", JSON_DEPTH_MAX);
	skip_space(s);
	while (peek(s) != close) {
		if (close == '}') {
			r = scan_string(s, e);
			if (r < 0)
				return r;
			skip_space(s);
			if (peek(s) != ':')
				return bad(s, "want ':'", e);
			s->at++;
		}
		r = scan_value(s, e);
		if (r < 0)
			return r;
		if (peek(s) == close)
			break;
		if (peek(s) != ',')
			return bad(s, "want ',' or the closing bracket", e);
		s->at++;
		skip_space(s);
		if (peek(s) == close)
			return bad(s, "comma before the closing bracket", e);
	}
	s->at++;
	s->depth--;
	return 0;
}

static int scan_value(struct scan *s, struct err *e)
{
	static const char *const words[] = { "true", "false", "null" };
	int r = 1;

	skip_space(s);
	switch (peek(s)) {
	case '{':
	case '[':
		s->at++;
		r = scan_container(s, s->p[s->at - 1] == '{' ? '}' : ']', e);
		break;
	case '"':
		r = scan_string(s, e);
		break;
	default:
		for (size_t i = 0; i < ARRAY_LEN(words); i++) {
			struct view rest = { s->p + s->at, s->len - s->at };

			if (view_starts(rest, words[i])) {
				s->at += strlen(words[i]);
				r = 0;
			}
		}
		if (r == 1)
			r = scan_number(s, e);
	}
	if (r == 0)
		skip_space(s);
	return r;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* cJSON keeps both of two equal keys and finds the first; whoever reads the last sees another. */
static int refuse_duplicates(const cJSON *v, struct err *e)
{
	cleanup_free const char **keys = NULL;
	size_t n = 0;
	int r;

	for (const cJSON *m = v->child; m; m = m->next) {
		r = refuse_duplicates(m, e);
		if (r < 0)
			return r;
		n++;
	}
	if (!cJSON_IsObject(v) || n < 2)
		return 0;
	keys = calloc(n, sizeof *keys);
	if (!keys)
		return err_set(e, ERR_NOMEM, "no memory for JSON");
	n = 0;
	for (const cJSON *m = v->child; m; m = m->next)
		keys[n++] = m->string;
	qsort(keys, n, sizeof *keys, by_text);
	for (size_t i = 1; i < n; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return err_set(e, ERR_FORMAT, "JSON has the key \"%.40s\" twice", keys[i]);
	return 0;
}

/* at: behind the number before; to the next one, past strings. The text has been checked. */
static struct view next_number(struct scan *s)
{
	size_t from;

	while (s->at < s->len && !(peek(s) >= '0' && peek(s) <= '9') && peek(s) != '-') {
		if (peek(s) == '"')
			(void)scan_string(s, NULL);
		else
			s->at++;
	}
	from = s->at;
	(void)scan_number(s, NULL);
	return (struct view){ s->p + from, s->at - from };
}

/*
 * cJSON keeps a number as a double. Give each that may have lost something its text again, in the
 * member that only strings use (and that cJSON frees whatever the type).
 */
static int keep_numbers(cJSON *v, struct scan *s, struct err *e)
{
	struct view text;
	int r;

	for (cJSON *m = v->child; m; m = m->next) {
		r = keep_numbers(m, s, e);
		if (r < 0)
			return r;
	}
	if (!cJSON_IsNumber(v))
		return 0;
	text = next_number(s);
	v->valuestring = erasing_malloc(text.len + 1);
	if (!v->valuestring)
		return err_set(e, ERR_NOMEM, "no memory for JSON");
	memcpy(v->valuestring, text.p, text.len);
	v->valuestring[text.len] = '\0';
	return 0;
}

int json_parse(struct json **out, struct view text, size_t max, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct scan s = { .p = text.len ? text.p : (const uint8_t *)"", .len = text.len };
	cJSON *v;
	int r;

	if (text.len > max)
		return err_set(e, ERR_LIMIT, "JSON of %zu bytes, allowed %zu", text.len, max);
	r = scan_value(&s, e);
	if (r < 0)
		return r;
	if (s.at != s.len)
		return bad(&s, "bytes behind the value", e);
	(void)pthread_once(&once, set_hooks);
	v = cJSON_ParseWithLength((const char *)text.p, text.len);
	if (!v)
		return err_set(e, ERR_NOMEM, "no memory for JSON of %zu bytes", text.len);
	r = refuse_duplicates(v, e);
	if (r == 0 && s.inexact)
		r = keep_numbers(v, &(struct scan){ .p = text.p, .len = text.len }, e);
	if (r < 0) {
		cJSON_Delete(v);
		return r;
	}
	*out = (struct json *)(void *)v;
	return 0;
}

void json_free(struct json *doc)
{
	cJSON_Delete((cJSON *)(void *)doc);
}

const struct json *json_get(const struct json *object, const char *key)
{
	if (!json_is_object(object))
		return NULL;
	return out_of(cJSON_GetObjectItemCaseSensitive(in(object), key));
}

const struct json *json_first(const struct json *c)
{
	return json_is_object(c) || json_is_array(c) ? out_of(in(c)->child) : NULL;
}

const struct json *json_next(const struct json *item)
{
	return out_of(in(item)->next);
}

const char *json_key(const struct json *member)
{
	return in(member)->string;
}

bool json_is_object(const struct json *v)
{
	return cJSON_IsObject(in(v));
}

bool json_is_array(const struct json *v)
{
	return cJSON_IsArray(in(v));
}

bool json_is_null(const struct json *v)
{
	return cJSON_IsNull(in(v));
}

bool json_is_true(const struct json *v)
{
	return cJSON_IsTrue(in(v));
}

bool json_is_false(const struct json *v)
{
	return cJSON_IsFalse(in(v));
}

const char *json_string(const struct json *v)
{
	return cJSON_IsString(in(v)) ? in(v)->valuestring : NULL;
}

bool json_integer(int64_t *out, const struct json *v)
{
	const double edge = 9007199254740992.0; /* 2^53, which 2^53 + 1 is rounded to */
	double d;

	if (!cJSON_IsNumber(in(v)))
		return false;
	d = in(v)->valuedouble;
	if (!(d > -edge && d < edge) || d != trunc(d))
		return false;
	*out = (int64_t)d;
	return true;
}

bool json_u64(uint64_t *out, const struct json *v)
{
	const char *s = cJSON_IsNumber(in(v)) ? in(v)->valuestring : NULL;
	uint64_t n = 0;

	if (!cJSON_IsNumber(in(v)))
		return false;
	if (!s) {
		*out = (uint64_t)in(v)->valuedouble; /* at most 15 digits, see scan_number() */
		return true;
	}
	for (; *s; s++)
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return false;
	*out = n;
	return true;
}

size_t json_count(const struct json *container)
{
	size_t n = 0;

	for (const struct json *v = json_first(container); v; v = json_next(v))
		n++;
	return n;
}

int json_need_string(const char **out, const struct json *object, const char *key,
		     const char *what, struct err *e)
{
	const char *s = json_string(json_get(object, key));

	if (!s)
		return err_set(e, ERR_FORMAT, "%s has no string \"%s\"", what, key);
	*out = s;
	return 0;
}

/* Next code point of valid UTF-8, as the first of its UTF-16 units, so that order is RFC 8785's. */
static uint32_t next_unit(const uint8_t **p)
{
	const uint8_t *s = *p;
	uint32_t c;

	if (s[0] < 0x80) {
		*p += 1;
		return s[0];
	}
	if (s[0] < 0xe0) {
		*p += 2;
		return (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
	}
	if (s[0] < 0xf0) {
		*p += 3;
		return (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
	}
	c = (uint32_t)(s[0] & 7) << 18 | (uint32_t)(s[1] & 0x3f) << 12 |
	    (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
	*p += 4;
	/* High surrogate above, low below: compares as the pair does. */
	return (0xd800 + ((c - 0x10000) >> 10)) << 16 | (0xdc00 + (c & 0x3ff));
}

static int by_utf16(const void *a, const void *b)
{
	const uint8_t *x = (const uint8_t *)(*(const cJSON *const *)a)->string;
	const uint8_t *y = (const uint8_t *)(*(const cJSON *const *)b)->string;

	while (*x && *y) {
		uint32_t u = next_unit(&x), v = next_unit(&y);
		/* A single unit is compared with a pair's first. */
		uint32_t hu = u > 0xffff ? u >> 16 : u, hv = v > 0xffff ? v >> 16 : v;

		if (hu != hv)
			return hu < hv ? -1 : 1;
		if (u != v)
			return u < v ? -1 : 1;
	}
	return *x ? 1 : *y ? -1 : 0;
}

static int canonical(struct buf *out, const cJSON *v, struct err *e);

static int canonical_object(struct buf *out, const cJSON *v, struct err *e)
{
	cleanup_free const cJSON **m = NULL;
	size_t n = json_count(out_of(v)), i = 0;
	int r;

	m = calloc(n + 1, sizeof *m);
	if (!m)
		return err_set(e, ERR_NOMEM, "no memory for JSON");
	for (const cJSON *c = v->child; c; c = c->next)
		m[i++] = c;
	qsort(m, n, sizeof *m, by_utf16);
	buf_putc(out, '{');
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		json_put_string(out, view_str(m[i]->string));
		buf_putc(out, ':');
		r = canonical(out, m[i], e);
		if (r < 0)
			return r;
	}
	buf_putc(out, '}');
	return 0;
}

static int canonical(struct buf *out, const cJSON *v, struct err *e)
{
	int64_t n;
	int r;

	if (cJSON_IsObject(v))
		return canonical_object(out, v, e);
	if (cJSON_IsArray(v)) {
		buf_putc(out, '[');
		for (const cJSON *c = v->child; c; c = c->next) {
			if (c != v->child)
				buf_putc(out, ',');
			r = canonical(out, c, e);
			if (r < 0)
				return r;
		}
		buf_putc(out, ']');
	} else if (cJSON_IsString(v)) {
		json_put_string(out, view_str(v->valuestring));
	} else if (cJSON_IsNumber(v)) {
		if (!json_integer(&n, out_of(v)))
			return err_set(e, ERR_UNSUPPORTED,
				       "canonical JSON of a number that is no exact integer");
		buf_printf(out, "%lld", (long long)n);
	} else {
		buf_puts(out, cJSON_IsTrue(v) ? "true" : cJSON_IsFalse(v) ? "false" : "null");
	}
	return 0;
}

int json_canonical(struct buf *out, const struct json *v, struct err *e)
{
	int r = canonical(out, in(v), e);

	return r < 0 ? r : buf_check(out, "canonical JSON", e);
}
