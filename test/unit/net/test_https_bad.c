/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that stall, break, lie and flood. */
#include "test/unit/net/server.h"

#include <dlfcn.h>
#include <netdb.h>

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BODY_MAX 1000

/* libcurl's resolver ends here: no test asks a name server. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
							const struct addrinfo *hints,
							struct addrinfo **out)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (node && strcmp(node, "slow.test") == 0) {
		nap_ms(2500);
		return EAI_AGAIN;
	}
	if (node && strcmp(node, "nosuch.test") == 0)
		return EAI_NONAME;
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, out);
}

static int get_capped(struct https *h, const char *url, struct http_reply *reply, struct err *e)
{
	struct http_request q = { .method = "GET", .url = url, .reply_max = BODY_MAX,
				  .deadline = deadline_in(10000) };

	return https_round_trip(h, &q, reply, e);
}

/* What the servers below do next; the test changes it between requests. */
struct script {
	char kind;   /* of a body: 'l' announced, 'c' chunks, 'e' until the connection's end */
	size_t size; /* of that body */
	char raw[300];
	bool hard; /* end by a reset */
};

static pthread_mutex_t script_lock = PTHREAD_MUTEX_INITIALIZER;
static struct script next;

static void set_script(const struct script *s)
{
	(void)pthread_mutex_lock(&script_lock);
	next = *s;
	(void)pthread_mutex_unlock(&script_lock);
}

static struct script script(void)
{
	struct script s;

	(void)pthread_mutex_lock(&script_lock);
	s = next;
	(void)pthread_mutex_unlock(&script_lock);
	return s;
}

static void serve_body(struct server *s, int fd)
{
	struct script now;
	char chunk[64];

	if (!read_request(s, fd))
		return;
	now = script();
	say(fd, "HTTP/1.1 200 OK\r\n");
	if (now.kind == 'l')
		(void)snprintf(chunk, sizeof chunk, "Content-Length: %zu\r\n\r\n", now.size);
	else
		(void)snprintf(chunk, sizeof chunk, "%s\r\n",
			       now.kind == 'c' ? "Transfer-Encoding: chunked\r\n" : "");
	say(fd, chunk);
	for (size_t i = 0; i < now.size; i++)
		say(fd, now.kind == 'c' ? "1\r\nx\r\n" : "x");
	if (now.kind == 'c')
		say(fd, "0\r\n\r\n");
}

TEST(body__at_and_over_its_cap__however_it_is_framed)
{
	static const char kinds[] = "lce"; /* announced length, chunks, connection's end */
	struct server *s = start_server(serve_body, NULL);

	for (size_t i = 0; i < 3; i++) {
		cleanup_http_reply struct http_reply fits = { 0 };
		struct http_reply over = { 0 };
		struct https *h = new_client(NULL);
		struct err e = { 0 };

		set_script(&(struct script){ .kind = kinds[i], .size = BODY_MAX });
		CHECK_INT(get_capped(h, s->url, &fits, &e), 0);
		CHECK_INT(fits.body.len, BODY_MAX);
		set_script(&(struct script){ .kind = kinds[i], .size = BODY_MAX + 1 });
		CHECK_ERR(get_capped(h, s->url, &over, &e), ERR_LIMIT, e, "over 1000 bytes");
		CHECK_INT(e.code, CODE_NET_TOO_LARGE);
		CHECK(!over.body.p);
		https_free(h);
	}
}

static void serve_announcement(struct server *s, int fd)
{
	if (read_request(s, fd))
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
	nap_ms(3000);
}

TEST(body__announced_too_large__is_refused_before_it_comes)
{
	struct server *s = start_server(serve_announcement, NULL);
	struct https *h = new_client(NULL);
	int64_t before = clock_boot_ms();

	check_get_fails(h, s->url, 5000, CODE_NET_TOO_LARGE, "over 8388608 bytes");
	CHECK(clock_boot_ms() - before < 2800);
	https_free(h);
}

static void serve_many_headers(struct server *s, int fd)
{
	char line[1100] = "X-Filler: ";

	for (size_t i = 10; i < 1024; i++)
		line[i] = 'f';
	if (!read_request(s, fd))
		return;
	say(fd, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 80; i++) {
		say(fd, line);
		say(fd, "\r\n");
	}
	say(fd, "Content-Length: 2\r\n\r\nok");
}

static void serve_long_header(struct server *s, int fd)
{
	if (!read_request(s, fd))
		return;
	say(fd, "HTTP/1.1 200 OK\r\nX-Filler: ");
	for (int i = 0; i < 4096; i++)
		say(fd, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff");
	say(fd, "\r\nContent-Length: 2\r\n\r\nok");
}

static void serve_many_interims(struct server *s, int fd)
{
	if (!read_request(s, fd))
		return;
	for (int i = 0; i < 100000 && s->open; i++)
		say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, OK_REPLY);
}

TEST(headers__over_their_cap__are_refused)
{
	struct https *h = new_client(NULL);

	check_get_fails(h, start_server(serve_many_headers, NULL)->url, 5000, CODE_NET_TOO_LARGE,
			"headers of over 65536 bytes");
	check_get_fails(h, start_server(serve_long_header, NULL)->url, 5000, CODE_NET_TOO_LARGE,
			"header");
	check_get_fails(h, start_server(serve_many_interims, NULL)->url, 5000, CODE_NET_TOO_LARGE,
			"headers of over 65536 bytes");
	https_free(h);
}

static void serve_nothing(struct server *s, int fd)
{
	(void)read_request(s, fd);
	nap_ms(5000);
}

static void serve_body_drip(struct server *s, int fd)
{
	if (!read_request(s, fd))
		return;
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	for (int i = 0; i < 100; i++) {
		say(fd, "x");
		nap_ms(50);
	}
}

static void serve_header_drip(struct server *s, int fd)
{
	if (!read_request(s, fd))
		return;
	say(fd, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 100; i++) {
		say(fd, "X-A: b\r\n");
		nap_ms(50);
	}
}

TEST(deadline__stall_and_drip__end_there)
{
	static void (*const serve[])(struct server *, int) = { serve_nothing, serve_body_drip,
							       serve_header_drip };

	for (size_t i = 0; i < ARRAY_LEN(serve); i++) {
		struct server *s = start_server(serve[i], NULL);
		struct https *h = new_client(NULL);
		int64_t before = clock_boot_ms(), took;

		check_get_fails(h, s->url, 400, CODE_NET_TIMEOUT, "127.0.0.1");
		took = clock_boot_ms() - before;
		if (took < 390 || took > 4000)
			test_fail(__FILE__, __LINE__, "row %zu took %lld ms", i, (long long)took);
		https_free(h);
	}
}

TEST(deadline__has_passed__fails_at_once)
{
	struct server *s = start_server(serve_nothing, NULL);
	struct https *h = new_client(NULL);
	int64_t before = clock_boot_ms();

	check_get_fails(h, s->url, -5000, CODE_NET_TIMEOUT, "");
	check_get_fails(h, s->url, 0, CODE_NET_TIMEOUT, "");
	CHECK(clock_boot_ms() - before < 3000);
	https_free(h);
}

static void serve_after_a_while(struct server *s, int fd)
{
	while (read_request(s, fd)) {
		nap_ms(100);
		say(fd, OK_REPLY);
	}
}

/* libcurl keeps milliseconds in an unsigned int: what is over it would come out short. */
TEST(deadline__very_far__is_no_overflow)
{
	static const int64_t left[] = { INT32_MAX, (1LL << 32) + 5, (1LL << 33) + 5 };
	struct server *s = start_server(serve_after_a_while, NULL);
	struct https *h = new_client(NULL);

	for (size_t i = 0; i <= ARRAY_LEN(left); i++) {
		cleanup_http_reply struct http_reply reply = { 0 };
		struct http_request q = { .method = "GET", .url = s->url, .deadline = { INT64_MAX } };
		struct err e = { 0 };

		if (i < ARRAY_LEN(left))
			q.deadline = deadline_in(left[i]);
		if (https_round_trip(h, &q, &reply, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
	}
	https_free(h);
}

/* Nobody accepts, and the queue of connections is full: SYN packets are dropped, as by a firewall. */
TEST(connect__dropped_packets__end_at_the_connect_limit)
{
	const struct https_config config = { .connect_ms = 400 };
	struct https *h = new_client(&config);
	int port, fd = listen_on(false, 0, &port), filler[8];
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons((uint16_t)port) };
	char url[64];
	int64_t before;

	for (size_t i = 0; i < ARRAY_LEN(filler); i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(filler[i], (struct sockaddr *)&a, sizeof a);
	}
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	before = clock_boot_ms();
	check_get_fails(h, url, 10000, CODE_NET_UNREACHABLE, url);
	CHECK(clock_boot_ms() - before < 8000);
	check_get_fails(h, url, 200, CODE_NET_TIMEOUT, url);
	for (size_t i = 0; i < ARRAY_LEN(filler); i++)
		(void)close(filler[i]);
	(void)close(fd);
	https_free(h);
}

TEST(connect__nobody_listens__is_refused)
{
	struct https *h = new_client(NULL);
	int port, fd = listen_on(false, 1, &port);
	char url[64];

	(void)close(fd);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	check_get_fails(h, url, 5000, CODE_NET_REFUSED, url);
	(void)snprintf(url, sizeof url, "https://127.0.0.1:%d", port);
	check_get_fails(h, url, 5000, CODE_NET_REFUSED, url);
	https_free(h);
}

TEST(resolver__unknown_name_and_silent_server__are_net_dns_and_the_deadline)
{
	struct https *h = new_client(NULL);
	int64_t before = clock_boot_ms();

	check_get_fails(h, "http://nosuch.test:8080", 5000, CODE_NET_DNS, "nosuch.test");
	check_get_fails(h, "http://slow.test:8080", 300, CODE_NET_TIMEOUT, "slow.test");
	CHECK(clock_boot_ms() - before < 4500);
	https_free(h);
	/* The resolver's thread ends by itself; the leak checker shall not see it half way. */
	nap_ms(2600);
}

/* Some bytes, then the connection ends: in order, or by a reset. */
static void serve_raw(struct server *s, int fd)
{
	const struct linger off = { 1, 0 };
	struct script now;

	if (!read_request(s, fd))
		return;
	now = script();
	say(fd, now.raw);
	if (now.hard) {
		nap_ms(50);
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
	}
}

TEST(reply__cut_or_malformed__has_its_code)
{
	static const struct {
		const char *bytes;
		bool hard;
		enum err_code code;
	} rows[] = {
		{ "", false, CODE_NET_BROKEN },
		{ "", true, CODE_NET_BROKEN },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false, CODE_NET_BROKEN },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", true, CODE_NET_BROKEN },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", false, CODE_NET_BROKEN },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", false, CODE_NET_BROKEN },
		{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab", false, CODE_NET_HTTP },
		{ "HTTP/1.1 200 OK\r\nContent-Len", false, CODE_NET_BROKEN },
		{ "SSH-2.0-OpenSSH_9.2\r\n", false, CODE_NET_HTTP },
		{ "just some text that is no HTTP at all\r\n", false, CODE_NET_HTTP },
		{ "HTTP/1.1 abc OK\r\n\r\n", false, CODE_NET_HTTP },
		{ "HTTP/3.7 200 OK\r\n\r\n", false, CODE_NET_HTTP },
	};
	struct server *s = start_server(serve_raw, NULL);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct https *h = new_client(NULL);
		struct http_reply reply = { 0 };
		struct err e = { 0 };
		struct script now = { .hard = rows[i].hard };
		int r;

		(void)snprintf(now.raw, sizeof now.raw, "%s", rows[i].bytes);
		set_script(&now);
		r = get_within(h, s->url, "/x", 5000, &reply, &e);
		if (r == 0 || e.code != rows[i].code || !strstr(e.msg, s->url))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s \"%s\"", i, r,
				  r ? err_name(&e) : "", e.msg);
		https_free(h);
	}
}

static void serve_redirect(struct server *s, int fd)
{
	while (read_request(s, fd)) {
		struct script now = script();

		say(fd, now.raw);
	}
}

TEST(redirect__of_any_kind__is_refused_and_not_followed)
{
	static const int statuses[] = { 300, 301, 302, 303, 304, 307, 308 };
	struct server *target = start_server(serve_reply, OK_REPLY);
	struct server *s = start_server(serve_redirect, NULL);
	struct https *h = new_client(NULL);

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct script now = { .hard = false };

		(void)snprintf(now.raw, sizeof now.raw,
			       "HTTP/1.1 %d Elsewhere\r\nLocation: %s/stolen\r\nContent-Length: 0\r\n\r\n",
			       statuses[i], target->url);
		set_script(&now);
		check_get_fails(h, s->url, 5000, CODE_NET_REDIRECT, "/stolen");
	}
	CHECK_INT(target->connections, 0);
	CHECK_INT(s->connections, 1);
	https_free(h);
}

TEST(url__of_another_scheme__is_refused)
{
	static const char *const urls[] = { "file:///etc/hostname", "ftp://127.0.0.1/x",
					    "gopher://127.0.0.1/x", "dict://127.0.0.1/x",
					    "ws://127.0.0.1/x" };
	struct https *h = new_client(NULL);

	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		check_get_fails(h, urls[i], 3000, CODE_NET_HTTP, urls[i]);
	https_free(h);
}
