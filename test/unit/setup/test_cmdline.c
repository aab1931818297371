/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/cmdline.h"
#include "test/test.h"

#include <stdio.h>

static int get(char value[256], const char *line, const char *name, struct err *e)
{
	cleanup_cmdline struct cmdline c = { 0 };
	const char *v = NULL;
	int r = cmdline_parse(&c, view_str(line), e);

	if (r == 0)
		r = cmdline_get(&v, &c, name, e);
	if (r == 1)
		(void)snprintf(value, 256, "%s", v);
	return r;
}

TEST(cmdline_get__one_word__is_found_as_the_kernel_would)
{
	static const struct {
		const char *line, *want; /* of "k.x"; NULL: not there */
	} rows[] = {
		{ "", NULL },
		{ "ro quiet\n", NULL },
		{ "k.x=1", "1" },
		{ "a  k.x=v::w\t b\n", "v::w" },
		{ "k.x=", "" },
		{ "k.x", NULL },
		{ "xk.x=1", NULL },
		{ "k.xy=1", NULL },
		{ "K.X=1", NULL },
		/* Inside another parameter's quotes it is that one's value. */
		{ "dyndbg=\"file a k.x=1\" ro", NULL },
		{ "\"a k.x=1\"", NULL },
		{ "a=\"q\" k.x=1", "1" },
		{ "a=k.x=1", NULL },
		{ "-- k.x=1", "1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char value[256] = "";
		struct err e = { 0 };
		int r = get(value, rows[i].line, "k.x", &e);

		if (r != (rows[i].want != NULL) || strcmp(value, rows[i].want ? rows[i].want : "") != 0)
			test_fail(__FILE__, __LINE__, "row %zu: %d \"%s\" %s", i, r, value, e.msg);
	}
}

TEST(cmdline__malformed__is_refused)
{
	static const struct {
		const char *line, *words;
	} rows[] = {
		{ "a=\"b", "quote without end" },
		{ "k.x=1 k.x=1", "given twice" },
		{ "k.x=1 \"k.x=a b\"", "given twice" },
		{ "\"k.x=a b\"", "quote" },
		{ "k.x=\"a\"", "quote" },
		{ "k.x=a\x7f", "ASCII" },
		{ "k.x=\xc3\xa4", "ASCII" },
		{ "k.x=a\x01", "ASCII" },
	};
	char long_line[CMDLINE_MAX + 2] = "";
	cleanup_cmdline struct cmdline c = { 0 };
	char value[256];
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_ERR(get(value, rows[i].line, "k.x", &e), ERR_FORMAT, e, rows[i].words);
	CHECK_ERR(cmdline_parse(&c, (struct view){ (const uint8_t *)"a\0b", 3 }, &e), ERR_FORMAT, e,
		  "NUL at offset 1");
	for (size_t i = 0; i <= CMDLINE_MAX; i++)
		long_line[i] = 'a';
	CHECK_ERR(cmdline_parse(&c, view_str(long_line), &e), ERR_LIMIT, e, "16385 bytes");
	long_line[CMDLINE_MAX] = '\0';
	CHECK_INT(cmdline_parse(&c, view_str(long_line), &e), 0);
}

TEST(cmdline_read__no_proc__is_an_empty_one)
{
	cleanup_cmdline struct cmdline c = { 0 };
	const char *v;
	struct err e = { 0 };

	CHECK_INT(cmdline_read(&c, "/no/such/root", &e), 0);
	CHECK_INT(cmdline_get(&v, &c, "a", &e), 0);
}
