/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/bundle.h"
#include "mounts/plan.h"
#include "mounts/process.h"
#include "mounts/span.h"

#include <sys/mman.h>

/*
 * The bundle's config.json: what is read from it, where values stand in it, and what is written
 * for the runtime. What is written must be JSON again, and differ in nothing but what was replaced.
 */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { IN_MAX = 16 * 1024, OUT_MAX = 1 << 20 };

/* Every value stands where its place says: cut out, it parses to something of the same kind. */
static void check_places(struct node v, unsigned depth)
{
	struct view cut = { v.text.p + v.at, span_len(v.text, v.at) };
	cleanup_json struct json *again = NULL;
	const char *a = json_string(v.v), *b;
	size_t children = 0;
	struct node c;

	if (v.at > v.text.len || cut.len > v.text.len - v.at ||
	    json_parse(&again, cut, cut.len, NULL) < 0)
		abort();
	b = json_string(again);
	if (!a != !b || (a && strcmp(a, b) != 0) || json_count(v.v) != json_count(again))
		abort();
	if (!node_first(&c, v)) {
		if (json_count(v.v) != 0)
			abort();
		return;
	}
	do {
		children++;
		if (depth < 4)
			check_places(c, depth + 1);
	} while (node_next(&c));
	if (children != json_count(v.v))
		abort();
}

static int unseal(void *ctx, struct plan_request *req, size_t n, size_t *failed, struct err *e)
{
	static const char *const plain[] = { "", "x", "a\"b\\c\n\x01\x7f", "\xc3\xa9\xf0\x9f\x94\x91" };

	(void)ctx;
	(void)failed;
	for (size_t i = 0; i < n; i++) {
		const char *s = plain[req[i].sealed.len % 4];

		if (!view_starts(req[i].sealed, "sealed.") || (req[i].name && strlen(req[i].name) > PLAN_NAME_MAX))
			abort();
		if (secret_alloc(req[i].out, strlen(s) + 1, e) < 0 ||
		    secret_append(req[i].out, s, strlen(s), e) < 0)
			abort();
	}
	return 0;
}

/* The text written for the runtime parses, and has as many variables and mounts as before. */
static void check_written(struct plan *plan, const struct json *before, bool plain)
{
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	cleanup_json struct json *after = NULL;
	const struct json *env, *old;
	int fd = memfd_create("out", MFD_CLOEXEC);
	char chunk[4096];
	ssize_t k;

	if (fd < 0 || edits_write(fd, &plan->edits, plan->text, plain, NULL) < 0 || lseek(fd, 0, SEEK_SET) != 0)
		abort();
	while ((k = read(fd, chunk, sizeof chunk)) > 0)
		buf_put(&out, chunk, (size_t)k);
	(void)close(fd);
	if (json_parse(&after, buf_view(&out), OUT_MAX, NULL) < 0)
		abort();
	if (json_count(after) != json_count(before))
		abort();
	env = json_get(json_get(after, "process"), "env");
	old = json_get(json_get(before, "process"), "env");
	if (json_count(env) != json_count(old))
		abort();
	for (env = json_first(env), old = json_first(old); env && old;
	     env = json_next(env), old = json_next(old)) {
		const char *a = json_string(env), *b = json_string(old);
		bool sealed = b && strchr(b, '=') && strncmp(strchr(b, '=') + 1, "sealed.", 7) == 0;

		if (!a != !b || (a && plain && sealed && strncmp(a, b, (size_t)(strchr(b, '=') - b)) != 0) ||
		    (a && !(plain && sealed) && strcmp(a, b) != 0))
			abort();
	}
}

static void check_process(struct node root)
{
	char sh[] = "sh", *args[] = { sh, NULL };
	const struct process_options o = { .args = args, .n_args = 1, .env = { "A=1", "B=\"" }, .n_env = 2,
					   .caps = { "CAP_X" }, .n_caps = 1, .gids = { 1, 2 }, .n_gids = 2,
					   .user = "1:2", .cwd = "/c", .label = "l", .apparmor = "a",
					   .tty = true, .no_new_privs = 1 };
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	cleanup_json struct json *doc = NULL;
	struct err e;

	if (process_build(&out, root, &o, &e) < 0)
		return;
	/* A member of another depth may now be there twice only if it was: then it did not parse before. */
	if (json_parse(&doc, buf_view(&out), OUT_MAX, &e) < 0 && e.kind != ERR_LIMIT)
		abort();
	if (doc && (!json_is_true(json_get(doc, "terminal")) || json_count(json_get(doc, "args")) != 1))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	cleanup_json struct json *doc = NULL;
	cleanup_plan struct plan plan = { 0 };
	struct view text = { p, n };
	struct node root;
	struct err e;
	size_t at = 0;

	/* Places in any bytes stay within them. */
	if (span_len(text, 0) > n || (span_first(&at, text, 0) && at > n))
		abort();
	if (n > IN_MAX || json_parse(&doc, text, IN_MAX, &e) < 0)
		return 0;
	root = node_root(text, doc);
	check_places(root, 0);
	check_process(root);
	if (plan_config(&plan, root, "/bundle", &e) < 0)
		return 0;
	if (plan_unseal(&plan, unseal, NULL, &e) < 0)
		return 0;
	if (plan_place(&plan, -1, "/shadow", &e) < 0)
		abort();
	check_written(&plan, doc, true);
	check_written(&plan, doc, false);
	return 0;
}
