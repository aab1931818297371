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
 * What a TPM answers to the commands of one operation, which the first byte names. The rest is one
 * answer after the other: a byte for the size, then so many bytes behind the header. A size of 254
 * stands before two bytes of a larger one, 255 before a code of four bytes instead. After the last
 * the connection ends.
 */
enum { NV_READ, NV_WRITE, DESCRIBE, QUOTE, PCRS, AK_PUBLIC, EXTEND, OPERATIONS };
enum { ANSWER_MAX = 4096 - 10 };

/* Of the recorded quote (test/vectors/attester/quote.json), whose answers are among the seeds. */
static const uint8_t nonce[32] = {
	0x76, 0xfb, 0x60, 0x8b, 0x4d, 0x00, 0x62, 0x3b, 0xf4, 0x80, 0xe2, 0xa6,
	0x09, 0x17, 0xff, 0xf4, 0x9a, 0x8b, 0xc1, 0x43, 0x1a, 0x14, 0xc9, 0x10,
	0x13, 0x29, 0x20, 0x7a, 0xc6, 0xf0, 0x60, 0x5f,
};

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
	uint8_t out[10 + ANSWER_MAX] = { (uint8_t)(tag >> 8), (uint8_t)tag };
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
		if (n == 254 && fake.size >= 2) {
			n = (size_t)fake.data[0] << 8 | fake.data[1];
			n = n < ANSWER_MAX ? n : ANSWER_MAX;
			fake.data += 2;
			fake.size -= 2;
		}
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

/* A failure has a code and gives nothing; a success gives something of a size within its cap. */
static void check(int r, const struct buf *out, size_t max, const struct err *e)
{
	if (r < 0 && (out->len != 0 || e->code == CODE_OK))
		__builtin_trap();
	if (r == 0 && (out->len == 0 || out->len > max))
		__builtin_trap();
}

static void quote(struct tpm *t, struct err *e)
{
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	int r = tpm_quote(t, &q, (struct view){ nonce, sizeof nonce }, e);

	check(r, &q.message, TPM_ATTEST_MAX, e);
	check(r, &q.signature, TPM_SIG_MAX, e);
	check(r, &q.ak, TPM_SPKI_MAX, e);
}

static void operate(struct tpm *t, unsigned operation)
{
	cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);
	uint8_t pcrs[TPM_PCRS][32];
	struct err e = { 0 };

	switch (operation) {
	case NV_READ:
		check(tpm_nv_read(t, 0x01400001, &out, &e), &out, TPM_NV_MAX, &e);
		break;
	case NV_WRITE:
		(void)!tpm_nv_write(t, 0x01400002, (struct view){ (const uint8_t[48]){ 1 }, 48 }, 64, &e);
		break;
	case DESCRIBE:
		check(tpm_describe(t, &out, &e), &out, TPM_NV_MAX, &e);
		break;
	case QUOTE:
		quote(t, &e);
		break;
	case PCRS:
		(void)!tpm_pcr_read_all(t, pcrs, &e);
		break;
	case AK_PUBLIC:
		check(tpm_ak_public(t, &out, &e), &out, TPM_SPKI_MAX, &e);
		break;
	default:
		(void)!tpm_pcr_extend(t, 15, nonce, &e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_tpm struct tpm *t = NULL;
	char where[64];
	struct err e = { 0 };

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
	operate(t, data[0] % OPERATIONS);
	return 0;
}
