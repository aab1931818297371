/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net/https.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

enum {
	CONNECT_MS = 10 * 1000,
	HEADERS_MAX = 64 * 1024, /* all header lines of one reply, bytes */
	RETRY_AFTER_MAX_S = 3600,
	DIAGNOSE_MS = 3000,
};

struct https {
	char *ca_pem, *proxy, *no_proxy, *user_agent;
	long connect_ms;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	CURL *idle[HTTPS_HANDLES]; /* last in, first out: a sequential caller keeps its connection */
	size_t n_idle, n_open;
	uint64_t connections;
};

/* One exchange on its way. */
struct exchange {
	struct http_reply *reply;
	size_t body_max;
	size_t header_bytes;
	bool body_too_large, header_too_large;
};

static void global_init(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *copy(const char *s, bool *failed)
{
	char *c = s ? strdup(s) : NULL;

	*failed = *failed || (s && !c);
	return c;
}

int https_new(struct https **out, const struct https_config *config, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_condattr_t attr;
	struct https *h;
	bool failed = false;

	(void)pthread_once(&once, global_init);
	if (config->ca_pem && !strstr(config->ca_pem, "-----BEGIN CERTIFICATE-----"))
		return err_code(e, CODE_CONFIG_VALUE, "cert is no certificate in PEM");
	h = calloc(1, sizeof *h);
	if (!h)
		return err_set(e, ERR_NOMEM, "no memory for an HTTPS client");
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&h->freed, &attr);
	(void)pthread_condattr_destroy(&attr);
	h->ca_pem = copy(config->ca_pem, &failed);
	h->proxy = copy(config->proxy, &failed);
	h->no_proxy = copy(config->no_proxy, &failed);
	h->user_agent = copy(config->user_agent ? config->user_agent : "vouchsafe", &failed);
	h->connect_ms = config->connect_ms > 0 ? (long)config->connect_ms : CONNECT_MS;
	if (failed) {
		https_free(h);
		return err_set(e, ERR_NOMEM, "no memory for an HTTPS client");
	}
	*out = h;
	return 0;
}

void https_free(struct https *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n_idle; i++)
		curl_easy_cleanup(h->idle[i]);
	(void)pthread_cond_destroy(&h->freed);
	(void)pthread_mutex_destroy(&h->lock);
	free(h->ca_pem);
	free(h->proxy);
	free(h->no_proxy);
	free(h->user_agent);
	free(h);
}

/* A free handle, a new one while there are fewer than HTTPS_HANDLES, or wait for one. */
static int acquire(CURL **out, struct https *h, struct deadline d, struct err *e)
{
	CURL *c = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&h->lock);
	while (h->n_idle == 0 && h->n_open == HTTPS_HANDLES && r == 0) {
		int64_t left = deadline_left_ms(d);
		struct timespec t;

		(void)clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_sec += left / 1000;
		t.tv_nsec += left % 1000 * 1000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_sec++;
			t.tv_nsec -= 1000000000;
		}
		if (left == 0 || pthread_cond_timedwait(&h->freed, &h->lock, &t) == ETIMEDOUT)
			r = err_code(e, CODE_NET_TIMEOUT, "all %d connections are busy", HTTPS_HANDLES);
	}
	if (h->n_idle > 0) {
		c = h->idle[--h->n_idle];
		r = 0;
	} else if (r == 0) {
		c = curl_easy_init();
		if (c)
			h->n_open++;
		else
			r = err_set(e, ERR_NOMEM, "no memory for a connection");
	}
	(void)pthread_mutex_unlock(&h->lock);
	if (r == 0)
		*out = c;
	return r;
}

static void release(struct https *h, CURL *c)
{
	long n = 0;

	(void)curl_easy_getinfo(c, CURLINFO_NUM_CONNECTS, &n);
	(void)pthread_mutex_lock(&h->lock);
	h->connections += n > 0 ? (uint64_t)n : 0;
	h->idle[h->n_idle++] = c;
	(void)pthread_cond_signal(&h->freed);
	(void)pthread_mutex_unlock(&h->lock);
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;

	(void)size;
	if (n > x->body_max - x->reply->body.len) {
		x->body_too_large = true;
		return 0;
	}
	buf_put(&x->reply->body, p, n);
	return x->reply->body.failed ? 0 : n;
}

/* The value behind "name:", without white space around it; empty when the line has another name. */
static struct view header_value(struct view line, const char *name)
{
	size_t n = strlen(name);

	if (line.len <= n || line.p[n] != ':' || strncasecmp((const char *)line.p, name, n) != 0)
		return (struct view){ NULL, 0 };
	line.p += n + 1;
	line.len -= n + 1;
	while (line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		line.p++;
		line.len--;
	}
	while (line.len > 0 && strchr(" \t\r\n", line.p[line.len - 1]))
		line.len--;
	return line;
}

static void take_cookie(struct http_reply *reply, struct view v)
{
	size_t n = 0;

	while (n < v.len && v.p[n] != ';')
		n++;
	while (n > 0 && v.p[n - 1] == ' ')
		n--;
	/* The first one, when it is one name=value of visible ASCII that fits. */
	if (reply->set_cookie[0] || n == 0 || n >= HTTP_COOKIE_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		if (v.p[i] <= ' ' || v.p[i] >= 0x7f)
			return;
	memcpy(reply->set_cookie, v.p, n);
	reply->set_cookie[n] = '\0';
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	struct view line = { (const uint8_t *)p, n };
	struct view v;
	char text[64];

	(void)size;
	if (n > HEADERS_MAX - x->header_bytes) {
		x->header_too_large = true;
		return 0;
	}
	x->header_bytes += n;
	v = header_value(line, "set-cookie");
	if (v.len > 0)
		take_cookie(x->reply, v);
	v = header_value(line, "date");
	if (v.len > 0 && v.len < sizeof text) {
		(void)snprintf(text, sizeof text, "%.*s", (int)v.len, (const char *)v.p);
		x->reply->date = (int64_t)curl_getdate(text, NULL);
		if (x->reply->date < 0)
			x->reply->date = 0;
	}
	v = header_value(line, "retry-after");
	if (v.len > 0 && v.len < 8) {
		long s;

		(void)snprintf(text, sizeof text, "%.*s", (int)v.len, (const char *)v.p);
		s = strtol(text, NULL, 10);
		if (s > 0)
			x->reply->retry_after_ms =
				(s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : s) * 1000;
	}
	return n;
}

/* The token is in one of them. */
static void free_headers(struct curl_slist **list)
{
	for (struct curl_slist *s = *list; s; s = s->next)
		explicit_bzero(s->data, strlen(s->data));
	curl_slist_free_all(*list);
}

static int add_header(struct curl_slist **list, const char *name, const char *value, struct err *e)
{
	cleanup_free char *line = NULL;
	struct curl_slist *longer = NULL;

	if (asprintf(&line, "%s%s", name, value) >= 0) {
		longer = curl_slist_append(*list, line);
		explicit_bzero(line, strlen(line));
	}
	if (!longer)
		return err_set(e, ERR_NOMEM, "no memory for a header");
	*list = longer;
	return 0;
}

/* What is the same for all requests of a client. */
static void set_client(CURL *c, const struct https *h)
{
	/* Both: with a blob alone the folder of system roots would still be trusted. */
	if (h->ca_pem) {
		struct curl_blob blob = { h->ca_pem, strlen(h->ca_pem), CURL_BLOB_NOCOPY };

		(void)curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
		(void)curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
		(void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
	}
	/* "" switches the environment's proxies off, NULL would switch them on. */
	(void)curl_easy_setopt(c, CURLOPT_PROXY, h->proxy ? h->proxy : "");
	(void)curl_easy_setopt(c, CURLOPT_NOPROXY, h->no_proxy ? h->no_proxy : "");
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, h->user_agent);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void set_request(CURL *c, const struct https *h, const struct http_request *q,
			struct exchange *x, struct curl_slist *headers, char *errors)
{
	int64_t left = deadline_left_ms(q->deadline);

	(void)curl_easy_setopt(c, CURLOPT_URL, q->url);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
			       (long)smaller(left > 0 ? left : 1, h->connect_ms));
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (q->cookie)
		(void)curl_easy_setopt(c, CURLOPT_COOKIE, q->cookie);
	if (strcmp(q->method, "POST") == 0) {
		(void)curl_easy_setopt(c, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.len);
		(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body.len ? (const char *)q->body.p : "");
	}
	(void)curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)x->body_max);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, errors);
}

/*
 * When did or does the peer's certificate count? A connection of its own, which verifies
 * nothing and sends nothing: libcurl tells the dates only of a finished handshake.
 */
static void certificate_times(const struct https *h, const char *url, char from[64], char to[64])
{
	CURL *c = curl_easy_init();
	struct curl_certinfo *info = NULL;

	(void)snprintf(from, 64, "unknown");
	(void)snprintf(to, 64, "unknown");
	if (!c)
		return;
	set_client(c, h);
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	(void)curl_easy_setopt(c, CURLOPT_CERTINFO, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)DIAGNOSE_MS);
	if (curl_easy_perform(c) == CURLE_OK &&
	    curl_easy_getinfo(c, CURLINFO_CERTINFO, &info) == CURLE_OK && info && info->num_of_certs > 0) {
		for (const struct curl_slist *s = info->certinfo[0]; s; s = s->next) {
			if (strncmp(s->data, "Start date:", 11) == 0)
				(void)snprintf(from, 64, "%.60s", s->data + 11);
			if (strncmp(s->data, "Expire date:", 12) == 0)
				(void)snprintf(to, 64, "%.60s", s->data + 12);
		}
	}
	curl_easy_cleanup(c);
}

/* Values of X509_V_ERR_*, which libcurl hands on; stable since SSLeay. */
enum { NOT_YET_VALID = 9, HAS_EXPIRED = 10 };

static int untrusted(const struct https *h, CURL *c, const char *url, const char *text, struct err *e)
{
	char from[64], to[64], now[24];
	long result = 0;

	(void)curl_easy_getinfo(c, CURLINFO_SSL_VERIFYRESULT, &result);
	if (result == NOT_YET_VALID || result == HAS_EXPIRED) {
		certificate_times(h, url, from, to);
		clock_format(now, clock_wall_s());
		if (result == NOT_YET_VALID)
			return err_code(e, CODE_CLOCK_SKEW,
					"%s: its certificate begins to count at %s; here it is %s", url,
					from, now);
		return err_code(e, CODE_TLS_EXPIRED,
				"%s: its certificate counted until %s; here it is %s", url, to, now);
	}
	if (strstr(text, "subject name") || strstr(text, "host name"))
		return err_code(e, CODE_TLS_NAME, "%s: %s", url, text);
	return err_code(e, CODE_TLS_UNTRUSTED, "%s: %s", url, text);
}

static int failure(const struct https *h, CURL *c, CURLcode code, const struct http_request *q,
		   const struct exchange *x, const char *errors, struct err *e)
{
	const char *text = errors[0] ? errors : curl_easy_strerror(code);

	if (x->body_too_large || code == CURLE_FILESIZE_EXCEEDED)
		return err_code(e, CODE_NET_TOO_LARGE, "%s: a reply of over %zu bytes", q->url, x->body_max);
	if (x->header_too_large)
		return err_code(e, CODE_NET_TOO_LARGE, "%s: headers of over %d bytes", q->url, HEADERS_MAX);
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		if (deadline_left_ms(q->deadline) < 20)
			return err_code(e, CODE_NET_TIMEOUT, "%s: %s", q->url, text);
		return err_code(e, CODE_NET_UNREACHABLE, "%s: %s", q->url, text);
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_code(e, CODE_NET_DNS, "%s: %s", q->url, text);
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return err_code(e, CODE_NET_PROXY, "%s: %s", q->url, text);
	case CURLE_COULDNT_CONNECT:
		return err_code(e, CODE_NET_REFUSED, "%s: %s", q->url, text);
	case CURLE_PEER_FAILED_VERIFICATION:
		return untrusted(h, c, q->url, text, e);
	case CURLE_SSL_CACERT_BADFILE:
		return err_code(e, CODE_CONFIG_VALUE, "cert cannot be read: %s", text);
	case CURLE_SSL_CONNECT_ERROR:
		return err_code(e, CODE_TLS_FAILED, "%s: %s", q->url, text);
	case CURLE_URL_MALFORMAT:
		return err_code(e, CODE_CONFIG_VALUE, "%s: %s", q->url, text);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_HTTP2:
		return err_code(e, CODE_NET_HTTP, "%s: %s", q->url, text);
	case CURLE_OUT_OF_MEMORY:
		return err_set(e, ERR_NOMEM, "no memory for a request");
	default:
		if (strstr(text, "CONNECT tunnel"))
			return err_code(e, CODE_NET_PROXY, "%s: %s", q->url, text);
		return err_code(e, CODE_NET_BROKEN, "%s: %s", q->url, text);
	}
}

static int perform(struct https *h, CURL *c, const struct http_request *q, struct http_reply *reply,
		   struct err *e)
{
	__attribute__((cleanup(free_headers))) struct curl_slist *headers = NULL;
	struct exchange x = { .reply = reply, .body_max = q->reply_max ? q->reply_max : HTTP_REPLY_MAX };
	char errors[CURL_ERROR_SIZE] = "";
	CURLcode code;
	long status = 0;
	int r;

	reply->body = BUF_MAX(x.body_max);
	curl_easy_reset(c);
	set_client(c, h);
	/* Without this a body over 1 KiB waits a second for a 100. */
	r = add_header(&headers, "Expect:", "", e);
	if (r == 0 && q->content_type)
		r = add_header(&headers, "Content-Type: ", q->content_type, e);
	if (r == 0 && q->bearer)
		r = add_header(&headers, "Authorization: Bearer ", q->bearer, e);
	if (r < 0)
		return r;
	set_request(c, h, q, &x, headers, errors);
	code = curl_easy_perform(c);
	/* The handle must not point into this frame. */
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
	if (code != CURLE_OK)
		return failure(h, c, code, q, &x, errors, e);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 300 && status < 400)
		return err_code(e, CODE_NET_REDIRECT, "%s: status %ld", q->url, status);
	if (status < 100 || status > 599)
		return err_code(e, CODE_NET_HTTP, "%s: status %ld", q->url, status);
	reply->status = (int)status;
	return 0;
}

int https_round_trip(void *ctx, const struct http_request *request, struct http_reply *reply,
		     struct err *e)
{
	struct https *h = ctx;
	struct http_reply got = { 0 };
	CURL *c;
	int r = acquire(&c, h, request->deadline, e);

	if (r < 0)
		return r;
	r = perform(h, c, request, &got, e);
	release(h, c);
	if (r < 0) {
		http_reply_done(&got);
		return r;
	}
	*reply = got;
	return 0;
}

uint64_t https_connections(const struct https *h)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&h->lock;
	uint64_t n;

	(void)pthread_mutex_lock(lock);
	n = h->connections;
	(void)pthread_mutex_unlock(lock);
	return n;
}
