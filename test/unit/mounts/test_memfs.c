/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/memfs.h"
#include "test/unit/mounts/tmpdir.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

static struct memfs on_disk(void)
{
	struct memfs m = { .fd = tmpdir_make() };

	(void)snprintf(m.path, sizeof m.path, "%s", tmpdir_path);
	return m;
}

TEST(memfs_erase__file__is_overwritten_where_it_stands_and_gone)
{
	struct memfs m = on_disk();
	char text[64] = "";
	int fd;

	tmpdir_put(m.fd, "f", "plaintext");
	fd = openat(m.fd, "f", O_RDONLY);
	CHECK_INT(memfs_erase(m.fd, "f", NULL), 0);
	CHECK(faccessat(m.fd, "f", F_OK, 0) < 0);
	/* Who held it open sees zeros. */
	CHECK_INT(read(fd, text, sizeof text), 9);
	for (int i = 0; i < 9; i++)
		CHECK_INT(text[i], 0);
	CHECK_INT(memfs_erase(m.fd, "f", NULL), 0);
}

TEST(memfs_erase__large_file__is_zero_to_its_end)
{
	struct memfs m = on_disk();
	static char block[100001];
	int fd = openat(m.fd, "f", O_RDWR | O_CREAT, 0600);

	for (size_t i = 0; i < sizeof block; i++)
		block[i] = 'x';
	CHECK(write(fd, block, sizeof block) == (ssize_t)sizeof block);
	CHECK_INT(memfs_erase(m.fd, "f", NULL), 0);
	CHECK(pread(fd, block, sizeof block, 0) == (ssize_t)sizeof block);
	for (size_t i = 0; i < sizeof block; i++)
		CHECK(block[i] == 0);
}

TEST(memfs_remove__tree_with_links_and_fifo__goes_and_follows_nothing)
{
	struct memfs m = on_disk();
	int fd;
	char c;

	CHECK(mkdirat(m.fd, "t", 0700) == 0 && mkdirat(m.fd, "t/sub", 0500) == 0);
	tmpdir_put(m.fd, "outside", "stays");
	tmpdir_put(m.fd, "t/file", "goes");
	CHECK(symlinkat("../outside", m.fd, "t/link") == 0 && symlinkat("..", m.fd, "t/up") == 0);
	CHECK(mkfifoat(m.fd, "t/fifo", 0600) == 0);
	fd = openat(m.fd, "t/file", O_RDONLY);
	(void)alarm(5);
	CHECK_INT(memfs_remove(m.fd, "t", NULL), 0);
	CHECK(faccessat(m.fd, "t", F_OK, 0) < 0);
	CHECK(tmpdir_is(m.fd, "outside", "stays"));
	CHECK(read(fd, &c, 1) == 1 && c == 0);
	CHECK_INT(memfs_remove(m.fd, "t", NULL), 0);
}

TEST(memfs_lock__held_by_another__is_waited_for)
{
	struct memfs m = on_disk();
	int ready[2], lock, st;
	char c;
	pid_t pid;

	CHECK(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		lock = memfs_lock(&m, NULL);
		CHECK(lock >= 0 && write(ready[1], "x", 1) == 1);
		(void)usleep(100 * 1000);
		_exit(0);
	}
	CHECK(read(ready[0], &c, 1) == 1);
	/* The kernel lets go when the holder ends. */
	lock = memfs_lock(&m, NULL);
	CHECK(lock >= 0);
	CHECK(waitpid(pid, &st, 0) == pid && st == 0);
}

TEST(memfs_sweep_exec_files__held_one__stays)
{
	struct memfs m = on_disk();
	char held[MEMFS_PATH_MAX + 40], left[MEMFS_PATH_MAX + 40];
	int fd = memfs_exec_file(&m, held, NULL), gone = memfs_exec_file(&m, left, NULL);

	CHECK(fd >= 0 && gone >= 0 && strcmp(held, left) != 0);
	CHECK(write(gone, "plain", 5) == 5);
	CHECK(close(gone) == 0);
	tmpdir_put(m.fd, "other", "");
	memfs_sweep_exec_files(&m);
	CHECK(access(held, F_OK) == 0);
	CHECK(access(left, F_OK) < 0);
	CHECK(faccessat(m.fd, "other", F_OK, 0) == 0);
}

TEST(memfs_is_memory__nearest_parent__decides)
{
	CHECK(memfs_is_memory("/dev/shm/not/there/at/all") == memfs_is_memory("/dev/shm"));
	CHECK(!memfs_is_memory("/proc/sys"));
	CHECK(!memfs_is_memory("/proc/nothing/here"));
}

TEST(memfs_open_existing__not_mounted_or_bad_path__says_so)
{
	struct memfs out = MEMFS_CLOSED;
	char longer[MEMFS_PATH_MAX + 2] = "/";
	struct err e;

	(void)tmpdir_make();
	CHECK_ERR(memfs_open_existing(&out, tmpdir_abs("nothing"), &e), ERR_NOTFOUND, e, "not mounted");
	CHECK_ERR(memfs_open_existing(&out, "relative", &e), ERR_FORMAT, e, "absolute");
	for (size_t i = 1; i <= MEMFS_PATH_MAX; i++)
		longer[i] = 'x';
	CHECK_ERR(memfs_open_existing(&out, longer, &e), ERR_FORMAT, e, "64 bytes");
	CHECK_INT(out.fd, -1);
}

/* In a mount namespace of its own, so that nothing stays mounted. */
static void alone(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		test_skip("needs root with CAP_SYS_ADMIN");
}

TEST(memfs_open__nothing_mounted__mounts_once)
{
	cleanup_memfs struct memfs a = MEMFS_CLOSED, b = MEMFS_CLOSED;
	struct stat one, two;

	alone();
	(void)tmpdir_make();
	CHECK_INT(memfs_open(&a, tmpdir_abs("x/oci"), 1 << 20, NULL), 0);
	CHECK(memfs_never_swaps(a.fd));
	CHECK_INT(memfs_open(&b, tmpdir_abs("x/oci"), 1 << 20, NULL), 0);
	CHECK(fstat(a.fd, &one) == 0 && fstat(b.fd, &two) == 0);
	CHECK_INT(one.st_dev, two.st_dev);
	CHECK_INT(one.st_mode & 07777, 0700);
	CHECK(umount2(tmpdir_abs("x/oci"), MNT_DETACH) == 0);
	CHECK(faccessat(AT_FDCWD, tmpdir_abs("x/oci"), F_OK, 0) == 0);
}

TEST(memfs_open__ramfs_of_somebody__is_used_as_it_is)
{
	cleanup_memfs struct memfs m = MEMFS_CLOSED;
	struct stat st, top;

	alone();
	(void)tmpdir_make();
	CHECK(mkdir(tmpdir_abs("r"), 0700) == 0);
	CHECK(mount("x", tmpdir_abs("r"), "ramfs", 0, "mode=0700") == 0);
	CHECK(stat(tmpdir_abs("r"), &top) == 0);
	CHECK_INT(memfs_open(&m, tmpdir_abs("r/oci"), 1 << 20, NULL), 0);
	CHECK(fstat(m.fd, &st) == 0);
	CHECK_INT(st.st_dev, top.st_dev);
	CHECK(umount2(tmpdir_abs("r"), MNT_DETACH) == 0);
}

TEST(memfs_never_swaps__tmpfs_that_may_swap__does_not_count)
{
	cleanup_close int fd = -1;

	alone();
	(void)tmpdir_make();
	CHECK(mkdir(tmpdir_abs("t"), 0700) == 0);
	CHECK(mount("x", tmpdir_abs("t"), "tmpfs", 0, "mode=0700") == 0);
	fd = open(tmpdir_abs("t"), O_RDONLY | O_DIRECTORY);
	CHECK(!memfs_never_swaps(fd));
	CHECK(memfs_is_memory(tmpdir_abs("t/x/y")));
	CHECK(umount2(tmpdir_abs("t"), MNT_DETACH) == 0);
}

TEST(memfs_open__folder_that_others_may_write__is_refused)
{
	struct memfs m = MEMFS_CLOSED;
	struct err e;

	alone();
	(void)tmpdir_make();
	CHECK(mkdir(tmpdir_abs("r"), 0700) == 0);
	CHECK(mount("x", tmpdir_abs("r"), "ramfs", 0, "mode=0777") == 0);
	CHECK_ERR(memfs_open(&m, tmpdir_abs("r"), 1 << 20, &e), ERR_SYSTEM, e, "written by others");
	CHECK_INT(e.code, CODE_OCI_MEMORY);
	CHECK(umount2(tmpdir_abs("r"), MNT_DETACH) == 0);
}
