/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "attester/sev_guest.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static const uint8_t data[TEE_DATA] = "sixty-four bytes that the report must carry, and not one more.";

enum { PLAIN = 0xC0205300, EXTENDED = 0xC0205302 };

/* The driver: what each call does, in order; the last row repeats. */
struct answer {
	int sys; /* errno, 0: success */
	uint32_t firmware, host;
	uint32_t certs; /* length that is told with host error 1 */
	bool report;
	uint32_t status, size; /* 0: SNP_REPORT_BYTES */
};

static const struct answer *answers;
static size_t n_answers, calls, plain_calls;
static uint32_t last_room;

static void wr(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

int ioctl(int fd, unsigned long command, ...)
{
	const struct answer *a = &answers[calls < n_answers ? calls : n_answers - 1];
	uint8_t *call, *request, *response;
	uint64_t p;
	va_list v;

	va_start(v, command);
	call = va_arg(v, uint8_t *);
	va_end(v);
	(void)fd;
	calls++;
	CHECK(command == PLAIN || command == EXTENDED);
	plain_calls += command == PLAIN;
	CHECK_INT(call[0], 1);
	memcpy(&p, call + 8, 8);
	request = (uint8_t *)(uintptr_t)p;
	memcpy(&p, call + 16, 8);
	response = (uint8_t *)(uintptr_t)p;
	CHECK(memcmp(request, data, TEE_DATA) == 0);
	for (int i = 64; i < 96; i++)
		CHECK_INT(request[i], 0);
	if (command == EXTENDED) {
		memcpy(&p, request + 96, 8);
		memcpy(&last_room, request + 104, 4);
		CHECK_INT(p % 4096, 0);
		CHECK_INT(last_room % 4096, 0);
		CHECK((p == 0) == (last_room == 0));
		if (a->host == 1)
			wr(request + 104, a->certs);
		else if (p)
			memcpy((uint8_t *)(uintptr_t)p, "table", 5);
	}
	wr(call + 24, a->firmware);
	wr(call + 28, a->host);
	if (a->report) {
		wr(response, a->status);
		wr(response + 4, a->size ? a->size : SNP_REPORT_BYTES);
		response[32] = 3;
		memcpy(response + 32 + SNP_REPORT_DATA_AT, request, TEE_DATA);
	}
	errno = a->sys;
	return a->sys ? -1 : 0;
}

static char root[64];

static int ask(struct tee_quote *q, const struct answer *a, size_t n, struct err *e)
{
	char path[128];
	int fd, r;

	(void)snprintf(root, sizeof root, "/tmp/test_sev.XXXXXX");
	CHECK(mkdtemp(root));
	(void)snprintf(path, sizeof path, "%s/dev", root);
	CHECK_INT(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof path, "%s%s", root, SEV_GUEST_DEVICE);
	/* A regular file: what it is does not matter. */
	CHECK_INT(fs_write(path, (struct view){ 0 }, 0600, NULL), 0);
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	answers = a;
	n_answers = n;
	calls = plain_calls = 0;
	CHECK(sev_guest_present(fd));
	r = sev_guest_quote(fd, data, q, deadline_in(300), e);
	CHECK_INT(unlink(path), 0);
	CHECK(!sev_guest_present(fd));
	(void)close(fd);
	*strrchr(path, '/') = '\0';
	(void)rmdir(path);
	(void)rmdir(root);
	return r;
}

TEST(sev_guest_quote__every_way_to_a_report__taken)
{
	static const struct {
		struct answer a[6];
		size_t n;
		size_t calls, plain;
		size_t certs;
	} rows[] = {
		/* The host has no certificates: the first call has the report already. */
		{ { { .report = true } }, 1, 1, 0, 0 },
		/* Older drivers say EIO, newer none. */
		{ { { .sys = EIO, .host = 1, .certs = 8192 }, { .report = true } }, 2, 2, 0, 8192 },
		{ { { .host = 1, .certs = 4096 }, { .report = true } }, 2, 2, 0, 4096 },
		/* It grew in between; a length that is no page; the most. */
		{ { { .host = 1, .certs = 4096 }, { .host = 1, .certs = 8192 }, { .report = true } },
		  3, 3, 0, 8192 },
		{ { { .host = 1, .certs = 4097 }, { .report = true } }, 2, 2, 0, 8192 },
		{ { { .host = 1, .certs = TEE_CERTS_MAX }, { .report = true } }, 2, 2, 0, TEE_CERTS_MAX },
		/* A length of nothing: no certificates. */
		{ { { .sys = EIO, .host = 1, .certs = 0 }, { .report = true } }, 2, 2, 1, 0 },
		/* Nobody knows the extended call. */
		{ { { .sys = ENOTTY }, { .report = true } }, 2, 2, 1, 0 },
		{ { { .sys = EINVAL }, { .report = true } }, 2, 2, 1, 0 },
		/* Throttled, three ways. */
		{ { { .sys = EIO, .host = 2 }, { .host = 2 }, { .sys = EAGAIN }, { .report = true } },
		  4, 4, 0, 0 },
		{ { { .sys = ENOTTY }, { .sys = EBUSY }, { .report = true } }, 3, 3, 2, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_tee_quote struct tee_quote q = { 0 };
		struct err e = { 0 };

		if (ask(&q, rows[i].a, rows[i].n, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		CHECK_INT(q.kind, TEE_SNP);
		CHECK_INT(q.report.len, SNP_REPORT_BYTES);
		CHECK(memcmp(q.report.p + SNP_REPORT_DATA_AT, data, TEE_DATA) == 0);
		CHECK_INT(calls, rows[i].calls);
		CHECK_INT(plain_calls, rows[i].plain);
		CHECK_INT(q.certs.len, rows[i].certs);
		CHECK(rows[i].certs == 0 || memcmp(q.certs.p, "table", 6) == 0);
	}
}

TEST(sev_guest_quote__one_fault__its_code_and_out_untouched)
{
	static const struct {
		struct answer a[2];
		size_t n;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ { { .sys = EIO, .host = 2 } }, 1, CODE_TEE_BUSY, "EIO, firmware error 0x0, host error 2" },
		{ { { .sys = EBUSY } }, 1, CODE_TEE_BUSY, "EBUSY" },
		{ { { .sys = ETIMEDOUT } }, 1, CODE_TEE_TIMEOUT, "ETIMEDOUT" },
		{ { { .sys = EIO, .firmware = 0x16 } }, 1, CODE_TEE_FAILED, "firmware error 0x16" },
		{ { { .firmware = 0x16, .report = true } }, 1, CODE_TEE_FAILED, "no errno" },
		{ { { .sys = EIO, .host = 99 } }, 1, CODE_TEE_FAILED, "host error 99" },
		{ { { .sys = ENOTTY }, { .sys = ENOTTY } }, 2, CODE_TEE_FAILED, "message key" },
		{ { { .host = 1, .certs = TEE_CERTS_MAX + 1 } }, 1, CODE_TEE_REPLY, "allowed 65536" },
		{ { { .host = 1, .certs = UINT32_MAX } }, 1, CODE_TEE_REPLY, "4294967295 bytes" },
		{ { { .host = 1, .certs = 4096 } }, 1, CODE_TEE_REPLY, "kept changing" },
		{ { { .report = true, .status = 0x16 } }, 1, CODE_TEE_REPLY, "status 0x16" },
		{ { { .report = true, .size = 1183 } }, 1, CODE_TEE_REPLY, "1183 bytes, want 1184" },
		{ { { .report = true, .size = 4000 } }, 1, CODE_TEE_REPLY, "4000 bytes, want 1184" },
		/* Success, and nothing was written. */
		{ { { .sys = 0 } }, 1, CODE_TEE_REPLY, "status 0xffffffff" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tee_quote q = { 0 };
		struct err e = { 0 };

		if (ask(&q, rows[i].a, rows[i].n, &e) >= 0 || e.code != rows[i].code ||
		    !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %s %s", i, err_name(&e), e.msg);
		CHECK(!q.report.p && !q.certs.p);
	}
}
