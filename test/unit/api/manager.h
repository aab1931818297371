/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_API_MANAGER_H
#define TEST_API_MANAGER_H

#include "agent/base/listenfds.h"
#include "agent/base/notify.h"
#include "test/unit/api/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/*
 * A service manager in a process of its own: it runs a server of the fixture's methods, keeps the
 * descriptors that are sent to NOTIFY_SOCKET and hands them to the next server. As systemd does,
 * it drops what hung up, refuses more than MANAGER_MAX, and handles every message that was sent
 * before a death before it starts again.
 */
enum { MANAGER_MAX = 16, MANAGER_FD = 100 };

struct manager_order {
	int sig;      /* to the server, which is then started again; 0: none */
	int delay_us; /* before it */
};

struct manager_state {
	int kept, refused; /* in the store now; ever over MANAGER_MAX */
	int code;          /* of the server that ended */
};

static char manager_path[96];

static struct {
	int fd;
	char name[32];
} manager_kept[MANAGER_MAX];
static int manager_n, manager_refused;

/* --- the server's process ----------------------------------------------------------- */

static int server_store(void *ctx, size_t listener, unsigned number, int fd)
{
	char text[64];

	(void)ctx;
	(void)snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%c-%u", 'a' + (int)listener, number);
	return notify_send_fd(text, fd, 0, NULL);
}

static int server_unstore(void *ctx, size_t listener, unsigned number)
{
	char text[64];

	(void)ctx;
	(void)snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%c-%u", 'a' + (int)listener,
		       number);
	return notify_send_fd(text, -1, TTRPC_UNSTORE_MS, NULL);
}

static void server_main(void)
{
	struct ttrpc_config config = {
		.store = { .store = server_store, .unstore = server_unstore },
		.limits = { .read_ms = 5000, .write_ms = 5000 },
	};
	struct listen_fds handed;
	struct err e;
	sigset_t term;
	int sig;

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &term, NULL);
	if (listen_fds_take(&handed, &e) < 0 ||
	    ttrpc_server_new(&door, &config, &e) < 0 ||
	    ttrpc_server_listen(door, door_path, 0666, (gid_t)-1, methods, ARRAY_LEN(methods), &e) < 0)
		_exit(10);
	for (size_t i = 0; i < handed.n; i++) {
		unsigned number = (unsigned)strtoul(handed.at[i].name + 2, NULL, 10);

		if (ttrpc_server_adopt(door, (size_t)(handed.at[i].name[0] - 'a'), number,
				       handed.at[i].fd, &e) < 0)
			_exit(11);
	}
	if (ttrpc_server_start(door, &e) < 0 || notify_send("READY=1", &e) < 0)
		_exit(12);
	(void)sigwait(&term, &sig);
	(void)ttrpc_server_drain(door, deadline_in(2000), NULL);
	_exit(0);
}

static pid_t manager_start(void)
{
	char names[MANAGER_MAX * 33] = "", text[32];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)close_range(3, MANAGER_FD - 1, 0);
	for (int i = 0; i < manager_n; i++) {
		(void)dup2(manager_kept[i].fd, 3 + i);
		(void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
			       i > 0 ? ":" : "", manager_kept[i].name);
	}
	(void)close_range(MANAGER_FD, ~0u, 0);
	(void)setenv("NOTIFY_SOCKET", manager_path, 1);
	(void)snprintf(text, sizeof text, "%d", getpid());
	(void)setenv("LISTEN_PID", text, 1);
	(void)snprintf(text, sizeof text, "%d", manager_n);
	(void)setenv("LISTEN_FDS", text, 1);
	(void)setenv("LISTEN_FDNAMES", names, 1);
	server_main();
	_exit(13);
}

/* --- the manager's process ---------------------------------------------------------- */

static void manager_drop(int i)
{
	(void)close(manager_kept[i].fd);
	manager_kept[i] = manager_kept[--manager_n];
}

/* 0: a message was handled; 1: it was READY=1; -1: there is none. */
static int manager_message(int notify)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char text[256] = "", *name;
	struct iovec iov = { text, sizeof text - 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.room,
			    .msg_controllen = sizeof control.room };
	int fd = -1;

	if (recvmsg(notify, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	if (CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	if (strcmp(text, "READY=1") == 0)
		return 1;
	name = strstr(text, "FDNAME=");
	name = name ? name + 7 : text;
	if (strncmp(text, "FDSTORE=1\n", 10) == 0) {
		if (manager_n == MANAGER_MAX) {
			manager_refused++;
		} else {
			manager_kept[manager_n].fd = fcntl(fd, F_DUPFD_CLOEXEC, MANAGER_FD);
			(void)snprintf(manager_kept[manager_n++].name, 32, "%.31s", name);
		}
		(void)close(fd);
		return 0;
	}
	for (int i = manager_n - 1; i >= 0; i--)
		if (strcmp(manager_kept[i].name, name) == 0)
			manager_drop(i);
	return 0;
}

static void manager_hung_up(void)
{
	for (int i = manager_n - 1; i >= 0; i--) {
		struct pollfd p = { .fd = manager_kept[i].fd };

		if (poll(&p, 1, 0) == 1)
			manager_drop(i);
	}
}

static void manager_wait_ready(int notify, pid_t pid)
{
	struct pollfd p = { .fd = notify, .events = POLLIN };

	for (int i = 0; i < 2000; i++) {
		(void)poll(&p, 1, 10);
		for (int r; (r = manager_message(notify)) >= 0;)
			if (r == 1)
				return;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
	}
	_exit(20);
}

static void manager_main(int cmd, int notify)
{
	pid_t pid = manager_start();
	struct pollfd p[2] = { { .fd = cmd, .events = POLLIN }, { .fd = notify, .events = POLLIN } };

	manager_wait_ready(notify, pid);
	for (;;) {
		struct manager_state s = { 0 };
		struct manager_order o;
		siginfo_t info;

		(void)poll(p, 2, 50);
		while (manager_message(notify) >= 0)
			;
		manager_hung_up();
		if (p[0].revents == 0)
			continue;
		if (recv(cmd, &o, sizeof o, 0) != (ssize_t)sizeof o)
			break;
		if (o.sig != 0) {
			struct timespec t = { 0, o.delay_us * 1000L };

			(void)nanosleep(&t, NULL);
			(void)kill(pid, o.sig);
			do { /* its queue is short: go on reading until it is gone */
				info = (siginfo_t){ 0 };
				while (manager_message(notify) >= 0)
					;
				(void)waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG);
			} while (info.si_pid == 0);
			while (manager_message(notify) >= 0)
				;
			(void)waitpid(pid, &s.code, 0);
			manager_hung_up();
			pid = manager_start();
			manager_wait_ready(notify, pid);
		}
		s.kept = manager_n;
		s.refused = manager_refused;
		(void)send(cmd, &s, sizeof s, MSG_NOSIGNAL);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	_exit(0);
}

/* --- the test's process ------------------------------------------------------------- */

static int manager_cmd = -1;
static pid_t manager_pid;

static void manager_stop(void)
{
	if (getpid() == manager_pid || manager_cmd < 0)
		return;
	(void)close(manager_cmd);
	(void)waitpid(manager_pid, NULL, 0);
	(void)unlink(manager_path);
	remove_dir();
}

static UNUSED void manager_open(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int pair[2], notify;

	if (geteuid() != 0)
		test_skip("only root's connections are kept");
	make_dir();
	(void)snprintf(manager_path, sizeof manager_path, "%s/notify", door_dir);
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", manager_path);
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(bind(notify, (const struct sockaddr *)&a, sizeof a) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	manager_pid = fork();
	if (manager_pid == 0) {
		(void)close(pair[0]);
		manager_main(fcntl(pair[1], F_DUPFD_CLOEXEC, MANAGER_FD),
			     fcntl(notify, F_DUPFD_CLOEXEC, MANAGER_FD));
	}
	(void)close(pair[1]);
	(void)close(notify);
	manager_cmd = pair[0];
	(void)atexit(manager_stop);
}

static UNUSED void manager_order(int sig, int delay_us)
{
	struct manager_order o = { sig, delay_us };

	CHECK(send(manager_cmd, &o, sizeof o, MSG_NOSIGNAL) == (ssize_t)sizeof o);
}

static UNUSED struct manager_state manager_answer(void)
{
	struct manager_state s = { 0 };

	if (!readable(manager_cmd, 30000))
		test_fail(__FILE__, __LINE__, "no server within 30 s");
	CHECK(recv(manager_cmd, &s, sizeof s, 0) == (ssize_t)sizeof s);
	return s;
}

/* End the server, and return when the next one serves. */
static UNUSED struct manager_state manager_kill(int sig)
{
	manager_order(sig, 0);
	return manager_answer();
}

static UNUSED struct manager_state manager_look(void)
{
	return manager_kill(0);
}

#endif
