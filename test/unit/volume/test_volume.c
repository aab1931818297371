/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/lock.h"
#include "mounts/volume/undo.h"
#include "test/unit/mounts/tmpdir.h"
#include "test/unit/volume/loop.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* Who may open what beside whom: as far as that goes without a mapping. */

static struct volume_rules rules(void)
{
	return (struct volume_rules){ .state_dir = tmpdir_path };
}

static void number_of(unsigned *maj, unsigned *min, const char *path)
{
	struct stat st;

	CHECK(stat(path, &st) == 0 && S_ISBLK(st.st_mode));
	*maj = major(st.st_rdev);
	*min = minor(st.st_rdev);
}

static struct record record(const char *mapper, unsigned minor, const char *at)
{
	struct record r = { .device = "/dev/vdz", .major = 4000, .minor = minor, .target = VOLUME_FILESYSTEM };

	(void)snprintf(r.mapper, sizeof r.mapper, "%s", mapper);
	(void)snprintf(r.mount_point, sizeof r.mount_point, "%s", at);
	return r;
}

/* A process that holds a device, until it is killed. */
static pid_t holder(off_t what)
{
	int ends[2];
	char byte;
	pid_t pid;

	CHECK(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (lock_take(tmpdir_path, what, deadline_in(0), NULL) < 0 || write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	/* So that a child that ends ends the reading. */
	CHECK(pid > 0 && close(ends[1]) == 0);
	CHECK(read(ends[0], &byte, 1) == 1 && close(ends[0]) == 0);
	return pid;
}

static void kill_it(pid_t pid)
{
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

TEST(lock_take__held__busy_at_the_deadline_and_others_are_free)
{
	struct err e = { 0 };
	int held, other;

	(void)tmpdir_make();
	held = lock_take(tmpdir_path, lock_of_device(254, 16), deadline_in(0), &e);
	CHECK(held >= 0);
	CHECK_ERR(lock_take(tmpdir_path, lock_of_device(254, 16), deadline_in(50), &e), ERR_SYSTEM, e,
		  "being opened or closed by another call");
	CHECK_INT(e.code, CODE_VOLUME_BUSY);
	for (int i = 0; i < 5; i++) {
		const off_t free[] = { LOCK_TABLE, LOCK_MEMORY, LOCK_TEMPORARY, lock_of_device(254, 17), lock_of_device(0, 0) };

		other = lock_take(tmpdir_path, free[i], deadline_in(0), &e);
		CHECK(other >= 0 && close(other) == 0);
	}
	CHECK(close(held) == 0);
	held = lock_take(tmpdir_path, lock_of_device(254, 16), deadline_in(0), &e);
	CHECK(held >= 0);
}

TEST(lock_take__holder_killed__free_and_nothing_left)
{
	struct err e = { 0 };
	int dir = tmpdir_make(), fd;
	struct stat st;
	pid_t pid = holder(LOCK_TABLE);

	CHECK(lock_take(tmpdir_path, LOCK_TABLE, deadline_in(30), &e) < 0);
	kill_it(pid);
	fd = lock_take(tmpdir_path, LOCK_TABLE, deadline_in(0), &e);
	CHECK(fd >= 0);
	CHECK(fstatat(dir, "lock", &st, 0) == 0 && st.st_size == 0 && (st.st_mode & 07777) == 0600);
}

TEST(lock_take__folder_that_others_write__refused)
{
	struct err e = { 0 };

	(void)tmpdir_make();
	CHECK(chmod(tmpdir_path, 0777) == 0);
	CHECK_ERR(lock_take(tmpdir_path, LOCK_TABLE, deadline_in(0), &e), ERR_SYSTEM, e, "only we can write");
	CHECK_INT(e.code, CODE_VOLUME_STATE);
}

TEST(records_admit__places_and_names__refused_or_admitted)
{
	static const struct {
		const char *at, *mapper;
		bool open; /* the other one, "a" at /run/x/a */
		enum err_code code;
	} rows[] = {
		{ "/run/x/b", "b", true, CODE_OK },
		{ "/run/x/ab", "b", false, CODE_OK },
		{ "/run/x/a-", "b", false, CODE_OK },
		{ "/ru", "b", true, CODE_OK },
		{ "/run/x/b", "a", true, CODE_VOLUME_BUSY },
		{ "/run/x/a", "b", true, CODE_VOLUME_MOUNT_POINT_IN_USE },
		{ "/run/x/a", "b", false, CODE_VOLUME_MOUNT_POINT_IN_USE },
		{ "/run/x", "b", true, CODE_VOLUME_MOUNT_POINT_IN_USE },
		{ "/run", "b", false, CODE_VOLUME_MOUNT_POINT_IN_USE },
		/* Below one that is open nothing is hidden; below one that is coming this would be. */
		{ "/run/x/a/in", "b", true, CODE_OK },
		{ "/run/x/a/in", "b", false, CODE_VOLUME_MOUNT_POINT_IN_USE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct record other = record("a", 1, "/run/x/a"), r = record(rows[i].mapper, 2, rows[i].at);
		const struct records all = { .p = &other, .n = 1 };
		struct err e = { 0 };
		int rc;

		other.open = rows[i].open;
		rc = records_admit(&all, &r, &e);
		if (e.code != rows[i].code || (rc < 0) != (rows[i].code != CODE_OK))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s", i, rc, e.msg);
		/* Its own record never stands in its way. */
		r.minor = 1;
		CHECK_INT(records_admit(&all, &r, &e), 0);
	}
}

TEST(device_shared__partition_and_disk__yes)
{
	struct loop l = loop_attach();
	struct blkpg_partition part[2] = { { .start = 1 << 20, .length = 8 << 20, .pno = 1 },
					   { .start = 9 << 20, .length = 8 << 20, .pno = 2 } };
	struct blkpg_ioctl_arg add = { .op = BLKPG_ADD_PARTITION, .datalen = sizeof part[0] };
	struct record other = record("a", 0, "/a"), r = record("b", 0, "/b");
	const struct records all = { .p = &other, .n = 1 };
	unsigned maj, min, p[2][2];
	int fd = open(l.path, O_RDWR | O_CLOEXEC);
	struct err e = { 0 };

	number_of(&maj, &min, l.path);
	CHECK(fd >= 0);
	for (int i = 0; i < 2; i++) {
		char path[96];
		FILE *f;

		add.data = &part[i];
		if (ioctl(fd, BLKPG, &add) < 0 && (errno == EINVAL || errno == ENOTTY))
			test_skip("this kernel's loop devices have no partitions");
		(void)snprintf(path, sizeof path, "/sys/class/block/%sp%d/dev", l.path + 5, i + 1);
		f = fopen(path, "re");
		CHECK(f && fscanf(f, "%u:%u", &p[i][0], &p[i][1]) == 2 && fclose(f) == 0);
	}
	CHECK(device_shared(maj, min, maj, min));
	CHECK(device_shared(maj, min, p[0][0], p[0][1]) && device_shared(p[1][0], p[1][1], maj, min));
	CHECK(!device_shared(p[0][0], p[0][1], p[1][0], p[1][1]));
	CHECK(!device_shared(maj, min + 1, maj, min) && !device_shared(4000, 1, 4000, 2));
	other.major = maj;
	other.minor = min;
	r.major = p[0][0];
	r.minor = p[0][1];
	CHECK_ERR(records_admit(&all, &r, &e), ERR_SYSTEM, e, "shares its sectors");
	CHECK_INT(e.code, CODE_VOLUME_BUSY);
	CHECK(close(fd) == 0);
}

TEST(undo_due__left_by_the_dead__undone_and_the_living_kept)
{
	const struct volume_rules ours = rules();
	struct record dead = record("dead", 1, "/none/d"), living = record("living", 2, "/none/l"),
		      gone = record("gone", 3, "/none/g"), r;
	struct err e = { 0 };
	pid_t pid;

	(void)tmpdir_make();
	gone.open = true;
	CHECK_INT(record_put(tmpdir_path, &gone, &e), 0);
	CHECK(volume_half_done(&ours));
	CHECK_INT(record_put(tmpdir_path, &dead, &e), 0);
	CHECK_INT(record_put(tmpdir_path, &living, &e), 0);
	pid = holder(lock_of_device(4000, 2));
	/* "gone" is mapped no more: another hand closed it. */
	CHECK_INT(undo_due(&ours, deadline_in(0), &e), 2);
	CHECK_INT(record_get(&r, tmpdir_path, "dead", &e), 0);
	CHECK_INT(record_get(&r, tmpdir_path, "gone", &e), 0);
	CHECK_INT(record_get(&r, tmpdir_path, "living", &e), 1);
	CHECK(volume_half_done(&ours));
	kill_it(pid);
	CHECK_INT(volume_recover(&ours, &e), 1);
	CHECK(!volume_half_done(&ours));
	CHECK_INT(volume_recover(&ours, &e), 0);
}

/* What a call for an empty disk as `encrypted` comes to, if nothing stands in its way. */
static void opens(const char *device, const char *mapper, const char *at, long ms, enum err_code want)
{
	const struct volume_rules ours = rules();
	char *texts[3] = { strdup(device), strdup(mapper), strdup(at) };
	const struct volume_spec s = { .device = texts[0],
				       .source = VOLUME_ENCRYPTED,
				       .target = VOLUME_FILESYSTEM,
				       .mapper = texts[1],
				       .mount_point = texts[2],
				       .keyed = true };
	cleanup_secret struct secret key = { 0 };
	struct volume_opened out = { 0 };
	struct err e = { 0 };

	CHECK_INT(secret_alloc(&key, 32, NULL), 0);
	CHECK_INT(secret_append(&key, "0123456789abcdef0123456789abcdef", 32, NULL), 0);
	CHECK(volume_open(&out, &ours, &s, &key, deadline_in(ms), NULL, &e) < 0);
	if (e.code != want)
		test_fail(__FILE__, __LINE__, "%s at %s: %s: %s, want %s", mapper, at, err_name(&e), e.msg,
			  err_entry(want)->name);
	for (int i = 0; i < 3; i++)
		free(texts[i]);
}

TEST(volume_open__beside_one_in_work__refused_by_name_or_independent)
{
	char at[80], in[80], other[80];
	struct loop a, b;
	struct record work = record("work", 0, "");
	struct err e = { 0 };
	int64_t begin;
	pid_t pid;

	test_need_memlock(1 << 16);
	(void)tmpdir_make();
	a = loop_attach();
	b = loop_attach();
	(void)snprintf(at, sizeof at, "%s/at", tmpdir_path);
	(void)snprintf(in, sizeof in, "%s/at/in", tmpdir_path);
	(void)snprintf(other, sizeof other, "%s/other", tmpdir_path);
	CHECK(mkdir(at, 0700) == 0 && mkdir(in, 0700) == 0 && mkdir(other, 0700) == 0);
	number_of(&work.major, &work.minor, a.path);
	(void)snprintf(work.mount_point, sizeof work.mount_point, "%s", at);
	CHECK_INT(record_put(tmpdir_path, &work, &e), 0);
	pid = holder(lock_of_device(work.major, work.minor));
	begin = clock_boot_ms();
	opens(b.path, "new", other, 20000, CODE_VOLUME_NO_HEADER);
	opens(b.path, "work", other, 20000, CODE_VOLUME_BUSY);
	opens(b.path, "new", at, 20000, CODE_VOLUME_MOUNT_POINT_IN_USE);
	opens(b.path, "new", in, 20000, CODE_VOLUME_MOUNT_POINT_IN_USE);
	opens(b.path, "new", tmpdir_path, 20000, CODE_VOLUME_MOUNT_POINT_IN_USE);
	if (clock_boot_ms() - begin > 10000)
		test_fail(__FILE__, __LINE__, "another device was waited for");
	opens(a.path, "new", other, 200, CODE_VOLUME_BUSY);
	/* With its holder dead all is free: what it left is undone first. */
	kill_it(pid);
	opens(b.path, "work", at, 20000, CODE_VOLUME_NO_HEADER);
	opens(a.path, "new", other, 20000, CODE_VOLUME_NO_HEADER);
	CHECK_INT(record_get(&work, tmpdir_path, "new", &e), 0);
}
