/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/api/manager.h"

/* Ask for an echo and hear it. */
static void echo(int fd, uint32_t stream, const char *text)
{
	ask(fd, stream, "Echo", text, 5000);
	hear_bytes(fd, stream, text, false);
}

/* A client that connected is in the store, at the latest when it was answered. */
static int dial_kept(void)
{
	int fd = -1;

	WAIT_FOR(access(door_path, F_OK) == 0);
	fd = dial();
	echo(fd, 1, "hello");
	return fd;
}

static void fill(uint8_t *p, size_t n, uint32_t stream)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(stream * 131 + i * 7 + (i >> 8));
}

/* A whole request frame of an echo of n bytes. */
static void echo_frame(struct buf *out, uint32_t stream, size_t n)
{
	cleanup_free uint8_t *payload = malloc(n > 0 ? n : 1);
	cleanup_buf struct buf b = BUF_MAX(FRAME_MAX + 4096);
	uint8_t head[FRAME_HEAD];

	fill(payload, n, stream);
	wire_request_encode(&b, "t.T", "Echo", (struct view){ payload, n }, 30000000000, NULL);
	frame_head_put(head, &(struct frame_head){ .len = (uint32_t)b.len, .stream = stream,
						   .type = FRAME_REQUEST });
	buf_put(out, head, sizeof head);
	buf_putv(out, buf_view(&b));
	CHECK_INT(out->failed, 0);
}

TEST(client__connected_before_kill__calls_on_the_same_connection)
{
	int fd, idle;

	manager_open();
	fd = dial_kept();
	idle = dial(); /* says nothing before the second kill */
	WAIT_FOR(manager_look().kept == 2);
	for (uint32_t i = 0; i < 3; i++) {
		CHECK_INT(manager_kill(SIGKILL).kept, 2);
		echo(fd, 3 + 2 * i, "again");
	}
	echo(idle, 1, "at last");
	(void)close(fd);
	WAIT_FOR(manager_look().kept == 1);
}

TEST(client__server_ends_by_itself__calls_on_the_same_connection)
{
	int fd;

	manager_open();
	fd = dial_kept();
	CHECK_INT(manager_kill(SIGTERM).code, 0);
	echo(fd, 3, "after a restart");
}

TEST(request__small_and_not_read__is_answered_by_the_successor)
{
	cleanup_buf struct buf b = BUF_MAX(8192);
	struct told t;
	int fd;

	manager_open();
	fd = dial_kept();
	echo_frame(&b, 3, 3000);
	/* In a header, after it, and one byte before the end. */
	for (size_t cut = 5; cut < b.len; cut = cut < 11 ? 11 : cut < b.len - 1 ? b.len - 1 : b.len) {
		send_bytes(fd, b.p, cut);
		nap_ms(20);
		(void)manager_kill(SIGKILL);
		send_bytes(fd, b.p + cut, b.len - cut);
		CHECK(hear(fd, &t));
		CHECK_INT(t.stream, 3);
		CHECK_INT(t.status, 0);
		CHECK_INT(t.len, 3000);
	}
}

TEST(request__large_and_half_read__connection_ends)
{
	cleanup_buf struct buf b = BUF_MAX(FRAME_MAX);
	int fd;

	manager_open();
	fd = dial_kept();
	echo_frame(&b, 3, 100000);
	send_bytes(fd, b.p, 50000);
	nap_ms(400);
	WAIT_FOR(manager_look().kept == 0);
	CHECK_INT(manager_kill(SIGKILL).kept, 0);
	CHECK(ended(fd, 5000));
}

TEST(request__large_and_answered__is_in_the_store_again)
{
	cleanup_buf struct buf b = BUF_MAX(FRAME_MAX);
	struct told t;
	int fd;

	manager_open();
	fd = dial_kept();
	for (uint32_t i = 0; i < 3; i++) {
		echo_frame(&b, 3 + 4 * i, 100000);
		send_bytes(fd, b.p, b.len);
		buf_done(&b);
		b = BUF_MAX(FRAME_MAX);
		CHECK(hear(fd, &t) && t.status == 0 && t.len == 100000);
		WAIT_FOR(manager_look().kept == 1);
		(void)manager_kill(SIGKILL);
		echo(fd, 5 + 4 * i, "goes on");
	}
}

TEST(reply__larger_than_the_buffer_and_half_read__connection_ends)
{
	uint8_t some[FRAME_HEAD + 1000];
	struct frame_head h;
	int fd;

	manager_open();
	fd = dial_kept();
	ask(fd, 3, "Big", "1000000", 5000);
	CHECK(recv_bytes(fd, some, sizeof some));
	h = frame_head_get(some);
	CHECK(h.stream == 3 && h.len > 1000000);
	WAIT_FOR(manager_look().kept == 0);
	CHECK_INT(manager_kill(SIGKILL).kept, 0);
	for (ssize_t n; (n = recv(fd, heard, sizeof heard, 0)) > 0;)
		h.len -= (uint32_t)n;
	CHECK(h.len > 1000);
}

TEST(connections__a_flood__twelve_have_a_place)
{
	struct manager_state s;
	int fds[40];

	manager_open();
	(void)close(dial_kept());
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = dial();
	echo(fds[39], 1, "without a place");
	WAIT_FOR(manager_look().kept == TTRPC_KEPT_MAX);
	nap_ms(400);
	s = manager_look();
	CHECK_INT(s.kept, TTRPC_KEPT_MAX);
	CHECK_INT(s.refused, 0);
	/* Who leaves makes room for one that has none. */
	(void)close(fds[0]);
	nap_ms(50);
	WAIT_FOR(manager_look().kept == TTRPC_KEPT_MAX);
	s = manager_kill(SIGKILL);
	CHECK_INT(s.refused, 0);
	CHECK_INT(s.kept, TTRPC_KEPT_MAX);
	for (size_t i = 1; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
	WAIT_FOR(manager_look().kept == 0);
	(void)close(dial());
	WAIT_FOR(manager_look().kept == 0);
}

/* --- kill -9 at random moments -------------------------------------------------------- */

/* One client that writes and reads at once, and knows what each answer must be. */
static struct {
	int fd;
	uint32_t stream; /* the last that was used */
	size_t size[1 << 16];
	struct buf out;
	size_t sent;
	struct frame_reader in;
	uint32_t await; /* 0: it was answered */
	bool ended;
} k;

static void k_dial(void)
{
	k.fd = dial();
	k.stream = 0xffffffff;
	k.sent = 0;
	k.await = 0;
	k.ended = false;
	buf_done(&k.out);
	k.out = BUF_MAX(16u << 20);
	frame_next(&k.in);
}

static uint32_t k_ask(size_t n)
{
	k.stream += 2;
	CHECK(k.stream < ARRAY_LEN(k.size));
	k.size[k.stream] = n;
	echo_frame(&k.out, k.stream, n);
	return k.stream;
}

static void k_whole(void)
{
	static uint8_t want[FRAME_MAX];
	struct wire_reply r;
	uint32_t stream = k.in.head.stream;

	CHECK_INT(k.in.head.type, FRAME_RESPONSE);
	CHECK(stream % 2 == 1 && stream <= k.stream);
	CHECK_INT(wire_reply_scan(&r, (struct view){ k.in.body, k.in.head.len }, NULL), 0);
	if (r.status != 0)
		test_fail(__FILE__, __LINE__, "stream %u: status %d \"%.*s\"", stream, r.status,
			  VIEW_ARG(r.message));
	fill(want, k.size[stream], stream);
	CHECK(view_eq(r.payload, (struct view){ want, k.size[stream] }));
	if (k.await == stream)
		k.await = 0;
}

static void k_read(void)
{
	static uint8_t bytes[65536];
	ssize_t n = recv(k.fd, bytes, sizeof bytes, MSG_DONTWAIT);
	struct view in = { bytes, n > 0 ? (size_t)n : 0 };

	if (n == 0 || (n < 0 && errno != EAGAIN))
		k.ended = true;
	while (in.len > 0) {
		enum frame_step step = frame_feed(&k.in, &in);

		if (step == FRAME_BEGUN) {
			CHECK(k.in.head.len > 0 && frame_keep(&k.in, NULL) == 0);
		} else if (step == FRAME_WHOLE) {
			k_whole();
			frame_next(&k.in);
		}
	}
}

/* Write and read until k.await was answered, the manager has news, or the end. */
static void k_pump(bool manager)
{
	struct deadline d = deadline_in(20000);

	while (!k.ended && (manager || k.await != 0)) {
		bool more = k.sent < k.out.len;
		struct pollfd p[2] = {
			{ .fd = k.fd, .events = (short)(POLLIN | (more ? POLLOUT : 0)) },
			{ .fd = manager ? manager_cmd : -1, .events = POLLIN },
		};

		(void)poll(p, 2, 1000);
		if (p[1].revents)
			return;
		if (deadline_left_ms(d) == 0)
			test_fail(__FILE__, __LINE__, "stream %u: no answer and no end in 20 s", k.await);
		if (p[0].revents & POLLOUT) {
			ssize_t n = send(k.fd, k.out.p + k.sent, k.out.len - k.sent,
					 MSG_DONTWAIT | MSG_NOSIGNAL);

			k.sent += n > 0 ? (size_t)n : 0;
			if (n < 0 && errno != EAGAIN)
				k.ended = true;
		}
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
			k_read();
	}
}

enum { KILLS = 1000, KILLS_MS = 60 * 1000 };

TEST(kill__at_1000_random_moments__stream_goes_on_or_ends)
{
	struct deadline d = deadline_in(KILLS_MS);
	int kills, ended_small = 0, ended_large = 0;
	bool settled = false;

	manager_open();
	(void)close(dial_kept());
	srandom(7);
	k_dial();
	for (kills = 0; kills < KILLS && deadline_left_ms(d) > 0; kills++) {
		bool large = random() % 2 == 0;
		int n = 1 + (int)(random() % 8);

		/* Where nothing large is under way, it must survive. */
		if (!large && !settled) {
			(void)close(k.fd);
			k_dial();
			k.await = k_ask(10);
			k_pump(false);
			WAIT_FOR(manager_look().kept == 1);
		}
		for (int i = 0; i < n; i++)
			(void)k_ask((size_t)(random() % (large ? 400000 : 7000)));
		manager_order(SIGKILL, (int)(random() % 3000));
		k_pump(true);
		(void)manager_answer();
		settled = !large && !k.ended;
		k.await = k_ask(100);
		k_pump(false);
		if (k.ended || k.stream > ARRAY_LEN(k.size) - 64) {
			ended_small += k.ended && !large;
			ended_large += k.ended && large;
			(void)close(k.fd);
			k_dial();
			settled = false;
		} else {
			buf_done(&k.out);
			k.out = BUF_MAX(16u << 20);
			k.sent = 0;
		}
	}
	printf("%d kills, connections that ended: %d with small frames, %d with large ones\n", kills,
	       ended_small, ended_large);
	CHECK(kills >= 100);
	CHECK_INT(ended_small, 0);
	CHECK(ended_large > 0);
	CHECK_INT(manager_look().refused, 0);
}

/* --- in this process, with a store that only counts ------------------------------------ */

static atomic_int n_store, n_unstore, deny_unstore;

static int count_store(void *ctx, size_t listener, unsigned number, int fd)
{
	(void)ctx;
	CHECK(listener == 0 && number > 0 && fd >= 0);
	atomic_fetch_add(&n_store, 1);
	return 0;
}

static int count_unstore(void *ctx, size_t listener, unsigned number)
{
	(void)ctx;
	(void)listener;
	(void)number;
	atomic_fetch_add(&n_unstore, 1);
	return atomic_load(&deny_unstore) ? -ERR_TIMEOUT : 0;
}

static void open_counting(bool start)
{
	static unsigned other = 12345;
	struct ttrpc_config config = { .uids = &other,
				       .n_uids = 1,
				       .store = { .store = count_store, .unstore = count_unstore },
				       .limits = { .read_ms = 600 } };

	if (geteuid() != 0)
		test_skip("only root's connections are kept");
	make_dir();
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0666, (gid_t)-1, methods,
				      ARRAY_LEN(methods), NULL),
		  0);
	if (start)
		CHECK_INT(ttrpc_server_start(door, NULL), 0);
}

TEST(request__small_and_never_whole__costs_no_time_and_ends)
{
	struct timespec a, b;
	int fd;

	open_counting(true);
	fd = dial();
	echo(fd, 1, "whole");
	send_head(fd, 100, 3, FRAME_REQUEST);
	nap_ms(50);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	nap_ms(300);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	CHECK((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 100);
	CHECK(!readable(fd, 0));
	CHECK(ended(fd, 5000));
	CHECK_INT(door_stats().stalled, 1);
	CHECK_INT(n_unstore, 1);
	(void)close(fd);
	shut_door();
}

TEST(request__peer_leaves_in_the_middle__ends_at_once)
{
	int fd;

	open_counting(true);
	fd = dial();
	echo(fd, 1, "whole");
	send_head(fd, 100, 3, FRAME_REQUEST);
	nap_ms(50);
	(void)close(fd);
	WAIT_FOR(door_stats().connections == 0);
	CHECK_INT(door_stats().stalled, 0);
	CHECK_INT(door_stats().kept, 0);
	shut_door();
}

TEST(store__does_not_let_go__nothing_large_is_read_and_the_connection_ends)
{
	int fd;

	open_counting(true);
	atomic_store(&deny_unstore, 1);
	fd = dial();
	send_head(fd, 100000, 1, FRAME_REQUEST);
	CHECK(ended(fd, 5000));
	CHECK_INT(door_stats().calls, 0);
	WAIT_FOR(door_stats().kept == 0);
	shut_door();
}

TEST(store__peer_is_not_root__is_not_used)
{
	int fd;

	open_counting(true);
	CHECK(seteuid(12345) == 0);
	fd = dial();
	CHECK(seteuid(0) == 0);
	echo(fd, 1, "served");
	CHECK_INT(n_store, 0);
	CHECK_INT(door_stats().kept, 0);
	(void)close(fd);
	shut_door();
}

TEST(frames__empty_and_of_other_types__are_passed_over)
{
	int fd;

	open_counting(true);
	fd = dial();
	send_head(fd, 0, 1, 9);
	send_head(fd, 0, 3, FRAME_DATA);
	hear_status(fd, 3, 3, "Stream is no longer active");
	echo(fd, 5, "whole");
	CHECK_INT(n_store, 1);
	(void)close(fd);
	shut_door();
}

/* A listening socket of our own, to have connections of any user. */
static int pair_of_uid(unsigned uid, int *mine)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s/pair", door_dir);
	CHECK(bind(l, (const struct sockaddr *)&a, sizeof a) == 0 && listen(l, 1) == 0);
	CHECK(chmod(a.sun_path, 0666) == 0);
	*mine = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(seteuid(uid) == 0);
	CHECK(connect(*mine, (const struct sockaddr *)&a, sizeof a) == 0);
	CHECK(seteuid(0) == 0);
	fd = accept(l, NULL, NULL);
	(void)close(l);
	(void)unlink(a.sun_path);
	return fd;
}

TEST(adopt__what_is_not_ours__ends_and_leaves_the_store)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct err e;
	int mine, pipes[2], good;

	open_counting(false);
	CHECK_ERR(ttrpc_server_adopt(door, 0, 1, pair_of_uid(4711, &mine), &e), ERR_DENIED, e, "4711");
	CHECK(ended(mine, 1000));
	/* Admitted, but never kept: it is not ours to hand over. */
	CHECK_ERR(ttrpc_server_adopt(door, 0, 1, pair_of_uid(12345, &mine), &e), ERR_DENIED, e, "12345");
	CHECK_ERR(ttrpc_server_adopt(door, 1, 1, pair_of_uid(0, &mine), &e), ERR_FORMAT, e, "socket 1");
	CHECK(ended(mine, 1000));
	CHECK_ERR(ttrpc_server_adopt(door, 0, 0, pair_of_uid(0, &mine), &e), ERR_FORMAT, e, "connection 0");
	CHECK(pipe(pipes) == 0);
	CHECK_ERR(ttrpc_server_adopt(door, 0, 1, pipes[0], &e), ERR_SYSTEM, e, "handed over");
	CHECK_ERR(ttrpc_server_adopt(door, 0, 1, socket(AF_UNIX, SOCK_DGRAM, 0), &e), ERR_FORMAT, e,
		  "no unix connection");
	CHECK_ERR(ttrpc_server_adopt(door, 0, 1, socket(AF_INET, SOCK_STREAM, 0), &e), ERR_FORMAT, e,
		  "no unix connection");
	mine = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s/pair", door_dir);
	CHECK(bind(mine, (const struct sockaddr *)&a, sizeof a) == 0 && listen(mine, 1) == 0);
	(void)unlink(a.sun_path);
	CHECK_ERR(ttrpc_server_adopt(door, 0, 1, mine, &e), ERR_FORMAT, e, "no unix connection");
	CHECK_INT(n_unstore, 8);
	CHECK_INT(ttrpc_server_adopt(door, 0, 7, pair_of_uid(0, &good), &e), 0);
	CHECK_ERR(ttrpc_server_adopt(door, 0, 7, pair_of_uid(0, &mine), &e), ERR_FORMAT, e, "twice");
	CHECK(ended(mine, 1000));
	CHECK_INT(n_unstore, 8);
	for (unsigned i = 1; i < TTRPC_KEPT_MAX; i++)
		CHECK_INT(ttrpc_server_adopt(door, 0, 100 + i, pair_of_uid(0, &mine), &e), 0);
	CHECK_ERR(ttrpc_server_adopt(door, 0, 200, pair_of_uid(0, &mine), &e), ERR_LIMIT, e, "over 12");
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
	echo(good, 1, "taken over");
	CHECK_INT(n_store, 0);
	shut_door();
}
