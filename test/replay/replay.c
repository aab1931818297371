/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KBS for `make bench` that answers from memory and verifies nothing: fixed nonce, token and
 * plaintexts, so that what is measured is the client. Never a peer for real secrets.
 *
 *   replay --resources DIR [--port N] [--ready-file FILE] [--cert FILE --key FILE]
 *          [--token-life SECONDS]
 *
 * Plain HTTP/1.1, or TLS when it is given a certificate and key. One thread a connection,
 * CONNECTIONS_MAX at a time. GET /replay/stats counts what the protocol's paths have seen; it and
 * its connection are not counted themselves. Ends with 0 at SIGTERM or SIGINT.
 */
#include "test/replay/replies.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum {
	CONNECTIONS_MAX = 64,
	HEAD_MAX = 16 * 1024, /* request line and headers, bytes */
	ROOM = 64 * 1024,     /* of a connection at first, bytes */
	BODY_MAX = 8 * 1024 * 1024,
	IDLE_S = 120,
	STACK_BYTES = 256 * 1024,
};

static struct replies *replies;
static SSL_CTX *tls;
static atomic_uint open_now;
static atomic_ulong n_connections, n_auth, n_attest, n_get, n_delivered, n_refused;

struct connection {
	int fd;
	SSL *ssl;
	bool counted;
	char *in, *out;
	size_t room, have; /* of in */
};

/* What of a request matters here. */
struct request {
	char method[8], path[1024], bearer[4096], cookie[256];
	size_t body_len, head_len;
	const char *body;
	bool close;
};

static ssize_t take_bytes(struct connection *c, char *p, size_t n)
{
	if (c->ssl)
		return SSL_read(c->ssl, p, (int)n);
	return recv(c->fd, p, n, 0);
}

static bool put_bytes(struct connection *c, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = c->ssl ? SSL_write(c->ssl, p, (int)n) : send(c->fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* At least want bytes in c->in, which is kept NUL-terminated. */
static bool fill(struct connection *c, size_t want)
{
	if (!c->in || want + 1 > c->room) {
		size_t room = want + 1 > ROOM ? want + 1 : ROOM;
		char *more = realloc(c->in, room);

		if (!more)
			return false;
		c->in = more;
		c->room = room;
		c->in[c->have] = '\0';
	}
	while (c->have < want) {
		ssize_t n = take_bytes(c, c->in + c->have, c->room - 1 - c->have);

		if (n <= 0)
			return false;
		c->have += (size_t)n;
		c->in[c->have] = '\0';
	}
	return true;
}

/* Copy the value of a header line that begins with name (lower case, with its colon). */
static bool header(const char *line, const char *name, char *out, size_t room)
{
	size_t n = strlen(name), len;

	if (strncasecmp(line, name, n) != 0)
		return false;
	line += n + strspn(line + n, " ");
	len = strcspn(line, "\r\n");
	if (len >= room)
		len = room - 1;
	memcpy(out, line, len);
	out[len] = '\0';
	return true;
}

static bool read_request(struct connection *c, struct request *q)
{
	char value[4200], *end = NULL, *line;

	*q = (struct request){ 0 };
	while (!(end = c->have ? strstr(c->in, "\r\n\r\n") : NULL))
		if (c->have >= HEAD_MAX || !fill(c, c->have + 1))
			return false;
	q->head_len = (size_t)(end - c->in) + 4;
	if (sscanf(c->in, "%7[A-Z] %1023[^ \r\n] HTTP/1.1", q->method, q->path) != 2)
		return false;
	for (line = strstr(c->in, "\r\n") + 2; line < end + 2; line = strstr(line, "\r\n") + 2) {
		if (header(line, "content-length:", value, sizeof value))
			q->body_len = strtoul(value, NULL, 10);
		else if (header(line, "authorization: bearer", q->bearer, sizeof q->bearer) ||
			 header(line, "cookie:", q->cookie, sizeof q->cookie))
			continue;
		else if (header(line, "transfer-encoding:", value, sizeof value))
			return false;
		else if (header(line, "connection:", value, sizeof value))
			q->close = strcasecmp(value, "close") == 0;
	}
	if (q->body_len > BODY_MAX || !fill(c, q->head_len + q->body_len))
		return false;
	q->body = c->in + q->head_len;
	return true;
}

static void next_request(struct connection *c, const struct request *q)
{
	size_t used = q->head_len + q->body_len;

	memmove(c->in, c->in + used, c->have - used + 1);
	c->have -= used;
}

static bool put_reply(struct connection *c, struct reply r, atomic_ulong *counter)
{
	(*counter)++;
	return put_bytes(c, r.p, r.len);
}

static bool refuse(struct connection *c, enum refusal why)
{
	return put_reply(c, replies_refusal(replies, why), &n_refused);
}

static bool put_stats(struct connection *c)
{
	char body[512], text[1024];
	int n = snprintf(
		body, sizeof body,
		"{\"connections\":%lu,\"requests\":%lu,\"auth\":%lu,\"attest\":%lu,\"get\":%lu,"
		"\"delivered\":%lu,\"refused\":%lu}\n",
		n_connections, n_auth + n_attest + n_get, n_auth, n_attest, n_get, n_delivered,
		n_refused);
	int m = snprintf(
		text, sizeof text,
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		n, body);

	return put_bytes(c, text, (size_t)m);
}

static bool attest(struct connection *c, struct request *q)
{
	atomic_ulong unused = 0;
	bool attested;
	struct reply r;
	char *after = c->in + q->head_len + q->body_len, kept = *after;

	n_attest++;
	if (strcmp(q->cookie, replies_cookie(replies)) != 0)
		return refuse(c, NO_SESSION);
	*after = '\0';
	r = replies_attest(replies, q->body, &attested);
	*after = kept;
	return put_reply(c, r, attested ? &unused : &n_refused);
}

static bool get(struct connection *c, const struct request *q, const char *path)
{
	bool delivered;
	size_t n;

	n_get++;
	if (q->bearer[0] == '\0')
		return refuse(c, NO_TOKEN);
	if (strcmp(q->bearer, replies_token(replies)) != 0)
		return refuse(c, BAD_TOKEN);
	if (strncmp(path, "resource/", 9) != 0)
		return refuse(c, NO_PLUGIN);
	n = replies_get(replies, path + 9, c->out, &delivered);
	return put_reply(c, (struct reply){ c->out, n }, delivered ? &n_delivered : &n_refused);
}

static bool answer(struct connection *c, struct request *q)
{
	static const char base[] = "/kbs/v0/";
	const char *path = q->path + strlen(base);
	bool is_get = strcmp(q->method, "GET") == 0, is_post = strcmp(q->method, "POST") == 0;

	if (is_get && strcmp(q->path, "/replay/stats") == 0)
		return put_stats(c);
	if (strncmp(q->path, base, strlen(base)) != 0)
		return false;
	if (!c->counted)
		n_connections++;
	c->counted = true;
	if (is_post && strcmp(path, "auth") == 0) {
		n_auth++;
		return put_bytes(c, replies_auth(replies).p, replies_auth(replies).len);
	}
	if (is_post && strcmp(path, "attest") == 0)
		return attest(c, q);
	return is_get ? get(c, q, path) : refuse(c, NO_PLUGIN);
}

static void serve(struct connection *c)
{
	struct request *q = malloc(sizeof *q);

	c->out = malloc(replies_largest(replies));
	if (q && c->out && (!c->ssl || SSL_accept(c->ssl) == 1))
		while (read_request(c, q) && answer(c, q) && !q->close)
			next_request(c, q);
	free(q);
	free(c->out);
	free(c->in);
}

static void *run(void *arg)
{
	struct connection c = { .fd = *(int *)arg };
	const struct timeval idle = { .tv_sec = IDLE_S };
	int one = 1;

	free(arg);
	(void)setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
	(void)setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof idle);
	(void)setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (tls) {
		c.ssl = SSL_new(tls);
		if (c.ssl && SSL_set_fd(c.ssl, c.fd) == 1)
			serve(&c);
		SSL_free(c.ssl);
	} else {
		serve(&c);
	}
	ERR_clear_error();
	(void)close(c.fd);
	open_now--;
	return NULL;
}

static void admit(int listener)
{
	int *fd = malloc(sizeof *fd);
	pthread_attr_t a;
	pthread_t t;

	if (!fd)
		return;
	*fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (*fd < 0 || open_now >= CONNECTIONS_MAX) {
		if (*fd >= 0)
			(void)close(*fd);
		free(fd);
		return;
	}
	open_now++;
	(void)pthread_attr_init(&a);
	(void)pthread_attr_setstacksize(&a, STACK_BYTES);
	(void)pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&t, &a, run, fd) != 0) {
		(void)close(*fd);
		free(fd);
		open_now--;
	}
	(void)pthread_attr_destroy(&a);
}

static int listen_on(unsigned *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port) };
	socklen_t len = sizeof a;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, CONNECTIONS_MAX) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0) {
		perror("replay: listen");
		return -1;
	}
	*port = ntohs(a.sin_port);
	return fd;
}

static bool open_tls(const char *cert, const char *key)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (tls && SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 &&
	    SSL_CTX_use_certificate_chain_file(tls, cert) == 1 &&
	    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(tls) == 1)
		return true;
	fprintf(stderr, "replay: cannot use %s with %s\n", cert, key);
	return false;
}

/* {"url":…,"port":…}, in one step. */
static bool tell_ready(const char *file, unsigned port)
{
	char part[1024];
	FILE *f;

	if (snprintf(part, sizeof part, "%s.part", file) >= (int)sizeof part)
		return false;
	f = fopen(part, "we");
	if (!f)
		return false;
	fprintf(f, "{\"url\":\"%s://127.0.0.1:%u\",\"port\":%u}\n", tls ? "https" : "http", port,
		port);
	return fclose(f) == 0 && rename(part, file) == 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: replay --resources DIR [--port N] [--ready-file FILE] [--token-life S]\n"
		"              [--cert FILE --key FILE]\n");
	return 64;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "resources", required_argument, NULL, 'r' },
		{ "port", required_argument, NULL, 'p' },
		{ "ready-file", required_argument, NULL, 'f' },
		{ "cert", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },
		{ "token-life", required_argument, NULL, 't' },
		{ 0 },
	};
	const char *dir = NULL, *ready = NULL, *cert = NULL, *key = NULL;
	unsigned port = 0;
	long life = 3600;
	struct pollfd p[2];
	sigset_t set;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'r':
			dir = optarg;
			break;
		case 'p':
			port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			ready = optarg;
			break;
		case 'c':
			cert = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		case 't':
			life = strtol(optarg, NULL, 10);
			break;
		default:
			return usage();
		}
	}
	if (!dir || optind != argc || !cert != !key || port > UINT16_MAX)
		return usage();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (!replies_load(&replies, dir, life) || (cert && !open_tls(cert, key)))
		return 1;
	p[0] = (struct pollfd){ .fd = listen_on(&port), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN };
	if (p[0].fd < 0 || p[1].fd < 0 || (ready && !tell_ready(ready, port)))
		return 1;
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents)
			return 0;
		if (p[0].revents)
			admit(p[0].fd);
	}
}
