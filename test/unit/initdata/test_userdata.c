/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "initdata/userdata.h"
#include "test/test.h"

#define HEAD  "#cloud-config\n"
#define FILES HEAD "write_files:\n"
#define APF   "- path: /run/peerpod/apf.json\n"

static void check_content(const struct userdata *u, enum deliver_extra f, const char *want)
{
	if (!u->has[f] || !view_is(buf_view(&u->content[f]), want))
		test_fail(__FILE__, __LINE__, "%s is \"%s\"", deliver_extra_path(f),
			  buf_str(&u->content[f]));
}

TEST(userdata_load__all_files_in_all_styles__come_back)
{
	static const char text[] =
		"#cloud-config\r\n"
		"# a comment\n---\nwrite_files:\n"
		"  - path: /run/peerpod/apf.json\n    content: |\n      {\n"
		"        \"x\": 1 # no comment\n      }\n"
		"  - {content: \"a\\n\\u00e9\\0b\", path: '/run/peerpod/auth.json'}\n"
		"  - content: >-\n      QUJD\n      REVG\n"
		"    \"path\": /run/peerpod/initdata\n"
		"  - path: /run/peerpod/scratch-space.marker\n"
		"  - path: /etc/pass\xc3\xa4wd\n    content: x\n"
		"...\n";
	cleanup_userdata struct userdata u = { 0 };
	struct view auth;

	CHECK_INT(userdata_load(&u, view_str(text), NULL), 0);
	check_content(&u, EXTRA_APF, "{\n  \"x\": 1 # no comment\n}\n");
	check_content(&u, EXTRA_INITDATA, "QUJD REVG");
	check_content(&u, EXTRA_SCRATCH, "");
	auth = buf_view(&u.content[EXTRA_AUTH]);
	CHECK_INT(auth.len, 6);
	CHECK(memcmp(auth.p, "a\n\xc3\xa9\0b", 6) == 0);
	CHECK(view_is(buf_view(&u.skipped), "/etc/pass??wd\n"));
}

TEST(userdata_load__nothing_to_write__is_empty)
{
	static const char *const rows[] = {
		"#cloud-config",
		HEAD,
		HEAD "# nothing\n",
		HEAD "write_files:",
		HEAD "write_files: ~\n",
		HEAD "write_files: []\n",
		HEAD "write_files: null\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_userdata struct userdata u = { 0 };

		if (userdata_load(&u, view_str(rows[i]), NULL) < 0)
			test_fail(__FILE__, __LINE__, "row %zu", i);
		for (int f = 0; f < DELIVER_EXTRAS; f++)
			CHECK(!u.has[f]);
		CHECK_INT(u.skipped.len, 0);
	}
}

/* As a Go program that reads YAML into strings has it. */
TEST(userdata_load__scalars_of_other_types__are_the_text_as_written)
{
	static const char *const rows[][2] = {
		{ "12", "12" },     { "true", "true" },
		{ "1.50", "1.50" }, { "~", "" },
		{ "null", "" },     { "", "" },
		{ "'~'", "~" },     { "\"null\"", "null" },
		{ "''", "" },       { "2001-01-01", "2001-01-01" },
		{ "nUll", "nUll" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_userdata struct userdata u = { 0 };
		char text[256];

		(void)snprintf(text, sizeof text, FILES APF "  content: %s\n", rows[i][0]);
		CHECK_INT(userdata_load(&u, view_str(text), NULL), 0);
		check_content(&u, EXTRA_APF, rows[i][1]);
	}
}

/* Exactly these, whatever a path may be made to look like. */
TEST(userdata_load__paths_not_in_the_list__are_named_and_skipped)
{
	static const char *const paths[] = {
		"/run/peerpod/aa.toml",
		"/run/peerpod/cdh.toml",
		"/run/peerpod/policy.rego",
		"/run/peerpod/daemon.json",
		"/run/peerpod/../peerpod/apf.json",
		"//run/peerpod/apf.json",
		"/run/peerpod/./apf.json",
		"run/peerpod/apf.json",
		"/run/peerpod/apf.json/",
		"/run/peerpod/apf.jso",
		"/run/peerpod/apf.jsonx",
		"/RUN/peerpod/apf.json",
		"/run/peerpod/initdata.digest",
	};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		cleanup_userdata struct userdata u = { 0 };
		char text[256], want[128];

		(void)snprintf(text, sizeof text, FILES "- path: %s\n  content: x\n", paths[i]);
		(void)snprintf(want, sizeof want, "%s\n", paths[i]);
		CHECK_INT(userdata_load(&u, view_str(text), NULL), 0);
		for (int f = 0; f < DELIVER_EXTRAS; f++)
			CHECK(!u.has[f]);
		CHECK(view_is(buf_view(&u.skipped), want));
	}
}

TEST(userdata_load__path_with_nul_or_control__is_not_the_one_before_it)
{
	cleanup_userdata struct userdata u = { 0 };

	CHECK_INT(userdata_load(&u,
				view_str(FILES "- path: \"/run/peerpod/apf.json\\0\"\n"
					       "- path: \"/a\\e[31m\\n\"\n"),
				NULL),
		  0);
	CHECK(!u.has[EXTRA_APF]);
	CHECK(view_is(buf_view(&u.skipped), "/run/peerpod/apf.json?\n/a?[31m?\n"));
}

static const struct {
	const char *text, *words;
} malformed[] = {
	{ "", "line 1: want #cloud-config" },
	{ "#cloud-confi", "line 1" },
	{ "#cloud-configx\n", "line 1" },
	{ "#cloud-config \n", "line 1" },
	{ "#cloud-config\r", "line 1" },
	{ "#cloud-config\rwrite_files:\n", "line 1" },
	{ " #cloud-config\n", "line 1" },
	{ "\n#cloud-config\n", "line 1" },
	{ "\xef\xbb\xbf#cloud-config\n", "line 1" },
	{ "write_files: []\n", "line 1" },
	{ HEAD "x", "line 2, column 1: want write_files" },
	{ HEAD "- x", "want write_files" },
	{ HEAD "~\n", "want write_files" },
	{ HEAD "[write_files]\n", "want write_files" },
	{ HEAD "runcmd: []\n", "line 2, column 1: the key \"runcmd\"; accepted here: write_files" },
	{ HEAD "Write_files: []\n", "the key \"Write_files\"" },
	{ HEAD "\"a\\x1b\": []\n", "the key \"a?\"" },
	{ HEAD "<<: {}\n", "the key \"<<\"" },
	{ FILES APF "runcmd: []\n", "line 4, column 1: the key \"runcmd\"" },
	{ FILES "write_files: []\n", "the key \"write_files\"" },
	{ HEAD "[a]: b\n", "want a key" },
	{ HEAD "? {a: b}\n: c\n", "want a key" },
	{ HEAD "write_files: x\n", "line 2, column 14: want a list of files" },
	{ HEAD "write_files: ''\n", "want a list of files" },
	{ HEAD "write_files: {}\n", "want a list of files" },
	{ FILES "- x\n", "line 3, column 3: want a file" },
	{ FILES "- [x]\n", "want a file" },
	{ FILES "- ~\n", "want a file" },
	{ FILES "- []\n", "want a file" },
	{ FILES "- {}\n", "no path" },
	{ FILES "- content: x\n", "no path" },
	{ FILES "- path: ''\n", "no path" },
	{ FILES "- path: ~\n", "no path" },
	{ FILES "- path: [x]\n", "line 3, column 9: want text" },
	{ FILES "- path: {x: y}\n", "want text" },
	{ FILES APF "  content: [x]\n", "line 4, column 12: want text" },
	{ FILES APF "  content: {x: y}\n", "want text" },
	{ FILES APF "  permissions: '0644'\n",
	  "line 4, column 3: the key \"permissions\"; accepted here: path and content, once" },
	{ FILES APF "  owner: root\n", "the key \"owner\"" },
	{ FILES APF "  encoding: b64\n", "the key \"encoding\"" },
	{ FILES APF "  append: true\n", "the key \"append\"" },
	{ FILES APF "  path: /x\n", "the key \"path\"" },
	{ FILES APF "  content: x\n  content: x\n", "the key \"content\"" },
	{ FILES APF "  ~: x\n", "the key \"~\"" },
	{ FILES APF "  ? [x]\n  : y\n", "want a key" },
	{ FILES APF APF, "line 5, column 1: a path is given twice" },
	{ FILES "- &a\n  path: /x\n", "an anchor" },
	{ FILES "- path: &a /x\n", "line 3, column 9: an anchor" },
	{ FILES "- path: &a /x\n  content: *a\n", "an anchor" },
	{ FILES "- path: *a\n", "an alias" },
	{ FILES "- *a\n", "an alias" },
	{ HEAD "*a : x\n", "an alias" },
	{ HEAD "&a write_files: []\n", "an anchor" },
	{ HEAD "write_files: &a []\n", "an anchor" },
	{ HEAD "--- &a {}\n", "an anchor" },
	{ HEAD "--- !!map {}\n", "a tag" },
	{ HEAD "write_files: !!seq []\n", "a tag" },
	{ FILES "- !x {path: y}\n", "a tag" },
	{ FILES APF "  content: !!binary QUJD\n", "line 4, column 12: a tag" },
	{ FILES APF "  content: ! x\n", "a tag" },
	{ FILES APF "  content: !<tag:yaml.org,2002:str> x\n", "a tag" },
	{ HEAD "%YAML 1.1\n---\n{}\n", "a directive" },
	{ HEAD "%TAG ! tag:x,1:\n---\n{}\n", "a directive" },
	{ HEAD "%YAML 2.0\n---\n{}\n", "incompatible" },
	{ HEAD "{}\n---\n{}\n", "a second document" },
	{ HEAD "write_files: []\n...\nwrite_files: []\n", "document" },
	{ HEAD "\twrite_files: []\n", "line 2, column 1" },
	{ FILES APF "\tcontent: x\n", "line 4, column 1" },
	{ FILES APF " content: x\n", "line" },
	{ FILES APF "  content: 'x\n", "unexpected end of stream" },
	{ FILES APF "  content: \"\\q\"\n", "escape" },
	{ FILES APF "  content: \"\\ud800\"\n", "escape" },
	{ FILES APF "  content: @x\n", "token" },
	{ FILES APF "  content: a\x01\n", "control characters" },
	{ FILES APF "  content: a\x7f\n", "control characters" },
	{ FILES APF "  content: a\xff\n", "UTF-8" },
	{ FILES APF "  content: \xed\xa0\x80\n", "UTF-8" },
	{ HEAD "{write_files: [{path: /x}]\n", "line" },
	{ HEAD "{write_files: [[[[[[[[[[[[[[[[\n", "want a file" },
};

TEST(userdata_load__malformed__says_where_and_leaves_out_untouched)
{
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		struct userdata u = { .has = { true } };
		struct err e = { 0 };
		int r = userdata_load(&u, view_str(malformed[i].text), &e);

		if (r != -ERR_FORMAT || e.code != CODE_USERDATA_SYNTAX ||
		    !strstr(e.msg, malformed[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s, want %s", i, r, e.msg,
				  malformed[i].words);
		CHECK(u.has[0] && !u.content[0].p && !u.skipped.p);
	}
}

TEST(userdata_load__nul_byte__is_refused)
{
	static const char text[] = FILES APF "  content: a\0b\n";
	struct userdata u = { 0 };
	struct err e;

	CHECK_ERR(userdata_load(&u, (struct view){ (const uint8_t *)text, sizeof text - 1 }, &e),
		  ERR_FORMAT, e, "control characters");
}

TEST(userdata_load__limits__are_exact)
{
	cleanup_buf struct buf text = BUF_MAX(4u << 20);
	struct err e;

	for (size_t n = USERDATA_ENTRIES_MAX; n <= USERDATA_ENTRIES_MAX + 1; n++) {
		cleanup_userdata struct userdata u = { 0 };

		buf_reset(&text);
		buf_puts(&text, FILES);
		for (size_t i = 0; i < n; i++)
			buf_printf(&text, "- path: /%0300zu\n", i);
		if (n == USERDATA_ENTRIES_MAX) {
			CHECK_INT(userdata_load(&u, buf_view(&text), NULL), 0);
			CHECK_INT(u.skipped.len, n * 121);
		} else {
			CHECK_ERR(userdata_load(&u, buf_view(&text), &e), ERR_LIMIT, e,
				  "over 64 files");
			CHECK_INT(e.code, CODE_USERDATA_TOO_LARGE);
		}
	}
	for (size_t n = USERDATA_PATH_MAX; n <= USERDATA_PATH_MAX + 1; n++) {
		cleanup_userdata struct userdata u = { 0 };

		buf_reset(&text);
		buf_printf(&text, FILES "- path: %0*d\n", (int)n, 0);
		CHECK_INT(userdata_load(&u, buf_view(&text), &e),
			  n == USERDATA_PATH_MAX ? 0 : -ERR_LIMIT);
	}
}

TEST(userdata_load__largest_text__is_read_and_one_more_is_not)
{
	cleanup_buf struct buf text = BUF_MAX(4u << 20);
	cleanup_userdata struct userdata u = { 0 };
	struct userdata none = { 0 };
	struct err e;

	buf_puts(&text, FILES APF "  content: |\n    ");
	while (text.len < USERDATA_TEXT_MAX)
		buf_putc(&text, 'x');
	CHECK_INT(userdata_load(&u, buf_view(&text), NULL), 0);
	CHECK_INT(u.content[EXTRA_APF].len,
		  USERDATA_TEXT_MAX - strlen(FILES APF "  content: |\n    "));
	buf_putc(&text, '\n');
	CHECK_ERR(userdata_load(&none, buf_view(&text), &e), ERR_LIMIT, e,
		  "2097153 bytes, allowed 2097152");
	CHECK_INT(e.code, CODE_USERDATA_TOO_LARGE);
}

/* Two characters stand for three bytes: the content would be over the cap of the text. */
TEST(userdata_load__content_grows_by_escapes__is_capped_too)
{
	cleanup_buf struct buf text = BUF_MAX(4u << 20);
	struct userdata u = { 0 };
	struct err e;

	buf_puts(&text, FILES APF "  content: \"");
	while (text.len < USERDATA_TEXT_MAX - 2)
		buf_puts(&text, "\\L");
	buf_puts(&text, "\"");
	CHECK_ERR(userdata_load(&u, buf_view(&text), &e), ERR_LIMIT, e, "content");
}

TEST(userdata_load_base64__line_breaks_or_not__is_the_text)
{
	cleanup_buf struct buf code = BUF_MAX(4096), folded = BUF_MAX(4096);

	enc_base64(&code, ENC_B64, view_str(FILES APF "  content: x\n"));
	for (size_t i = 0; i < code.len; i++) {
		buf_putc(&folded, code.p[i]);
		if (i % 7 == 0)
			buf_puts(&folded, i % 2 ? "\n" : "\r\n");
	}
	for (int i = 0; i < 2; i++) {
		cleanup_userdata struct userdata u = { 0 };

		CHECK_INT(userdata_load_base64(&u, buf_view(i ? &folded : &code), NULL), 0);
		check_content(&u, EXTRA_APF, "x");
	}
}

TEST(userdata_load_base64__malformed__is_its_code)
{
	static const struct {
		const char *code;
		enum err_code want;
	} rows[] = {
		{ "I2Nsb3VkLWNvbmZpZw", CODE_USERDATA_ENCODING },
		{ "I2Nsb3VkLWNvbmZpZw=", CODE_USERDATA_ENCODING },
		{ "I2Nsb3VkLWNvbmZpZw== ", CODE_USERDATA_ENCODING },
		{ "I2Nsb3Vk LWNvbmZpZw==", CODE_USERDATA_ENCODING },
		{ "I2Nsb3VkLWNvbmZpZx==", CODE_USERDATA_ENCODING },
		{ "I2Nsb3VkLWNvbmZp_w==", CODE_USERDATA_ENCODING },
		{ HEAD, CODE_USERDATA_ENCODING },
		{ "", CODE_USERDATA_SYNTAX },
		{ "eA==", CODE_USERDATA_SYNTAX },
		{ "I2Nsb3VkLWNvbmZpZw==", CODE_OK },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_userdata struct userdata u = { 0 };
		struct err e = { 0 };
		int r = userdata_load_base64(&u, view_str(rows[i].code), &e);

		if (e.code != rows[i].want || (r == 0) != (rows[i].want == CODE_OK))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s", i, r, e.msg);
	}
}

TEST(userdata_load_base64__over_a_limit__is_too_large)
{
	cleanup_buf struct buf code = BUF_MAX(4u << 20);
	struct userdata u = { 0 };
	struct err e;

	while (code.len <= USERDATA_BASE64_MAX)
		buf_puts(&code, "\n\n\n\n");
	CHECK_ERR(userdata_load_base64(&u, buf_view(&code), &e), ERR_LIMIT, e, "allowed 3145728");
	buf_reset(&code);
	while (code.len <= 3000000)
		buf_puts(&code, "AAAA");
	CHECK_ERR(userdata_load_base64(&u, buf_view(&code), &e), ERR_LIMIT, e, "2097152");
	CHECK_INT(e.code, CODE_USERDATA_TOO_LARGE);
}

/* The published samples; what comes of them as a whole is in test/integration/delivery. */
TEST(userdata_load__shared_vectors__are_as_cases_json_says)
{
	static const struct {
		const char *name;
		bool good, extra[DELIVER_EXTRAS];
		const char *skipped;
	} rows[] = {
		{ "full", true, { true, true, true, true }, "" },
		{ "minimal", true, { true }, "" },
		{ "disallowed-path", true, { true }, "/etc/passwd\n" },
		{ "legacy-daemon-json", true, { false }, "/run/peerpod/daemon.json\n" },
		{ "unknown-key", false, { false }, NULL },
		{ "extra-toplevel", false, { false }, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf text = BUF_MAX(65536);
		cleanup_userdata struct userdata u = { 0 };
		char name[128];
		int r;

		(void)snprintf(name, sizeof name, "local/peerpod/user-data.%s.yaml", rows[i].name);
		CHECK_INT(fs_read(&text, test_shared(name), 65536, NULL), 0);
		r = userdata_load(&u, buf_view(&text), NULL);
		CHECK_INT(r, rows[i].good ? 0 : -ERR_FORMAT);
		if (r < 0)
			continue;
		for (int f = 0; f < DELIVER_EXTRAS; f++)
			CHECK_INT(u.has[f], rows[i].extra[f]);
		CHECK(view_is(buf_view(&u.skipped), rows[i].skipped));
	}
}
