/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/initdata.h"
#include "initdata/isolated.h"
#include "test/test.h"

#include <errno.h>
#include <sys/wait.h>

#define HEAD "version = \"0.1.0\"\nalgorithm = \"sha384\"\n[data]\n"

TEST(isolated_load__all_three_files__come_back_as_initdata_load_sees_them)
{
	static const char text[] = HEAD "\"cdh.toml\" = ''\n\"policy.rego\" = \"p\\u0000q\"\n"
					"\"other\" = 'z'\n\"aa.toml\" = 'a'\n";
	cleanup_isolated struct isolated in = { 0 };
	cleanup_initdata struct initdata d = { 0 };
	cleanup_buf struct buf b64 = BUF_MAX(4096);

	CHECK_INT(initdata_encode(&b64, view_str(text), NULL), 0);
	CHECK_INT(isolated_load(&in, buf_view(&b64), NULL), 0);
	CHECK_INT(initdata_load(&d, buf_view(&b64), NULL), 0);
	CHECK(view_is(in.d.text, text));
	CHECK_INT(in.alg, HASH_SHA384);
	CHECK(view_eq(digest_view(&in.d.digest), digest_view(&d.digest)));
	CHECK(view_is(in.d.file[DELIVER_AA], "a"));
	CHECK(in.d.file[DELIVER_CDH].p && in.d.file[DELIVER_CDH].len == 0);
	CHECK_INT(in.d.file[DELIVER_POLICY].len, 3);
	CHECK(memcmp(in.d.file[DELIVER_POLICY].p, "p\0q", 3) == 0);
}

TEST(isolated_load__missing_keys__have_no_file)
{
	cleanup_isolated struct isolated in = { 0 };

	CHECK_INT(isolated_load(&in, view_str(HEAD), NULL), 0);
	for (int f = 0; f < DELIVER_FILES; f++)
		CHECK(!in.d.file[f].p);
}

TEST(isolated_load__malformed__gives_the_childs_error_and_no_child_is_left)
{
	struct isolated in = { .alg = HASH_SHA512 };
	struct err e;

	CHECK_ERR(isolated_load(&in, view_str(HEAD "x = 'y\n"), &e), ERR_FORMAT, e,
		  "line 4, column 5: the string");
	CHECK_INT(e.code, CODE_INITDATA_SYNTAX);
	CHECK(in.alg == HASH_SHA512 && !in.bytes.p);
	CHECK_INT(isolated_load(&in, view_str(""), NULL), -ERR_FORMAT);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

TEST(isolated_load__largest_text__fits_through_the_pipe)
{
	cleanup_buf struct buf text = BUF_MAX(INITDATA_TEXT_MAX),
			       b64 = BUF_MAX(INITDATA_ENCODED_MAX);
	cleanup_isolated struct isolated in = { 0 };

	buf_puts(&text, HEAD "\"policy.rego\" = '");
	while (text.len < INITDATA_TEXT_MAX - 1)
		buf_putc(&text, 'x');
	buf_putc(&text, '\'');
	CHECK_INT(initdata_encode(&b64, buf_view(&text), NULL), 0);
	CHECK_INT(isolated_load(&in, buf_view(&b64), NULL), 0);
	CHECK(view_eq(in.d.text, buf_view(&text)));
	CHECK_INT(in.d.file[DELIVER_POLICY].len,
		  INITDATA_TEXT_MAX - strlen(HEAD "\"policy.rego\" = ''"));
}
