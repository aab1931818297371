/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/dm.h"
#include "mounts/volume/lock.h"
#include "mounts/volume/place.h"
#include "mounts/volume/record.h"
#include "test/unit/mounts/tmpdir.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void in_tmpdir(char out[PLACE_PATH], const char *name)
{
	const char *path = tmpdir_abs(name);

	CHECK(strlen(path) < PLACE_PATH);
	memcpy(out, path, strlen(path) + 1);
}

static void empty_folder(const char *path)
{
	CHECK(mkdir(path, 0700) == 0);
}

TEST(place_normal__paths__kept_or_refused)
{
	static const char *const bad[] = { "", "/", "run/x", "/run//x", "/run/./x", "/run/../x", "/run/..", "/..",
					   "/run/x//", "/run/\x01", "/run/\xff", "//run" };
	char out[PLACE_PATH];
	struct err e = { 0 };

	CHECK_INT(place_normal(out, "/run/kata-containers/image/", &e), 0);
	CHECK(strcmp(out, "/run/kata-containers/image") == 0);
	CHECK_INT(place_normal(out, "/run/..x/.y", &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (place_normal(out, bad[i], &e) == 0)
			test_fail(__FILE__, __LINE__, "\"%s\" is accepted", bad[i]);
		CHECK_INT(e.code, CODE_VOLUME_MOUNT_POINT);
	}
}

TEST(place_allowed__prefixes__whole_components)
{
	const char *const prefixes[] = { "/run/kata-containers", "/run/cloud-volumes/" };
	struct volume_rules r = { .mount_prefixes = prefixes, .n_mount_prefixes = 2 };

	CHECK(place_allowed(&r, "/run/kata-containers"));
	CHECK(place_allowed(&r, "/run/kata-containers/image"));
	CHECK(place_allowed(&r, "/run/cloud-volumes/a"));
	CHECK(!place_allowed(&r, "/run/kata-containers-x"));
	CHECK(!place_allowed(&r, "/run"));
	CHECK(!place_allowed(&r, "/etc"));
	r.n_mount_prefixes = 0;
	CHECK(place_allowed(&r, "/etc"));
}

TEST(place_check__symlinks_and_missing__refused_by_name)
{
	int dir = tmpdir_make();
	char path[PLACE_PATH];
	struct err e = { 0 };

	empty_folder(tmpdir_abs("real"));
	empty_folder(tmpdir_abs("real/in"));
	tmpdir_put(dir, "file", "x");
	CHECK(symlinkat("real", dir, "link") == 0);
	in_tmpdir(path, "real/in");
	CHECK_INT(place_check(path, VOLUME_FILESYSTEM, &e), 0);
	in_tmpdir(path, "link/in");
	CHECK_ERR(place_check(path, VOLUME_FILESYSTEM, &e), ERR_USAGE, e, "symlink");
	in_tmpdir(path, "link");
	CHECK_ERR(place_check(path, VOLUME_FILESYSTEM, &e), ERR_USAGE, e, "(E");
	CHECK_ERR(place_check(path, VOLUME_DEVICE, &e), ERR_USAGE, e, "exists already");
	in_tmpdir(path, "none");
	CHECK_ERR(place_check(path, VOLUME_FILESYSTEM, &e), ERR_USAGE, e, "does not exist");
	CHECK_INT(place_check(path, VOLUME_DEVICE, &e), 0);
	in_tmpdir(path, "file");
	CHECK_ERR(place_check(path, VOLUME_FILESYSTEM, &e), ERR_USAGE, e, "not a folder");
	in_tmpdir(path, "link/new");
	CHECK_ERR(place_check(path, VOLUME_DEVICE, &e), ERR_USAGE, e, "symlink");
	in_tmpdir(path, "no/new");
	CHECK_ERR(place_check(path, VOLUME_DEVICE, &e), ERR_USAGE, e, "does not exist");
}

TEST(place_link__made_and_removed__only_ours)
{
	int dir = tmpdir_make();
	char path[PLACE_PATH], to[64] = { 0 };
	struct err e = { 0 };

	in_tmpdir(path, "v");
	CHECK_INT(place_link(path, "caa-x", &e), 0);
	CHECK(readlinkat(dir, "v", to, sizeof to) == 17);
	CHECK(strcmp(to, "/dev/mapper/caa-x") == 0);
	CHECK(place_has(path, "caa-x", VOLUME_DEVICE));
	CHECK(!place_has(path, "caa-", VOLUME_DEVICE));
	CHECK_ERR(place_link(path, "caa-x", &e), ERR_USAGE, e, "exists already");
	/* Another's is left. */
	CHECK_INT(place_remove(path, "caa-y", VOLUME_DEVICE, &e), 0);
	CHECK(place_has(path, "caa-x", VOLUME_DEVICE));
	CHECK_INT(place_remove(path, "caa-x", VOLUME_DEVICE, &e), 0);
	CHECK(!place_has(path, "caa-x", VOLUME_DEVICE));
	CHECK_INT(place_remove(path, "caa-x", VOLUME_DEVICE, &e), 0);
}

TEST(record__written__read_again_oldest_first)
{
	cleanup_records struct records all = { 0 };
	cleanup_buf struct buf json = BUF_MAX(4096);
	struct record r = { .mapper = "b",
			    .device = "/dev/vdb",
			    .major = 254,
			    .minor = 16,
			    .mount_point = "/run/a \"b\"",
			    .target = VOLUME_FILESYSTEM,
			    .fs = VOLUME_XFS,
			    .integrity = true,
			    .opened_ms = 9 };
	struct err e = { 0 };
	int dir = tmpdir_make();
	char path[PLACE_PATH];

	in_tmpdir(path, "state");
	CHECK_INT(records_load(&all, path, &e), 0);
	CHECK_INT(all.n, 0);
	CHECK(close(lock_take(path, LOCK_TABLE, deadline_in(1000), &e)) == 0);
	CHECK_INT(record_put(path, &r, &e), 0);
	r.open = r.keyed = true;
	r.opened_ms = 3;
	memcpy(r.mapper, "a", 2);
	r.target = VOLUME_DEVICE;
	CHECK_INT(record_put(path, &r, &e), 0);
	CHECK_INT(records_load(&all, path, &e), 0);
	CHECK_INT(all.n, 2);
	CHECK(strcmp(all.p[0].mapper, "a") == 0 && all.p[0].open && all.p[0].keyed);
	CHECK(strcmp(all.p[1].mapper, "b") == 0 && !all.p[1].open && !all.p[1].keyed);
	CHECK(strcmp(all.p[1].mount_point, "/run/a \"b\"") == 0);
	CHECK(all.p[1].fs == VOLUME_XFS && all.p[1].integrity && all.p[1].major == 254 && all.p[1].minor == 16);
	record_show(&json, &all.p[1]);
	CHECK(strcmp(buf_str(&json),
		     "{\"mapper\":\"b\",\"device\":\"/dev/vdb\",\"mountPoint\":\"/run/a \\\"b\\\"\","
		     "\"target\":\"fileSystem\",\"filesystem\":\"xfs\",\"integrity\":true,\"keyed\":false}") == 0);
	CHECK_INT(record_drop(path, "a", &e), 0);
	CHECK_INT(record_drop(path, "a", &e), 0);
	records_done(&all);
	CHECK_INT(records_load(&all, path, &e), 0);
	CHECK_INT(all.n, 1);
	(void)dir;
}

TEST(records_tidy__halves_of_records__only_those_go)
{
	static const struct {
		const char *name;
		bool stays;
	} files[] = {
		{ "a.json", true },          { "x.json.a.json", true },
		{ "x.json.abcdef.json", true }, { "lock", true },
		{ "a.json.abCD12", false },  { "x.json.abcdef.json.abCD12", false },
	};
	int dir = tmpdir_make();

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		tmpdir_put(dir, files[i].name, "x");
	records_tidy(tmpdir_path);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if ((faccessat(dir, files[i].name, F_OK, 0) == 0) != files[i].stays)
			test_fail(__FILE__, __LINE__, "%s %s", files[i].name, files[i].stays ? "went" : "stayed");
}

/* Listing takes no lock. */
TEST(records_load__one_dropped_meanwhile__left_out)
{
	struct record r = { .mapper = "a", .device = "/dev/vdb", .mount_point = "/m" };
	struct err e = { 0 };
	int dir = tmpdir_make();
	pid_t pid;

	CHECK_INT(record_put(tmpdir_path, &r, &e), 0);
	CHECK(renameat(dir, "a.json", dir, "kept") == 0);
	pid = fork();
	if (pid == 0) {
		while (linkat(dir, "kept", dir, "a.json", 0) == 0 && unlinkat(dir, "a.json", 0) == 0)
			;
		_exit(1);
	}
	CHECK(pid > 0);
	for (int i = 0; i < 3000; i++) {
		cleanup_records struct records all = { 0 };

		if (records_load(&all, tmpdir_path, &e) < 0)
			test_fail(__FILE__, __LINE__, "load %d: %s", i, e.msg);
	}
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

TEST(dm_exists__no_descriptor_left__taken_to_be_there)
{
	struct rlimit limit;
	rlim_t before;

	CHECK(!dm_exists("nobody-made-this"));
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	before = limit.rlim_cur;
	limit.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(dm_exists("nobody-made-this"));
	/* The leak check at exit opens files of /proc. */
	limit.rlim_cur = before;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

TEST(record__malformed_or_renamed__refused)
{
	cleanup_records struct records all = { 0 };
	int dir = tmpdir_make();
	struct err e = { 0 };

	tmpdir_put(dir, "x.json", "{}");
	CHECK_ERR(records_load(&all, tmpdir_path, &e), ERR_SYSTEM, e, "no record");
	tmpdir_put(dir, "x.json", "{\"mapper\":\"y\",\"device\":\"/dev/vdb\",\"mountPoint\":\"/m\",\"major\":1,\"minor\":2,"
				  "\"target\":\"device\",\"opened\":1}");
	CHECK_ERR(records_load(&all, tmpdir_path, &e), ERR_SYSTEM, e, "no record");
	CHECK_INT(e.code, CODE_VOLUME_STATE);
	tmpdir_put(dir, "x.json", "not json");
	CHECK_INT(records_load(&all, tmpdir_path, &e), -(int)ERR_SYSTEM);
}

TEST(record_name_ok__names__letters_only)
{
	char longest[125] = { 0 };

	CHECK(record_name_ok("caa-my.volume_1+x"));
	CHECK(!record_name_ok(""));
	CHECK(!record_name_ok("."));
	CHECK(!record_name_ok("-f"));
	CHECK(!record_name_ok("a/b"));
	CHECK(!record_name_ok("../x"));
	CHECK(!record_name_ok("a b"));
	CHECK(!record_name_ok("control") && record_name_ok("control2"));
	CHECK(!record_name_ok("a_dif") && !record_name_ok("_dif") && record_name_ok("dif") && record_name_ok("a_dif2"));
	for (size_t i = 0; i < 123; i++)
		longest[i] = 'a';
	CHECK(record_name_ok(longest));
	longest[123] = 'a';
	CHECK(!record_name_ok(longest));
}
