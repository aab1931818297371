/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/setup/credentials.h"
#include "mounts/memfs.h"
#include "test/test.h"

#include <stdio.h>
#include <sys/stat.h>

static char root[64];
static unsigned asked; /* how often Trustee was */
static bool there;

/* Trustee: "missing" in a path is there only once `there` is set; the value is the path. */
static int resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		    struct err *e)
{
	int r;

	(void)ctx;
	(void)d;
	asked++;
	if (strstr(uri->path, "missing") && !there)
		return err_code(e, CODE_KBS_NOT_FOUND, "not there");
	r = secret_alloc(out, sizeof uri->path, e);
	return r < 0 ? r : secret_append(out, uri->path, strlen(uri->path), e);
}

static struct credential_rules rules(bool allow_swap)
{
	return (struct credential_rules){ root, allow_swap, resource, NULL };
}

static void root_in(const char *folder)
{
	(void)snprintf(root, sizeof root, "%s/vouchsafe-test-XXXXXX", folder);
	if (!mkdtemp(root))
		test_skip("cannot make a folder there");
}

static void root_in_memory(void)
{
	root_in("/dev/shm");
	if (!memfs_is_memory(root)) {
		(void)rmdir(root);
		test_skip("/dev/shm is no tmpfs");
	}
}

static struct guest_credential credential(const char *file, const char *uri)
{
	struct guest_credential c = { 0 };

	CHECK(asprintf(&c.path, CREDENTIAL_DIR "/%s", file) > 0);
	c.uri = strdup(uri);
	return c;
}

static const char *content(const struct guest_credential *c, mode_t *mode)
{
	static struct buf b;
	cleanup_free char *path = fs_join(root, c->path);
	struct stat st;
	struct err e;

	buf_done(&b);
	b = BUF_MAX(4096);
	if (fs_read(&b, path, 4096, &e) < 0 || stat(path, &st) < 0)
		return NULL;
	*mode = st.st_mode & 07777;
	return buf_str(&b);
}

/* Remove what a test made. */
static void clean(struct guest_credential *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *path = fs_join(root, list[i].path);

		(void)unlink(path);
		for (char *p = strrchr(path, '/'); p && strlen(path) >= strlen(root); p = strrchr(path, '/')) {
			*p = '\0';
			if (strlen(path) >= strlen(root))
				(void)rmdir(path);
		}
		free(list[i].path);
		free(list[i].uri);
	}
}

TEST(credentials_fetch__one_missing__writes_the_others_and_asks_again_only_for_it)
{
	struct guest_credential list[2];
	struct credential_rules r = rules(true);
	struct err e = { 0 };
	struct stat st;
	char folder[256];
	mode_t mode = 0;

	root_in_memory();
	list[0] = credential("x/missing", "kbs:///a/b/missing");
	list[1] = credential("kms-credential/aliyun/key.json", "kbs:///a/b/c");
	CHECK_ERR(credentials_fetch(list, 2, &r, deadline_in(5000), &e), ERR_NOTFOUND, e,
		  "1 of 2 credentials");
	CHECK_INT(e.code, CODE_KBS_NOT_FOUND);
	CHECK(!list[0].written && content(&list[0], &mode) == NULL);
	CHECK(list[1].written && strcmp(content(&list[1], &mode), "a/b/c") == 0);
	CHECK_INT(mode, 0600);
	(void)snprintf(folder, sizeof folder, "%s" CREDENTIAL_DIR "/kms-credential/aliyun", root);
	CHECK(stat(folder, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0755);
	CHECK_INT(asked, 2);
	there = true;
	CHECK_INT(credentials_fetch(list, 2, &r, deadline_in(5000), &e), 0);
	CHECK_INT(asked, 3);
	CHECK(strcmp(content(&list[0], &mode), "a/b/missing") == 0);
	CHECK_INT(credentials_fetch(list, 2, &r, deadline_in(0), &e), 0);
	CHECK_INT(asked, 3);
	clean(list, 2);
}

TEST(credentials_fetch__no_time__is_a_timeout_and_asks_nobody)
{
	struct guest_credential list[1];
	struct credential_rules r = rules(true);
	struct err e = { 0 };

	root_in_memory();
	list[0] = credential("x", "kbs:///a/b/c");
	CHECK_ERR(credentials_fetch(list, 1, &r, deadline_in(0), &e), ERR_TIMEOUT, e, "1 of 1");
	CHECK_INT(asked, 0);
	clean(list, 1);
}

TEST(credentials_fetch__disk__is_refused_before_anything_is_fetched_or_made)
{
	struct guest_credential list[1];
	struct credential_rules r = rules(true);
	char folder[256];
	struct err e = { 0 };

	root_in("build");
	if (memfs_is_memory(root)) {
		(void)rmdir(root);
		test_skip("build/ is in memory");
	}
	list[0] = credential("x/y", "kbs:///a/b/c");
	CHECK_ERR(credentials_fetch(list, 1, &r, deadline_in(5000), &e), ERR_DENIED, e, "tmpfs");
	CHECK_INT(e.code, CODE_CREDENTIAL_ON_DISK);
	(void)snprintf(folder, sizeof folder, "%s/run", root);
	CHECK(access(folder, F_OK) != 0);
	CHECK_INT(asked, 0);
	clean(list, 1);
}

TEST(credentials_fetch__link_to_a_disk__is_refused)
{
	struct guest_credential list[1];
	struct credential_rules r = rules(true);
	char from[512], to[256];
	struct err e = { 0 };

	root_in_memory();
	list[0] = credential("x/y", "kbs:///a/b/c");
	if (!getcwd(to, sizeof to) || memfs_is_memory(to))
		test_skip("the working folder is in memory");
	(void)snprintf(from, sizeof from, "%s" CREDENTIAL_DIR, root);
	CHECK_INT(fs_mkdirs(from, 0755, &e), 0);
	(void)snprintf(from, sizeof from, "%s" CREDENTIAL_DIR "/x", root);
	CHECK(symlink(to, from) == 0);
	CHECK_ERR(credentials_fetch(list, 1, &r, deadline_in(5000), &e), ERR_DENIED, e, "tmpfs");
	CHECK_INT(asked, 0);
	(void)unlink(from);
	clean(list, 1);
}

TEST(credentials_fetch__clear_swap__needs_the_permit)
{
	struct guest_credential list[1];
	struct credential_rules r = rules(false);
	char proc[256], swaps[300];
	struct err e = { 0 };

	root_in_memory();
	list[0] = credential("x", "kbs:///a/b/c");
	(void)snprintf(proc, sizeof proc, "%s/proc", root);
	(void)snprintf(swaps, sizeof swaps, "%s/swaps", proc);
	CHECK_INT(fs_mkdirs(proc, 0755, &e), 0);
	CHECK_INT(fs_write(swaps, view_str("Filename Type Size Used Priority\n"
					   "/dev/vdb partition 1000 0 -2\n"), 0644, &e), 0);
	CHECK_ERR(credentials_fetch(list, 1, &r, deadline_in(5000), &e), ERR_DENIED, e, "vdb");
	CHECK_INT(e.code, CODE_OCI_SWAP);
	CHECK_INT(asked, 0);
	r.allow_swap = true;
	CHECK_INT(credentials_fetch(list, 1, &r, deadline_in(5000), &e), 0);
	list[0].written = r.allow_swap = false;
	CHECK_INT(unlink(swaps), 0);
	CHECK_INT(credentials_fetch(list, 1, &r, deadline_in(5000), &e), 0);
	(void)rmdir(proc);
	clean(list, 1);
}
