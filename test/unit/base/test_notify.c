/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"
#include "agent/base/listenfds.h"
#include "agent/base/mem.h"
#include "agent/base/notify.h"
#include "test/test.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

static char path[64];

static void remove_path(void)
{
	(void)unlink(path);
}

static int manager(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(path, sizeof path, "/tmp/vouchsafe-notify.%d", getpid());
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	(void)unlink(path);
	CHECK(bind(fd, (const struct sockaddr *)&a, sizeof a) == 0);
	(void)atexit(remove_path);
	CHECK(setenv("NOTIFY_SOCKET", path, 1) == 0);
	return fd;
}

/* The next message; its descriptor, or -1. */
static int hear(int from, const char *want)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char text[256] = "";
	struct iovec iov = { text, sizeof text - 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.room,
			    .msg_controllen = sizeof control.room };
	int fd = -1;

	CHECK(recvmsg(from, &m, 0) > 0);
	CHECK(strcmp(text, want) == 0);
	if (CMSG_FIRSTHDR(&m)) {
		CHECK_INT(CMSG_FIRSTHDR(&m)->cmsg_type, SCM_RIGHTS);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	}
	return fd;
}

TEST(notify_send__no_manager__does_nothing)
{
	(void)unsetenv("NOTIFY_SOCKET");
	CHECK_INT(notify_send("READY=1", NULL), 0);
}

TEST(notify_send_fd__no_manager__says_so)
{
	struct err e;

	(void)unsetenv("NOTIFY_SOCKET");
	CHECK_ERR(notify_send_fd("FDSTORE=1", 0, 0, &e), ERR_NOTFOUND, e, "no service manager");
	(void)setenv("NOTIFY_SOCKET", "/tmp/vouchsafe-nobody-listens", 1);
	CHECK_ERR(notify_send_fd("FDSTORE=1", 0, 0, &e), ERR_SYSTEM, e, "connect");
	CHECK_INT(notify_send("READY=1", NULL), -ERR_SYSTEM);
}

TEST(notify_send_fd__with_and_without__arrives)
{
	int m = manager(), pipes[2], got;
	char c = 'x';

	CHECK(pipe(pipes) == 0);
	CHECK_INT(notify_send("READY=1", NULL), 0);
	CHECK_INT(hear(m, "READY=1"), -1);
	CHECK_INT(notify_send_fd("FDSTORE=1\nFDNAME=a-1", pipes[1], 0, NULL), 0);
	got = hear(m, "FDSTORE=1\nFDNAME=a-1");
	CHECK(got >= 0 && got != pipes[1]);
	CHECK(write(got, "y", 1) == 1 && read(pipes[0], &c, 1) == 1 && c == 'y');
	CHECK_INT(notify_send_fd("FDSTOREREMOVE=1\nFDNAME=a-1", -1, 0, NULL), 0);
	CHECK_INT(hear(m, "FDSTOREREMOVE=1\nFDNAME=a-1"), -1);
}

TEST(notify_send_fd__manager_reads_nothing__gives_up_in_time)
{
	struct deadline d;
	struct err e = { 0 };
	int r = 0, n;

	(void)manager();
	for (n = 0; n < 10000 && r == 0; n++)
		r = notify_send_fd("X=1", -1, 0, &e);
	CHECK_INT(r, -ERR_TIMEOUT);
	CHECK(strstr(e.msg, "full") != NULL);
	d = deadline_in(5000);
	CHECK_ERR(notify_send_fd("X=1", -1, 200, &e), ERR_TIMEOUT, e, "full");
	CHECK(deadline_left_ms(d) < 4850 && deadline_left_ms(d) > 2000);
}

/* --- LISTEN_FDS ------------------------------------------------------------------- */

/* n descriptors from 3 on; what the test needs itself lies above. */
static void announce(const char *pid, const char *n, const char *names, int open_n)
{
	char own[16];

	(void)snprintf(own, sizeof own, "%d", getpid());
	for (int i = 0; i < open_n; i++)
		CHECK(dup2(1, 3 + i) == 3 + i);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (pid)
		(void)setenv("LISTEN_PID", *pid ? pid : own, 1);
	if (n)
		(void)setenv("LISTEN_FDS", n, 1);
	if (names)
		(void)setenv("LISTEN_FDNAMES", names, 1);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

TEST(listen_fds__well_formed__are_taken_once)
{
	struct listen_fds l;

	announce("", "3", "cdh-1:aa-22:x", 3);
	CHECK_INT(listen_fds_take(&l, NULL), 0);
	CHECK_INT(l.n, 3);
	CHECK(strcmp(l.at[0].name, "cdh-1") == 0 && strcmp(l.at[1].name, "aa-22") == 0 &&
	      strcmp(l.at[2].name, "x") == 0);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(l.at[i].fd, 3 + i);
		CHECK_INT(fcntl(3 + i, F_GETFD), FD_CLOEXEC);
	}
	CHECK(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
	l.at[1].fd = -1;
	listen_fds_close(&l);
	CHECK(!is_open(3) && is_open(4) && !is_open(5));
	CHECK_INT(listen_fds_take(&l, NULL), 0);
	CHECK_INT(l.n, 0);
}

TEST(listen_fds__no_names__are_unknown)
{
	struct listen_fds l;

	announce("", "2", NULL, 2);
	CHECK_INT(listen_fds_take(&l, NULL), 0);
	CHECK(l.n == 2 && strcmp(l.at[1].name, "unknown") == 0);
}

TEST(listen_fds__of_another_process__are_left_alone)
{
	struct listen_fds l;

	announce("1", "2", "a:b", 2);
	CHECK_INT(listen_fds_take(&l, NULL), 0);
	CHECK(l.n == 0 && is_open(3) && is_open(4) && !getenv("LISTEN_PID"));
	announce(NULL, "2", "a:b", 2);
	CHECK_INT(listen_fds_take(&l, NULL), 0);
	CHECK(l.n == 0 && is_open(3) && !getenv("LISTEN_FDS"));
}

TEST(listen_fds__malformed__are_refused_and_closed)
{
	static const char long_name[] =
		"1234567890123456789012345678901234567890123456789012345678901234";
	static const struct {
		const char *pid, *n, *names;
		int open, left; /* descriptors before, and of them after */
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ "", "x", "a", 1, 1, ERR_FORMAT, "no number" },
		{ "", "", "a", 1, 1, ERR_FORMAT, "no number" },
		{ "", "-1", "a", 1, 1, ERR_FORMAT, "no number" },
		{ "", "1 ", "a", 1, 1, ERR_FORMAT, "no number" },
		{ "", "1000000000", "a", 1, 1, ERR_FORMAT, "no number" },
		{ "12x", "1", "a", 1, 1, ERR_FORMAT, "no number" },
		{ "", "65", NULL, 2, 0, ERR_LIMIT, "allowed 64" },
		{ "", "999999999", NULL, 2, 0, ERR_LIMIT, "allowed 64" },
		{ "", "2", "a", 2, 0, ERR_FORMAT, "disagree" },
		{ "", "2", "a:b:c", 2, 0, ERR_FORMAT, "disagree" },
		{ "", "2", "a:", 2, 0, ERR_FORMAT, "name 2 is empty" },
		{ "", "1", "", 1, 0, ERR_FORMAT, "name 1 is empty" },
		{ "", "1", "a b", 1, 0, ERR_FORMAT, "0x20" },
		{ "", "1", "a\n", 1, 0, ERR_FORMAT, "0x0a" },
		{ "", "1", "\xff", 1, 0, ERR_FORMAT, "0xff" },
		{ "", "1", long_name, 1, 0, ERR_LIMIT, "64 bytes" },
		{ "", "3", "a:b:c", 2, 0, ERR_SYSTEM, "descriptor 5" },
	};
	struct listen_fds l;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)close_range(3, 80, 0);
		announce(rows[i].pid, rows[i].n, rows[i].names, rows[i].open);
		CHECK_ERR(listen_fds_take(&l, &e), rows[i].kind, e, rows[i].words);
		CHECK_INT(l.n, 0);
		for (int k = 0; k < rows[i].open; k++)
			CHECK_INT(is_open(3 + k), rows[i].left > k);
		CHECK(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
	}
}
