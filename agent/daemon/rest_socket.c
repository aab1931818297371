/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/rest_socket.h"

#include "agent/api/rest_route.h"
#include "agent/base/mem.h"
#include "agent/daemon/startup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

enum { BACKLOG = 128 };

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage room;
};

static void say(char where[REST_SOCKET_TEXT], const union address *a)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	bool v6 = a->any.sa_family == AF_INET6;

	(void)inet_ntop(a->any.sa_family, v6 ? (const void *)&a->in6.sin6_addr : &a->in.sin_addr,
			ip, sizeof ip);
	(void)snprintf(where, REST_SOCKET_TEXT, v6 ? "[%s]:%u" : "%s:%u", ip,
		       ntohs(v6 ? a->in6.sin6_port : a->in.sin_port));
}

/* 1 and *out: one was handed over; 0: none. */
static int inherited(int *out, char where[REST_SOCKET_TEXT], struct err *e)
{
	static struct listen_fds handed;
	union address a = { 0 };
	socklen_t len = sizeof a;
	int r = listen_fds_take(&handed, e), fd = handed.at[0].fd;

	if (r < 0 || handed.n == 0)
		return r;
	if (handed.n != 1)
		return err_set(e, ERR_FORMAT, "%zu sockets were handed over, want 1", handed.n);
	if (startup_socket_option(fd, SO_TYPE) != SOCK_STREAM ||
	    startup_socket_option(fd, SO_ACCEPTCONN) != 1 ||
	    getsockname(fd, &a.any, &len) < 0 ||
	    (a.any.sa_family != AF_INET && a.any.sa_family != AF_INET6))
		return err_set(e, ERR_FORMAT, "what was handed over is no listening TCP socket");
	say(where, &a);
	if (!rest_peer_is_local(&a.any))
		return err_set(e, ERR_DENIED,
			       "the socket handed over is on %s, no loopback address", where);
	*out = fd;
	return 1;
}

static int parse_port(uint16_t *out, const char *text)
{
	char *end;
	unsigned long n;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	n = strtoul(text, &end, 10);
	if (*end != '\0' || n == 0 || n > UINT16_MAX)
		return -1;
	*out = (uint16_t)n;
	return 0;
}

static int parse_address(union address *a, const char *text, struct err *e)
{
	const char *colon = strrchr(text, ':');
	char ip[INET6_ADDRSTRLEN + 2] = { 0 };
	size_t n = colon ? (size_t)(colon - text) : 0;
	uint16_t port;

	if (n == 0 || n >= sizeof ip || parse_port(&port, colon + 1) < 0)
		return err_set(e, ERR_USAGE, "address \"%.60s\" is not IP:PORT", text);
	memcpy(ip, text, n);
	*a = (union address){ 0 };
	if (ip[0] == '[' && ip[n - 1] == ']') {
		ip[n - 1] = '\0';
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(port);
		if (inet_pton(AF_INET6, ip + 1, &a->in6.sin6_addr) == 1)
			return 0;
	} else {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(port);
		if (inet_pton(AF_INET, ip, &a->in.sin_addr) == 1)
			return 0;
	}
	return err_set(e, ERR_USAGE, "address \"%.60s\" is not IP:PORT", text);
}

static int make(int *out, const char *text, char where[REST_SOCKET_TEXT], struct err *e)
{
	cleanup_close int fd = -1;
	union address a;
	const int on = 1;
	int r = parse_address(&a, text, e);

	if (r < 0)
		return r;
	say(where, &a);
	if (!rest_peer_is_local(&a.any))
		return err_set(e, ERR_USAGE, "%s is no loopback address", where);
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		return err_sys(e, errno, "SO_REUSEADDR");
	if (bind(fd, &a.any, a.any.sa_family == AF_INET6 ? sizeof a.in6 : sizeof a.in) < 0)
		return err_sys(e, errno, "bind to %s", where);
	if (listen(fd, BACKLOG) < 0)
		return err_sys(e, errno, "listen on %s", where);
	*out = take_fd(fd);
	return 0;
}

int rest_socket(int *fd, const char *bind, char where[REST_SOCKET_TEXT], struct err *e)
{
	int r = inherited(fd, where, e);

	if (r == 0)
		r = make(fd, bind, where, e);
	return r < 0 ? r : 0;
}
