/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * What a TPM answers to the commands of tpm_nv_read() and tpm_nv_write(). The input is one answer
 * after the other: a byte for the size, then so many bytes behind the header; a size of 255 means a
 * code of four bytes instead. After the last the connection ends.
 */
static struct {
	int listener;
	uint16_t port;
	const uint8_t *data;
	size_t size;
} fake;

static bool take_bytes(int fd, uint8_t *p, size_t n)
{
	for (size_t have = 0; have < n;) {
		ssize_t got = read(fd, p + have, n - have);

		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

static void put32(uint8_t *p, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(x >> (24 - 8 * i));
}

/* One answer; false when the input has ended. */
static bool answer(int fd, uint16_t tag)
{
	uint8_t out[10 + 255] = { (uint8_t)(tag >> 8), (uint8_t)tag };
	size_t n, len = 10;

	if (fake.size == 0)
		return false;
	n = *fake.data++;
	fake.size--;
	if (n == 255) {
		n = fake.size < 4 ? fake.size : 4;
		out[0] = 0x80;
		out[1] = 0x01;
		memcpy(out + 6, fake.data, n);
	} else {
		n = fake.size < n ? fake.size : n;
		memcpy(out + len, fake.data, n);
		len += n;
	}
	fake.data += n;
	fake.size -= n;
	put32(out + 2, (uint32_t)len);
	return write(fd, out, len) == (ssize_t)len;
}

static void *serve(void *unused)
{
	uint8_t command[4096];

	(void)unused;
	for (;;) {
		int fd = accept(fake.listener, NULL, NULL), one = 1;

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		while (take_bytes(fd, command, 10)) {
			size_t n = (size_t)command[4] << 8 | command[5];

			if (n < 10 || n > sizeof command || !take_bytes(fd, command + 10, n - 10) ||
			    !answer(fd, (uint16_t)(command[0] << 8 | command[1])))
				break;
		}
		/* No TIME-WAIT: thousands a second would use up the ports. */
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
		(void)close(fd);
	}
	return NULL;
}

static void start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	pthread_t thread;

	(void)signal(SIGPIPE, SIG_IGN);
	fake.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fake.listener, (struct sockaddr *)&a, n) < 0 || listen(fake.listener, 5) < 0 ||
	    getsockname(fake.listener, (struct sockaddr *)&a, &n) < 0 ||
	    pthread_create(&thread, NULL, serve, NULL) != 0)
		__builtin_trap();
	fake.port = ntohs(a.sin_port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);
	cleanup_tpm struct tpm *t = NULL;
	const uint8_t input[48] = { 1 };
	char where[64];
	struct err e = { 0 };
	int r;

	if (size == 0)
		return 0;
	if (fake.port == 0)
		start();
	fake.data = data + 1;
	fake.size = size - 1;
	snprintf(where, sizeof where, "swtpm:127.0.0.1:%u", fake.port);
	if (tpm_open(&t, where, &e) < 0)
		return 0;
	tpm_set_wait(t, 1000);
	if (data[0] & 1)
		r = tpm_nv_write(t, 0x01400002, (struct view){ input, sizeof input }, 64, &e);
	else
		r = tpm_nv_read(t, 0x01400001, &out, &e);
	if (r < 0 && (out.len != 0 || e.code == CODE_OK))
		__builtin_trap();
	if (r == 0 && !(data[0] & 1) && (out.len == 0 || out.len > TPM_NV_MAX))
		__builtin_trap();
	return 0;
}
