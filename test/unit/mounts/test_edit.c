/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "mounts/edit.h"
#include "test/unit/mounts/tmpdir.h"

static struct buf text_of(const char *s)
{
	struct buf b = BUF_MAX(4096);

	buf_puts(&b, s);
	return b;
}

static void add(struct edits *l, size_t at, size_t len, const char *s)
{
	struct buf b = text_of(s);

	CHECK_INT(edits_add(l, at, len, &b, NULL, NULL), 0);
	CHECK(b.p == NULL);
}

TEST(edits_apply__any_order__replaces_by_place)
{
	cleanup_edits struct edits l = { 0 };
	cleanup_buf struct buf out = BUF_MAX(4096);

	add(&l, 6, 1, "SEVEN");
	add(&l, 0, 2, "");
	add(&l, 10, 0, "end");
	add(&l, 3, 0, "<a>");
	add(&l, 3, 0, "<b>");
	CHECK_INT(edits_apply(&out, &l, view_str("0123456789"), NULL), 0);
	CHECK(strcmp(buf_str(&out), "2<a><b>345SEVEN789end") == 0);
}

TEST(edits_apply__overlap_or_outside__is_internal)
{
	const size_t places[][2] = { { 4, 3 }, { 11, 0 }, { 9, 2 }, { SIZE_MAX, 1 }, { 2, SIZE_MAX } };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		cleanup_edits struct edits l = { 0 };
		cleanup_buf struct buf out = BUF_MAX(4096);

		add(&l, 5, 2, "x");
		add(&l, places[i][0], places[i][1], "y");
		CHECK_ERR(edits_apply(&out, &l, view_str("0123456789"), &e), ERR_INTERNAL, e, "overlap");
	}
}

TEST(edits_add__failed_buffer_or_too_many__is_an_error)
{
	cleanup_edits struct edits l = { 0 };
	struct buf b = BUF_MAX(2);
	struct err e;

	buf_puts(&b, "over");
	CHECK_ERR(edits_add(&l, 0, 0, &b, NULL, &e), ERR_LIMIT, e, "2 bytes");
	CHECK_INT(l.n, 0);
	for (size_t i = 0; i < EDITS_MAX; i++)
		add(&l, i, 0, "");
	b = text_of("x");
	CHECK_ERR(edits_add(&l, 0, 0, &b, NULL, &e), ERR_LIMIT, e, "8192");
	CHECK(b.p == NULL);
}

static void fill(struct secret *s, const void *p, size_t n)
{
	CHECK_INT(secret_alloc(s, n + 1, NULL), 0);
	CHECK_INT(secret_append(s, p, n, NULL), 0);
}

TEST(edits_write__secret__stands_in_the_plain_form_only)
{
	cleanup_edits struct edits l = { 0 };
	cleanup_secret struct secret plain = { 0 }, quoted = { 0 };
	struct buf none = BUF_MAX(1);
	int dir = tmpdir_make(), fd;
	struct view text = view_str("{\"e\":\"K=sealed\",\"p\":\"r\"}");

	fill(&plain, "a\"b", 3);
	CHECK_INT(edit_secret_string(&quoted, view_str("K="), &plain, NULL), 0);
	CHECK_INT(edits_add(&l, 5, 10, &none, &quoted, NULL), 0);
	add(&l, 20, 3, "\"/abs\"");
	fd = openat(dir, "plain", O_WRONLY | O_CREAT, 0600);
	CHECK_INT(edits_write(fd, &l, text, true, NULL), 0);
	CHECK(tmpdir_is(dir, "plain", "{\"e\":\"K=a\\\"b\",\"p\":\"/abs\"}"));
	fd = openat(dir, "sealed", O_WRONLY | O_CREAT, 0600);
	CHECK_INT(edits_write(fd, &l, text, false, NULL), 0);
	CHECK(tmpdir_is(dir, "sealed", "{\"e\":\"K=sealed\",\"p\":\"/abs\"}"));
}

TEST(edit_secret_string__every_byte_that_json_escapes__reads_back)
{
	cleanup_secret struct secret plain = { 0 }, quoted = { 0 };
	cleanup_json struct json *doc = NULL;
	char all[256] = { 0 };
	size_t n = 0;

	for (int c = 1; c < 0x80; c++)
		all[n++] = (char)c;
	fill(&plain, all, n);
	CHECK_INT(edit_secret_string(&quoted, view_str("N\"="), &plain, NULL), 0);
	CHECK_INT(json_parse(&doc, (struct view){ secret_bytes(&quoted), quoted.len }, 4096, NULL), 0);
	CHECK(strncmp(json_string(doc), "N\"=", 3) == 0);
	CHECK(strcmp(json_string(doc) + 3, all) == 0);
}

TEST(edit_secret_string__empty_plaintext__is_the_head)
{
	cleanup_secret struct secret plain = { 0 }, quoted = { 0 };

	CHECK_INT(edit_secret_string(&quoted, view_str("K="), &plain, NULL), 0);
	CHECK(secret_eq(&quoted, "\"K=\"", 4));
}
