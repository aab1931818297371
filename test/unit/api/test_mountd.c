/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/mountd.h"
#include "test/test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- packets -------------------------------------------------------------------- */

static struct mountd_message opening(void)
{
	struct mountd_message m = { .kind = MOUNTD_OPEN, .time_ms = 50000 };

	m.volume = (struct mountd_volume){
		.device = strdup("/dev/vdb"),
		.mapper = strdup("caa-data"),
		.mount_point = strdup("/run/cloud-volumes/data"),
		.encrypted = true,
		.filesystem = true,
		.keyed = true,
		.mkfs_args = { strdup("-m"), strdup("0") },
		.n_mkfs_args = 2,
	};
	return m;
}

TEST(mountd__open__comes_back_as_it_went)
{
	cleanup_mountd struct mountd_message m = opening(), back = { 0 };
	cleanup_buf struct buf b = BUF_MAX(MOUNTD_PACKET_MAX);
	struct err e;

	mountd_encode(&b, &m);
	CHECK_INT(mountd_decode(&back, buf_view(&b), &e), 0);
	CHECK_INT(back.kind, MOUNTD_OPEN);
	CHECK_INT(back.time_ms, 50000);
	CHECK(strcmp(back.volume.device, "/dev/vdb") == 0);
	CHECK(strcmp(back.volume.mapper, "caa-data") == 0);
	CHECK(strcmp(back.volume.mount_point, "/run/cloud-volumes/data") == 0);
	CHECK(back.volume.encrypted && back.volume.filesystem && back.volume.keyed);
	CHECK(!back.volume.xfs && !back.volume.integrity);
	CHECK_INT(back.volume.n_mkfs_args, 2);
	CHECK(strcmp(back.volume.mkfs_args[1], "0") == 0);
}

TEST(mountd__device_number__comes_back)
{
	struct mountd_message m = { .kind = MOUNTD_OPEN,
				    .time_ms = 1,
				    .volume = { .major = 0xfffff, .minor = 0xfffffffe, .xfs = true, .integrity = true,
						.mount_point = (char[]){ "/m" } } };
	cleanup_mountd struct mountd_message back = { 0 };
	cleanup_buf struct buf b = BUF_MAX(4096);

	mountd_encode(&b, &m);
	CHECK_INT(mountd_decode(&back, buf_view(&b), NULL), 0);
	CHECK(back.volume.device == NULL && back.volume.mapper == NULL);
	CHECK(back.volume.major == 0xfffff && back.volume.minor == 0xfffffffe);
	CHECK(back.volume.xfs && back.volume.integrity && !back.volume.keyed);
}

TEST(mountd__replies__come_back)
{
	struct mountd_message rows[] = {
		{ .kind = MOUNTD_PROGRESS, .done = 1ull << 40, .total = UINT64_MAX, .text = (char[]){ "wipe" } },
		{ .kind = MOUNTD_OPENED, .volume.mapper = (char[]){ "m" } },
		{ .kind = MOUNTD_DONE },
		{ .kind = MOUNTD_LISTING, .text = (char[]){ "[]" } },
		{ .kind = MOUNTD_FAILED, .code = CODE_VOLUME_BUSY, .text = (char[]){ "in\nuse" } },
		{ .kind = MOUNTD_FAILED, .code = CODE_VOLUME_BUSY, .text = (char[]){ "" } },
		{ .kind = MOUNTD_CLOSE, .time_ms = 1, .volume.mapper = (char[]){ "m" } },
		{ .kind = MOUNTD_CLOSE_ALL, .time_ms = MOUNTD_TIME_MAX_MS },
		{ .kind = MOUNTD_LIST, .time_ms = 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_mountd struct mountd_message back = { 0 };
		cleanup_buf struct buf b = BUF_MAX(4096);
		struct err e;

		mountd_encode(&b, &rows[i]);
		if (mountd_decode(&back, buf_view(&b), &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		CHECK_INT(back.kind, rows[i].kind);
		CHECK(back.done == rows[i].done && back.total == rows[i].total);
		CHECK(back.time_ms == rows[i].time_ms && back.code == rows[i].code);
		CHECK(!back.text == !rows[i].text);
		if (rows[i].kind == MOUNTD_FAILED && rows[i].text[0])
			CHECK(strcmp(back.text, "in?use") == 0); /* no control character reaches a log */
	}
}

/* A good MOUNTD_OPEN of 24 + 3+4 + 3+2 bytes: device /dev, mount point /m. */
#define OPEN_HEAD "VMD1\x01\x00\x00\x00" "\x00\x00\x00\x00\x00\x00\x00\x01" "\x00\x00\x00\x00\x00\x00\x00\x00"
#define DEVICE    "\x01\x00\x04/dev"
#define MAPPER    "\x02\x00\x01m"
#define AT        "\x03\x00\x02/m"
#define HEAD(kind, first) "VMD1" kind "\x00\x00\x00" first "\x00\x00\x00\x00\x00\x00\x00\x00"
#define ZERO      "\x00\x00\x00\x00\x00\x00\x00\x00"
#define ONE       "\x00\x00\x00\x00\x00\x00\x00\x01"

TEST(mountd_decode__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *words;
	} rows[] = {
#define ROW(s, words) { s, sizeof(s) - 1, words }
		ROW("", "packet of 0 bytes, want 24"),
		ROW("VMD1\x01", "packet of 5 bytes"),
		ROW("VMD2\x01\x00\x00\x00" ONE ZERO AT, "does not begin with VMD1"),
		ROW(HEAD("\x00", ONE), "unknown kind 0"),
		ROW(HEAD("\x05", ONE), "unknown kind 5"),
		ROW(HEAD("\x7f", ONE), "unknown kind 127"),
		ROW(HEAD("\xff", ZERO), "unknown kind 255"),
		ROW("VMD1\x01\x20\x00\x00" ONE ZERO AT, "flags 0x20"),
		ROW("VMD1\x01\xff\x00\x00" ONE ZERO AT, "flags 0xff"),
		ROW("VMD1\x03\x01\x00\x00" ONE ZERO, "flags 0x01 in a packet of kind 3"),
		ROW("VMD1\x01\x00\x01\x00" ONE ZERO AT, "bytes 6 and 7"),
		ROW("VMD1\x01\x00\x00\x01" ONE ZERO AT, "bytes 6 and 7"),
		ROW(HEAD("\x01", ZERO) AT, "time of 0 ms"),
		ROW(HEAD("\x01", "\x00\x00\x00\x00\x05\x26\x5c\x01") AT, "time of 86400001 ms"),
		ROW(HEAD("\x01", "\xff\xff\xff\xff\xff\xff\xff\xff") AT, "allowed 1..86400000"),
		ROW(HEAD("\x82", ONE), "a number in a packet of kind 130"),
		ROW("VMD1\x82\x00\x00\x00" ZERO ONE, "a number in a packet of kind 130"),
		ROW("VMD1\x03\x00\x00\x00" ONE ONE, "a number in a packet of kind 3"),
		ROW("VMD1\x02\x00\x00\x00" ONE ONE MAPPER, "a number in a packet of kind 2"),
		ROW(OPEN_HEAD, "mount_point is missing"),
		ROW(OPEN_HEAD DEVICE, "mount_point is missing"),
		ROW(OPEN_HEAD AT "\x01", "1 bytes behind the last field"),
		ROW(OPEN_HEAD AT "\x04\x00", "2 bytes behind the last field"),
		ROW(OPEN_HEAD "\x00\x00\x01x" AT, "field 0 in a packet of kind 1"),
		ROW(OPEN_HEAD AT "\x05\x00\x01x", "field 5 in a packet of kind 1"),
		ROW(OPEN_HEAD AT "\xff\x00\x01x", "field 255 in a packet of kind 1"),
		ROW(OPEN_HEAD AT DEVICE, "device is out of order"),
		ROW(OPEN_HEAD AT AT, "mount_point is out of order or stands there twice"),
		ROW(OPEN_HEAD DEVICE DEVICE AT, "device is out of order or stands there twice"),
		ROW(OPEN_HEAD "\x03\x00\x03/m", "mount_point goes past the end"),
		ROW(OPEN_HEAD "\x03\xff\xff/m", "mount_point goes past the end"),
		ROW(OPEN_HEAD "\x03\x00\x00", "mount_point of 0 bytes, allowed 1..4095"),
		ROW(OPEN_HEAD "\x03\x00\x03/\x00m", "mount_point has a NUL"),
		ROW(OPEN_HEAD AT "\x04\x00\x00", "mkfs_arg of 0 bytes"),
		ROW("VMD1\x01\x00\x00\x00" ONE ONE DEVICE AT, "a device by path and by number"),
		ROW(HEAD("\x02", ONE), "mapper is missing"),
		ROW(HEAD("\x02", ONE) DEVICE, "field 1 in a packet of kind 2"),
		ROW(HEAD("\x03", ONE) MAPPER, "field 2 in a packet of kind 3"),
		ROW(HEAD("\x04", ONE) MAPPER, "field 2 in a packet of kind 4"),
		ROW(HEAD("\x80", ZERO), "step is missing"),
		ROW(HEAD("\x81", ZERO), "mapper is missing"),
		ROW(HEAD("\x83", ZERO), "json is missing"),
		ROW(HEAD("\x83", ZERO) "\x08\x00\x01[", "json of 1 bytes"),
		ROW(HEAD("\x84", ZERO), "code is missing"),
		ROW(HEAD("\x84", ZERO) "\x06\x00\x0bvolume.busy", "reason is missing"),
		ROW(HEAD("\x84", ZERO) "\x06\x00\x04none\x07\x00\x01x", "without a code of ours"),
		ROW(HEAD("\x84", ZERO) "\x06\x00\x02ok\x07\x00\x01x", "without a code of ours"),
#undef ROW
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mountd_message m = { .time_ms = 42 };
		/* Of its own, so that a read past the end is one past the allocation. */
		uint8_t *copy = malloc(rows[i].len + 1);
		struct err e = { 0 };
		int r;

		CHECK(copy != NULL);
		memcpy(copy + 1, rows[i].bytes, rows[i].len);
		r = mountd_decode(&m, (struct view){ copy + 1, rows[i].len }, &e);
		free(copy);
		if (r != -(int)ERR_FORMAT || e.code != CODE_VOLUME_REQUEST || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d \"%s\" lacks \"%s\"", i, r, e.msg, rows[i].words);
		CHECK(m.time_ms == 42 && m.volume.mount_point == NULL);
	}
}

TEST(mountd_decode__long_texts_and_many_words__are_refused_at_their_limit)
{
	static char text[MOUNTD_TEXT_MAX + 2];
	struct err e;

	for (size_t i = 0; i < MOUNTD_TEXT_MAX + 1; i++)
		text[i] = 'a';
	for (size_t n = MOUNTD_TEXT_MAX; n <= MOUNTD_TEXT_MAX + 1; n++) {
		cleanup_buf struct buf b = BUF_MAX(65536);
		cleanup_mountd struct mountd_message m = { 0 };

		buf_put(&b, OPEN_HEAD, sizeof OPEN_HEAD - 1);
		buf_putc(&b, 3);
		buf_putc(&b, (uint8_t)(n >> 8));
		buf_putc(&b, (uint8_t)n);
		buf_put(&b, text, n);
		CHECK_INT(mountd_decode(&m, buf_view(&b), &e), n > MOUNTD_TEXT_MAX ? -(int)ERR_FORMAT : 0);
	}
	for (size_t n = MOUNTD_ARGS_MAX; n <= MOUNTD_ARGS_MAX + 1; n++) {
		cleanup_buf struct buf b = BUF_MAX(65536);
		cleanup_mountd struct mountd_message m = { 0 };

		buf_put(&b, OPEN_HEAD AT, sizeof OPEN_HEAD AT - 1);
		for (size_t i = 0; i < n; i++)
			buf_put(&b, "\x04\x00\x01x", 4);
		CHECK_INT(mountd_decode(&m, buf_view(&b), &e), n > MOUNTD_ARGS_MAX ? -(int)ERR_FORMAT : 0);
		if (n > MOUNTD_ARGS_MAX)
			CHECK(strstr(e.msg, "over 64 mkfs words") != NULL);
	}
}

TEST(mountd_encode__what_does_not_fit__is_marked)
{
	static char text[MOUNTD_MAPPER_MAX + 2];
	struct mountd_message m = { .kind = MOUNTD_CLOSE, .time_ms = 1, .volume.mapper = text };
	cleanup_buf struct buf b = BUF_MAX(MOUNTD_PACKET_MAX);
	struct err e;

	for (size_t i = 0; i < MOUNTD_MAPPER_MAX + 1; i++)
		text[i] = 'm';
	mountd_encode(&b, &m);
	CHECK_ERR(buf_check(&b, "it", &e), ERR_LIMIT, e, "it");
}

/* --- a server in a thread ------------------------------------------------------------- */

static struct {
	int opens, closes, lists, key_ok;
	char closed[64], device[64];
	bool all, slow, fails;
} saw;

/* What one thread wrote before it, the other sees behind it: a socket says so to nobody. */
static void meet(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	(void)pthread_mutex_lock(&lock);
	(void)pthread_mutex_unlock(&lock);
}

static int fake_open(void *ctx, const struct mountd_volume *v, const struct secret *key,
		     struct deadline d, const struct mountd_progress *p, char **mapper, struct err *e)
{
	(void)ctx;
	meet();
	saw.opens++;
	CHECK(deadline_left_ms(d) > 0 && deadline_left_ms(d) <= 50000);
	(void)snprintf(saw.device, sizeof saw.device, "%s", v->device ?: "-");
	saw.key_ok = key ? secret_eq(key, "a volume's key\n", 15) : v->keyed ? -1 : 2;
	meet();
	p->tell(p->ctx, "format", 0, 100);
	p->tell(p->ctx, "mkfs", 100, 100);
	if (saw.slow)
		(void)usleep(1500000);
	if (saw.fails)
		return err_code(e, CODE_VOLUME_NOT_EMPTY, "/dev/vdb holds ext4");
	*mapper = strdup(v->mapper ?: "chosen");
	return *mapper ? 0 : err_set(e, ERR_NOMEM, "no memory");
}

static int fake_close(void *ctx, const char *mapper, struct err *e)
{
	(void)ctx;
	(void)e;
	meet();
	saw.closes++;
	saw.all = !mapper;
	(void)snprintf(saw.closed, sizeof saw.closed, "%s", mapper ?: "*");
	meet();
	return 0;
}

static int fake_list(void *ctx, struct buf *json, struct err *e)
{
	(void)ctx;
	meet();
	saw.lists++;
	if (saw.fails)
		return err_code(e, CODE_VOLUME_STATE, "no folder");
	buf_puts(json, "[{\"mapper\":\"m\"}]");
	return 0;
}

static const struct mountd_backend backend = { fake_open, fake_close, fake_list, NULL };

struct served {
	int pair[2]; /* client's, server's */
	struct mountd_admitted who;
	pthread_t thread;
	struct err e;
	int r;
};

/* What arrives on the pair is served, one after the other. */
static void *serve(void *arg)
{
	struct served *s = arg;

	for (;;) {
		struct err e;
		int fd = -1;

		while (mountd_take(&fd, s->pair[1], &e) < 0)
			if (e.sys != EAGAIN)
				return NULL;
		if (fd < 0)
			return NULL;
		s->r = mountd_serve(fd, &s->who, &backend, &s->e);
		(void)close(fd);
	}
}

static struct mountd_link up(struct served *s, uid_t uid)
{
	*s = (struct served){ .who = { .uid = uid } };
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->pair) == 0);
	CHECK(pthread_create(&s->thread, NULL, serve, s) == 0);
	return (struct mountd_link){ .pair = s->pair[0] };
}

static void down(struct served *s)
{
	(void)close(s->pair[0]);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->pair[1]);
}

static int steps;

static void on_step(void *ctx, const char *step, uint64_t done, uint64_t total)
{
	CHECK(ctx == &steps && total == 100);
	CHECK(strcmp(step, steps == 0 ? "format" : "mkfs") == 0 && done == (steps == 0 ? 0 : 100));
	steps++;
}

static void make_key(struct secret *key)
{
	CHECK_INT(secret_alloc(key, MOUNTD_KEY_MAX + 1, NULL), 0);
	CHECK_INT(secret_append(key, "a volume's key\n", 15, NULL), 0);
}

TEST(mountd_open__good__mapper_progress_and_key_arrive)
{
	struct served s;
	struct mountd_link l = up(&s, geteuid());
	cleanup_mountd struct mountd_message q = opening();
	cleanup_secret struct secret key = { 0 };
	const struct mountd_progress p = { on_step, &steps };
	cleanup_free char *mapper = NULL;
	struct err e;

	make_key(&key);
	CHECK_INT(mountd_open(&l, &q.volume, &key, deadline_in(20000), &p, &mapper, &e), 0);
	CHECK(strcmp(mapper, "caa-data") == 0);
	CHECK_INT(steps, 2);
	meet();
	CHECK_INT(saw.key_ok, 1);
	q.volume.keyed = false;
	free(take(mapper));
	CHECK_INT(mountd_open(&l, &q.volume, NULL, deadline_in(20000), NULL, &mapper, &e), 0);
	meet();
	CHECK_INT(saw.key_ok, 2);
	down(&s);
}

TEST(mountd__close_all_and_list__are_carried_out)
{
	struct served s;
	struct mountd_link l = up(&s, geteuid());
	cleanup_buf struct buf json = BUF_MAX(1024);
	struct err e;

	CHECK_INT(mountd_close(&l, "caa-data", deadline_in(20000), &e), 0);
	meet();
	CHECK(!saw.all && strcmp(saw.closed, "caa-data") == 0);
	CHECK_INT(mountd_close(&l, NULL, deadline_in(20000), &e), 0);
	meet();
	CHECK(saw.all);
	CHECK_INT(mountd_list(&l, &json, deadline_in(20000), &e), 0);
	CHECK(strcmp(buf_str(&json), "[{\"mapper\":\"m\"}]") == 0);
	down(&s);
}

TEST(mountd_open__failure__has_its_code_and_words_at_the_client)
{
	struct served s;
	struct mountd_link l = up(&s, geteuid());
	cleanup_mountd struct mountd_message q = opening();
	cleanup_buf struct buf json = BUF_MAX(1024);
	cleanup_secret struct secret key = { 0 };
	char *mapper = NULL;
	struct err e;

	make_key(&key);
	saw.fails = true;
	meet();
	CHECK_ERR(mountd_open(&l, &q.volume, &key, deadline_in(20000), NULL, &mapper, &e), ERR_DENIED, e,
		  "/dev/vdb holds ext4");
	CHECK_INT(e.code, CODE_VOLUME_NOT_EMPTY);
	CHECK(mapper == NULL);
	CHECK_ERR(mountd_list(&l, &json, deadline_in(20000), &e), ERR_SYSTEM, e, "no folder");
	CHECK_INT(json.len, 0);
	down(&s);
}

TEST(mountd__wrong_uid__may_do_nothing_and_root_may_not_open)
{
	struct served s;
	struct mountd_link l = up(&s, geteuid() + 1);
	cleanup_mountd struct mountd_message q = opening();
	cleanup_secret struct secret key = { 0 };
	char *mapper = NULL;
	struct err e;
	int r;

	make_key(&key);
	CHECK_ERR(mountd_open(&l, &q.volume, &key, deadline_in(20000), NULL, &mapper, &e), ERR_DENIED, e,
		  "may not ask");
	CHECK_INT(e.code, CODE_VOLUME_PEER_DENIED);
	meet();
	CHECK_INT(saw.opens, 0);
	r = mountd_close(&l, "m", deadline_in(20000), &e);
	CHECK_INT(r, geteuid() == 0 ? 0 : -(int)ERR_DENIED);
	meet();
	CHECK_INT(saw.closes, geteuid() == 0);
	down(&s);
}

TEST(mountd__client_gone__what_it_asked_for_is_done)
{
	struct served s;
	struct mountd_link l = up(&s, geteuid());
	cleanup_mountd struct mountd_message q = opening();
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	CHECK_INT(mountd_pass(l.pair, fds[1], NULL), 0);
	q.volume.keyed = false;
	/* Gone for what would be answered: else the answer may be quicker than close(). */
	CHECK(shutdown(fds[0], SHUT_RD) == 0);
	CHECK_INT(mountd_send(fds[0], &q, deadline_in(1000), NULL), 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	down(&s);
	meet();
	CHECK_INT(saw.opens, 1);
	CHECK_INT(s.r, -(int)ERR_NETWORK);
	CHECK_INT(s.e.code, CODE_VOLUME_MOUNTD);
}

TEST(mountd_open__deadline__ends_the_wait)
{
	struct served s;
	struct mountd_link l = up(&s, geteuid());
	cleanup_mountd struct mountd_message q = opening();
	cleanup_secret struct secret key = { 0 };
	int64_t begin = clock_boot_ms();
	char *mapper = NULL;
	struct err e;

	make_key(&key);
	saw.slow = true;
	meet();
	CHECK_ERR(mountd_open(&l, &q.volume, &key, deadline_in(150), NULL, &mapper, &e), ERR_TIMEOUT, e,
		  "vouchsafe-mountd: nothing came in time");
	CHECK_INT(e.code, CODE_VOLUME_DEADLINE);
	CHECK(clock_boot_ms() - begin < 1400);
	down(&s);
}

TEST(mountd_open__key_of_a_bad_size__is_not_sent)
{
	struct served s;
	struct mountd_link l = up(&s, geteuid());
	cleanup_mountd struct mountd_message q = opening();
	cleanup_secret struct secret key = { 0 };
	char *mapper = NULL;
	struct err e;

	make_key(&key);
	key.len = MOUNTD_KEY_MAX + 1;
	CHECK_ERR(mountd_open(&l, &q.volume, &key, deadline_in(1000), NULL, &mapper, &e), ERR_LIMIT, e,
		  "key of 65537 bytes");
	key.len = 0;
	CHECK_ERR(mountd_open(&l, &q.volume, &key, deadline_in(1000), NULL, &mapper, &e), ERR_LIMIT, e,
		  "key of 0 bytes");
	down(&s);
	meet();
	CHECK_INT(saw.opens, 0);
}

TEST(mountd_key__of_the_largest_size__arrives)
{
	cleanup_secret struct secret key = { 0 }, back = { 0 };
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	CHECK_INT(secret_alloc(&key, MOUNTD_KEY_MAX, NULL), 0);
	key.len = MOUNTD_KEY_MAX;
	key.p[MOUNTD_KEY_MAX - 1] = 7;
	CHECK_INT(mountd_send_key(fds[0], &key, deadline_in(1000), NULL), 0);
	CHECK_INT(mountd_receive_key(fds[1], &back, deadline_in(1000), NULL), 0);
	CHECK(secret_eq(&back, secret_bytes(&key), MOUNTD_KEY_MAX));
}

TEST(mountd_receive__oversized_packets__are_refused_by_their_size)
{
	static uint8_t big[MOUNTD_PACKET_MAX + 1];
	struct mountd_message m = { 0 };
	struct secret key = { 0 };
	struct err e;
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	CHECK(send(fds[0], big, sizeof big, 0) == (ssize_t)sizeof big);
	CHECK_ERR(mountd_receive(fds[1], &m, deadline_in(1000), &e), ERR_FORMAT, e,
		  "packet of 98305 bytes, allowed 98304");
	CHECK(send(fds[0], big, MOUNTD_KEY_MAX + 1, 0) == MOUNTD_KEY_MAX + 1);
	CHECK_ERR(mountd_receive_key(fds[1], &key, deadline_in(1000), &e), ERR_LIMIT, e, "key of 65537");
	CHECK(key.p == NULL);
	(void)close(fds[0]);
	CHECK_ERR(mountd_receive(fds[1], &m, deadline_in(1000), &e), ERR_NETWORK, e, "is gone");
	CHECK_INT(e.code, CODE_VOLUME_MOUNTD);
}

TEST(mountd_open__server_that_talks_nonsense__is_volume_request)
{
	static const struct {
		struct mountd_message m;
		const char *words;
	} rows[] = {
		{ { .kind = MOUNTD_DONE }, "reply of kind 130, want 129" },
		{ { .kind = MOUNTD_LIST, .time_ms = 1 }, "reply of kind 3, want 129" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_mountd struct mountd_message q = opening();
		struct mountd_link l = { 0 };
		char *mapper = NULL;
		struct err e;
		int pair[2], fd = -1;

		CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		l.pair = pair[0];
		q.volume.keyed = false;
		if (fork() == 0) {
			while (mountd_take(&fd, pair[1], NULL) < 0)
				;
			_exit(mountd_send(fd, &rows[i].m, deadline_in(1000), NULL) < 0);
		}
		CHECK_ERR(mountd_open(&l, &q.volume, NULL, deadline_in(5000), NULL, &mapper, &e), ERR_FORMAT, e,
			  rows[i].words);
		CHECK_INT(e.code, CODE_VOLUME_REQUEST);
	}
}

static void send_word(int pair, char word)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct iovec io = { &word, 1 };
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof c.room
	};
	const int fd = 0;

	c.head = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&c.head), &fd, sizeof fd);
	CHECK(sendmsg(pair, &m, 0) == 1);
}

TEST(mountd_take__what_is_no_connection__is_refused)
{
	int pair[2], fd = 7;
	struct err e;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(send(pair[0], "C", 1, 0) == 1);
	CHECK_ERR(mountd_take(&fd, pair[1], &e), ERR_FORMAT, e, "no connection");
	/* Another word with a descriptor. */
	CHECK_INT(mountd_pass(pair[0], 0, &e), 0);
	CHECK_INT(mountd_take(&fd, pair[1], &e), 0);
	(void)close(fd);
	fd = 7;
	send_word(pair[0], 'D');
	CHECK_ERR(mountd_take(&fd, pair[1], &e), ERR_FORMAT, e, "no connection");
	CHECK(send(pair[0], "CC", 2, 0) == 2);
	CHECK_ERR(mountd_take(&fd, pair[1], &e), ERR_FORMAT, e, "no connection");
	CHECK_INT(fd, 7);
	(void)close(pair[0]);
	CHECK_INT(mountd_take(&fd, pair[1], &e), 0);
	CHECK_INT(fd, -1);
}

TEST(mountd_link__nobody_there__is_mountd_unreachable)
{
	struct mountd_link l = { .path = "/nonexistent/mountd.sock" };
	struct err e;

	CHECK_ERR(mountd_close(&l, "m", deadline_in(1000), &e), ERR_NETWORK, e, "ENOENT");
	CHECK_INT(e.code, CODE_VOLUME_MOUNTD);
	l = (struct mountd_link){ .pair = -1 };
	CHECK_ERR(mountd_close(&l, "m", deadline_in(1000), &e), ERR_NETWORK, e, "was not started");
}
