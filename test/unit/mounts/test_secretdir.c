/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/secretdir.h"
#include "mounts/sealedtext.h"
#include "test/unit/mounts/tmpdir.h"

struct seen {
	char text[4096]; /* "path|shown|sealed\n" each */
	int dst;
};

static int note(void *ctx, const struct secretdir_file *f, struct err *e)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	(void)e;
	(void)snprintf(s->text + n, sizeof s->text - n, "%s|%s|%.*s\n", f->path, f->shown,
		       VIEW_ARG(f->sealed));
	return s->dst < 0 ? 0 : secretdir_write(s->dst, f->path, f->st, view_str("plain"), e);
}

struct fixture {
	int top, src, dst;
	struct seen seen;
	struct secretdir_budget budget;
	struct secretdir_counts counts;
	struct err e;
};

static struct fixture make(void)
{
	struct fixture f = { .budget = SECRETDIR_BUDGET };

	f.top = tmpdir_make();
	CHECK(mkdirat(f.top, "src", 0755) == 0 && mkdirat(f.top, "dst", 0700) == 0);
	f.src = openat(f.top, "src", O_RDONLY | O_DIRECTORY);
	f.dst = openat(f.top, "dst", O_RDONLY | O_DIRECTORY);
	CHECK(f.src >= 0 && f.dst >= 0);
	return f;
}

static int walk(struct fixture *f, bool copy)
{
	f->seen = (struct seen){ .dst = copy ? f->dst : -1 };
	f->budget = SECRETDIR_BUDGET;
	return secretdir_walk(f->src, copy ? f->dst : -1, &f->budget, note, &f->seen, &f->counts,
			      &f->e);
}

static void kubernetes(struct fixture *f)
{
	CHECK(mkdirat(f->src, "..2026_1", 0755) == 0);
	CHECK(mkdirat(f->src, "..2025_old", 0755) == 0);
	tmpdir_put(f->src, "..2026_1/password", "sealed.p.p.p\n");
	tmpdir_put(f->src, "..2026_1/user", "bob\n");
	tmpdir_put(f->src, "..2025_old/password", "sealed.o.l.d");
	CHECK(symlinkat("..2026_1", f->src, "..data") == 0);
	CHECK(symlinkat("..2025_old", f->src, "..data_tmp") == 0);
	CHECK(symlinkat("..data/password", f->src, "password") == 0);
	CHECK(symlinkat("..data/user", f->src, "user") == 0);
}

TEST(secretdir_walk__kubernetes_volume__keeps_its_shape_and_leaves_out_the_updaters)
{
	struct fixture f = make();
	char link[64];
	struct stat a, b;
	ssize_t n;

	kubernetes(&f);
	CHECK_INT(walk(&f, true), 0);
	CHECK(strcmp(f.seen.text, "..2026_1/password|password|sealed.p.p.p\n") == 0);
	CHECK_INT(f.counts.files, 2);
	CHECK_INT(f.counts.sealed, 1);
	CHECK_INT(f.counts.odd, 0);
	CHECK(tmpdir_is(f.dst, "password", "plain"));
	CHECK(tmpdir_is(f.dst, "user", "bob\n"));
	n = readlinkat(f.dst, "..data", link, sizeof link - 1);
	CHECK(n == 8 && memcmp(link, "..2026_1", 8) == 0);
	CHECK(faccessat(f.dst, "..2025_old", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	CHECK(faccessat(f.dst, "..data_tmp", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "..2026_1/user" : "..2026_1/password";

		CHECK(fstatat(f.src, name, &a, 0) == 0 && fstatat(f.dst, name, &b, 0) == 0);
		CHECK_INT(b.st_mode, a.st_mode);
		CHECK_INT(b.st_uid, a.st_uid);
	}
	/* The original is as it was. */
	CHECK(tmpdir_is(f.src, "password", "sealed.p.p.p\n"));
}

TEST(secretdir_walk__only_look__writes_nothing)
{
	struct fixture f = make();

	kubernetes(&f);
	CHECK_INT(walk(&f, false), 0);
	CHECK_INT(f.counts.sealed, 1);
	CHECK(unlinkat(f.top, "dst", AT_REMOVEDIR) == 0);
}

TEST(secretdir_walk__folders_in_folders__are_walked_in_order)
{
	struct fixture f = make();

	CHECK(mkdirat(f.src, "b", 0750) == 0 && mkdirat(f.src, "b/c", 0700) == 0);
	tmpdir_put(f.src, "b/c/z", "sealed.z");
	tmpdir_put(f.src, "b/y", "sealed.y");
	tmpdir_put(f.src, "a", "sealed.a");
	tmpdir_put(f.src, "sealed", "not sealed.");
	CHECK_INT(walk(&f, true), 0);
	CHECK(strcmp(f.seen.text, "a|a|sealed.a\nb/c/z|b/c/z|sealed.z\nb/y|b/y|sealed.y\n") == 0);
	CHECK(tmpdir_is(f.dst, "b/c/z", "plain"));
	CHECK(tmpdir_is(f.dst, "sealed", "not sealed."));
}

/* A ..data that is not the updater's is a link like others, and hides nothing. */
TEST(secretdir_walk__data_link_of_another_shape__hides_no_file)
{
	static const char *const targets[] = { "..", "sub", "../src", "..x/y", "/etc" };
	struct fixture f = make();

	tmpdir_put(f.src, "..hidden", "sealed.h");
	CHECK(mkdirat(f.src, "sub", 0700) == 0);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		CHECK(symlinkat(targets[i], f.src, "..data") == 0);
		CHECK_INT(walk(&f, false), 0);
		CHECK_INT(f.counts.sealed, 1);
		CHECK(unlinkat(f.src, "..data", 0) == 0);
	}
}

TEST(secretdir_walk__link_that_leads_out__is_odd_and_refused_in_a_replica)
{
	static const char *const targets[] = { "/etc/passwd", "../outside", "a/../../outside",
					       "sub/../../../x", "./../x" };
	struct fixture f = make();

	tmpdir_put(f.top, "outside", "sealed.outside");
	tmpdir_put(f.src, "in", "sealed.in");
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		CHECK(symlinkat(targets[i], f.src, "link") == 0);
		CHECK_INT(walk(&f, false), 0);
		CHECK_INT(f.counts.odd, 1);
		CHECK_INT(f.counts.sealed, 1);
		CHECK(strstr(f.seen.text, "outside") == NULL);
		CHECK_ERR(walk(&f, true), ERR_LIMIT, f.e, "leads out");
		CHECK_INT(f.e.code, CODE_OCI_SECRET_DIR);
		CHECK(unlinkat(f.src, "link", 0) == 0);
		CHECK(unlinkat(f.dst, "in", 0) == 0);
	}
}

TEST(secretdir_walk__link_that_stays_within__is_replicated)
{
	static const char *const targets[] = { "in", "./in", "sub/../in", "sub/x", "nowhere" };
	struct fixture f = make();

	tmpdir_put(f.src, "in", "sealed.in");
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		CHECK(symlinkat(targets[i], f.src, "link") == 0);
		CHECK_INT(walk(&f, true), 0);
		CHECK_INT(f.counts.sealed, 1);
		CHECK(unlinkat(f.src, "link", 0) == 0 && unlinkat(f.dst, "link", 0) == 0 &&
		      unlinkat(f.dst, "in", 0) == 0);
	}
}

TEST(secretdir_walk__link_in_a_folder__may_lead_up_but_not_out)
{
	struct fixture f = make();

	CHECK(mkdirat(f.src, "a", 0700) == 0 && mkdirat(f.src, "a/b", 0700) == 0);
	CHECK(symlinkat("../../top", f.src, "a/b/up") == 0);
	CHECK_INT(walk(&f, false), 0);
	CHECK_INT(f.counts.odd, 0);
	CHECK(symlinkat("../../../out", f.src, "a/b/out") == 0);
	CHECK_INT(walk(&f, false), 0);
	CHECK_INT(f.counts.odd, 1);
}

TEST(secretdir_walk__fifo__is_not_waited_for)
{
	struct fixture f = make();

	tmpdir_put(f.src, "in", "sealed.in");
	CHECK(mkfifoat(f.src, "fifo", 0600) == 0);
	(void)alarm(5);
	CHECK_INT(walk(&f, false), 0);
	CHECK_INT(f.counts.odd, 1);
	CHECK_ERR(walk(&f, true), ERR_LIMIT, f.e, "no file, folder or link");
}

TEST(secretdir_walk__too_deep__is_refused)
{
	struct fixture f = make();
	char path[128] = "d";

	for (int i = 0; i < SECRETDIR_DEPTH_MAX; i++) {
		CHECK(mkdirat(f.src, path, 0700) == 0);
		(void)strncat(path, "/d", sizeof path - strlen(path) - 1);
	}
	CHECK_INT(walk(&f, false), 0);
	CHECK(mkdirat(f.src, path, 0700) == 0);
	CHECK_ERR(walk(&f, false), ERR_LIMIT, f.e, "8 deep");
}

TEST(secretdir_walk__too_many_names__is_refused)
{
	struct fixture f = make();
	char name[16];

	for (int i = 0; i < SECRETDIR_NAMES_MAX; i++) {
		(void)snprintf(name, sizeof name, "%d", i);
		CHECK(symlinkat("x", f.src, name) == 0);
	}
	CHECK_INT(walk(&f, false), 0);
	CHECK_INT(f.budget.names, 0);
	CHECK(mkdirat(f.src, "one-more", 0700) == 0);
	CHECK_ERR(walk(&f, false), ERR_LIMIT, f.e, "1024");
}

/* The budget belongs to the container, not to the folder. */
TEST(secretdir_walk__second_folder__has_what_the_first_left)
{
	struct fixture f = make();

	tmpdir_put(f.src, "a", "sealed.a");
	f.budget = (struct secretdir_budget){ 1, 8 };
	f.seen.dst = -1;
	CHECK_INT(secretdir_walk(f.src, -1, &f.budget, note, &f.seen, &f.counts, &f.e), 0);
	CHECK_INT(f.budget.names, 0);
	CHECK_INT(f.budget.bytes, 0);
	CHECK_ERR(secretdir_walk(f.src, -1, &f.budget, note, &f.seen, &f.counts, &f.e), ERR_LIMIT,
		  f.e, "files, folders");
	f.budget.names = 5;
	CHECK_ERR(secretdir_walk(f.src, -1, &f.budget, note, &f.seen, &f.counts, &f.e), ERR_LIMIT,
		  f.e, "bytes");
}

TEST(secretdir_walk__huge_files__are_refused_without_being_read_whole)
{
	struct fixture f = make();

	tmpdir_put(f.src, "big", "sealed.");
	CHECK(truncate(tmpdir_abs("src/big"), SEALED_TEXT_MAX + 1) == 0);
	CHECK_ERR(walk(&f, false), ERR_LIMIT, f.e, "over 1048576 bytes");
	/* Not sealed: only a copy would cost something. */
	tmpdir_put(f.src, "big", "x");
	CHECK(truncate(tmpdir_abs("src/big"), (off_t)1 << 40) == 0);
	CHECK_INT(walk(&f, false), 0);
	CHECK_ERR(walk(&f, true), ERR_LIMIT, f.e, "bytes in secret files");
}

TEST(secretdir_read_sealed__content__decides)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "sealed.a.b.c", "sealed.a.b.c" }, { "sealed.a \n\n", "sealed.a" },
		{ "sealed", "" },		    { "", "" },
		{ " sealed.a", "" },		    { "sealed.", "sealed." },
	};
	cleanup_buf struct buf b = BUF_MAX(SEALED_TEXT_MAX);
	int dir = tmpdir_make();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_close int fd = -1;

		tmpdir_put(dir, "f", rows[i].in);
		fd = openat(dir, "f", O_RDONLY);
		CHECK_INT(secretdir_read_sealed(&b, fd, NULL), 0);
		CHECK(view_is(buf_view(&b), rows[i].out));
	}
}
