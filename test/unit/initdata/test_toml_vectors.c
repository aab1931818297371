/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "initdata/toml.h"
#include "test/test.h"

#include <fts.h>
#include <math.h>

/*
 * Two sets of files: our own (test/vectors/initdata/toml) and toml-lang/toml-test's for TOML 1.0.0.
 * valid/X.toml must give what valid/X.json says (values tagged with their type); invalid/X.toml
 * must be refused. Ours may begin with "# want: WORDS", which the error must contain.
 */
enum { FILE_MAX = 1 << 20 };

/* JSON of ours has no U+0000, which some of the vectors have: this stands for it on both sides. */
#define NUL_STANDS_AS "\xef\xa3\xbe"

static const char *now; /* the file at hand, for messages */

static void same(const struct toml *v, const struct json *want);

static void differs(const struct toml *v, const char *what)
{
	test_fail(now, (int)toml_line(v), "%s", what);
}

/* Text with U+0000 replaced, in a buffer of the test. */
static const char *visible(struct buf *b, struct view text)
{
	buf_reset(b);
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == 0)
			buf_puts(b, NUL_STANDS_AS);
		else
			buf_putc(b, text.p[i]);
	}
	return buf_str(b);
}

/* "datetime", "datetime-local", "date-local", "time-local" by the form of the text. */
static const char *datetime_tag(const char *s)
{
	const char *t = strchr(s, 'T');

	if (s[2] == ':')
		return "time-local";
	if (!t)
		return "date-local";
	return strpbrk(t, "Z+-") ? "datetime" : "datetime-local";
}

/* Without the zeros at the end of a second's fraction. */
static void put_shortest(struct buf *out, const char *s)
{
	const char *dot = strchr(s, '.');
	size_t n, digits;

	if (!dot) {
		buf_puts(out, s);
		return;
	}
	n = digits = strspn(dot + 1, "0123456789");
	while (n > 0 && dot[n] == '0')
		n--;
	buf_put(out, s, (size_t)(dot - s) + (n > 0 ? n + 1 : 0));
	buf_puts(out, dot + 1 + digits);
}

static void same_datetime(const struct toml *v, const char *tag, const char *value)
{
	cleanup_buf struct buf a = BUF_MAX(128), b = BUF_MAX(128);

	if (strcmp(datetime_tag(toml_datetime(v)), tag) != 0)
		differs(v, "another kind of date");
	put_shortest(&a, toml_datetime(v));
	put_shortest(&b, value);
	if (!view_eq(buf_view(&a), buf_view(&b)))
		differs(v, "another date");
}

static void same_scalar(const struct toml *v, const char *tag, const char *value)
{
	cleanup_buf struct buf b = BUF_MAX(FILE_MAX);
	int64_t integer;
	double number, want;
	size_t len = 0;
	bool flag;

	if (strcmp(tag, "string") == 0) {
		const char *text = toml_string(v, &len);

		if (!text ||
		    strcmp(visible(&b, (struct view){ (const uint8_t *)text, len }), value) != 0)
			differs(v, "another string");
	} else if (strcmp(tag, "integer") == 0) {
		if (!toml_integer(&integer, v) || integer != strtoll(value, NULL, 10))
			differs(v, "another integer");
	} else if (strcmp(tag, "float") == 0) {
		want = strtod(value, NULL);
		if (!toml_float(&number, v) || isnan(number) != isnan(want) ||
		    (!isnan(want) && memcmp(&number, &want, sizeof want) != 0))
			differs(v, "another float");
	} else if (strcmp(tag, "bool") == 0) {
		if (!toml_bool(&flag, v) || strcmp(value, flag ? "true" : "false") != 0)
			differs(v, "another boolean");
	} else {
		if (!toml_datetime(v))
			differs(v, "no date");
		same_datetime(v, tag, value);
	}
}

static void same_table(const struct toml *v, const struct json *want)
{
	cleanup_buf struct buf key = BUF_MAX(FILE_MAX);
	size_t n = 0;

	for (const struct toml *m = toml_first(v); m; m = toml_next(m), n++) {
		const struct json *w = json_get(want, visible(&key, toml_key_view(m)));

		if (!w)
			differs(m, "a key too many");
		same(m, w);
	}
	if (n != json_count(want))
		differs(v, "a key too few");
}

static void same(const struct toml *v, const struct json *want)
{
	const char *tag = json_string(json_get(want, "type"));
	const struct json *w = json_first(want);

	if (tag) {
		same_scalar(v, tag, json_string(json_get(want, "value")));
		return;
	}
	if (toml_type(v) != (json_is_array(want) ? TOML_ARRAY : TOML_TABLE))
		differs(v, "another type");
	if (!json_is_array(want)) {
		same_table(v, want);
		return;
	}
	for (const struct toml *m = toml_first(v); m; m = toml_next(m), w = json_next(w)) {
		if (!w)
			differs(m, "an element too many");
		same(m, w);
	}
	if (w)
		differs(v, "an element too few");
}

/* The JSON beside a .toml file. */
static void read_json(struct json **out, const char *toml_path)
{
	cleanup_buf struct buf path = BUF_MAX(4096), text = BUF_MAX(FILE_MAX),
			       j = BUF_MAX(FILE_MAX);
	struct err e;

	buf_put(&path, toml_path, strlen(toml_path) - 5);
	buf_puts(&path, ".json");
	CHECK_INT(fs_read(&text, buf_str(&path), FILE_MAX, NULL), 0);
	for (size_t i = 0; i < text.len;) {
		struct view rest = { text.p + i, text.len - i };
		size_t n = view_starts(rest, "\\u0000") ? 6 : rest.p[0] == '\\' ? 2 : 1;

		if (n == 6)
			buf_puts(&j, NUL_STANDS_AS);
		else
			buf_put(&j, rest.p, n);
		i += n;
	}
	if (json_parse(out, buf_view(&j), FILE_MAX, &e) < 0)
		test_fail(buf_str(&path), 1, "%s", e.msg);
}

static void check_valid(const char *path, struct view text)
{
	cleanup_toml struct toml *root = NULL;
	cleanup_json struct json *want = NULL;
	struct err e;

	if (toml_parse(&root, text, &e) < 0)
		test_fail(path, 1, "refused: %s", e.msg);
	read_json(&want, path);
	same(root, want);
}

static void check_invalid(const char *path, struct view text)
{
	static const char mark[] = "# want: ";
	cleanup_toml struct toml *root = NULL;
	cleanup_free char *words = NULL;
	struct err e;

	if (toml_parse(&root, text, &e) == 0)
		test_fail(path, 1, "accepted");
	if (root)
		test_fail(path, 1, "refused and yet given out");
	if (!view_starts(text, mark))
		return;
	words = strndup((const char *)text.p + sizeof mark - 1,
			strcspn((const char *)text.p + sizeof mark - 1, "\r\n"));
	CHECK(words);
	if (!strstr(e.msg, words))
		test_fail(path, 1, "message \"%s\" lacks \"%s\"", e.msg, words);
}

static size_t each_file(const char *folder, void (*check)(const char *path, struct view text))
{
	char *roots[] = { strdup(folder), NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	size_t n = 0;

	CHECK(tree);
	for (FTSENT *f = fts_read(tree); f; f = fts_read(tree)) {
		cleanup_buf struct buf text = BUF_MAX(FILE_MAX);

		if (f->fts_info != FTS_F || f->fts_namelen < 5 ||
		    strcmp(f->fts_name + f->fts_namelen - 5, ".toml") != 0)
			continue;
		now = f->fts_path;
		CHECK_INT(fs_read(&text, f->fts_path, FILE_MAX, NULL), 0);
		check(f->fts_path, buf_view(&text));
		n++;
	}
	(void)fts_close(tree);
	free(roots[0]);
	return n;
}

TEST(toml_parse__own_valid_files__give_their_json)
{
	CHECK(each_file(test_vector("initdata/toml/valid"), check_valid) >= 60);
}

TEST(toml_parse__own_invalid_files__are_refused_at_the_right_place)
{
	CHECK(each_file(test_vector("initdata/toml/invalid"), check_invalid) >= 60);
}

TEST(toml_parse__toml_test_valid__all_210)
{
	CHECK_INT(each_file(test_shared("toml-test/valid"), check_valid), 210);
}

TEST(toml_parse__toml_test_invalid__all_499)
{
	CHECK_INT(each_file(test_shared("toml-test/invalid"), check_invalid), 499);
}
