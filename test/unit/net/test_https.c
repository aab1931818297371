/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/net/server.h"

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

TEST(round_trip__post__sends_what_it_was_given_and_nothing_else)
{
	struct server *s = start_server(
		serve_reply, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n"
			     "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 7\r\n"
			     "Set-Cookie: kbs-session-id=abc; Expires=Tue, 24 Nov 2099 10:05:00 GMT\r\n"
			     "\r\n{}\n");
	struct https *h = new_client(NULL);
	cleanup_http_reply struct http_reply reply = { 0 };
	/* libcurl asks before it sends more than 1 MiB ("Expect:"), and waits a second for the answer. */
	static char body[1200 * 1024];
	char url[200];
	struct http_request q = {
		.method = "POST",
		.url = url,
		.bearer = "a.b.c",
		.cookie = "kbs-session-id=xyz",
		.content_type = "application/json",
		.body = { (const uint8_t *)body, sizeof body },
		.deadline = deadline_in(10000),
	};
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (char)('a' + i % 26);
	(void)snprintf(url, sizeof url, "%s/kbs/v0/auth?q=1", s->url);
	CHECK_INT(https_round_trip(h, &q, &reply, &e), 0);
	CHECK_INT(reply.status, 200);
	CHECK(strcmp(buf_str(&reply.body), "{}\n") == 0);
	CHECK(strcmp(reply.set_cookie, "kbs-session-id=abc") == 0);
	CHECK_INT(reply.date, 784111777);
	CHECK_INT(reply.retry_after_ms, 7000);
	CHECK(strncmp(s->seen, "POST /kbs/v0/auth?q=1 HTTP/1.1\r\n", 32) == 0);
	CHECK(has_seen(s, "\r\nAuthorization: Bearer a.b.c\r\n"));
	CHECK(has_seen(s, "\r\nCookie: kbs-session-id=xyz\r\n"));
	CHECK(has_seen(s, "\r\nContent-Type: application/json\r\n"));
	CHECK(has_seen(s, "\r\nUser-Agent: unit test\r\n"));
	CHECK(memcmp(strstr(s->seen, "\r\n\r\n") + 4, body, 50000) == 0);
	CHECK(!has_seen(s, "\r\nExpect:"));
	CHECK(!has_seen(s, "\r\nAccept-Encoding:"));
	https_free(h);
}

TEST(round_trip__get__has_no_header_of_an_earlier_request)
{
	struct server *s = start_server(
		serve_reply, "HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nContent-Length: 2\r\n\r\nok");
	struct https *h = new_client(NULL);
	cleanup_http_reply struct http_reply first = { 0 }, second = { 0 };
	char url[200];
	struct http_request q = { .method = "POST", .url = url, .bearer = "t", .cookie = "a=b",
				  .content_type = "application/json", .body = view_str("{}"),
				  .deadline = deadline_in(10000) };
	struct err e = { 0 };

	(void)snprintf(url, sizeof url, "%s/a", s->url);
	CHECK_INT(https_round_trip(h, &q, &first, &e), 0);
	CHECK_INT(get_within(h, s->url, "/b", 10000, &second, &e), 0);
	CHECK(strncmp(s->seen, "GET /b HTTP/1.1\r\n", 17) == 0);
	/* No cookie engine: what the server set is not sent by itself. */
	CHECK(!has_seen(s, "Cookie:") && !has_seen(s, "Authorization:"));
	CHECK(!has_seen(s, "Content-Type:") && !has_seen(s, "Content-Length:"));
	CHECK_INT(s->connections, 1);
	https_free(h);
}

TEST(round_trip__every_status_but_redirects__is_a_success_of_the_transport)
{
	static const int statuses[] = { 200, 201, 400, 401, 403, 404, 407, 413, 418, 429, 500, 502, 503 };

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct https *h = new_client(NULL);
		char *text; /* the server's for ever */

		CHECK(asprintf(&text,
			       "HTTP/1.1 %d Words\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
			       "Content-Length: 4\r\n\r\nbody",
			       statuses[i]) > 0);
		check_get(h, start_server(serve_reply, text), statuses[i], "body");
		https_free(h);
	}
}

TEST(round_trip__one_caller__keeps_one_connection)
{
	struct server *s = start_server(serve_reply, OK_REPLY);
	struct https *h = new_client(NULL);

	for (int i = 0; i < 30; i++)
		check_get(h, s, 200, "ok");
	CHECK_INT(s->requests, 30);
	CHECK_INT(s->connections, 1);
	CHECK_INT(https_connections(h), 1);
	https_free(h);
}

static void serve_slowly(struct server *s, int fd)
{
	while (read_request(s, fd)) {
		nap_ms(60);
		say(fd, OK_REPLY);
	}
}

struct caller {
	struct https *h;
	struct server *s;
};

static void *five_gets(void *arg)
{
	struct caller *c = arg;

	for (int i = 0; i < 5; i++)
		check_get(c->h, c->s, 200, "ok");
	return NULL;
}

TEST(round_trip__many_threads__share_four_connections)
{
	struct server *s = start_server(serve_slowly, NULL);
	struct https *h = new_client(NULL);
	struct caller c = { h, s };
	pthread_t t[12];

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_INT(pthread_create(&t[i], NULL, five_gets, &c), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_INT(pthread_join(t[i], NULL), 0);
	CHECK_INT(s->requests, 60);
	CHECK_INT(s->connections, HTTPS_HANDLES);
	CHECK_INT(https_connections(h), HTTPS_HANDLES);
	https_free(h);
}

TEST(round_trip__one_caller_after_a_crowd__stays_on_one_connection)
{
	struct server *s = start_server(serve_slowly, NULL);
	struct https *h = new_client(NULL);
	struct caller c = { h, s };
	pthread_t t[HTTPS_HANDLES];
	int fd = 0;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_INT(pthread_create(&t[i], NULL, five_gets, &c), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_INT(pthread_join(t[i], NULL), 0);
	CHECK_INT(s->connections, HTTPS_HANDLES);
	for (int i = 0; i < 6; i++) {
		check_get(h, s, 200, "ok");
		CHECK(i == 0 || s->last == fd);
		fd = s->last;
	}
	https_free(h);
}

static void serve_late(struct server *s, int fd)
{
	if (read_request(s, fd)) {
		nap_ms(2000);
		say(fd, OK_REPLY);
	}
}

static void *one_get(void *arg)
{
	struct caller *c = arg;

	check_get(c->h, c->s, 200, "ok");
	return NULL;
}

TEST(round_trip__all_connections_busy__waits_no_longer_than_its_deadline)
{
	struct server *s = start_server(serve_late, NULL);
	struct https *h = new_client(NULL);
	struct caller c = { h, s };
	pthread_t t[HTTPS_HANDLES];
	int64_t before;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_INT(pthread_create(&t[i], NULL, one_get, &c), 0);
	while (s->requests < HTTPS_HANDLES)
		nap_ms(5);
	before = clock_boot_ms();
	check_get_fails(h, s->url, 300, CODE_NET_TIMEOUT, "busy");
	CHECK(clock_boot_ms() - before >= 290 && clock_boot_ms() - before < 1400);
	/* One that can wait gets the connection that becomes free. */
	check_get(h, s, 200, "ok");
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_INT(pthread_join(t[i], NULL), 0);
	https_free(h);
}

/* Says that it keeps the connection, and does not. */
static void serve_once(struct server *s, int fd)
{
	if (read_request(s, fd))
		say(fd, OK_REPLY);
}

/* Takes the second request of its first connection and resets. */
static void serve_then_reset(struct server *s, int fd)
{
	struct linger hard = { 1, 0 };
	bool first = s->connections == 1;

	while (read_request(s, fd)) {
		if (first && s->requests == 2) {
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
			return;
		}
		say(fd, OK_REPLY);
	}
}

TEST(round_trip__kept_connection_is_dead__goes_out_on_a_new_one)
{
	struct server *closing = start_server(serve_once, NULL);
	struct server *resetting = start_server(serve_then_reset, NULL);
	struct https *h = new_client(NULL);

	for (int i = 0; i < 3; i++) {
		check_get(h, closing, 200, "ok");
		nap_ms(30);
	}
	CHECK_INT(closing->connections, 3);
	check_get(h, resetting, 200, "ok");
	check_get(h, resetting, 200, "ok");
	CHECK_INT(resetting->connections, 2);
	CHECK_INT(resetting->requests, 3);
	https_free(h);
}

TEST(round_trip__ipv6_literal__works)
{
	struct server *s = start_server6(true, serve_reply, OK_REPLY);
	struct https *h = new_client(NULL);
	char host[64];

	check_get(h, s, 200, "ok");
	(void)snprintf(host, sizeof host, "\r\nHost: [::1]:%d\r\n", s->port);
	CHECK(has_seen(s, host));
	https_free(h);
}

TEST(round_trip__control_character_in_a_header__is_not_sent)
{
	static const char *const bad[] = { "a\r\nX: y", "a\nX: y", "a\x7f", "\x01" };
	struct server *s = start_server(serve_reply, OK_REPLY);
	struct https *h = new_client(NULL);
	struct http_reply reply = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct http_request q = { .method = "GET", .url = s->url, .bearer = bad[i],
					  .deadline = deadline_in(5000) };

		CHECK_ERR(https_round_trip(h, &q, &reply, &e), ERR_INTERNAL, e, "header");
		q.bearer = NULL;
		q.content_type = bad[i];
		CHECK_ERR(https_round_trip(h, &q, &reply, &e), ERR_INTERNAL, e, "header");
	}
	CHECK_INT(s->connections, 0);
	https_free(h);
}

TEST(round_trip__environment_and_home__are_not_asked)
{
	char home[] = "/tmp/vouchsafe-net-XXXXXX", path[64];
	int port;
	/* Whoever followed a variable would end here. */
	int nowhere = listen_on(false, 1, &port);
	struct server *s = start_server(serve_reply, OK_REPLY);
	struct https *h;
	char proxy[64];
	FILE *f;

	CHECK(mkdtemp(home) != NULL);
	(void)snprintf(path, sizeof path, "%s/.netrc", home);
	f = fopen(path, "w");
	CHECK(f != NULL && fputs("machine 127.0.0.1 login me password it\n", f) >= 0);
	CHECK_INT(fclose(f), 0);
	(void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", port);
	(void)setenv("HOME", home, 1);
	(void)setenv("http_proxy", proxy, 1);
	(void)setenv("https_proxy", proxy, 1);
	(void)setenv("all_proxy", proxy, 1);
	(void)setenv("ALL_PROXY", proxy, 1);
	h = new_client(NULL);
	check_get(h, s, 200, "ok");
	CHECK(!has_seen(s, "Authorization"));
	CHECK_INT(s->connections, 1);
	https_free(h);
	(void)unlink(path);
	(void)rmdir(home);
	(void)close(nowhere);
}

TEST(https_new__ca_that_is_no_pem__is_a_bad_setting)
{
	const struct https_config config = { .ca_pem = "not a certificate" };
	struct https *h = NULL;
	struct err e;

	CHECK_ERR(https_new(&h, &config, &e), ERR_FORMAT, e, "PEM");
	CHECK_INT(e.code, CODE_CONFIG_VALUE);
	CHECK(!h);
	https_free(h);
}
