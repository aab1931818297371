/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/api/fixture.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define OTHER_UID 65534u

/* Run what in a process of that user; skips without root. */
static void as_user(unsigned uid, void (*what)(void))
{
	pid_t pid;
	int st;

	if (getuid() != 0)
		test_skip("another user needs root");
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(setgid(uid) == 0 && setuid(uid) == 0);
		what();
		_exit(0);
	}
	CHECK(waitpid(pid, &st, 0) == pid);
	CHECK_INT(st, 0);
}

static void open_for(const unsigned *uids, size_t n, const struct ttrpc_limits *limits)
{
	struct ttrpc_config config = { .uids = uids, .n_uids = n };

	if (limits)
		config.limits = *limits;
	make_dir();
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0666, (gid_t)-1, methods,
				      ARRAY_LEN(methods), NULL),
		  0);
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
}

static void expect_denied(void)
{
	int fd = dial();

	hear_status(fd, 1, 7, "api.peer-denied: user id 65534 is not admitted");
	CHECK(ended(fd, 2000));
}

TEST(ttrpc_server__user_not_listed__is_told_and_closed)
{
	static const unsigned uids[] = { 1, 65533 };

	open_for(uids, 2, NULL);
	as_user(OTHER_UID, expect_denied);
	CHECK_INT(door_stats().peers_denied, 1);
	CHECK_INT(door_stats().connections_total, 0);
	shut_door();
}

static void expect_echo(void)
{
	int fd = dial();

	ask(fd, 1, "Secret", "mine", 0);
	hear_bytes(fd, 1, "mine", true);
}

TEST(ttrpc_server__user_listed__is_served)
{
	static const unsigned uids[] = { 1, OTHER_UID };

	open_for(uids, 2, NULL);
	as_user(OTHER_UID, expect_echo);
	shut_door();
}

TEST(ttrpc_server__one_user_holds_its_trustee_threads__another_is_served)
{
	static const unsigned uids[] = { OTHER_UID };
	struct ttrpc_limits limits = { .trustee_threads = 3, .peer_trustee_threads = 2 };
	int fd;

	open_for(uids, 1, &limits);
	if (getuid() != 0)
		test_skip("another user needs root");
	fd = dial();
	for (uint32_t id = 1; id < 21; id += 2)
		ask(fd, id, "Gate", "g", 0);
	WAIT_FOR(atomic_load(&at_gate) == 2);
	as_user(OTHER_UID, expect_echo);
	CHECK_INT(atomic_load(&at_gate), 2);
	open_gate();
	for (uint32_t id = 1; id < 21; id += 2) {
		struct told t;

		CHECK(hear(fd, &t) && t.status == 0);
	}
	CHECK_INT(atomic_load(&at_gate), 10);
	shut_door();
}

TEST(ttrpc_server__connections_of_a_peer__are_capped)
{
	struct ttrpc_limits limits = { .peer_connections = 2 };
	int a, b, c;

	open_door(&limits);
	a = dial();
	b = dial();
	c = dial();
	hear_status(c, 1, 8, "api.peer-busy");
	CHECK(ended(c, 2000));
	ask(a, 1, "Echo", "a", 0);
	hear_bytes(a, 1, "a", false);
	(void)close(b);
	WAIT_FOR(door_stats().connections == 1);
	b = dial();
	ask(b, 1, "Echo", "b", 0);
	hear_bytes(b, 1, "b", false);
	CHECK_INT(door_stats().connections_refused, 1);
	shut_door();
}

TEST(ttrpc_server__connections_of_all__are_capped)
{
	struct ttrpc_limits limits = { .connections = 1 };
	int a, b;

	open_door(&limits);
	a = dial();
	b = dial();
	hear_status(b, 1, 8, "api.peer-busy");
	ask(a, 1, "Echo", "a", 0);
	hear_bytes(a, 1, "a", false);
	shut_door();
}

TEST(ttrpc_server__calls_of_a_connection__are_capped)
{
	struct ttrpc_limits limits = { .connection_calls = 3 };
	int a, b;

	open_door(&limits);
	a = dial();
	b = dial();
	for (uint32_t id = 1; id <= 5; id += 2)
		ask(a, id, "Gate", "g", 0);
	ask(a, 7, "Echo", "one too many", 0);
	hear_status(a, 7, 8, "api.peer-busy: 3 calls in flight on this connection, allowed 3");
	ask(b, 1, "Echo", "b", 0);
	hear_bytes(b, 1, "b", false);
	shut_door();
}

TEST(ttrpc_server__calls_of_a_peer__are_capped_and_timed_out_ones_count_while_they_run)
{
	struct ttrpc_limits limits = { .peer_calls = 2 };
	int a, b;

	open_door(&limits);
	a = dial();
	b = dial();
	ask(a, 1, "Gate", "g", 50);
	ask(b, 1, "Gate", "g", 0);
	hear_status(a, 1, 4, "timeout");
	ask(b, 3, "Echo", "x", 0);
	hear_status(b, 3, 8, "calls in flight, allowed 2");
	open_gate();
	hear_bytes(b, 1, "g", true);
	WAIT_FOR(door_stats().calls == 0);
	ask(b, 5, "Echo", "x", 0);
	hear_bytes(b, 5, "x", false);
	shut_door();
}

TEST(ttrpc_server__queue__is_bounded)
{
	struct ttrpc_limits limits = { .trustee_threads = 1, .queue = 2 };
	int fd;

	open_door(&limits);
	fd = dial();
	ask(fd, 1, "Gate", "g", 0);
	WAIT_FOR(atomic_load(&at_gate) == 1);
	ask(fd, 3, "Gate", "g", 0);
	ask(fd, 5, "Cached", "by way of the local pool", 0);
	WAIT_FOR(door_stats().waiting_trustee == 2);
	ask(fd, 7, "Gate", "g", 0);
	hear_status(fd, 7, 8, "api.peer-busy: 2 calls wait already");
	ask(fd, 9, "Cached", "miss", 0);
	hear_status(fd, 9, 8, "api.peer-busy: 2 calls wait already");
	shut_door();
}

TEST(ttrpc_server__secrets_a_connection_does_not_read__delay_only_its_own_next_calls)
{
	struct ttrpc_limits limits = { .peer_secret_bytes = 2000000, .thread_idle_ms = 60000 };
	struct told t;
	int deaf, fd;

	open_door(&limits);
	deaf = dial();
	fd = dial();
	ask(deaf, 1, "Big", "900000", 0);
	WAIT_FOR(door_stats().secret_bytes >= 900000);
	ask(deaf, 3, "Big", "900000", 0);
	ask(deaf, 5, "Big", "900000", 0);
	ask(fd, 1, "Big", "900000", 0);
	CHECK(hear(fd, &t) && t.status == 0);
	WAIT_FOR(door_stats().secret_bytes == 900000);
	CHECK_INT(door_stats().waiting_trustee, 2);
	for (uint32_t i = 0; i < 3; i++)
		CHECK(hear(deaf, &t) && t.status == 0 && t.len == 900004);
	CHECK_INT(door_stats().secret_bytes, 0);
	shut_door();
}

TEST(ttrpc_server__secrets_of_a_peer__are_capped)
{
	struct ttrpc_limits limits = { .peer_secret_bytes = 1500000 };
	struct told t;
	int deaf, fd;

	open_door(&limits);
	deaf = dial();
	fd = dial();
	ask(deaf, 1, "Big", "900000", 0);
	WAIT_FOR(door_stats().secret_bytes >= 900000);
	ask(fd, 1, "Big", "900000", 0);
	hear_status(fd, 1, 8, "bytes of secrets that it has not read, allowed 1500000");
	ask(fd, 3, "Secret", "small", 0);
	hear_bytes(fd, 3, "small", true);
	CHECK(hear(deaf, &t) && t.status == 0);
	ask(fd, 5, "Big", "900000", 0);
	CHECK(hear(fd, &t) && t.status == 0);
	shut_door();
}

TEST(ttrpc_server__request_bytes_of_a_peer__are_capped)
{
	struct ttrpc_limits limits = { .peer_request_bytes = 1000 };
	char text[901] = { 0 };
	int a, b;

	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = 'x';
	open_door(&limits);
	a = dial();
	b = dial();
	ask(a, 1, "Echo", text, 0);
	hear_bytes(a, 1, text, false);
	send_head(a, 800, 3, FRAME_REQUEST); /* half a frame holds its room */
	WAIT_FOR(door_stats().connections == 2);
	nap_ms(50);
	ask(b, 1, "Echo", text, 0);
	hear_status(b, 1, 8, "has 800 bytes of requests in flight, allowed 1000");
	ask(b, 3, "Echo", "small", 0);
	hear_bytes(b, 3, "small", false);
	(void)close(a);
	WAIT_FOR(door_stats().connections == 1);
	ask(b, 5, "Echo", text, 0);
	hear_bytes(b, 5, text, false);
	shut_door();
}

TEST(ttrpc_server__flood_without_reading__stops_being_read_and_ends_well)
{
	uint8_t head[FRAME_HEAD];
	struct pollfd p = { .events = POLLOUT };
	int fd, other, n = 0;
	struct told t;

	open_door(NULL);
	p.fd = fd = dial();
	other = dial();
	/* Each ten bytes ask for sixty: without a brake the queue of replies would grow for ever. */
	frame_head_put(head, &(struct frame_head){ .stream = 2, .type = FRAME_REQUEST });
	for (n = 0; n < 200000 && poll(&p, 1, 500) == 1; n++)
		send_bytes(fd, head, sizeof head);
	CHECK(n < 200000);
	ask(other, 1, "Echo", "x", 0);
	hear_bytes(other, 1, "x", false);
	for (int i = 0; i < n; i++)
		CHECK(hear(fd, &t) && t.status == 3);
	shut_door();
}

TEST(ttrpc_server__out_of_descriptors__goes_on_when_there_are_some)
{
	const struct rlimit few = { 40, 40 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int spare[40], n = 0, fd, late;

	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	open_door(NULL);
	fd = dial();
	ask(fd, 1, "Echo", "x", 0);
	hear_bytes(fd, 1, "x", false);
	late = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(late >= 0);
	while (n < 40 && (spare[n] = dup(fd)) >= 0)
		n++;
	CHECK(n < 40);
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", door_path);
	CHECK(connect(late, (const struct sockaddr *)&a, sizeof a) == 0);
	ask(late, 1, "Echo", "late", 0);
	ask(fd, 3, "Echo", "y", 0);
	hear_bytes(fd, 3, "y", false);
	CHECK(!readable(late, 100));
	while (n > 0)
		(void)close(spare[--n]);
	hear_bytes(late, 1, "late", false);
	shut_door();
}
