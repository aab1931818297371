/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/api/fixture.h"

/* --- answers ------------------------------------------------------------------------ */

TEST(ttrpc_server__message_secret_and_error__have_their_exact_bytes)
{
	static const char echo[] = "\0\0\0\x06\0\0\0\x01\x02\0\x0a\0\x12\x02hi";
	static const char secret[] = "\0\0\0\x08\0\0\0\x03\x02\0\x0a\0\x12\x04\x0a\x02hi";
	static const char empty[] = "\0\0\0\x02\0\0\0\x05\x02\0\x0a\0";
	uint8_t got[64];
	int fd;

	open_door(NULL);
	fd = dial();
	ask(fd, 1, "Echo", "hi", 0);
	CHECK(recv_bytes(fd, got, sizeof echo - 1) && memcmp(got, echo, sizeof echo - 1) == 0);
	ask(fd, 3, "Secret", "hi", 0);
	CHECK(recv_bytes(fd, got, sizeof secret - 1) && memcmp(got, secret, sizeof secret - 1) == 0);
	ask(fd, 5, "Echo", "", 0);
	CHECK(recv_bytes(fd, got, sizeof empty - 1) && memcmp(got, empty, sizeof empty - 1) == 0);
	ask(fd, 7, "Secret", "", 0);
	hear_bytes(fd, 7, "", true);
	ask(fd, 9, "Fail", "because", 0);
	hear_status(fd, 9, 13, "[CDH] [ERROR]: Nothing: kbs.policy-denied: because ?");
	CHECK_INT(door_stats().replies[API_OK], 4);
	CHECK_INT(door_stats().replies[API_INTERNAL], 1);
	shut_door();
}

TEST(ttrpc_server__what_is_not_there__has_upstreams_codes_and_texts)
{
	int fd;

	open_door(NULL);
	fd = dial();
	ask_view(fd, 1, "no.Such", "Echo", view_str(""), 0, NULL);
	hear_status(fd, 1, 3, "no.Such service does not exist");
	ask(fd, 3, "Nothing", "", 0);
	hear_status(fd, 3, 12, "Nothing method");
	ask(fd, 5, "Never", "", 0);
	hear_status(fd, 5, 5, "/t.T/Never is not supported");
	ask_view(fd, 7, "", "", view_str(""), 0, NULL);
	hear_status(fd, 7, 3, " service does not exist");
	ask_view(fd, 9, "t.U", "Secret", view_str(""), 0, NULL);
	hear_status(fd, 9, 12, "Secret method");
	ask_view(fd, 11, "t.U", "Echo", view_str("x"), 0, NULL);
	hear_bytes(fd, 11, "x", false);
	shut_door();
}

TEST(ttrpc_server__bad_frames__are_answered_and_the_connection_goes_on)
{
	int fd;

	open_door(NULL);
	fd = dial();
	ask(fd, 4, "Echo", "x", 0);
	hear_status(fd, 4, 3, "stream id must be odd");
	ask(fd, 0, "Echo", "x", 0);
	hear_status(fd, 0, 3, "stream id must be odd");
	send_head(fd, 3, 5, FRAME_REQUEST);
	send_bytes(fd, "\x0a\x05s", 3);
	hear_status(fd, 5, 3, "api.malformed: the request is not a ttrpc Request message");
	send_head(fd, 2, 7, FRAME_DATA);
	send_bytes(fd, "xy", 2);
	hear_status(fd, 7, 3, "Stream is no longer active");
	send_head(fd, 2, 9, 9); /* an unknown type, and a response: no answer */
	send_bytes(fd, "xy", 2);
	send_head(fd, 0, 11, FRAME_RESPONSE);
	send_head(fd, 0, 13, FRAME_REQUEST);
	hear_status(fd, 13, 3, " service does not exist");
	ask(fd, 15, "Echo", "still here", 0);
	hear_bytes(fd, 15, "still here", false);
	shut_door();
}

TEST(ttrpc_server__oversize_frame__is_drained_and_answered)
{
	static const uint8_t junk[65536];
	size_t left = FRAME_MAX + 1;
	int fd;

	open_door(NULL);
	fd = dial();
	send_head(fd, FRAME_MAX + 1, 3, FRAME_REQUEST);
	while (left > 0) {
		size_t n = left < sizeof junk ? left : sizeof junk;

		send_bytes(fd, junk, n);
		left -= n;
	}
	hear_status(fd, 3, 3, "message length 4194305 exceed maximum message size of 4194304");
	ask(fd, 5, "Echo", "x", 0);
	hear_bytes(fd, 5, "x", false);
	shut_door();
}

TEST(ttrpc_server__largest_request__is_served)
{
	cleanup_free uint8_t *text = calloc(1, FRAME_MAX);
	int fd;

	open_door(NULL);
	fd = dial();
	ask_view(fd, 1, "t.T", "Name", (struct view){ text, FRAME_MAX - 64 }, 0, "N");
	hear_bytes(fd, 1, "N", false);
	CHECK_INT(door_stats().calls, 0);
	shut_door();
}

TEST(ttrpc_server__reply_over_the_maximum__is_code_3)
{
	struct told t;
	int fd;

	open_door(NULL);
	fd = dial();
	ask(fd, 1, "Big", "4194304", 0);
	hear_status(fd, 1, 3, "message length 4194316 exceed maximum message size of 4194304");
	ask(fd, 3, "Big", "4194292", 0);
	CHECK(hear(fd, &t) && t.status == 0 && t.len == 4194297);
	shut_door();
}

TEST(ttrpc_server__name_metadata__reaches_the_method)
{
	int fd;

	open_door(NULL);
	fd = dial();
	ask_view(fd, 1, "t.T", "Name", view_str(""), 0, "DB_PASSWORD");
	hear_bytes(fd, 1, "DB_PASSWORD", false);
	ask_view(fd, 3, "t.T", "Name", view_str(""), 0, NULL);
	hear_bytes(fd, 3, "-", false);
	shut_door();
}

TEST(ttrpc_server__bytes_one_by_one__make_the_same_call)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	uint8_t head[FRAME_HEAD];
	int fd;

	open_door(NULL);
	fd = dial();
	wire_request_encode(&b, "t.T", "Echo", view_str("drip"), 0, NULL);
	frame_head_put(head, &(struct frame_head){ .len = (uint32_t)b.len, .stream = 1, .type = 1 });
	for (size_t i = 0; i < sizeof head; i++)
		send_bytes(fd, head + i, 1);
	for (size_t i = 0; i < b.len; i++) {
		send_bytes(fd, b.p + i, 1);
		nap_ms(1);
	}
	hear_bytes(fd, 1, "drip", false);
	shut_door();
}

/* --- concurrency ---------------------------------------------------------------------- */

TEST(ttrpc_server__200_calls_on_one_connection_while_one_stalls__are_all_answered)
{
	bool seen[402] = { 0 };
	struct told t;
	char text[16];
	int fd;

	open_door(NULL);
	fd = dial();
	ask(fd, 1, "Gate", "late", 0);
	WAIT_FOR(atomic_load(&at_gate) == 1);
	for (uint32_t id = 3; id <= 401; id += 2) {
		(void)snprintf(text, sizeof text, "n%u", id);
		ask(fd, id, id % 4 == 1 ? "Secret" : "Echo", text, 0);
	}
	for (int i = 0; i < 200; i++) {
		CHECK(hear(fd, &t));
		CHECK(t.status == 0 && t.stream >= 3 && t.stream <= 401 && !seen[t.stream]);
		seen[t.stream] = true;
		(void)snprintf(text, sizeof text, "n%u", t.stream);
		CHECK(t.len >= strlen(text) &&
		      memcmp(t.payload + t.len - strlen(text), text, strlen(text)) == 0);
	}
	CHECK(!readable(fd, 50));
	open_gate();
	hear_bytes(fd, 1, "late", true);
	shut_door();
}

TEST(ttrpc_server__all_trustee_threads_busy__local_answers_go_on)
{
	struct ttrpc_limits limits = { .trustee_threads = 3, .peer_trustee_threads = 3 };
	int fd;

	open_door(&limits);
	fd = dial();
	for (uint32_t id = 1; id < 21; id += 2)
		ask(fd, id, "Gate", "g", 0);
	WAIT_FOR(atomic_load(&at_gate) == 3);
	ask(fd, 101, "Echo", "now", 0);
	hear_bytes(fd, 101, "now", false);
	ask(fd, 103, "Cached", "hit", 0);
	hear_bytes(fd, 103, "hit", true);
	CHECK_INT(door_stats().waiting_trustee, 7);
	CHECK_INT(atomic_load(&at_gate), 3);
	shut_door();
}

TEST(ttrpc_server__not_at_hand__goes_on_to_the_trustee_pool)
{
	int fd;

	open_door(NULL);
	fd = dial();
	ask(fd, 1, "Cached", "miss", 0);
	WAIT_FOR(atomic_load(&at_gate) == 1);
	CHECK_INT(atomic_load(&ran_local), 1);
	open_gate();
	hear_bytes(fd, 1, "miss", true);
	CHECK_INT(atomic_load(&ran_local), 1);
	shut_door();
}

TEST(ttrpc_server__threads__start_on_demand_and_end_when_idle)
{
	struct ttrpc_limits limits = { .thread_idle_ms = 50 };
	int fd;

	open_door(&limits);
	fd = dial();
	CHECK_INT(door_stats().threads, 1);
	for (uint32_t id = 1; id < 11; id += 2)
		ask(fd, id, "Gate", "g", 0);
	WAIT_FOR(atomic_load(&at_gate) == 5);
	CHECK_INT(door_stats().threads, 6);
	open_gate();
	WAIT_FOR(door_stats().threads == 1);
	for (uint32_t id = 1; id < 11; id += 2) {
		struct told t;

		CHECK(hear(fd, &t));
	}
	ask(fd, 21, "Secret", "again", 0);
	hear_bytes(fd, 21, "again", true);
	shut_door();
}

TEST(ttrpc_server__stream_id_of_a_call_in_flight__is_refused)
{
	int fd, other;

	open_door(NULL);
	fd = dial();
	other = dial();
	ask(fd, 1, "Gate", "first", 0);
	WAIT_FOR(atomic_load(&at_gate) == 1);
	ask(fd, 1, "Echo", "second", 0);
	hear_status(fd, 1, 3, "stream id 1 is in use");
	ask(other, 1, "Echo", "ids are per connection", 0);
	hear_bytes(other, 1, "ids are per connection", false);
	open_gate();
	hear_bytes(fd, 1, "first", true);
	ask(fd, 1, "Echo", "third", 0);
	hear_bytes(fd, 1, "third", false);
	shut_door();
}

/* --- time ------------------------------------------------------------------------------ */

TEST(ttrpc_server__timeout__is_answered_while_the_method_runs_and_its_result_dropped)
{
	int fd;

	open_door(NULL);
	fd = dial();
	ask(fd, 1, "Gate", "too late", 100);
	hear_status(fd, 1, 4, "timeout");
	CHECK_INT(door_stats().calls, 1);
	open_gate();
	WAIT_FOR(door_stats().calls == 0);
	CHECK_INT(door_stats().late, 1);
	CHECK_INT(door_stats().timeouts, 1);
	CHECK_INT(door_stats().secret_bytes, 0);
	CHECK(!readable(fd, 50));
	ask(fd, 3, "Echo", "x", 0);
	hear_bytes(fd, 3, "x", false);
	shut_door();
}

TEST(ttrpc_server__timeout_in_the_queue__is_answered_and_the_method_never_runs)
{
	struct ttrpc_limits limits = { .trustee_threads = 1 };
	int fd;

	open_door(&limits);
	fd = dial();
	ask(fd, 1, "Gate", "a", 0);
	WAIT_FOR(atomic_load(&at_gate) == 1);
	ask(fd, 3, "Gate", "b", 100);
	hear_status(fd, 3, 4, "timeout");
	CHECK_INT(door_stats().calls, 1);
	open_gate();
	hear_bytes(fd, 1, "a", true);
	nap_ms(30);
	CHECK_INT(atomic_load(&at_gate), 1);
	shut_door();
}

TEST(ttrpc_server__no_or_negative_timeout__means_the_default)
{
	struct ttrpc_limits limits = { .timeout_ms = 150 };
	int fd;

	open_door(&limits);
	fd = dial();
	ask(fd, 1, "Gate", "a", 0);
	CHECK(!readable(fd, 100));
	hear_status(fd, 1, 4, "timeout");
	ask(fd, 3, "Gate", "a", INT64_MIN / 1000000);
	CHECK(!readable(fd, 100));
	hear_status(fd, 3, 4, "timeout");
	ask(fd, 5, "Gate", "a", INT64_MAX / 1000000);
	CHECK(!readable(fd, 400));
	shut_door();
}

TEST(ttrpc_server__slow_sender__is_closed_and_others_and_idle_ones_are_not)
{
	struct ttrpc_limits limits = { .read_ms = 150 };
	int slow, skipping, idle, drip;

	open_door(&limits);
	slow = dial();
	skipping = dial();
	drip = dial();
	idle = dial();
	send_bytes(idle, "\0\0\0\0\0\0\0", 7); /* a frame in two pieces, then silence */
	nap_ms(20);
	send_bytes(idle, "\1\1\0", 3);
	hear_status(idle, 1, 3, "does not exist");
	send_bytes(slow, "\0\0", 2);
	send_head(skipping, FRAME_MAX + 100, 1, FRAME_REQUEST);
	send_head(drip, 1000, 1, FRAME_REQUEST);
	for (int i = 0; i < 20 && !readable(drip, 0); i++) {
		send_bytes(drip, "x", 1); /* progress does not buy time */
		nap_ms(20);
	}
	CHECK(readable(drip, 0));
	CHECK(ended(slow, 2000));
	CHECK(ended(drip, 2000));
	CHECK(ended(skipping, 2000));
	CHECK_INT(door_stats().stalled, 3);
	CHECK(!readable(idle, 300));
	ask(idle, 3, "Echo", "y", 0);
	hear_bytes(idle, 3, "y", false);
	shut_door();
}

TEST(ttrpc_server__client_that_never_reads__holds_up_nobody_and_is_closed)
{
	struct ttrpc_limits limits = { .write_ms = 300 };
	struct told t;
	int deaf, fd;

	open_door(&limits);
	deaf = dial();
	fd = dial();
	ask(deaf, 1, "Big", "1000000", 0);
	ask(deaf, 3, "Big", "1000000", 0);
	WAIT_FOR(door_stats().secret_bytes > 1000000);
	for (uint32_t id = 1; id < 100; id += 2) {
		ask(fd, id, id % 4 == 1 ? "Secret" : "Echo", "x", 0);
		CHECK(hear(fd, &t) && t.status == 0);
	}
	WAIT_FOR(door_stats().connections == 1);
	CHECK_INT(door_stats().stalled, 1);
	CHECK_INT(door_stats().secret_bytes, 0);
	shut_door();
}

TEST(ttrpc_server__client_that_reads_slowly__gets_everything)
{
	static uint8_t junk[50000];
	struct ttrpc_limits limits = { .write_ms = 300 };
	size_t left = FRAME_HEAD + 1000010;
	int fd;

	open_door(&limits);
	fd = dial();
	ask(fd, 1, "Big", "1000000", 0);
	while (left > 0) {
		size_t n = left < sizeof junk ? left : sizeof junk;

		nap_ms(40); /* in all more than write_ms */
		CHECK(recv_bytes(fd, junk, n));
		left -= n;
	}
	CHECK_INT(door_stats().stalled, 0);
	ask(fd, 3, "Echo", "x", 0);
	hear_bytes(fd, 3, "x", false);
	shut_door();
}

TEST(ttrpc_server__peer_that_leaves__takes_its_work_with_it)
{
	struct ttrpc_limits limits = { .trustee_threads = 1 };
	int fd;

	open_door(&limits);
	fd = dial();
	for (uint32_t id = 1; id < 21; id += 2)
		ask(fd, id, "Gate", "g", 0);
	WAIT_FOR(door_stats().waiting_trustee == 9);
	(void)close(fd);
	WAIT_FOR(door_stats().connections == 0);
	CHECK_INT(door_stats().calls, 1);
	open_gate();
	WAIT_FOR(door_stats().calls == 0);
	CHECK_INT(atomic_load(&at_gate), 1);
	CHECK_INT(door_stats().late, 1);
	shut_door();
}

/* --- its life ---------------------------------------------------------------------------- */

TEST(ttrpc_server_listen__path__appears_complete_and_replaces_what_was_there)
{
	struct ttrpc_config config = { 0 };
	struct stat st;
	FILE *f;
	int fd;

	make_dir();
	f = fopen(door_path, "w");
	CHECK(f && fclose(f) == 0);
	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(door, door_path, 0660, getgid(), methods,
				      ARRAY_LEN(methods), NULL),
		  0);
	CHECK(stat(door_path, &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 07777, 0660);
	fd = dial(); /* before start: it waits */
	ask(fd, 1, "Echo", "early", 0);
	if (getuid() == 0) {
		CHECK_INT(ttrpc_server_start(door, NULL), 0);
		hear_bytes(fd, 1, "early", false);
	}
	shut_door();
	CHECK(access(door_path, F_OK) < 0);
}

TEST(ttrpc_server_listen__bad_path__is_an_error_that_names_it)
{
	struct ttrpc_config config = { 0 };
	char path[200] = "/tmp/", folder[] = "/tmp/vouchsafe-api.XXXXXX", beside[64];
	struct err e;

	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	for (size_t i = 5; i < 102; i++)
		path[i] = 'x';
	CHECK_ERR(ttrpc_server_listen(door, path, 0660, (gid_t)-1, methods, 1, &e), ERR_LIMIT, e,
		  "at most 101 bytes");
	CHECK_ERR(ttrpc_server_listen(door, "relative", 0660, (gid_t)-1, methods, 1, &e), ERR_LIMIT,
		  e, "absolute");
	CHECK_ERR(ttrpc_server_listen(door, "/nowhere/at/all", 0660, (gid_t)-1, methods, 1, &e),
		  ERR_SYSTEM, e, "bind /nowhere/at/all.new: ENOENT");
	/* A folder stands where the socket should: what was made beside it goes again. */
	CHECK(mkdtemp(folder) != NULL);
	(void)snprintf(beside, sizeof beside, "%s.new", folder);
	CHECK_ERR(ttrpc_server_listen(door, folder, 0660, (gid_t)-1, methods, 1, &e), ERR_SYSTEM, e,
		  "EISDIR");
	CHECK(access(beside, F_OK) < 0 && rmdir(folder) == 0);
	ttrpc_server_free(door);
}

TEST(ttrpc_server_drain__deadline_passed__says_what_was_left_and_closes)
{
	struct err e = { 0 };
	int fd;

	open_door(NULL);
	fd = dial();
	ask(fd, 1, "Gate", "in flight", 0);
	WAIT_FOR(atomic_load(&at_gate) == 1);
	CHECK_INT(ttrpc_server_drain(door, deadline_in(100), &e), -ERR_TIMEOUT);
	CHECK(strstr(e.msg, "1 calls still ran") != NULL);
	CHECK(access(door_path, F_OK) < 0);
	CHECK(ended(fd, 1000));
	shut_door();
}

static void *drain_later(void *arg)
{
	struct err *e = arg;

	CHECK_INT(ttrpc_server_drain(door, deadline_in(10000), e), 0);
	return NULL;
}

TEST(ttrpc_server_drain__what_is_in_flight__ends_well)
{
	struct err e = { 0 };
	struct told t;
	pthread_t thread;
	int fd, idle;

	open_door(NULL);
	fd = dial();
	idle = dial();
	ask(fd, 1, "Gate", "in flight", 0);
	ask(fd, 3, "Big", "2000000", 0);
	WAIT_FOR(atomic_load(&at_gate) == 1);
	WAIT_FOR(door_stats().calls_total == 2 && door_stats().calls == 1);
	CHECK(pthread_create(&thread, NULL, drain_later, &e) == 0);
	WAIT_FOR(access(door_path, F_OK) < 0);
	nap_ms(50);
	ask(idle, 1, "Echo", "after", 0); /* stays in the socket */
	CHECK(!readable(idle, 100));
	CHECK(hear(fd, &t) && t.stream == 3 && t.len == 2000004);
	open_gate();
	hear_bytes(fd, 1, "in flight", true);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(ended(fd, 1000) && ended(idle, 1000));
	shut_door();
}

TEST(ttrpc_server_drain__a_successors_socket__stays)
{
	struct ttrpc_config config = { 0 };
	struct ttrpc_server *next;

	open_door(NULL);
	CHECK_INT(ttrpc_server_new(&next, &config, NULL), 0);
	CHECK_INT(ttrpc_server_listen(next, door_path, 0660, (gid_t)-1, methods, 1, NULL), 0);
	shut_door();
	CHECK(access(door_path, F_OK) == 0);
	ttrpc_server_free(next);
	CHECK(access(door_path, F_OK) < 0);
}

TEST(ttrpc_server_ping__running__answers)
{
	struct ttrpc_config config = { 0 };
	struct err e;

	CHECK_INT(ttrpc_server_new(&door, &config, NULL), 0);
	CHECK_ERR(ttrpc_server_ping(door, 50, &e), ERR_TIMEOUT, e, "did not answer");
	CHECK_INT(ttrpc_server_start(door, NULL), 0);
	CHECK_INT(ttrpc_server_ping(door, 5000, NULL), 0);
	CHECK_INT(ttrpc_server_ping(door, 5000, NULL), 0);
	ttrpc_server_free(door);
}
