/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long an attester takes over its bare TPM commands:
 *
 *   evidence PORT tpm|az-snp-vtpm N [REPLY]
 *
 * PORT is a swtpm's (or paravisor's) on the loopback; REPLY a file with what Azure's metadata service
 * answers. Both sides use it as a character device (relay.h). Ours and the floor take turns; the floor sends the commands that the
 * evidence cannot do without, made beforehand, each once, and looks at nothing. The thread counts
 * them: ours sends no other number of them, or the bench fails. Prints JSON: medians in
 * microseconds, and how often ours slept.
 */
#include "agent/base/clock.h"
#include "agent/base/fs.h"
#include "attester/attester.h"
#include "attester/az.h"
#include "attester/cache.h"
#include "test/bench/relay.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

enum { COMMANDS_MAX = 32, PACKET_MAX = 4096, RUNS_MAX = 1000 };

static atomic_uint sleeps;

/* In libc's place: waiting for nothing is a sleep. */
int poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	if (n == 0)
		sleeps++;
	return (int)syscall(SYS_ppoll, fds, n, ms < 0 ? NULL : &t, NULL, 0);
}

static void need(bool yes, const char *what)
{
	if (yes)
		return;
	fprintf(stderr, "evidence: %s\n", what);
	exit(1);
}

/* --- floor ------------------------------------------------------------------------------------ */

static struct {
	uint8_t bytes[COMMANDS_MAX][256];
	size_t len[COMMANDS_MAX], n;
	int fd;
} floor_;

static void u(size_t width, uint32_t x)
{
	uint8_t *p = floor_.bytes[floor_.n];

	for (size_t i = width; i-- > 0;)
		p[floor_.len[floor_.n]++] = (uint8_t)(x >> (8 * i));
}

static void begin(bool session, uint32_t code)
{
	floor_.len[floor_.n] = 0;
	u(2, session ? 0x8002 : 0x8001);
	u(4, 0);
	u(4, code);
}

static void end(void)
{
	size_t n = floor_.len[floor_.n];

	floor_.bytes[floor_.n][5] = (uint8_t)n;
	floor_.n++;
}

static void no_password(void)
{
	u(4, 9);
	u(4, 0x40000009);
	u(2, 0);
	u(1, 0);
	u(2, 0);
}

static void of_handle(uint32_t code, uint32_t handle)
{
	begin(false, code);
	u(4, handle);
	end();
}

static void selection(uint32_t mask)
{
	u(4, 1);
	u(2, 0x0b);
	u(1, 3);
	for (int i = 0; i < 3; i++)
		u(1, mask >> (8 * i) & 0xff);
}

static void quote(uint32_t ak, size_t nonce)
{
	of_handle(0x173, ak);
	begin(true, 0x158);
	u(4, ak);
	no_password();
	u(2, (uint32_t)nonce);
	for (size_t i = 0; i < nonce; i++)
		u(1, 7);
	u(2, 0x14);
	u(2, 0x0b);
	selection(0xffffff);
	end();
	for (uint32_t mask = 0xffffff; mask; mask = mask << 8 & 0xffffff) {
		begin(false, 0x17e);
		selection(mask);
		end();
	}
}

static void nv(uint32_t code, uint32_t index, size_t size, size_t offset)
{
	begin(true, code);
	u(4, 0x40000001);
	u(4, index);
	no_password();
	u(2, (uint32_t)size);
	if (code == 0x137)
		for (size_t i = 0; i < size; i++)
			u(1, 7);
	u(2, (uint32_t)offset);
	end();
}

static void make_floor(bool azure, size_t report)
{
	if (azure) {
		of_handle(0x169, AZ_NV_INPUT);
		nv(0x137, AZ_NV_INPUT, 48, 0);
		of_handle(0x169, AZ_NV_REPORT);
		for (size_t at = 0; at < report; at += 1024)
			nv(0x14e, AZ_NV_REPORT, report - at < 1024 ? report - at : 1024, at);
	}
	quote(azure ? AZ_AK : TPM_AK_DEFAULT, azure ? 48 : 32);
}

static void run_floor(void)
{
	uint8_t p[PACKET_MAX];

	for (size_t i = 0; i < floor_.n; i++) {
		need(write(floor_.fd, floor_.bytes[i], floor_.len[i]) == (ssize_t)floor_.len[i],
		     "the TPM takes no command");
		need(take_all(floor_.fd, p, 10), "the TPM does not answer");
		need(take_all(floor_.fd, p + 10, ((size_t)p[4] << 8 | p[5]) - 10), "half an answer");
		if (p[6] | p[7] | p[8] | p[9]) {
			fprintf(stderr, "evidence: floor's command %zu: code %02x%02x\n", i, p[8], p[9]);
			exit(1);
		}
	}
}

/* --- ours ------------------------------------------------------------------------------------- */

static struct buf metadata_reply = BUF_MAX(1u << 16);

static int metadata(void *ctx, const struct http_request *q, struct http_reply *reply, struct err *e)
{
	(void)ctx;
	(void)q;
	reply->status = 200;
	reply->body = BUF_MAX(1u << 16);
	buf_putv(&reply->body, buf_view(&metadata_reply));
	return buf_check(&reply->body, "reply", e);
}

static void run_ours(const struct attester *a, const struct attester_env *env)
{
	uint8_t data[48];
	char *json = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = 7;
	if (a->evidence(env, (struct view){ data, sizeof data }, &json, &e) < 0) {
		fprintf(stderr, "evidence: %s: %s\n", err_name(&e), e.msg);
		exit(1);
	}
	free(json);
}

static int64_t now_us(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The median of sorted values, or the least but a tenth: what a busy machine adds is left out of that. */
static int64_t median(const int64_t *v, size_t n)
{
	return v[n / 2];
}

static int64_t least(const int64_t *v, size_t n)
{
	return v[n / 10];
}

int main(int argc, char **argv)
{
	static int64_t ours[RUNS_MAX], bare[RUNS_MAX];
	struct attester_env env = { .root_fd = -1, .initdata_pcr = 8, .metadata = metadata };
	cleanup_buf struct buf report = BUF_MAX(TPM_NV_MAX);
	int64_t ours_cpu = 0, bare_cpu = 0;
	const struct attester *a;
	const char *device;
	bool azure;
	size_t n;
	struct err e = { 0 };

	need(argc == 4 || argc == 5, "PORT tpm|az-snp-vtpm N [REPLY]");
	a = attester_by_name(argv[2]);
	n = strtoul(argv[3], NULL, 10);
	need(a && n > 0 && n <= RUNS_MAX, "PORT tpm|az-snp-vtpm N [REPLY]");
	azure = strcmp(argv[2], "tpm") != 0;
	need(argc < 5 || fs_read(&metadata_reply, argv[4], 1u << 16, &e) == 0, e.msg);
	device = relay_start((uint16_t)strtoul(argv[1], NULL, 10));
	need(tpm_open(&env.tpm, device, &e) == 0, e.msg);
	need(attester_cache_new(&env.cache, &e) == 0, e.msg);
	if (azure)
		need(tpm_nv_read(env.tpm, AZ_NV_REPORT, &report, &e) == 0, e.msg);
	make_floor(azure, report.len);
	floor_.fd = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);
	need(floor_.fd >= 0, "no pty");
	/* The first fetches the certificate, and waits for a report that carries the data. */
	run_ours(a, &env);
	run_floor();
	sleeps = 0;
	for (size_t i = 0; i < n; i++) {
		int64_t t, cpu;

		relay_commands = 0;
		t = now_us(CLOCK_MONOTONIC);
		cpu = now_us(CLOCK_THREAD_CPUTIME_ID);
		run_ours(a, &env);
		ours[i] = now_us(CLOCK_MONOTONIC) - t;
		ours_cpu += now_us(CLOCK_THREAD_CPUTIME_ID) - cpu;
		if (relay_commands != floor_.n) {
			fprintf(stderr, "evidence: ours sent %u commands, the floor %zu\n", relay_commands, floor_.n);
			return 1;
		}
		t = now_us(CLOCK_MONOTONIC);
		cpu = now_us(CLOCK_THREAD_CPUTIME_ID);
		run_floor();
		bare[i] = now_us(CLOCK_MONOTONIC) - t;
		bare_cpu += now_us(CLOCK_THREAD_CPUTIME_ID) - cpu;
	}
	qsort(ours, n, sizeof *ours, by_value);
	qsort(bare, n, sizeof *bare, by_value);
	printf("{\"ours_least_us\":%lld,\"floor_least_us\":%lld,", (long long)least(ours, n),
	       (long long)least(bare, n));
	printf("\"ours_us\":%lld,\"floor_us\":%lld,\"ours_cpu_us\":%lld,\"floor_cpu_us\":%lld,"
	       "\"sleeps\":%u,\"commands\":%zu}\n",
	       (long long)median(ours, n), (long long)median(bare, n), (long long)(ours_cpu / (int64_t)n),
	       (long long)(bare_cpu / (int64_t)n), sleeps, floor_.n);
	attester_cache_free(env.cache);
	tpm_close(env.tpm);
	return 0;
}
