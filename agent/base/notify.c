/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/notify.h"
#include "agent/base/mem.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

int notify_send(const char *state, struct err *e)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cleanup_close int fd = -1;
	size_t n;

	if (!path || path[0] == '\0')
		return 0;
	n = strlen(path);
	if (n >= sizeof a.sun_path)
		return err_set(e, ERR_LIMIT, "NOTIFY_SOCKET of %zu bytes", n);
	memcpy(a.sun_path, path, n);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "socket for the service manager");
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return err_sys(e, errno, "notify the service manager");
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
