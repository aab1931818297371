/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/notify.h"
#include "agent/base/clock.h"
#include "agent/base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* *out: a socket connected to the manager, or -1 when there is none. */
static int connect_manager(int *out, int flags, struct err *e)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cleanup_close int fd = -1;
	size_t n;

	*out = -1;
	if (!path || path[0] == '\0')
		return 0;
	n = strlen(path);
	if (n >= sizeof a.sun_path)
		return err_set(e, ERR_LIMIT, "NOTIFY_SOCKET of %zu bytes", n);
	memcpy(a.sun_path, path, n);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return err_sys(e, errno, "socket for the service manager");
	if (connect(fd, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return err_sys(e, errno, "connect to the service manager");
	*out = take_fd(fd);
	return 0;
}

int notify_send(const char *state, struct err *e)
{
	cleanup_close int to = -1;
	int r = connect_manager(&to, 0, e);

	if (r < 0 || to < 0)
		return r;
	if (send(to, state, strlen(state), MSG_NOSIGNAL) < 0)
		return err_sys(e, errno, "notify the service manager");
	return 0;
}

int notify_send_fd(const char *state, int fd, int wait_ms, struct err *e)
{
	cleanup_close int to = -1;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)state, .iov_len = strlen(state) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct deadline d = deadline_in(wait_ms);
	int r = connect_manager(&to, SOCK_NONBLOCK, e);

	if (r < 0)
		return r;
	if (to < 0)
		return err_set(e, ERR_NOTFOUND, "no service manager to hand a descriptor to");
	if (fd >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof control.room;
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						       .cmsg_type = SCM_RIGHTS,
						       .cmsg_len = CMSG_LEN(sizeof fd) };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
	}
	while (sendmsg(to, &m, MSG_NOSIGNAL) < 0) {
		struct pollfd p = { .fd = to, .events = POLLOUT };
		int64_t left = deadline_left_ms(d);

		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return err_sys(e, errno, "notify the service manager");
		if (left <= 0)
			return err_set(e, ERR_TIMEOUT, "the service manager's queue is full");
		(void)poll(&p, 1, (int)left);
	}
	return 0;
}

long notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	long long us;

	if (!usec || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
		return 0;
	us = strtoll(usec, NULL, 10);
	return us > 0 && us < 86400000000LL ? (long)(us / 2000) : 0;
}
