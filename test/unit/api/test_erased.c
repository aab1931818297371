/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/cdh.h"
#include "agent/api/ttrpc_client.h"
#include "test/unit/api/fixture.h"

#include <fcntl.h>

/*
 * Plaintext goes from the backend's secret through the socket into the client's and is
 * gone when both are released. The canary is never in memory as it is, except there.
 */
#define CANARY_LEN 24
static const uint8_t canary_x[CANARY_LEN] = { 0x91, 0x3c, 0x5e, 0xa7, 0x08, 0xd2, 0x44, 0xbf,
					      0x6a, 0x17, 0xe9, 0x30, 0xcb, 0x7d, 0x02, 0x99,
					      0x5b, 0xf4, 0x26, 0x8e, 0x73, 0xa0, 0x1d, 0xc8 };
#define KEY 0x5au

/* A sanitizer's shadow is terabytes, and it keeps freed memory on purpose. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKIP_IF_SANITIZED() test_skip("memory is not searched under a sanitizer")
#else
#define SKIP_IF_SANITIZED() (void)0
#endif

static bool is_canary(const uint8_t *p)
{
	for (size_t i = 0; i < CANARY_LEN; i++)
		if ((p[i] ^ KEY) != canary_x[i])
			return false;
	return true;
}

/* How often the canary stands in this process's writable memory. */
static int count_canaries(void)
{
	static uint8_t chunk[1 << 16];
	FILE *maps = fopen("/proc/self/maps", "r");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), n = 0;
	char line[512];

	CHECK(maps && mem >= 0);
	while (fgets(line, sizeof line, maps)) {
		unsigned long long from, to;
		char perms[5];

		if (sscanf(line, "%llx-%llx %4s", &from, &to, perms) != 3 || perms[0] != 'r' ||
		    perms[1] != 'w')
			continue;
		/* Overlapping reads, so that none is cut in two; a canary in chunk would be ours. */
		for (unsigned long long at = from; at < to; at += sizeof chunk - CANARY_LEN + 1) {
			size_t want = to - at < sizeof chunk ? (size_t)(to - at) : sizeof chunk;
			ssize_t k = pread(mem, chunk, want, (off_t)at);

			for (ssize_t i = 0; i + CANARY_LEN <= k; i++) {
				const uint8_t *where = (const uint8_t *)(uintptr_t)(at + (size_t)i);

				if (is_canary(chunk + i) &&
				    (where < chunk || where >= chunk + sizeof chunk))
					n++;
			}
		}
	}
	explicit_bzero(chunk, sizeof chunk);
	(void)fclose(maps);
	(void)close(mem);
	return n;
}

static int make_canary(struct secret *out, struct err *e)
{
	int r = secret_alloc(out, CANARY_LEN, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < CANARY_LEN; i++)
		out->p[i] = canary_x[i] ^ KEY;
	out->len = CANARY_LEN;
	return 0;
}

static atomic_int alive;

/* "now" gives it at once, anything else waits at the gate. */
static int fake_unseal(void *ctx, const char *name, struct view sealed, struct deadline d,
		       struct secret *out, struct err *e)
{
	int r = make_canary(out, e);

	(void)ctx;
	(void)name;
	(void)d;
	atomic_fetch_add(&alive, 1);
	if (view_is(sealed, "now"))
		return r;
	(void)pthread_mutex_lock(&gate_lock);
	while (!gate_open)
		(void)pthread_cond_wait(&gate_cond, &gate_lock);
	(void)pthread_mutex_unlock(&gate_lock);
	return view_is(sealed, "fail") ? err_code(e, CODE_KBS_DECRYPT, "after all") : r;
}

static struct cdh_backend backend = { .unseal = fake_unseal };
static struct api_method cdh[CDH_METHODS];

static struct ttrpc_client *open_cdh(void)
{
	unsigned own = getuid();
	struct ttrpc_config config = { .uids = &own, .n_uids = 1 };
	struct ttrpc_client *c;

	cdh_methods(cdh, &backend);
	make_dir();
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0600, (gid_t)-1, cdh, CDH_METHODS, NULL), 0);
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
	CHECK_INT(ttrpc_client_open(&c, door_path, deadline_in(1000), NULL), 0);
	return c;
}

TEST(plaintext__delivered_and_released__is_nowhere)
{
	struct ttrpc_client *c;
	struct secret s = { 0 };

	SKIP_IF_SANITIZED();
	c = open_cdh();
	CHECK_INT(ttrpc_unseal(c, NULL, view_str("now"), deadline_in(5000), &s, NULL), 0);
	CHECK(is_canary(secret_bytes(&s)));
	/* The search finds what is there, once the server has let go of its own. */
	WAIT_FOR(door_stats().calls == 0 && door_stats().secret_bytes == 0);
	CHECK_INT(count_canaries(), 1);
	secret_done(&s);
	CHECK_INT(count_canaries(), 0);
	ttrpc_client_close(c);
	shut_door();
}

TEST(plaintext__many_delivered_and_released__is_nowhere)
{
	static struct ttrpc_request q[100];
	struct ttrpc_client *c;

	SKIP_IF_SANITIZED();
	c = open_cdh();
	for (size_t i = 0; i < ARRAY_LEN(q); i++)
		q[i] = (struct ttrpc_request){ .method = &ttrpc_unseal_secret,
					       .text = view_str("now") };
	CHECK_INT(ttrpc_client_call(c, q, ARRAY_LEN(q), deadline_in(10000), NULL), 0);
	WAIT_FOR(door_stats().calls == 0 && door_stats().secret_bytes == 0);
	CHECK_INT(count_canaries(), (int)ARRAY_LEN(q));
	for (size_t i = 0; i < ARRAY_LEN(q); i++)
		secret_done(&q[i].reply);
	ttrpc_client_close(c);
	CHECK_INT(count_canaries(), 0);
	shut_door();
}

TEST(plaintext__late_failed_abandoned_or_never_read__is_nowhere)
{
	struct ttrpc_client *c;
	struct secret s = { 0 };
	int fd, gone;

	SKIP_IF_SANITIZED();
	c = open_cdh();
	fd = dial();
	gone = dial();
	CHECK_INT(ttrpc_unseal(c, NULL, view_str("late"), deadline_in(200), &s, NULL), -ERR_TIMEOUT);
	ask_view(gone, 1, "api.SealedSecretService", "UnsealSecret", view_str("\x0a\x04gone"), 0,
		 NULL);
	ask_view(fd, 1, "api.SealedSecretService", "UnsealSecret", view_str("\x0a\x04" "fail"), 0,
		 NULL);
	WAIT_FOR(atomic_load(&alive) == 3);
	(void)close(gone);
	WAIT_FOR(door_stats().connections == 2);
	CHECK_INT(count_canaries(), 3);
	open_gate();
	WAIT_FOR(door_stats().calls == 0);
	CHECK_INT(count_canaries(), 0);
	ttrpc_client_close(c);
	shut_door();
	CHECK_INT(count_canaries(), 0);
}
