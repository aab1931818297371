/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_NET_SERVER_H
#define TEST_UNIT_NET_SERVER_H

#include "agent/net/https.h"
#include "test/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

/*
 * A server on the loopback address with one thread a connection, whose `serve` decides what
 * comes back, byte for byte. It lives until the test's process ends.
 */
struct server {
	void (*serve)(struct server *s, int fd);
	const char *reply; /* what serve_reply() sends */
	int fd, port;
	atomic_int connections, requests, open;
	atomic_int last; /* descriptor of the connection that the last request came on */
	pthread_mutex_t lock;
	char seen[1u << 16]; /* the last request, head and body */
	char url[128];
};

struct server_connection {
	struct server *s;
	int fd;
};

static inline void say_bytes(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t k = send(fd, at, n, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		at += k;
		n -= (size_t)k;
	}
}

static inline void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

static inline void nap_ms(int ms)
{
	(void)usleep((useconds_t)ms * 1000);
}

/*
 * The next request into s->seen: its head, and of its body what fits (the rest is read too). False
 * at the connection's end.
 */
static inline bool read_request(struct server *s, int fd)
{
	char got[sizeof s->seen], rest[1u << 16];
	size_t n = 0, kept = 0, want = SIZE_MAX;

	while (n < want) {
		bool fits = kept < sizeof got - 1;
		ssize_t k = fits ? recv(fd, got + kept, sizeof got - 1 - kept, 0)
				 : recv(fd, rest, sizeof rest, 0);
		char *end, *length;

		if (k <= 0)
			return false;
		n += (size_t)k;
		kept += fits ? (size_t)k : 0;
		got[kept] = '\0';
		end = want == SIZE_MAX ? strstr(got, "\r\n\r\n") : NULL;
		if (!end)
			continue;
		length = strcasestr(got, "content-length:");
		want = (size_t)(end + 4 - got);
		want += length && length < end ? strtoul(length + 15, NULL, 10) : 0;
	}
	(void)pthread_mutex_lock(&s->lock);
	memcpy(s->seen, got, kept + 1);
	(void)pthread_mutex_unlock(&s->lock);
	s->last = fd;
	s->requests++;
	return true;
}

static inline void serve_reply(struct server *s, int fd)
{
	while (read_request(s, fd))
		say(fd, s->reply);
}

static inline void *server_connection(void *arg)
{
	struct server_connection c = *(struct server_connection *)arg;

	free(arg);
	c.s->open++;
	c.s->serve(c.s, c.fd);
	(void)close(c.fd);
	c.s->open--;
	return NULL;
}

static inline void *server_accept(void *arg)
{
	struct server *s = arg;

	for (;;) {
		struct server_connection *c = malloc(sizeof *c);
		pthread_t t;

		CHECK(c != NULL);
		*c = (struct server_connection){ s, accept(s->fd, NULL, NULL) };
		if (c->fd < 0) {
			free(c);
			return NULL;
		}
		s->connections++;
		CHECK_INT(pthread_create(&t, NULL, server_connection, c), 0);
		(void)pthread_detach(t);
	}
}

/* A listening socket on a free port of ::1 or 127.0.0.1; skips the test where there is no ::1. */
static inline int listen_on(bool six, int backlog, int *port)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *a = six ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t len = six ? sizeof a6 : sizeof a4;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, a, len) < 0) {
		if (six)
			test_skip("this machine has no ::1");
		test_fail(__FILE__, __LINE__, "bind: %s", strerrorname_np(errno));
	}
	CHECK_INT(listen(fd, backlog), 0);
	CHECK_INT(getsockname(fd, a, &len), 0);
	*port = ntohs(six ? a6.sin6_port : a4.sin_port);
	return fd;
}

static inline struct server *start_server6(bool six, void (*serve)(struct server *, int),
					   const char *reply)
{
	struct server *s = calloc(1, sizeof *s);
	pthread_t t;

	CHECK(s != NULL);
	s->serve = serve;
	s->reply = reply;
	(void)pthread_mutex_init(&s->lock, NULL);
	s->fd = listen_on(six, 64, &s->port);
	(void)snprintf(s->url, sizeof s->url, "http://%s:%d", six ? "[::1]" : "127.0.0.1", s->port);
	CHECK_INT(pthread_create(&t, NULL, server_accept, s), 0);
	(void)pthread_detach(t);
	return s;
}

static inline struct server *start_server(void (*serve)(struct server *, int), const char *reply)
{
	return start_server6(false, serve, reply);
}

static inline bool has_seen(struct server *s, const char *text)
{
	bool yes;

	(void)pthread_mutex_lock(&s->lock);
	yes = strcasestr(s->seen, text) != NULL;
	(void)pthread_mutex_unlock(&s->lock);
	return yes;
}

static inline struct https *new_client(const struct https_config *config)
{
	const struct https_config none = { .user_agent = "unit test" };
	struct https *h = NULL;
	struct err e = { 0 };

	if (https_new(&h, config ? config : &none, &e) < 0)
		test_fail(__FILE__, __LINE__, "https_new: %s", e.msg);
	return h;
}

/* GET url/path within ms. */
static inline int get_within(struct https *h, const char *url, const char *path, int64_t ms,
			     struct http_reply *reply, struct err *e)
{
	char full[512];
	struct http_request q = { .method = "GET", .url = full, .deadline = deadline_in(ms) };

	(void)snprintf(full, sizeof full, "%s%s", url, path);
	return https_round_trip(h, &q, reply, e);
}

/* It succeeds with that status and body. */
static inline void check_get(struct https *h, struct server *s, int status, const char *body)
{
	cleanup_http_reply struct http_reply reply = { 0 };
	struct err e = { 0 };

	if (get_within(h, s->url, "/x", 10000, &reply, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", err_name(&e), e.msg);
	CHECK_INT(reply.status, status);
	if (strcmp(buf_str(&reply.body), body) != 0)
		test_fail(__FILE__, __LINE__, "body \"%s\", want \"%s\"", buf_str(&reply.body), body);
}

/* It fails with that code, names the URL, says these words, and leaves *reply alone. */
static inline void check_get_fails(struct https *h, const char *url, int64_t ms, enum err_code code,
				   const char *words)
{
	struct http_reply reply = { .status = 4711 };
	struct err e = { 0 };
	int r = get_within(h, url, "/x", ms, &reply, &e);

	if (r == 0 || e.code != code || !strstr(e.msg, words))
		test_fail(__FILE__, __LINE__, "%s: got %d %s \"%s\", want %s \"%s\"", url, r,
			  err_name(&e), e.msg, err_entry(code)->name, words);
	CHECK_INT(r, -(int)err_entry(code)->kind);
	CHECK_INT(reply.status, 4711);
	CHECK(!reply.body.p);
}

#endif
