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

/* An answer as the child gives it: text "TEXT", policy "POL", aa.toml "", no cdh.toml. */
static struct isolated_reply good_reply(void)
{
	return (struct isolated_reply){
		.alg = HASH_SHA256,
		.text_len = 4,
		.file_len = { [DELIVER_POLICY] = 3 },
		.has_file = { [DELIVER_POLICY] = 1, [DELIVER_AA] = 1 },
	};
}

static int check(struct isolated *in, const struct isolated_reply *reply, const char *behind,
		 struct err *e)
{
	in->bytes = BUF_MAX(1u << 20);
	buf_put(&in->bytes, reply, sizeof *reply);
	buf_puts(&in->bytes, behind);
	return isolated_check(in, e);
}

TEST(isolated_check__good_answer__is_cut_and_hashed_here)
{
	cleanup_isolated struct isolated in = { 0 };
	struct isolated_reply reply = good_reply();
	struct digest want;

	CHECK_INT(check(&in, &reply, "TEXTPOL", NULL), 0);
	CHECK(view_is(in.d.text, "TEXT") && view_is(in.d.file[DELIVER_POLICY], "POL"));
	CHECK(in.d.file[DELIVER_AA].p && !in.d.file[DELIVER_AA].len && !in.d.file[DELIVER_CDH].p);
	CHECK_INT(digest_of(&want, HASH_SHA256, view_str("TEXT"), NULL), 0);
	CHECK(view_eq(digest_view(&in.d.digest), digest_view(&want)));
}

TEST(isolated_check__one_field_wrong__is_nonsense)
{
	struct isolated_reply r[] = {
		good_reply(), good_reply(), good_reply(), good_reply(), good_reply(), good_reply(),
		good_reply(), good_reply(), good_reply(), good_reply(), good_reply(),
	};
	struct err e;

	r[0].alg = HASH_SHA512 + 1;
	r[1].alg = UINT32_MAX;
	r[2].text_len = 8;
	r[3].text_len = SIZE_MAX;
	r[4].file_len[DELIVER_CDH] = 1;
	r[5].file_len[DELIVER_POLICY] = SIZE_MAX - 3;
	r[6].text_len = 3;
	r[7].err = (struct err){ .kind = ERR_KIND_COUNT, .code = CODE_INITDATA_SYNTAX };
	r[8].err = (struct err){ .kind = ERR_FORMAT, .code = CODE_COUNT };
	r[9].err = (struct err){ .kind = ERR_FORMAT, .code = CODE_INITDATA_SYNTAX, .msg = "\xff" };
	/* The sum is right, by going once round. */
	r[10].text_len = 8;
	r[10].file_len[DELIVER_POLICY] = SIZE_MAX;
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		cleanup_isolated struct isolated in = { 0 };

		CHECK_ERR(check(&in, &r[i], "TEXTPOL", &e), ERR_INTERNAL, e, "nonsense");
	}
}

TEST(isolated_check__cut_anywhere_or_longer__is_nonsense)
{
	struct isolated_reply reply = good_reply();
	cleanup_isolated struct isolated in = { 0 };
	struct err e;

	CHECK_INT(check(&in, &reply, "TEXTPOL", NULL), 0);
	for (in.bytes.len--; in.bytes.len > 0; in.bytes.len--)
		CHECK_ERR(isolated_check(&in, &e), ERR_INTERNAL, e, "nonsense");
	isolated_done(&in);
	CHECK_ERR(check(&in, &reply, "TEXTPOLx", &e), ERR_INTERNAL, e, "nonsense");
}

TEST(isolated_check__message_without_end__is_ended)
{
	struct isolated_reply reply = { .err = { .kind = ERR_FORMAT,
						 .code = CODE_INITDATA_SYNTAX } };
	cleanup_isolated struct isolated in = { 0 };
	struct err e;

	for (size_t i = 0; i < sizeof reply.err.msg; i++)
		reply.err.msg[i] = 'x';
	CHECK_ERR(check(&in, &reply, "", &e), ERR_FORMAT, e, "xxx");
	CHECK_INT(strlen(e.msg), sizeof e.msg - 1);
}

TEST(isolated_check__file_length_without_file__is_no_file)
{
	struct isolated_reply reply = good_reply();
	cleanup_isolated struct isolated in = { 0 };

	reply.has_file[DELIVER_POLICY] = 0;
	CHECK_INT(check(&in, &reply, "TEXTPOL", NULL), 0);
	CHECK(!in.d.file[DELIVER_POLICY].p && !in.d.file[DELIVER_POLICY].len);
}
