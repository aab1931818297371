/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/shadow.h"
#include "test/unit/mounts/tmpdir.h"

static struct memfs on_disk(void)
{
	struct memfs m = { .fd = tmpdir_make() };

	(void)snprintf(m.path, sizeof m.path, "%s", tmpdir_path);
	return m;
}

static const struct shadow_id one = { "/usr/sbin/runc", "/run/runc", "one" };

struct answer {
	bool known;
	unsigned asked, interrupted;
	char id[64], root[64], runtime[64];
};

static bool answer(void *ctx, const struct shadow_id *id, bool interrupted)
{
	struct answer *a = ctx;

	a->asked++;
	a->interrupted += interrupted;
	(void)snprintf(a->id, sizeof a->id, "%s", id->id);
	(void)snprintf(a->root, sizeof a->root, "%s", id->root);
	(void)snprintf(a->runtime, sizeof a->runtime, "%s", id->runtime);
	return a->known;
}

static bool is_there(const struct memfs *m, const struct shadow *s, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", s->name, name);
	return faccessat(m->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

TEST(shadow_create__name_taken__is_oci_exists)
{
	cleanup_shadow struct shadow a = SHADOW_CLOSED;
	struct shadow b = SHADOW_CLOSED;
	struct memfs m = on_disk();
	struct stat st;
	struct err e;

	CHECK_INT(shadow_create(&a, &m, &one, NULL), 0);
	CHECK(fstat(a.fd, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	CHECK_ERR(shadow_create(&b, &m, &one, &e), ERR_USAGE, e, "container one");
	CHECK_INT(e.code, CODE_OCI_EXISTS);
	CHECK_INT(b.fd, -1);
}

TEST(shadow_find__root_and_name__tell_containers_apart)
{
	cleanup_shadow struct shadow a = SHADOW_CLOSED, b = SHADOW_CLOSED, found = SHADOW_CLOSED;
	struct shadow_id other = { one.runtime, "/run/other", "one" };
	struct memfs m = on_disk();
	struct err e;

	CHECK_INT(shadow_create(&a, &m, &one, NULL), 0);
	CHECK_ERR(shadow_find(&found, &m, &other, &e), ERR_NOTFOUND, e, "of ours");
	CHECK_INT(shadow_create(&b, &m, &other, NULL), 0);
	CHECK(strcmp(a.name, b.name) != 0);
	CHECK_INT(shadow_find(&found, &m, &one, NULL), 0);
	CHECK(strcmp(found.name, a.name) == 0);
}

/* Two names that the hash does not tell apart: meta does. */
TEST(shadow_find__folder_of_another__is_an_error)
{
	cleanup_shadow struct shadow a = SHADOW_CLOSED;
	struct shadow found = SHADOW_CLOSED;
	struct memfs m = on_disk();
	struct err e;

	CHECK_INT(shadow_create(&a, &m, &one, NULL), 0);
	tmpdir_put(a.fd, "meta", "{\"runtime\":\"r\",\"root\":\"/run/runc\",\"id\":\"two\"}");
	CHECK_ERR(shadow_find(&found, &m, &one, &e), ERR_FORMAT, e, "another container");
}

TEST(shadow_create__over_long_name__is_a_limit)
{
	struct shadow s = SHADOW_CLOSED;
	struct memfs m = on_disk();
	char name[SHADOW_ID_MAX + 2] = "";
	struct shadow_id id = { "r", "/", name };
	struct err e;

	for (size_t i = 0; i <= SHADOW_ID_MAX; i++)
		name[i] = 'n';
	CHECK_ERR(shadow_create(&s, &m, &id, &e), ERR_LIMIT, e, "1024");
}

TEST(shadow_finish__plaintext__is_overwritten_and_replaced)
{
	cleanup_shadow struct shadow s = SHADOW_CLOSED;
	struct memfs m = on_disk();
	char text[16] = "";
	int fd;

	CHECK_INT(shadow_create(&s, &m, &one, NULL), 0);
	tmpdir_put(s.fd, "config.json", "plaintext");
	tmpdir_put(s.fd, "sealed.json", "sealed form");
	fd = openat(s.fd, "config.json", O_RDONLY);
	CHECK_INT(shadow_finish(&s, NULL), 0);
	CHECK(tmpdir_is(s.fd, "config.json", "sealed form"));
	CHECK(faccessat(s.fd, "sealed.json", F_OK, 0) < 0);
	CHECK(read(fd, text, sizeof text) == 9 && text[0] == 0 && text[8] == 0);
}

TEST(shadow_sweep__folder_at_work__is_left_alone)
{
	cleanup_shadow struct shadow s = SHADOW_CLOSED;
	struct answer a = { .known = false };
	struct memfs m = on_disk();

	CHECK_INT(shadow_create(&s, &m, &one, NULL), 0);
	shadow_sweep(&m, answer, &a);
	CHECK_INT(a.asked, 0);
	CHECK(is_there(&m, &s, "meta"));
}

TEST(shadow_sweep__container_unknown_to_its_runtime__goes)
{
	struct shadow s = SHADOW_CLOSED, gone;
	struct answer a = { .known = false };
	struct memfs m = on_disk();

	CHECK_INT(shadow_create(&s, &m, &one, NULL), 0);
	tmpdir_put(s.fd, "config.json", "{}");
	CHECK(mkdirat(s.fd, "f", 0700) == 0);
	tmpdir_put(s.fd, "f/0", "plaintext");
	gone = s;
	CHECK(close(s.fd) == 0);
	shadow_sweep(&m, answer, &a);
	CHECK_INT(a.asked, 1);
	CHECK_INT(a.interrupted, 0);
	CHECK(strcmp(a.id, "one") == 0 && strcmp(a.root, "/run/runc") == 0 &&
	      strcmp(a.runtime, "/usr/sbin/runc") == 0);
	CHECK(!is_there(&m, &gone, ""));
}

TEST(shadow_sweep__known_container__stays_and_an_interrupted_one_is_finished)
{
	struct shadow s = SHADOW_CLOSED, kept;
	struct answer a = { .known = true };
	struct memfs m = on_disk();

	CHECK_INT(shadow_create(&s, &m, &one, NULL), 0);
	tmpdir_put(s.fd, "config.json", "plaintext");
	tmpdir_put(s.fd, "sealed.json", "sealed form");
	kept = s;
	CHECK(close(s.fd) == 0);
	shadow_sweep(&m, answer, &a);
	CHECK_INT(a.interrupted, 1);
	CHECK(!is_there(&m, &kept, "sealed.json"));
	(void)snprintf(kept.path, sizeof kept.path, "%s/config.json", kept.name);
	CHECK(tmpdir_is(m.fd, kept.path, "sealed form"));
	shadow_sweep(&m, answer, &a);
	CHECK_INT(a.interrupted, 1);
	CHECK_INT(a.asked, 2);
}

TEST(shadow_sweep__killed_before_meta__goes_unasked)
{
	struct answer a = { .known = true };
	struct memfs m = on_disk();

	CHECK(mkdirat(m.fd, "0123456789abcdef0123456789abcdef", 0700) == 0);
	CHECK(mkdirat(m.fd, "0123456789abcdef0123456789abcdeg", 0700) == 0);
	CHECK(mkdirat(m.fd, "0123", 0700) == 0);
	shadow_sweep(&m, answer, &a);
	CHECK_INT(a.asked, 0);
	CHECK(faccessat(m.fd, "0123456789abcdef0123456789abcdef", F_OK, 0) < 0);
	CHECK(faccessat(m.fd, "0123456789abcdef0123456789abcdeg", F_OK, 0) == 0);
	CHECK(faccessat(m.fd, "0123", F_OK, 0) == 0);
}

TEST(shadow_mark_injected__asked__says_so)
{
	cleanup_shadow struct shadow s = SHADOW_CLOSED;
	struct memfs m = on_disk();

	CHECK_INT(shadow_create(&s, &m, &one, NULL), 0);
	CHECK(!shadow_is_injected(&s));
	CHECK_INT(shadow_mark_injected(&s, NULL), 0);
	CHECK_INT(shadow_mark_injected(&s, NULL), 0);
	CHECK(shadow_is_injected(&s));
	CHECK_INT(shadow_remove(&m, &s, NULL), 0);
	CHECK(!is_there(&m, &s, ""));
}
