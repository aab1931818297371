/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml.h"
#include "test/test.h"

#include <math.h>

/* What files cannot show: the accessors, the limits, writing. Grammar: test_toml_vectors.c. */

static struct toml *parse(const char *text)
{
	struct toml *root = NULL;
	struct err e;

	if (toml_parse(&root, view_str(text), &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", text, e.msg);
	return root;
}

TEST(toml_get__each_type__answers_only_to_its_own_accessor)
{
	cleanup_toml struct toml *root = parse(
		"t = {}\na = []\ns = \"x\"\ni = 5\nf = 2.5\nb = true\nd = 2000-01-01t00:00:00z\n");
	static const struct {
		const char *key;
		enum toml_type type;
		const char *name;
	} rows[] = {
		{ "t", TOML_TABLE, "a table" },   { "a", TOML_ARRAY, "an array" },
		{ "s", TOML_STRING, "a string" }, { "i", TOML_INTEGER, "an integer" },
		{ "f", TOML_FLOAT, "a float" },   { "b", TOML_BOOL, "a boolean" },
		{ "d", TOML_DATETIME, "a date" },
	};
	const struct toml *v = toml_first(root);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++, v = toml_next(v)) {
		int64_t integer = -1;
		double number = -1;
		bool flag = false;

		CHECK(v && v == toml_get(root, rows[i].key));
		CHECK(strcmp(toml_key(v), rows[i].key) == 0);
		CHECK_INT(toml_type(v), rows[i].type);
		CHECK(strcmp(toml_type_name(toml_type(v)), rows[i].name) == 0);
		CHECK_INT(toml_line(v), i + 1);
		CHECK_INT(toml_string(v, NULL) != NULL, rows[i].type == TOML_STRING);
		CHECK_INT(toml_integer(&integer, v), rows[i].type == TOML_INTEGER);
		CHECK_INT(integer, rows[i].type == TOML_INTEGER ? 5 : -1);
		CHECK_INT(toml_float(&number, v), rows[i].type == TOML_FLOAT);
		CHECK(number == (rows[i].type == TOML_FLOAT ? 2.5 : -1));
		CHECK_INT(toml_bool(&flag, v), rows[i].type == TOML_BOOL);
		CHECK_INT(flag, rows[i].type == TOML_BOOL);
		CHECK_INT(toml_datetime(v) != NULL, rows[i].type == TOML_DATETIME);
		CHECK(!toml_first(v));
	}
	CHECK(!v);
	CHECK(strcmp(toml_datetime(toml_get(root, "d")), "2000-01-01T00:00:00Z") == 0);
}

TEST(toml_get__nothing_there__is_null_everywhere)
{
	cleanup_toml struct toml *root = parse("a = [1]\n");
	int64_t integer;

	CHECK(!toml_get(root, "b"));
	CHECK(!toml_get(toml_get(root, "b"), "c"));
	CHECK(!toml_get(toml_get(root, "a"), "c"));
	CHECK(!toml_first(NULL));
	CHECK(!toml_string(NULL, NULL));
	CHECK(!toml_integer(&integer, NULL));
	CHECK(!toml_datetime(NULL));
	CHECK(!toml_key(toml_first(toml_get(root, "a"))));
	CHECK(!toml_key_view(toml_first(toml_get(root, "a"))).p);
}

TEST(toml_string__with_nul__is_given_only_with_its_length)
{
	cleanup_toml struct toml *root = parse("a = \"b\\u0000c\"\n\"d\\u0000\" = 1\n");
	size_t len = 0;

	CHECK(!toml_string(toml_get(root, "a"), NULL));
	CHECK(memcmp(toml_string(toml_get(root, "a"), &len), "b\0c", 4) == 0);
	CHECK_INT(len, 3);
	CHECK(!toml_get(root, "d"));
	CHECK(strcmp(toml_key(toml_next(toml_first(root))), "\xef\xbf\xbd") == 0);
	CHECK_INT(toml_key_view(toml_next(toml_first(root))).len, 2);
}

/* n times s in one text. */
static void repeat(struct buf *b, const char *s, size_t n)
{
	while (n-- > 0)
		buf_puts(b, s);
}

TEST(toml_parse__deeper_than_32__is_a_limit_in_every_form)
{
	static const struct {
		const char *before, *each, *after;
		size_t good;
	} rows[] = {
		{ "a = ", "[", "]", 32 },       { "", "a.", "a = 1", 31 },
		{ "a = ", "{ a = ", "1", 31 },  { "[", "a.", "a]", 31 },
		{ "a = ", "[{ a = ", "1", 15 }, { "[[", "a.", "a]]", 30 },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t more = 0; more < 2; more++) {
			cleanup_buf struct buf b = BUF_MAX(4096);
			struct toml *root = NULL;
			int r;

			buf_puts(&b, rows[i].before);
			repeat(&b, rows[i].each, rows[i].good + more);
			buf_puts(&b, rows[i].after);
			r = toml_parse(&root, buf_view(&b), &e);
			/* Those that are never closed fail at their end, unless the depth comes
			 * first. */
			if (more)
				CHECK_INT(r, -ERR_LIMIT);
			else if (r < 0 && !strstr(e.msg, "the end of the text"))
				test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
			CHECK(!more || strstr(e.msg, "32"));
			CHECK(r == 0 || !root);
			toml_free(root);
		}
	}
}

TEST(toml_parse__too_many_values__is_a_limit_and_many_are_quick)
{
	cleanup_buf struct buf b = BUF_MAX(TOML_TEXT_MAX);
	cleanup_toml struct toml *root = NULL, *none = NULL;
	struct err e;

	for (int i = 0; i < TOML_NODES_MAX / 2 - 1; i++)
		buf_printf(&b, "k%d = 1\n", i);
	CHECK_INT(toml_parse(&root, buf_view(&b), NULL), 0);
	CHECK(toml_get(root, "k49998"));
	buf_puts(&b, "more = 1\n");
	CHECK_ERR(toml_parse(&none, buf_view(&b), &e), ERR_LIMIT, e,
		  "line 50000, column 8: more than 100000 keys and values");
}

TEST(toml_parse__text_over_its_limit__is_refused_unread)
{
	cleanup_free char *big = malloc(TOML_TEXT_MAX + 1);
	struct toml *root = NULL;
	struct err e;

	CHECK(big);
	for (size_t i = 0; i <= TOML_TEXT_MAX; i++)
		big[i] = ' ';
	CHECK_ERR(toml_parse(&root, (struct view){ (uint8_t *)big, TOML_TEXT_MAX + 1 }, &e),
		  ERR_LIMIT, e, "4194305 bytes, allowed 4194304");
	CHECK_INT(toml_parse(&root, (struct view){ (uint8_t *)big, TOML_TEXT_MAX }, &e), 0);
	toml_free(root);
}

TEST(toml_parse__number_of_1024_digits__is_a_limit)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	cleanup_toml struct toml *root = NULL;
	struct err e;
	double x = 0;

	buf_puts(&b, "a = 1.");
	repeat(&b, "5", 1021);
	CHECK_INT(toml_parse(&root, buf_view(&b), NULL), 0);
	CHECK(toml_float(&x, toml_get(root, "a")) && fabs(x - 14.0 / 9.0) < 1e-15);
	buf_puts(&b, "5");
	toml_free(take(root));
	CHECK_ERR(toml_parse(&root, buf_view(&b), &e), ERR_LIMIT, e,
		  "line 1, column 5: a number of over 1023");
}

TEST(toml_parse__every_prefix_of_a_text__is_handled)
{
	static const char text[] =
		"\xef\xbb\xbf# c\r\n\"a\\u00e9\".b = \"\"\"\\\r\n x\"\"\"\"\n[t]\nc = [1_0, "
		"{d = 0x1f, e.f = 'g'}, # h\n 1979-05-27 07:32:00.5-07:00]\n[[u]]\n"
		"v = -1.5e-3\nw = '''\n'''''\nx = false\n";

	/* A copy of exact size each time, so that the sanitizer sees a byte read too many. */
	for (size_t n = 0; n <= sizeof text - 1; n++) {
		cleanup_free uint8_t *copy = malloc(n + !n);
		cleanup_toml struct toml *root = NULL;
		struct err e;

		CHECK(copy);
		memcpy(copy, text, n);
		if (toml_parse(&root, (struct view){ copy, n }, &e) < 0)
			CHECK(!root && e.kind == ERR_FORMAT && strstr(e.msg, "line "));
		CHECK(n < sizeof text - 1 || root);
	}
}

TEST(toml_put_string__any_text__reads_back)
{
	static const char *const texts[] = {
		"",
		"plain",
		"with \"quotes\" and \\ and 'these'",
		"tab\tand \x01\x1f\x7f",
		"é日\xf0\x9f\x98\x80",
		"two\nlines",
		"two\nlines\n",
		"\nfirst empty",
		"\n",
		"\n\n",
		"has ''' inside\nand lines",
		"has \"\"\" inside\nand '''",
		"ends with '\nand '",
		"ends with \"\nand \"",
		"cr\r\nlf\r\n",
		"cr\ralone\n",
		"back\\slash\\\nat the end\\",
		"trailing blanks  \n  \n",
		"key = \"\"\"\nx\n\"\"\"\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup_buf struct buf b = BUF_MAX(4096);
		cleanup_toml struct toml *root = NULL;
		struct err e;

		buf_puts(&b, "a = ");
		toml_put_string(&b, view_str(texts[i]));
		buf_puts(&b, "\nb = 1\n");
		if (toml_parse(&root, buf_view(&b), &e) < 0)
			test_fail(__FILE__, __LINE__, "%s gives %s", buf_str(&b), e.msg);
		CHECK(strcmp(toml_string(toml_get(root, "a"), NULL), texts[i]) == 0);
		CHECK(toml_get(root, "b"));
	}
}

TEST(toml_put_string__usual_file__is_written_plainly)
{
	cleanup_buf struct buf b = BUF_MAX(4096);

	toml_put_string(&b, view_str("url = \"x\"\n"));
	CHECK(view_is(buf_view(&b), "'''\nurl = \"x\"\n'''"));
	buf_reset(&b);
	toml_put_string(&b, view_str("a\r\n"));
	CHECK(view_is(buf_view(&b), "\"\"\"\na\\r\n\"\"\""));
	buf_reset(&b);
	toml_put_string(&b, view_str("a\n'"));
	CHECK(view_is(buf_view(&b), "\"\"\"\na\n'\"\"\""));
}
