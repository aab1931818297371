/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/net/server.h"

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
/* The domain .test does not exist: whoever asks a name server for it, or goes there, fails. */
#define FAR "http://far.test:8080"

static struct https *client_by(const char *proxy, const char *no_proxy)
{
	const struct https_config config = { .proxy = proxy, .no_proxy = no_proxy };

	return new_client(&config);
}

TEST(proxy__configured__carries_plain_http)
{
	struct server *proxy = start_server(serve_reply, OK_REPLY);
	struct https *h = client_by(proxy->url, NULL);
	cleanup_http_reply struct http_reply reply = { 0 };
	struct err e = { 0 };

	CHECK_INT(get_within(h, FAR, "/x", 5000, &reply, &e), 0);
	CHECK(strcmp(buf_str(&reply.body), "ok") == 0);
	CHECK(strncmp(proxy->seen, "GET " FAR "/x HTTP/1.1\r\n", strlen(FAR) + 17) == 0);
	https_free(h);
}

TEST(proxy__host_in_no_proxy__is_gone_round)
{
	struct server *proxy = start_server(serve_reply, OK_REPLY);
	struct server *s = start_server(serve_reply, OK_REPLY);
	struct https *h = client_by(proxy->url, "other.example,127.0.0.1");

	check_get(h, s, 200, "ok");
	CHECK_INT(proxy->connections, 0);
	https_free(h);
	/* What the environment exempts does not count. */
	(void)setenv("no_proxy", "*", 1);
	(void)setenv("NO_PROXY", "*", 1);
	h = client_by(proxy->url, NULL);
	check_get(h, s, 200, "ok");
	CHECK_INT(proxy->connections, 1);
	CHECK_INT(s->connections, 1);
	https_free(h);
}

/* A CONNECT is answered with s->reply; nothing speaks TLS behind it. */
static void serve_connect(struct server *s, int fd)
{
	if (read_request(s, fd))
		say(fd, s->reply);
}

TEST(proxy__that_is_away_or_refuses__is_net_proxy)
{
	struct server *login = start_server(
		serve_reply, "HTTP/1.1 407 Proxy Authentication Required\r\n"
			     "Proxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n");
	struct server *refusing = start_server(
		serve_connect, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
	int port, fd = listen_on(false, 1, &port);
	char away[64];
	struct https *h;

	(void)close(fd);
	(void)snprintf(away, sizeof away, "http://127.0.0.1:%d", port);
	h = client_by(away, NULL);
	check_get_fails(h, FAR, 5000, CODE_NET_PROXY, "port");
	check_get_fails(h, "https://far.test", 5000, CODE_NET_PROXY, "port");
	https_free(h);
	h = client_by(login->url, NULL);
	check_get_fails(h, FAR, 5000, CODE_NET_PROXY, "far.test");
	check_get_fails(h, "https://far.test", 5000, CODE_NET_PROXY, "407");
	https_free(h);
	h = client_by(refusing->url, NULL);
	check_get_fails(h, "https://far.test", 5000, CODE_NET_PROXY, "403");
	CHECK(strncmp(refusing->seen, "CONNECT far.test:443 HTTP/1.1\r\n", 31) == 0);
	https_free(h);
	h = client_by("http://[::1", NULL);
	check_get_fails(h, FAR, 5000, CODE_NET_PROXY, "");
	https_free(h);
}

/* Trustee's address refuses while the proxy is fine: the proxy is not blamed. */
TEST(proxy__peer_outside_it_refuses__is_net_refused)
{
	struct server *proxy = start_server(serve_reply, OK_REPLY);
	int port, fd = listen_on(false, 1, &port);
	struct https *h = client_by(proxy->url, "127.0.0.1");
	char url[64];

	(void)close(fd);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	check_get_fails(h, url, 5000, CODE_NET_REFUSED, url);
	https_free(h);
}

TEST(proxy__bearer_and_body__are_not_in_its_connect)
{
	struct server *proxy = start_server(
		serve_connect, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
	struct https *h = client_by(proxy->url, NULL);
	struct http_request q = { .method = "POST", .url = "https://far.test/kbs/v0/attest",
				  .bearer = "the-token", .cookie = "the=cookie",
				  .content_type = "application/json", .body = view_str("the body"),
				  .deadline = deadline_in(5000) };
	struct http_reply reply = { 0 };
	struct err e = { 0 };

	CHECK_ERR(https_round_trip(h, &q, &reply, &e), ERR_NETWORK, e, "502");
	CHECK(!has_seen(proxy, "the-token") && !has_seen(proxy, "the=cookie"));
	CHECK(!has_seen(proxy, "the body") && !has_seen(proxy, "/kbs/v0/"));
	https_free(h);
}
