/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/fs.h"
#include "agent/base/gunzip.h"
#include "agent/base/notify.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static char *folder(void)
{
	static char dir[] = "/tmp/vouchsafe-test-XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(chdir(dir), 0);
	return dir;
}

TEST(buf__over_its_cap__is_marked_once_and_keeps_what_fitted)
{
	cleanup_buf struct buf b = BUF_MAX(4);
	struct err e;

	buf_puts(&b, "abc");
	buf_puts(&b, "de");
	buf_puts(&b, "f");
	CHECK(view_is(buf_view(&b), "abc"));
	CHECK_ERR(buf_check(&b, "thing", &e), ERR_LIMIT, e, "thing exceeds 4 bytes");
	buf_reset(&b);
	buf_puts(&b, "wxyz");
	CHECK_INT(buf_check(&b, "thing", &e), 0);
	CHECK(strcmp(buf_str(&b), "wxyz") == 0);
}

TEST(buf__grown_many_times__keeps_its_bytes)
{
	cleanup_buf struct buf b = BUF_MAX(100000);

	for (int i = 0; i < 10000; i++)
		buf_printf(&b, "%d,", i % 10);
	CHECK_INT(b.len, 20000);
	CHECK(memcmp(b.p + 19998, "9,", 3) == 0);
}

TEST(fs_open_beneath__link_or_dots_that_leave__are_refused)
{
	cleanup_close int dir = -1;
	struct err e;
	int fd;

	(void)folder();
	CHECK_INT(mkdir("in", 0700), 0);
	CHECK_INT(symlink("/etc/passwd", "in/out"), 0);
	CHECK_INT(symlink("ok", "in/link"), 0);
	CHECK_INT(fs_write("in/ok", view_str("x"), 0600, &e), 0);
	dir = open("in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_ERR(fs_open_beneath(dir, "out", O_RDONLY, 0, &e), ERR_SYSTEM, e, "out");
	CHECK_ERR(fs_open_beneath(dir, "../in/ok", O_RDONLY, 0, &e), ERR_SYSTEM, e, "..");
	CHECK_ERR(fs_open_beneath(dir, "none", O_RDONLY, 0, &e), ERR_NOTFOUND, e, "not there");
	fd = fs_open_beneath(dir, "/link", O_RDONLY, 0, &e);
	CHECK(fd >= 0);
	(void)close(fd);
	/* A mode that nothing is made with is nothing that openat2 complains of. */
	fd = fs_open_beneath(dir, ".", O_RDONLY | O_DIRECTORY, 0700, &e);
	CHECK(fd >= 0);
	(void)close(fd);
}

/* As in a unit with RestrictSUIDSGID=. */
static void refuse_openat2(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_LEN(rules), .filter = rules };

	CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_INT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

TEST(fs_open_beneath__without_openat2__follows_no_link_and_opens_the_rest)
{
	int dir, fd;
	struct err e;

	(void)folder();
	CHECK_INT(mkdir("in", 0700), 0);
	CHECK_INT(mkdir("in/deep", 0700), 0);
	CHECK_INT(symlink("deep", "in/link"), 0);
	CHECK_INT(symlink("/etc/hostname", "in/out"), 0);
	dir = open("in", O_RDONLY | O_DIRECTORY);
	CHECK(dir >= 0);
	fd = fs_open_beneath(dir, "deep/ok", O_WRONLY | O_CREAT, 0600, &e);
	CHECK(fd >= 0);
	(void)close(fd);
	refuse_openat2();
	CHECK_INT(syscall(SYS_openat2, dir, "deep", NULL, 0), -1);
	CHECK_INT(errno, ENOSYS);
	for (size_t i = 0; i < 3; i++) {
		static const char *const good[] = { "/deep//ok", "deep/ok", "/" };

		fd = fs_open_beneath(dir, good[i], O_RDONLY, 0, &e);
		CHECK(fd >= 0);
		CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
		(void)close(fd);
	}
	CHECK_ERR(fs_open_beneath(dir, "deep/none", O_RDONLY, 0, &e), ERR_NOTFOUND, e, "not there");
	CHECK_ERR(fs_open_beneath(dir, "out", O_RDONLY, 0, &e), ERR_SYSTEM, e, "out");
	CHECK_ERR(fs_open_beneath(dir, "out", O_PATH, 0, &e), ERR_SYSTEM, e, "ELOOP");
	CHECK_ERR(fs_open_beneath(dir, "link/ok", O_RDONLY, 0, &e), ERR_NOTFOUND, e, "link/ok");
	CHECK_ERR(fs_open_beneath(dir, "deep/../deep/ok", O_RDONLY, 0, &e), ERR_SYSTEM, e, "EXDEV");
	(void)close(dir);
}

TEST(fs_read__fifo_huge_or_missing__is_an_error_and_does_not_wait)
{
	cleanup_buf struct buf b = BUF_MAX(100);
	struct err e;

	(void)folder();
	CHECK_INT(mkfifo("fifo", 0600), 0);
	CHECK_ERR(fs_read(&b, "fifo", 10, &e), ERR_FORMAT, e, "not a regular file");
	CHECK_ERR(fs_read(&b, "none", 10, &e), ERR_NOTFOUND, e, "none");
	CHECK_INT(fs_write("f", view_str("12345678901"), 0600, &e), 0);
	CHECK_ERR(fs_read(&b, "f", 10, &e), ERR_LIMIT, e, "over 10 bytes");
	buf_reset(&b);
	CHECK_INT(fs_read(&b, "f", 11, &e), 0);
	CHECK_INT(b.len, 11);
}

TEST(fs_write__existing_file__is_replaced_with_mode_and_nothing_left_over)
{
	struct stat st;
	struct err e;

	(void)folder();
	CHECK_INT(fs_write("f", view_str("old"), 0644, &e), 0);
	CHECK_INT(fs_write("f", view_str("new"), 0600, &e), 0);
	CHECK_INT(stat("f", &st), 0);
	CHECK_INT(st.st_mode & 0777, 0600);
	CHECK_INT(st.st_size, 3);
	CHECK_INT(unlink("f"), 0);
	CHECK_INT(rmdir("."), -1);
	CHECK_ERR(fs_write("no/f", view_str("x"), 0600, &e), ERR_SYSTEM, e, "no/f");
	CHECK_INT(fs_mkdirs("a/b/c", 0755, &e), 0);
	CHECK_INT(fs_mkdirs("a/b/c", 0755, &e), 0);
}

TEST(gunzip__own_pack__comes_back_and_damage_is_named)
{
	cleanup_buf struct buf gz = BUF_MAX(10000), out = BUF_MAX(10000);
	struct view v;
	struct err e;

	CHECK_INT(gunzip_pack(&gz, view_str("hello hello hello hello"), &e), 0);
	CHECK_INT(gunzip(&out, buf_view(&gz), 23, &e), 0);
	CHECK(view_is(buf_view(&out), "hello hello hello hello"));
	CHECK_ERR(gunzip(&out, buf_view(&gz), 22, &e), ERR_LIMIT, e, "over 22");
	v = buf_view(&gz);
	v.len--;
	CHECK_ERR(gunzip(&out, v, 100, &e), ERR_FORMAT, e, "cut short");
	gz.p[12] ^= 0x55;
	CHECK_ERR(gunzip(&out, buf_view(&gz), 100, &e), ERR_FORMAT, e, "damaged");
	CHECK_ERR(gunzip(&out, view_str("not gzip"), 100, &e), ERR_FORMAT, e, "damaged");
}

TEST(gunzip__bytes_behind_the_member__are_refused)
{
	cleanup_buf struct buf gz = BUF_MAX(10000), out = BUF_MAX(10000);
	struct err e;

	CHECK_INT(gunzip_pack(&gz, view_str("x"), &e), 0);
	buf_putc(&gz, 0);
	CHECK_ERR(gunzip(&out, buf_view(&gz), 100, &e), ERR_FORMAT, e, "1 bytes behind");
}

TEST(gunzip__bomb__stops_at_the_cap)
{
	cleanup_buf struct buf zeros = BUF_MAX(8u << 20), gz = BUF_MAX(1u << 20), out = BUF_MAX(1u << 20);
	struct err e;

	for (int i = 0; i < 8 << 20; i += 64)
		buf_put(&zeros, (uint8_t[64]){ 0 }, 64);
	CHECK_INT(gunzip_pack(&gz, buf_view(&zeros), &e), 0);
	CHECK(gz.len < 20000);
	CHECK_ERR(gunzip(&out, buf_view(&gz), 1u << 20, &e), ERR_LIMIT, e, "over 1048576");
}

TEST(deadline__past_and_future)
{
	struct deadline d = deadline_in(50);

	CHECK(deadline_left_ms(d) > 0 && deadline_left_ms(d) <= 50);
	CHECK_INT(deadline_left_ms(deadline_in(-5)), 0);
	CHECK_INT(deadline_min(d, deadline_in(10000)).at_ms, d.at_ms);
}

TEST(notify_send__with_and_without_a_manager)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "notify" };
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char got[64] = "";
	struct err e;

	(void)unsetenv("NOTIFY_SOCKET");
	CHECK_INT(notify_send("READY=1", &e), 0);
	(void)folder();
	CHECK_INT(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	CHECK_INT(setenv("NOTIFY_SOCKET", "notify", 1), 0);
	CHECK_INT(notify_send("READY=1\nSTATUS=x", &e), 0);
	CHECK_INT(recv(fd, got, sizeof got - 1, 0), 16);
	CHECK(strcmp(got, "READY=1\nSTATUS=x") == 0);
	CHECK_INT(setenv("NOTIFY_SOCKET", "nobody", 1), 0);
	CHECK_ERR(notify_send("READY=1", &e), ERR_SYSTEM, e, "service manager");
}

TEST(buf_put_plain__what_a_terminal_obeys__becomes_a_question_mark)
{
	cleanup_buf struct buf b = BUF_MAX(100);

	/* C0, DEL and C1; what only looks like the latter stays. */
	buf_put_plain(&b, view_str("a\x1b[31m\n\t\x7f\xc2\x9b"
				   "1m \xc2\xa0\xc3\x9b\xe2\x80\xa6 \xc2"));
	CHECK(view_is(buf_view(&b), "a?[31m????1m \xc2\xa0\xc3\x9b\xe2\x80\xa6 \xc2"));
}
