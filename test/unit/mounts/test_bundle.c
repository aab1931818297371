/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/bundle.h"
#include "test/unit/mounts/tmpdir.h"

static int open_it(struct bundle *b, struct err *e)
{
	return bundle_open(b, tmpdir_path, "config.json", e);
}

TEST(bundle_open__regular_file__is_read_exactly)
{
	cleanup_bundle struct bundle b = { 0 };
	int dir = tmpdir_make();
	struct node n;

	tmpdir_put(dir, "config.json", " {\"a\": 18446744073709551615}\n");
	CHECK_INT(open_it(&b, NULL), 0);
	CHECK(view_is(buf_view(&b.text), " {\"a\": 18446744073709551615}\n"));
	CHECK(strcmp(b.path, tmpdir_path) == 0);
	CHECK_INT(node_get(&n, bundle_node(&b), "a", NULL), 0);
	CHECK_INT(n.at, 7);
}

TEST(bundle_open__file_that_others_decide_about__is_refused)
{
	int dir = tmpdir_make();
	struct bundle b = { 0 };
	struct err e;

	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "is not there");
	tmpdir_put(dir, "real", "{}");
	CHECK(symlinkat("real", dir, "config.json") == 0);
	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "symbolic link");
	CHECK(unlinkat(dir, "config.json", 0) == 0);
	CHECK(mkfifoat(dir, "config.json", 0600) == 0);
	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "not a regular file");
	CHECK(unlinkat(dir, "config.json", 0) == 0);
	CHECK(mkdirat(dir, "config.json", 0700) == 0);
	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "not a regular file");
	CHECK(unlinkat(dir, "config.json", AT_REMOVEDIR) == 0);
	tmpdir_put(dir, "config.json", "{}");
	CHECK(fchmodat(dir, "config.json", 0620, 0) == 0);
	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "can be written");
	CHECK(fchmodat(dir, "config.json", 0602, 0) == 0);
	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "can be written");
	CHECK_INT(e.code, CODE_OCI_CONFIG);
	CHECK(b.path == NULL && b.doc == NULL);
	CHECK(fchmodat(dir, "config.json", 0644, 0) == 0);
	CHECK_INT(open_it(&b, NULL), 0);
	bundle_done(&b);
}

TEST(bundle_open__owner_other_than_root_and_us__is_refused)
{
	int dir = tmpdir_make();
	struct bundle b = { 0 };
	struct err e;

	if (geteuid() != 0)
		test_skip("needs root to give a file away");
	tmpdir_put(dir, "config.json", "{}");
	CHECK(fchownat(dir, "config.json", 12345, 0, 0) == 0);
	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "another user");
}

TEST(bundle_open__malformed_json__names_the_place)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "", "offset 0" },	     { "[]", "not a JSON object" }, { "{\"a\":1,}", "offset" },
		{ "{\"a\":1}x", "behind" },  { "{\"a\":1,\"a\":2}", "twice" }, { "{\"a\":\"\\u0000\"}", "\\u0000" },
		{ "{\"a\":\"\xff\"}", "offset" }, { "null", "not a JSON object" },
	};
	int dir = tmpdir_make();
	struct bundle b = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		tmpdir_put(dir, "config.json", rows[i].text);
		CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, rows[i].words);
		CHECK_INT(e.code, CODE_OCI_CONFIG);
	}
}

TEST(bundle_open__over_four_mebibytes__is_refused)
{
	int dir = tmpdir_make();
	struct bundle b = { 0 };
	struct err e;

	tmpdir_put(dir, "config.json", "{}");
	CHECK(truncate(tmpdir_abs("config.json"), BUNDLE_CONFIG_MAX + 1) == 0);
	CHECK_ERR(open_it(&b, &e), ERR_FORMAT, e, "over 4194304 bytes");
}

TEST(bundle_open__no_folder__is_refused)
{
	struct bundle b = { 0 };
	struct err e;

	CHECK_ERR(bundle_open(&b, "/nonexistent/x", "config.json", &e), ERR_FORMAT, e, "folder");
}
