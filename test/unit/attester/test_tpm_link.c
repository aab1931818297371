/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_link.h"
#include "test/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

TEST(tpm_link_open__malformed_address__is_a_usage_error)
{
	static const struct {
		const char *where, *words;
	} rows[] = {
		{ "", "neither an absolute path" },
		{ "dev/tpm0", "neither an absolute path" },
		{ "device:/dev/tpm0", "neither an absolute path" },
		{ "libtss2-tcti-cmd.so:sh", "neither an absolute path" },
		{ "cmd:touch /tmp/x", "neither an absolute path" },
		{ "swtpm", "neither an absolute path" },
		{ "swtpm:", "want swtpm:HOST:PORT" },
		{ "swtpm:127.0.0.1", "want swtpm:HOST:PORT" },
		{ "swtpm::2321", "want swtpm:HOST:PORT" },
		{ "swtpm:127.0.0.1:", "port of 1..65535" },
		{ "swtpm:127.0.0.1:0", "port of 1..65535" },
		{ "swtpm:127.0.0.1:65536", "port of 1..65535" },
		{ "swtpm:127.0.0.1:65537", "port of 1..65535" },
		{ "swtpm:127.0.0.1:655360", "port of 1..65535" },
		{ "swtpm:127.0.0.1:+23", "port of 1..65535" },
		{ "swtpm:127.0.0.1:23 ", "port of 1..65535" },
		{ "swtpm:localhost:2321", "not a numeric address" },
		{ "swtpm:host=127.0.0.1,port=2321", "want swtpm:HOST:PORT" },
		{ "swtpm:127.1:2321", "not a numeric address" },
		{ "swtpm:::1:2321", "not a numeric address" },
		{ "swtpm:[::1:2321", "not a numeric address" },
		{ "swtpm:[127.0.0.1]:2321", "not a numeric address" },
		{ "swtpm:[fe80::1%lo]:2321", "not a numeric address" },
		{ "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaa",
		  "allowed 1..127" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tpm_link l = TPM_LINK_CLOSED;
		struct err e;

		CHECK_ERR(tpm_link_open(&l, rows[i].where, deadline_in(100), &e), ERR_USAGE, e,
			  rows[i].words);
		CHECK_INT(l.fd, -1);
	}
}

static int open_path(const char *path, struct err *e)
{
	struct tpm_link l = TPM_LINK_CLOSED;
	int r = tpm_link_open(&l, path, deadline_in(1000), e);

	tpm_link_close(&l);
	return r;
}

TEST(tpm_link_open__no_device__is_tpm_none)
{
	struct err e;

	CHECK_ERR(open_path("/nonexistent/tpmrm0", &e), ERR_NOTFOUND, e,
		  "/nonexistent/tpmrm0: cannot be opened: No such file");
	CHECK_INT(e.code, CODE_TPM_NONE);
}

/* A command written to it would overwrite its beginning. */
TEST(tpm_link_open__plain_file__is_refused_untouched)
{
	char path[] = "/tmp/vouchsafe-tpm-XXXXXX";
	cleanup_close int fd = mkstemp(path);
	struct stat st;
	struct err e;

	CHECK(fd >= 0);
	CHECK_ERR(open_path(path, &e), ERR_NOTFOUND, e, "is not a device");
	CHECK(unlink(path) == 0 && fstat(fd, &st) == 0);
	CHECK_INT(st.st_size, 0);
}

TEST(tpm_link_open__fifo__is_refused_and_not_waited_for)
{
	char path[64];
	struct err e;

	snprintf(path, sizeof path, "/tmp/vouchsafe-tpm-fifo-%d", (int)getpid());
	CHECK(mkfifo(path, 0600) == 0);
	CHECK_INT(open_path(path, &e), -ERR_NOTFOUND);
	CHECK(unlink(path) == 0);
	CHECK(strstr(e.msg, "is not a device") != NULL);
}

TEST(tpm_link_open__not_allowed__is_tpm_access)
{
	char path[] = "/tmp/vouchsafe-tpm-XXXXXX";
	cleanup_close int fd = mkstemp(path);
	struct err e;
	int r;

	CHECK(fd >= 0 && fchmod(fd, 0) == 0);
	if (geteuid() == 0 &&
	    (fchown(fd, 65534, 65534) < 0 || setgid(65534) < 0 || setuid(65534) < 0)) {
		(void)unlink(path);
		test_skip("cannot become another user");
	}
	r = open_path(path, &e);
	CHECK_ERR(r, ERR_DEVICE, e, "Permission denied");
	CHECK_INT(e.code, CODE_TPM_ACCESS);
	(void)unlink(path);
}

/* A listener that nobody accepts from: connections are made and nothing is ever answered. */
static int listen_on(int family, uint16_t *port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *a = family == AF_INET ? (void *)&a4 : (void *)&a6;
	socklen_t n = family == AF_INET ? sizeof a4 : sizeof a6;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, a, n) < 0 || listen(fd, 5) < 0 || getsockname(fd, a, &n) < 0)
		return -1;
	*port = ntohs(family == AF_INET ? a4.sin_port : a6.sin6_port);
	return fd;
}

static int open_port(struct tpm_link *l, const char *host, uint16_t port, struct err *e)
{
	char where[128];

	snprintf(where, sizeof where, "swtpm:%s:%u", host, port);
	return tpm_link_open(l, where, deadline_in(1000), e);
}

TEST(tpm_link__nothing_listens__is_tpm_none)
{
	struct tpm_link l = TPM_LINK_CLOSED;
	uint16_t port = 0;
	int fd = listen_on(AF_INET, &port);
	struct err e;

	CHECK(fd >= 0 && close(fd) == 0);
	CHECK_ERR(open_port(&l, "127.0.0.1", port, &e), ERR_NOTFOUND, e, "Connection refused");
	CHECK_INT(e.code, CODE_TPM_NONE);
}

TEST(tpm_link__ipv6_in_brackets__connects)
{
	struct tpm_link l = TPM_LINK_CLOSED;
	uint16_t port = 0;
	cleanup_close int fd = listen_on(AF_INET6, &port);

	if (fd < 0)
		test_skip("no IPv6 here");
	CHECK_INT(open_port(&l, "[::1]", port, NULL), 0);
	CHECK(l.socket && l.fd >= 0);
	tpm_link_close(&l);
}

/* A peer that takes no more: the send buffers fill up and the deadline ends it. */
TEST(tpm_link_send__peer_reads_nothing__times_out)
{
	struct tpm_link l = TPM_LINK_CLOSED;
	uint8_t command[TPM_LINK_MAX] = { 0 };
	uint16_t port = 0;
	cleanup_close int fd = listen_on(AF_INET, &port);
	struct deadline limit = deadline_in(3000);
	struct err e;
	int r = 0;

	CHECK(fd >= 0);
	CHECK_INT(open_port(&l, "127.0.0.1", port, NULL), 0);
	while (r == 0 && deadline_left_ms(limit) > 0) {
		l.mid = false;
		r = tpm_link_send(&l, (struct view){ command, sizeof command }, deadline_in(50),
				  &e);
	}
	CHECK_ERR(r, ERR_TIMEOUT, e, "takes no command");
	CHECK_INT(e.code, CODE_TPM_TIMEOUT);
	tpm_link_close(&l);
}

TEST(tpm_link_send__too_long__is_a_limit)
{
	static const uint8_t command[TPM_LINK_MAX + 1];
	struct tpm_link l = TPM_LINK_CLOSED;
	struct err e;

	CHECK_ERR(tpm_link_send(&l, (struct view){ command, sizeof command }, deadline_in(50), &e),
		  ERR_LIMIT, e, "4097 bytes, allowed 1..4096");
}

TEST(tpm_link_receive__nothing_was_sent__is_a_bug)
{
	struct tpm_link l = TPM_LINK_CLOSED;
	uint8_t reply[64];
	size_t n = sizeof reply;
	struct err e;

	CHECK_ERR(tpm_link_receive(&l, reply, &n, deadline_in(50), &e), ERR_INTERNAL, e,
		  "no reply");
}

/* As a device would: one datagram a reply, one read each. */
static int pair(struct tpm_link *l)
{
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	*l = (struct tpm_link){ .fd = fds[0] };
	return fds[1];
}

static const uint8_t getrandom_command[] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8 };
static const uint8_t reply_a[] = { 0x80, 1, 0, 0, 0, 11, 0, 0, 0, 0, 'a' };
static const uint8_t reply_b[] = { 0x80, 1, 0, 0, 0, 11, 0, 0, 0, 0, 'b' };

/* After a time-out the late reply is not taken for the answer to the next command. */
TEST(tpm_link__late_reply__is_dropped_before_the_next_command)
{
	struct tpm_link l;
	cleanup_close int device = pair(&l);
	const struct view command = { getrandom_command, sizeof getrandom_command };
	uint8_t reply[TPM_LINK_MAX];
	size_t n = sizeof reply;
	struct err e;

	CHECK_INT(tpm_link_send(&l, command, deadline_in(100), NULL), 0);
	CHECK_ERR(tpm_link_receive(&l, reply, &n, deadline_in(50), &e), ERR_TIMEOUT, e,
		  "does not answer");
	/* Still at work: no second command goes out. */
	CHECK_ERR(tpm_link_send(&l, command, deadline_in(50), &e), ERR_TIMEOUT, e,
		  "does not answer");
	CHECK(recv(device, reply, sizeof reply, 0) == sizeof getrandom_command);
	CHECK(recv(device, reply, sizeof reply, 0) < 0);

	CHECK(send(device, reply_a, sizeof reply_a, 0) == sizeof reply_a);
	CHECK_INT(tpm_link_send(&l, command, deadline_in(100), NULL), 0);
	CHECK(recv(device, reply, sizeof reply, 0) == sizeof getrandom_command);
	CHECK(send(device, reply_b, sizeof reply_b, 0) == sizeof reply_b);
	n = sizeof reply;
	CHECK_INT(tpm_link_receive(&l, reply, &n, deadline_in(100), NULL), 0);
	CHECK_INT(n, sizeof reply_b);
	CHECK_INT(reply[10], 'b');
	tpm_link_close(&l);
}

TEST(tpm_link_receive__device_gives_more_than_its_header_says__is_a_bad_reply)
{
	struct tpm_link l;
	cleanup_close int device = pair(&l);
	uint8_t reply[TPM_LINK_MAX];
	size_t n = sizeof reply;
	struct err e;

	CHECK_INT(tpm_link_send(&l, (struct view){ getrandom_command, sizeof getrandom_command },
				deadline_in(100), NULL),
		  0);
	CHECK(send(device, "\x80\x01\0\0\0\x0a\0\0\0\0xyz", 13, 0) == 13);
	CHECK_ERR(tpm_link_receive(&l, reply, &n, deadline_in(50), &e), ERR_FORMAT, e,
		  "13 bytes, its header says 10");
	CHECK_INT(n, sizeof reply);
	tpm_link_close(&l);
}
