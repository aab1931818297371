/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum {
	HEADER = 10, /* tag 2, size 4, code 4 */
	FUSE_MAGIC = 0x65735546,
};

static const char scheme[] = "swtpm:";

bool tpm_link_is_socket(const char *where)
{
	return strncmp(where, scheme, sizeof scheme - 1) == 0;
}

/* Wait until fd can do events. A hang-up counts as ready: the call that follows says what it is. */
static int wait_for(int fd, short events, struct deadline d, const char *what, struct err *e)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		int64_t left = deadline_left_ms(d);
		int n = poll(&p, 1, (int)(left > INT32_MAX ? INT32_MAX : left));

		if (n > 0)
			return 0;
		if (n == 0 && deadline_left_ms(d) == 0)
			return err_code(e, CODE_TPM_TIMEOUT, "%s", what);
		if (n < 0 && errno != EINTR)
			return err_code(e, CODE_TPM_FAILED, "poll: %s", strerror(errno));
	}
}

/* The code of a failed open or connect. */
static int fail_open(int errnum, struct err *e)
{
	enum err_code code = CODE_TPM_FAILED;

	switch (errnum) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
	case ENOTDIR:
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		code = CODE_TPM_NONE;
		break;
	case EACCES:
	case EPERM:
		code = CODE_TPM_ACCESS;
		break;
	case EBUSY:
		code = CODE_TPM_BUSY;
		break;
	}
	(void)err_code(e, code, "cannot be opened: %s", strerror(errnum));
	if (e)
		e->sys = errnum;
	return -(int)err_entry(code)->kind;
}

/*
 * A command written to a plain file would destroy it. FUSE files are let in because a TPM can be
 * relayed through one.
 */
static int check_is_device(int fd, struct err *e)
{
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return err_code(e, CODE_TPM_FAILED, "fstat: %s", strerror(errno));
	if (S_ISCHR(st.st_mode) || (S_ISREG(st.st_mode) && fs.f_type == FUSE_MAGIC))
		return 0;
	return err_code(e, CODE_TPM_NONE, "is not a device");
}

/* Non-blocking: since Linux 4.20 the driver then works on a command while we poll. */
static int open_device(int *out, const char *path, struct err *e)
{
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0)
		return fail_open(errno, e);
	r = check_is_device(fd, e);
	if (r < 0)
		return r;
	*out = take_fd(fd);
	return 0;
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Decimal digits and nothing else, 1..65535; 0 when not. */
static uint16_t read_port(const char *s)
{
	unsigned port = 0;

	for (size_t i = 0; s[i]; i++) {
		if (s[i] < '0' || s[i] > '9' || i == 5)
			return 0;
		port = port * 10 + (unsigned)(s[i] - '0');
	}
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* "127.0.0.1:2321" or "[::1]:2321". */
static int read_address(union address *out, socklen_t *len, const char *text, struct err *e)
{
	const char *colon = strrchr(text, ':');
	uint16_t port = colon ? read_port(colon + 1) : 0;
	size_t n = colon ? (size_t)(colon - text) : 0;
	char host[INET6_ADDRSTRLEN + 2];
	union address a = { .any.sa_family = AF_UNSPEC };

	if (port == 0 || n == 0 || n >= sizeof host)
		return err_set(e, ERR_USAGE, "want swtpm:HOST:PORT with a port of 1..65535");
	memcpy(host, text, n);
	host[n] = '\0';
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &a.v6.sin6_addr) == 1) {
			a.v6.sin6_family = AF_INET6;
			a.v6.sin6_port = htons(port);
			*len = sizeof a.v6;
		}
	} else if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
		*len = sizeof a.v4;
	}
	if (a.any.sa_family == AF_UNSPEC)
		return err_set(e, ERR_USAGE,
			       "\"%s\" is not a numeric address (IPv6 stands in brackets)", host);
	*out = a;
	return 0;
}

static int open_socket(int *out, const char *text, struct deadline d, struct err *e)
{
	cleanup_close int fd = -1;
	union address a;
	socklen_t len = 0, n = sizeof(int);
	int one = 1, failed = 0;
	int r = read_address(&a, &len, text, e);

	if (r < 0)
		return r;
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_code(e, CODE_TPM_FAILED, "socket: %s", strerror(errno));
	if (connect(fd, &a.any, len) < 0) {
		if (errno != EINPROGRESS)
			return fail_open(errno, e);
		r = wait_for(fd, POLLOUT, d, "does not accept a connection", e);
		if (r < 0)
			return r;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0)
			failed = errno;
		if (failed != 0)
			return fail_open(failed, e);
	}
	/* Nagle would hold back the second of two small commands. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	*out = take_fd(fd);
	return 0;
}

int tpm_link_open(struct tpm_link *l, const char *where, struct deadline d, struct err *e)
{
	struct tpm_link link = TPM_LINK_CLOSED;
	int r;

	link.socket = tpm_link_is_socket(where);
	if (strlen(where) >= TPM_LINK_WHERE)
		return err_set(e, ERR_USAGE, "TPM address of %zu bytes, allowed 1..%d",
			       strlen(where), TPM_LINK_WHERE - 1);
	if (!link.socket && where[0] != '/')
		return err_set(e, ERR_USAGE,
			       "\"%s\" is neither an absolute path nor swtpm:HOST:PORT", where);
	r = link.socket ? open_socket(&link.fd, where + sizeof scheme - 1, d, e)
			: open_device(&link.fd, where, e);
	if (r < 0)
		return err_wrap(e, r, "%s", where);
	*l = link;
	return 0;
}

int tpm_link_send(struct tpm_link *l, struct view command, struct deadline d, struct err *e)
{
	uint8_t late[TPM_LINK_MAX];
	size_t done = 0, room = sizeof late;
	int r;

	if (command.len > TPM_LINK_MAX)
		return err_set(e, ERR_LIMIT, "TPM command of %zu bytes, allowed 1..%d", command.len,
			       TPM_LINK_MAX);
	if (l->mid) {
		r = tpm_link_receive(l, late, &room, d, e);
		if (r < 0)
			return r;
	}
	while (done < command.len) {
		ssize_t n =
			l->socket ? send(l->fd, command.p + done, command.len - done, MSG_NOSIGNAL)
				  : write(l->fd, command.p + done, command.len - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EAGAIN) {
			r = wait_for(l->fd, POLLOUT, d, "takes no command", e);
			if (r < 0)
				return r;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EBUSY)
			return err_code(e, CODE_TPM_BUSY, "is at work on another command");
		return err_code(e, CODE_TPM_FAILED, "takes no command: %s",
				n < 0 ? strerror(errno) : "closed");
	}
	l->mid = true;
	return 0;
}

/* Read once, when there is something. 0 bytes are an error: a reply was owed. */
static int read_some(struct tpm_link *l, uint8_t *p, size_t room, size_t *got, struct deadline d,
		     struct err *e)
{
	ssize_t n;
	int r;

	do {
		r = wait_for(l->fd, POLLIN, d, "does not answer", e);
		if (r < 0)
			return r;
		n = read(l->fd, p, room);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return err_code(e, CODE_TPM_FAILED, "gives no answer: %s", strerror(errno));
	if (n == 0)
		return err_code(e, CODE_TPM_FAILED, "closed the connection without an answer");
	*got = (size_t)n;
	return 0;
}

int tpm_link_receive(struct tpm_link *l, uint8_t *p, size_t *len, struct deadline d, struct err *e)
{
	size_t have = 0, want = HEADER;

	if (!l->mid || *len < HEADER)
		return err_set(e, ERR_INTERNAL, "no reply is owed, or no room for one");
	while (have < want) {
		/* An old driver gives a reply in one read only; of a stream take just the reply. */
		size_t got, room = (l->socket ? want : *len) - have;
		int r = read_some(l, p + have, room, &got, d, e);

		if (r < 0)
			return r;
		have += got;
		if (have < HEADER || want != HEADER)
			continue;
		want = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];
		if (want < HEADER || want > *len)
			return err_code(e, CODE_TPM_REPLY, "reply of %zu bytes, allowed %d..%zu",
					want, HEADER, *len);
	}
	if (have != want)
		return err_code(e, CODE_TPM_REPLY, "reply of %zu bytes, its header says %zu", have,
				want);
	l->mid = false;
	*len = have;
	return 0;
}

void tpm_link_close(struct tpm_link *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	*l = TPM_LINK_CLOSED;
}
