/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_conns.h"
#include "agent/base/clock.h"
#include "agent/base/mem.h"
#include "test/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>

/* Clients and the server's ends of their sockets, all in this process. */
struct client {
	int ours, theirs;
	struct rest_conn *conn;
};

static struct rest_conns *conns;

static struct sockaddr_in from(const char *ip)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(4711) };

	CHECK_INT(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	return a;
}

static void begin(size_t held_max)
{
	struct rlimit files = { 2048, 2048 };
	struct err e;

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		test_skip("this machine does not allow 2048 descriptors");
	CHECK_INT(rest_conns_new(&conns, held_max, &e), 0);
}

static bool come(struct client *c, const char *ip)
{
	struct sockaddr_in a = from(ip);
	int fd[2];

	if (!rest_conns_admit(conns, (const void *)&a))
		return false;
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	*c = (struct client){ fd[0], fd[1], NULL };
	c->conn = rest_conns_add(conns, (const void *)&a, c->ours);
	CHECK(c->conn != NULL);
	return true;
}

/* The client sees its end. */
static bool is_cut(const struct client *c)
{
	struct pollfd p = { .fd = c->theirs, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLRDHUP);
}

static void leave(struct client *c)
{
	rest_conns_remove(conns, c->conn);
	(void)close(c->ours);
	(void)close(c->theirs);
	*c = (struct client){ .ours = -1, .theirs = -1 };
}

static unsigned now_connected(void)
{
	struct rest_conns_stats s;

	rest_conns_stats(conns, &s);
	return s.connections;
}

TEST(rest_conns__local_address_full__the_one_that_waited_longest_goes)
{
	static struct client all[REST_CONNS_ADDRESS], more;

	begin(1 << 20);
	for (size_t i = 0; i < REST_CONNS_ADDRESS; i++)
		CHECK(come(&all[i], "127.0.0.1"));
	for (size_t i = 0; i < REST_CONNS_ADDRESS; i++)
		CHECK(!is_cut(&all[i]));
	/* The first one is being served, the second has asked anew: the third is the oldest. */
	rest_conns_phase(conns, all[0].conn, REST_WORKING);
	(void)usleep(3000);
	rest_conns_phase(conns, all[1].conn, REST_WAITING);
	CHECK(come(&more, "127.0.0.1"));
	CHECK(is_cut(&all[2]) && !is_cut(&all[0]) && !is_cut(&all[1]) && !is_cut(&more));
	/* Another address has its own room. */
	leave(&more);
	CHECK(come(&more, "127.0.0.2"));
	CHECK(!is_cut(&all[3]));
	/* One that is cut counts no more, also before it is closed. */
	leave(&all[2]);
	CHECK_INT(now_connected(), REST_CONNS_ADDRESS);
}

TEST(rest_conns__all_full__room_is_made_across_addresses)
{
	static struct client all[REST_CONNS], more;
	struct rest_conns_stats s;

	begin(1 << 20);
	for (size_t i = 0; i < REST_CONNS; i++)
		CHECK(come(&all[i], i % 2 ? "127.0.0.1" : "127.0.0.9"));
	CHECK(come(&more, "127.9.9.9"));
	CHECK(is_cut(&all[0]));
	/* When all are being served nobody is cut, and nobody comes in. */
	for (size_t i = 1; i < REST_CONNS; i++)
		rest_conns_phase(conns, all[i].conn, REST_WORKING);
	rest_conns_phase(conns, more.conn, REST_WORKING);
	CHECK(!come(&all[0], "127.0.0.9"));
	rest_conns_stats(conns, &s);
	CHECK_INT(s.refused, 1);
	CHECK_INT(s.cut, 1);
	CHECK_INT(s.working, REST_CONNS);
	/* An answer that has just begun is not cut either. */
	rest_conns_phase(conns, more.conn, REST_SENDING);
	CHECK(!come(&all[0], "127.0.0.9"));
	leave(&more);
	CHECK(come(&more, "127.0.0.9"));
}

TEST(rest_conns__foreign_addresses__share_few_places)
{
	static struct client all[REST_CONNS_FOREIGN], more;
	char ip[32];

	begin(1 << 20);
	for (int i = 0; i < REST_CONNS_FOREIGN; i++) {
		(void)snprintf(ip, sizeof ip, "10.0.0.%d", i + 1);
		CHECK(come(&all[i], ip));
	}
	CHECK(come(&more, "127.0.0.1"));
	CHECK(!is_cut(&all[0]));
	leave(&more);
	CHECK(come(&more, "10.0.1.1"));
	CHECK(is_cut(&all[0]) && !is_cut(&all[1]));
}

TEST(rest_conns__table_of_closing_ones_full__is_not_served)
{
	struct sockaddr_in a = from("127.0.0.1");
	struct client c;

	begin(1 << 20);
	/* Cut and never closed: the library would have to hang for that. */
	for (int i = 0; i < REST_CONNS_TABLE; i++)
		CHECK(come(&c, "127.0.0.1"));
	CHECK(rest_conns_admit(conns, (const void *)&a));
	CHECK(!rest_conns_add(conns, (const void *)&a, c.ours));
}

TEST(rest_conns_sweep__phases__have_their_times)
{
	static const struct {
		enum rest_phase phase;
		int64_t limit;
	} rows[] = { { REST_WAITING, REST_WAIT_MS },
		     { REST_READING, REST_READ_MS },
		     { REST_SENDING, REST_SEND_MS } };
	struct client c;
	int64_t before;

	begin(1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK(come(&c, "127.0.0.1"));
		before = clock_boot_ms();
		rest_conns_phase(conns, c.conn, rows[i].phase);
		rest_conns_sweep(conns, before + rows[i].limit);
		CHECK(!is_cut(&c));
		rest_conns_sweep(conns, clock_boot_ms() + rows[i].limit + 1);
		CHECK(is_cut(&c));
		leave(&c);
	}
	CHECK(come(&c, "127.0.0.1"));
	rest_conns_phase(conns, c.conn, REST_WORKING);
	rest_conns_sweep(conns, clock_boot_ms() + 86400 * 1000);
	CHECK(!is_cut(&c));
	leave(&c);
	rest_conns_free(conns);
}

TEST(rest_conns_hold__too_much_plaintext__who_left_it_longest_goes)
{
	struct client c[4];
	struct rest_conns_stats s;

	begin(1000);
	for (size_t i = 0; i < 4; i++) {
		CHECK(come(&c[i], "127.0.0.1"));
		rest_conns_phase(conns, c[i].conn, REST_WORKING);
	}
	for (size_t i = 0; i < 2; i++) {
		rest_conns_hold(conns, c[i].conn, 400);
		rest_conns_phase(conns, c[i].conn, REST_SENDING);
		(void)usleep(3000);
	}
	rest_conns_hold(conns, c[2].conn, 200);
	CHECK(!is_cut(&c[0]) && !is_cut(&c[1]) && !is_cut(&c[2]));
	rest_conns_hold(conns, c[3].conn, 1);
	CHECK(is_cut(&c[0]) && !is_cut(&c[1]) && !is_cut(&c[2]) && !is_cut(&c[3]));
	rest_conns_release(conns, 400);
	leave(&c[0]);
	/* Taken: the next request on that connection holds nothing. */
	rest_conns_phase(conns, c[1].conn, REST_WAITING);
	rest_conns_release(conns, 400);
	rest_conns_stats(conns, &s);
	CHECK_INT(s.held, 201);
	rest_conns_release(conns, 1);
	rest_conns_hold(conns, c[3].conn, 700);
	CHECK(!is_cut(&c[1]) && !is_cut(&c[2]) && !is_cut(&c[3]));
	/* One answer alone may be larger than all that is allowed. */
	rest_conns_hold(conns, c[1].conn, 5000);
	CHECK(is_cut(&c[2]) && is_cut(&c[3]) && !is_cut(&c[1]));
	rest_conns_release(conns, 900);
	rest_conns_release(conns, 5000);
	rest_conns_release(conns, 1);
	rest_conns_stats(conns, &s);
	CHECK_INT(s.held, 0);
}
