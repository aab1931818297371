/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/gunzip.h"
#include "initdata/initdata.h"
#include "initdata/isolated.h"
#include "test/test.h"

#include <errno.h>
#include <sys/wait.h>

#define HEAD "version = \"0.1.0\"\nalgorithm = \"sha384\"\n[data]\n"

static int load(struct isolated *out, struct view delivered, struct err *e)
{
	const struct isolated_input in = { .form = ISOLATED_INITDATA, .bytes = delivered };

	return isolated_load(out, &in, e);
}

TEST(isolated_load__all_three_files__come_back_as_initdata_load_sees_them)
{
	static const char text[] = HEAD "\"cdh.toml\" = ''\n\"policy.rego\" = \"p\\u0000q\"\n"
					"\"other\" = 'z'\n\"aa.toml\" = 'a'\n";
	cleanup_isolated struct isolated in = { 0 };
	cleanup_initdata struct initdata d = { 0 };
	cleanup_buf struct buf b64 = BUF_MAX(4096);

	CHECK_INT(initdata_encode(&b64, view_str(text), NULL), 0);
	CHECK_INT(load(&in, buf_view(&b64), NULL), 0);
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

	CHECK_INT(load(&in, view_str(HEAD), NULL), 0);
	for (int f = 0; f < DELIVER_FILES; f++)
		CHECK(!in.d.file[f].p);
	for (int f = 0; f < DELIVER_EXTRAS; f++)
		CHECK(!in.d.extra[f].p);
	CHECK_INT(in.skipped.len, 0);
}

TEST(isolated_load__malformed__gives_the_childs_error_and_no_child_is_left)
{
	struct isolated in = { .alg = HASH_SHA512 };
	struct err e;

	CHECK_ERR(load(&in, view_str(HEAD "x = 'y\n"), &e), ERR_FORMAT, e,
		  "line 4, column 5: the string");
	CHECK_INT(e.code, CODE_INITDATA_SYNTAX);
	CHECK(in.alg == HASH_SHA512 && !in.unwrapped.p && !in.parsed.p);
	CHECK_ERR(load(&in, view_str(""), &e), ERR_FORMAT, e, "empty");
	CHECK_INT(e.code, CODE_INITDATA_ENCODING);
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
	CHECK_INT(load(&in, buf_view(&b64), NULL), 0);
	CHECK(view_eq(in.d.text, buf_view(&text)));
	CHECK_INT(in.d.file[DELIVER_POLICY].len,
		  INITDATA_TEXT_MAX - strlen(HEAD "\"policy.rego\" = ''"));
}

TEST(isolated_load__gzip__is_the_text)
{
	cleanup_isolated struct isolated in = { 0 };
	cleanup_buf struct buf gz = BUF_MAX(4096);
	struct isolated_input what = { .form = ISOLATED_GZIP };
	struct err e;

	CHECK_INT(gunzip_pack(&gz, view_str(HEAD "\"aa.toml\" = 'a'\n"), NULL), 0);
	what.bytes = buf_view(&gz);
	CHECK_INT(isolated_load(&in, &what, NULL), 0);
	CHECK(view_is(in.d.file[DELIVER_AA], "a"));
	what.bytes.len--;
	CHECK_ERR(isolated_load(&in, &what, &e), ERR_FORMAT, e, "cut short");
	CHECK_INT(e.code, CODE_INITDATA_ENCODING);
}

#define CLOUD "#cloud-config\nwrite_files:\n"
#define APF   "- path: /run/peerpod/apf.json\n  content: '{}'\n"
#define SKIP  "- path: /etc/passwd\n- path: /run/peerpod/aa.toml\n"

TEST(isolated_load__user_data__gives_initdata_extras_and_skipped)
{
	cleanup_isolated struct isolated in = { 0 };
	struct isolated_input what = {
		.form = ISOLATED_USERDATA,
		.bytes = view_str(CLOUD APF SKIP "- path: /run/peerpod/initdata\n"
						 "  content: |\n    version = '0.1.0'\n"
						 "    algorithm = 'sha256'\n    [data]\n"),
		/* It has its own. */
		.has_existing = true,
		.existing = view_str("nonsense"),
	};

	CHECK_INT(isolated_load(&in, &what, NULL), 0);
	CHECK(view_is(in.d.text, "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\n"));
	CHECK(view_eq(in.d.extra[EXTRA_INITDATA], in.d.text));
	CHECK(view_is(in.d.extra[EXTRA_APF], "{}"));
	CHECK(!in.d.extra[EXTRA_AUTH].p && !in.d.extra[EXTRA_SCRATCH].p);
	CHECK(view_is(in.skipped, "/etc/passwd\n/run/peerpod/aa.toml\n"));
}

TEST(isolated_load__user_data_without_initdata__takes_the_existing_one_or_the_dummy)
{
	cleanup_buf struct buf code = BUF_MAX(4096);
	struct isolated_input what = { .form = ISOLATED_USERDATA_BASE64 };

	enc_base64(&code, ENC_B64, view_str(CLOUD APF));
	buf_puts(&code, "\r\n");
	what.bytes = buf_view(&code);
	for (int there = 0; there < 2; there++) {
		cleanup_isolated struct isolated in = { 0 };

		what.has_existing = there;
		what.existing = there ? view_str(HEAD) : (struct view){ 0 };
		CHECK_INT(isolated_load(&in, &what, NULL), 0);
		CHECK(view_eq(in.d.text, there ? view_str(HEAD) : initdata_dummy()));
		CHECK(view_is(in.d.extra[EXTRA_APF], "{}") && !in.d.extra[EXTRA_INITDATA].p);
	}
}

/* What is there but empty is malformed, not absent. */
TEST(isolated_load__empty_initdata__is_malformed)
{
	struct isolated_input what = { .form = ISOLATED_USERDATA, .has_existing = true };
	struct isolated in = { 0 };
	struct err e;

	what.bytes = view_str(CLOUD APF);
	CHECK_ERR(isolated_load(&in, &what, &e), ERR_FORMAT, e, "empty");
	what.has_existing = false;
	what.bytes = view_str(CLOUD "- path: /run/peerpod/initdata\n");
	CHECK_ERR(isolated_load(&in, &what, &e), ERR_FORMAT, e, "empty");
}

TEST(isolated_load__bad_user_data__gives_the_childs_error)
{
	struct isolated_input what = { .form = ISOLATED_USERDATA, .bytes = view_str("x") };
	struct isolated in = { 0 };
	struct err e;

	CHECK_ERR(isolated_load(&in, &what, &e), ERR_FORMAT, e, "line 1");
	CHECK_INT(e.code, CODE_USERDATA_SYNTAX);
	what.form = ISOLATED_USERDATA_BASE64;
	CHECK_ERR(isolated_load(&in, &what, &e), ERR_FORMAT, e, "multiple of 4");
	CHECK_INT(e.code, CODE_USERDATA_ENCODING);
}

/* --- answers of a child that was taken over ---------------------------------- */

/* Text "TEXT", apf.json "A", initdata "", skipped "s\n". */
static struct isolated_unwrapped good_unwrapped(void)
{
	return (struct isolated_unwrapped){
		.text_len = 4,
		.extra_len = { [EXTRA_APF] = 1 },
		.has_extra = { [EXTRA_APF] = 1, [EXTRA_INITDATA] = 1 },
		.skipped_len = 2,
	};
}

static int unwrapped(struct isolated *in, const struct isolated_unwrapped *reply,
		     const char *behind, struct err *e)
{
	in->unwrapped = BUF_MAX(1u << 20);
	buf_put(&in->unwrapped, reply, sizeof *reply);
	buf_puts(&in->unwrapped, behind);
	return isolated_check_unwrapped(in, e);
}

/* policy "POL", aa.toml "", no cdh.toml. */
static struct isolated_parsed good_parsed(void)
{
	return (struct isolated_parsed){
		.alg = HASH_SHA256,
		.file_len = { [DELIVER_POLICY] = 3 },
		.has_file = { [DELIVER_POLICY] = 1, [DELIVER_AA] = 1 },
	};
}

static int parsed(struct isolated *in, const struct isolated_parsed *reply, const char *behind,
		  struct err *e)
{
	in->d.text = view_str("TEXT");
	in->parsed = BUF_MAX(1u << 20);
	buf_put(&in->parsed, reply, sizeof *reply);
	buf_puts(&in->parsed, behind);
	return isolated_check_parsed(in, e);
}

TEST(isolated_check__good_answers__are_cut_and_hashed_here)
{
	cleanup_isolated struct isolated in = { 0 };
	struct isolated_unwrapped u = good_unwrapped();
	struct isolated_parsed p = good_parsed();
	struct digest want;

	CHECK_INT(unwrapped(&in, &u, "TEXTAs\n", NULL), 0);
	CHECK(view_is(in.d.text, "TEXT") && view_is(in.d.extra[EXTRA_APF], "A"));
	CHECK(in.d.extra[EXTRA_INITDATA].p && !in.d.extra[EXTRA_INITDATA].len);
	CHECK(!in.d.extra[EXTRA_AUTH].p && view_is(in.skipped, "s\n"));
	CHECK_INT(parsed(&in, &p, "POL", NULL), 0);
	CHECK(view_is(in.d.file[DELIVER_POLICY], "POL"));
	CHECK(in.d.file[DELIVER_AA].p && !in.d.file[DELIVER_AA].len && !in.d.file[DELIVER_CDH].p);
	CHECK_INT(digest_of(&want, HASH_SHA256, view_str("TEXT"), NULL), 0);
	CHECK(view_eq(digest_view(&in.d.digest), digest_view(&want)));
}

TEST(isolated_check_unwrapped__one_field_wrong__is_nonsense)
{
	struct isolated_unwrapped r[] = {
		good_unwrapped(), good_unwrapped(), good_unwrapped(), good_unwrapped(),
		good_unwrapped(), good_unwrapped(), good_unwrapped(), good_unwrapped(),
		good_unwrapped(), good_unwrapped(),
	};
	struct err e;

	r[0].text_len = 8;
	r[1].text_len = SIZE_MAX;
	r[2].text_len = 3;
	r[3].extra_len[EXTRA_SCRATCH] = 1;
	r[4].extra_len[EXTRA_APF] = SIZE_MAX - 3;
	r[5].skipped_len = 3;
	r[6].skipped_len = SIZE_MAX;
	r[7].err = (struct err){ .kind = ERR_KIND_COUNT, .code = CODE_INITDATA_SYNTAX };
	r[8].err = (struct err){ .kind = ERR_FORMAT, .code = CODE_COUNT };
	/* The sum is right, by going once round. */
	r[9].text_len = 6;
	r[9].skipped_len = SIZE_MAX - 1;
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		cleanup_isolated struct isolated in = { 0 };

		CHECK_ERR(unwrapped(&in, &r[i], "TEXTAs\n", &e), ERR_INTERNAL, e, "nonsense");
	}
}

/* They go to the log. */
TEST(isolated_check_unwrapped__skipped_is_not_plain__is_nonsense)
{
	static const char *const bad[] = { "TEXTA\033\n", "TEXTA\x7f\n", "TEXTA\xc3\xa4" };
	struct isolated_unwrapped reply = good_unwrapped();
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_isolated struct isolated in = { 0 };

		CHECK_ERR(unwrapped(&in, &reply, bad[i], &e), ERR_INTERNAL, e, "nonsense");
	}
}

TEST(isolated_check_parsed__one_field_wrong__is_nonsense)
{
	struct isolated_parsed r[] = { good_parsed(), good_parsed(), good_parsed(), good_parsed(),
				       good_parsed(), good_parsed(), good_parsed(), good_parsed() };
	struct err e;

	r[0].alg = HASH_SM3 + 1;
	r[1].alg = UINT32_MAX;
	r[2].file_len[DELIVER_CDH] = 1;
	r[3].file_len[DELIVER_POLICY] = SIZE_MAX - 3;
	r[4].file_len[DELIVER_POLICY] = 2;
	r[5].err = (struct err){ .kind = ERR_FORMAT, .code = CODE_COUNT };
	r[6].err = (struct err){ .kind = ERR_FORMAT, .code = CODE_INITDATA_SYNTAX, .msg = "\xff" };
	/* The sum is right, by going once round. */
	r[7].file_len[DELIVER_POLICY] = 4;
	r[7].file_len[DELIVER_AA] = SIZE_MAX;
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		cleanup_isolated struct isolated in = { 0 };

		CHECK_ERR(parsed(&in, &r[i], "POL", &e), ERR_INTERNAL, e, "nonsense");
	}
}

TEST(isolated_check__cut_anywhere_or_longer__is_nonsense)
{
	struct isolated_unwrapped u = good_unwrapped();
	struct isolated_parsed p = good_parsed();
	cleanup_isolated struct isolated in = { 0 };
	struct err e;

	CHECK_INT(unwrapped(&in, &u, "TEXTAs\n", NULL), 0);
	for (in.unwrapped.len--; in.unwrapped.len > 0; in.unwrapped.len--)
		CHECK_ERR(isolated_check_unwrapped(&in, &e), ERR_INTERNAL, e, "nonsense");
	CHECK_INT(parsed(&in, &p, "POL", NULL), 0);
	for (in.parsed.len--; in.parsed.len > 0; in.parsed.len--)
		CHECK_ERR(isolated_check_parsed(&in, &e), ERR_INTERNAL, e, "nonsense");
	isolated_done(&in);
	CHECK_ERR(unwrapped(&in, &u, "TEXTAs\nx", &e), ERR_INTERNAL, e, "nonsense");
	isolated_done(&in);
	CHECK_ERR(parsed(&in, &p, "POLx", &e), ERR_INTERNAL, e, "nonsense");
}

TEST(isolated_check__message_without_end__is_ended)
{
	struct isolated_unwrapped reply = { .err = { .kind = ERR_FORMAT,
						     .code = CODE_INITDATA_SYNTAX } };
	cleanup_isolated struct isolated in = { 0 };
	struct err e;

	for (size_t i = 0; i < sizeof reply.err.msg; i++)
		reply.err.msg[i] = 'x';
	CHECK_ERR(unwrapped(&in, &reply, "", &e), ERR_FORMAT, e, "xxx");
	CHECK_INT(strlen(e.msg), sizeof e.msg - 1);
}

TEST(isolated_check__length_without_file__is_no_file)
{
	struct isolated_unwrapped u = good_unwrapped();
	struct isolated_parsed p = good_parsed();
	cleanup_isolated struct isolated in = { 0 };

	u.has_extra[EXTRA_APF] = 0;
	p.has_file[DELIVER_POLICY] = 0;
	CHECK_INT(unwrapped(&in, &u, "TEXTAs\n", NULL), 0);
	CHECK_INT(parsed(&in, &p, "POL", NULL), 0);
	CHECK(!in.d.extra[EXTRA_APF].p && !in.d.extra[EXTRA_APF].len);
	CHECK(!in.d.file[DELIVER_POLICY].p && !in.d.file[DELIVER_POLICY].len);
}
