/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net/https.h"
#include "agent/net/headers.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum {
	CONNECT_MS = 10 * 1000,
	DIAGNOSE_MS = 3000,
	MAX_MS = 24 * 3600 * 1000, /* libcurl silently drops a timeout that its type cannot hold */
	DEAD_MS = 15 * 1000,       /* nothing that we sent was acknowledged: the path is gone */
	PROBE_S = 5,
	CLOCK_FLOOR_S = 1785542400, /* 2026-08-01: no guest of ours ran before */
	CLOCK_YEARS_S =
		10 * 365 * 24 * 3600, /* nobody serves a certificate that ended so long ago */
};

struct https {
	char *ca_pem, *proxy, *no_proxy, *user_agent;
	long connect_ms;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	CURL *idle[HTTPS_HANDLES]; /* last in, first out: a sequential caller keeps its connection
				    */
	size_t n_idle, n_open;
	uint64_t connections;
	struct histogram latency;
};

/* One exchange on its way. */
struct exchange {
	struct http_reply *reply;
	size_t body_max;
	struct headers headers;
	bool body_too_large, headers_too_large;
};

static void global_init(void)
{
	/* libcurl would write the keys of every session into the file that it names. */
	(void)unsetenv("SSLKEYLOGFILE");
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
			r = err_code(e, CODE_NET_TIMEOUT, "all %d connections are busy",
				     HTTPS_HANDLES);
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
	/* Keeps its connection, and nothing that points into the caller's frame. */
	curl_easy_reset(c);
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

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;

	(void)size;
	if (!headers_take(&x->headers, x->reply, (struct view){ (const uint8_t *)p, n })) {
		x->headers_too_large = true;
		return 0;
	}
	return n;
}

/*
 * A kept connection may have died without a word (a NAT that forgot it, a host that is gone). The
 * kernel then breaks it long before a caller's deadline, and the request goes out on a new one.
 */
static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	unsigned ms = DEAD_MS;

	(void)ctx;
	(void)purpose;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
	return CURL_SOCKOPT_OK;
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

	for (const char *p = value; *p; p++)
		if (*p < ' ' || *p == 0x7f)
			return err_set(e, ERR_INTERNAL, "a control character in a header");
	if (asprintf(&line, "%s%s", name, value) >= 0) {
		longer = curl_slist_append(*list, line);
		explicit_bzero(line, strlen(line));
	}
	if (!longer)
		return err_set(e, ERR_NOMEM, "no memory for a header");
	*list = longer;
	return 0;
}

/*
 * What is the same for all requests of a client. Returns 0, or libcurl's codes or-ed: an option
 * that it does not take must not be left at its default.
 */
static int set_client(CURL *c, const struct https *h)
{
	int bad = 0;

	if (h->ca_pem) {
		struct curl_blob blob = { h->ca_pem, strlen(h->ca_pem), CURL_BLOB_NOCOPY };

		/* All three: with a blob alone the folder of system roots would still be trusted.
		 */
		bad |= (int)curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
		bad |= (int)curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
		bad |= (int)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
	}
	/* "" switches the environment's proxies off, NULL would switch them on. */
	bad |= (int)curl_easy_setopt(c, CURLOPT_PROXY, h->proxy ? h->proxy : "");
	bad |= (int)curl_easy_setopt(c, CURLOPT_NOPROXY, h->no_proxy ? h->no_proxy : "");
	bad |= (int)curl_easy_setopt(c, CURLOPT_USERAGENT, h->user_agent);
	bad |= (int)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	bad |= (int)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	bad |= (int)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	bad |= (int)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	bad |= (int)curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	bad |= (int)curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	bad |= (int)curl_easy_setopt(c, CURLOPT_TCP_KEEPIDLE, (long)PROBE_S);
	bad |= (int)curl_easy_setopt(c, CURLOPT_TCP_KEEPINTVL, (long)PROBE_S);
	bad |= (int)curl_easy_setopt(c, CURLOPT_SOCKOPTFUNCTION, on_socket);
	bad |= (int)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	bad |= (int)curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	bad |= (int)curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	bad |= (int)curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* Without it a name server that is silent holds us past every deadline. */
	bad |= (int)curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
	return bad;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int set_request(CURL *c, const struct https *h, const struct http_request *q,
		       struct exchange *x, struct curl_slist *headers, char *errors)
{
	int64_t left = smaller(deadline_left_ms(q->deadline), MAX_MS);
	int bad = 0;

	/* 0 would mean: none. */
	left = left > 0 ? left : 1;
	bad |= (int)curl_easy_setopt(c, CURLOPT_URL, q->url);
	bad |= (int)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)left);
	bad |= (int)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
				     (long)smaller(left, h->connect_ms));
	bad |= (int)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (q->cookie)
		bad |= (int)curl_easy_setopt(c, CURLOPT_COOKIE, q->cookie);
	if (strcmp(q->method, "POST") == 0 || strcmp(q->method, "PUT") == 0) {
		bad |= (int)curl_easy_setopt(c, CURLOPT_POST, 1L);
		/* PUT as libcurl has it would read the body from a callback. */
		bad |= (int)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
		bad |= (int)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
					     (curl_off_t)q->body.len);
		bad |= (int)curl_easy_setopt(c, CURLOPT_POSTFIELDS,
					     q->body.len ? (const char *)q->body.p : "");
	} else if (strcmp(q->method, "GET") != 0) {
		bad |= (int)CURLE_BAD_FUNCTION_ARGUMENT;
	}
	bad |= (int)curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)x->body_max);
	bad |= (int)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	bad |= (int)curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	bad |= (int)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	bad |= (int)curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	bad |= (int)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, errors);
	return bad;
}

/* Values of X509_V_ERR_*, which libcurl hands on; stable since SSLeay. */
enum { NOT_YET_VALID = 9, HAS_EXPIRED = 10 };

/*
 * The date that breaks the chain, of the first certificate for which it does: a connection of
 * its own, which verifies nothing and sends nothing, since libcurl tells dates only of a
 * finished handshake. False when the peer sends no such certificate.
 */
static bool offending_date(int64_t *out, const struct https *h, const struct http_request *q,
			   long why, int64_t now)
{
	const char *want = why == NOT_YET_VALID ? "Start date:" : "Expire date:";
	int64_t ms = smaller(deadline_left_ms(q->deadline), DIAGNOSE_MS);
	struct curl_certinfo *info = NULL;
	CURL *c = curl_easy_init();
	bool found = false;

	if (!c || ms == 0 || set_client(c, h) != 0) {
		curl_easy_cleanup(c);
		return false;
	}
	(void)curl_easy_setopt(c, CURLOPT_URL, q->url);
	(void)curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	(void)curl_easy_setopt(c, CURLOPT_CERTINFO, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)ms);
	if (curl_easy_perform(c) != CURLE_OK ||
	    curl_easy_getinfo(c, CURLINFO_CERTINFO, &info) != CURLE_OK)
		info = NULL;
	for (int i = 0; info && !found && i < info->num_of_certs; i++) {
		for (const struct curl_slist *s = info->certinfo[i]; s && !found; s = s->next) {
			int64_t t;

			if (strncmp(s->data, want, strlen(want)) != 0)
				continue;
			t = (int64_t)curl_getdate(s->data + strlen(want), NULL);
			found = t > 0 && (why == NOT_YET_VALID ? t > now : t < now);
			if (found)
				*out = t;
		}
	}
	curl_easy_cleanup(c);
	return found;
}

/*
 * A certificate that ended, or does not count yet, by the guest's clock. At whose side to look
 * depends on which of the two times is not to be believed.
 */
static int wrong_time(const struct https *h, const struct http_request *q, long why, struct err *e)
{
	int64_t now = clock_wall_s(), date = 0;
	bool known = offending_date(&date, h, q, why, now);
	char at[24], here[24];

	clock_format(here, now);
	clock_format(at, date);
	if (!known)
		return err_code(
			e, why == NOT_YET_VALID ? CODE_CLOCK_SKEW : CODE_TLS_EXPIRED,
			"%s: a certificate that is not sent (the pinned root?) %s; here it is %s",
			q->url, why == NOT_YET_VALID ? "does not count yet" : "has expired", here);
	if (why == NOT_YET_VALID)
		return err_code(e, CODE_CLOCK_SKEW,
				"%s: a certificate counts from %s; here it is %s", q->url, at,
				here);
	if (now < CLOCK_FLOOR_S || now - date > CLOCK_YEARS_S)
		return err_code(
			e, CODE_CLOCK_SKEW,
			"%s: a certificate counted until %s; here it is %s, which cannot be",
			q->url, at, here);
	return err_code(e, CODE_TLS_EXPIRED, "%s: a certificate counted until %s; here it is %s",
			q->url, at, here);
}

static int untrusted(const struct https *h, CURL *c, const struct http_request *q, const char *text,
		     struct err *e)
{
	long result = 0;

	(void)curl_easy_getinfo(c, CURLINFO_SSL_VERIFYRESULT, &result);
	if (result == NOT_YET_VALID || result == HAS_EXPIRED)
		return wrong_time(h, q, result, e);
	if (strstr(text, "subject name") || strstr(text, "host name"))
		return err_code(e, CODE_TLS_NAME, "%s: %s", q->url, text);
	return err_code(e, CODE_TLS_UNTRUSTED, "%s: %s", q->url, text);
}

/*
 * The handshake failed. An error of another library of OpenSSL than the one for TLS (0A) or of
 * errno (80) means that a signature does not verify: the pinned root has the name of the peer's, but
 * another key.
 */
static int no_handshake(const struct http_request *q, const char *text, struct err *e)
{
	const char *number = strstr(text, "error:");
	bool network =
		!number || strncmp(number + 6, "0A", 2) == 0 || strncmp(number + 6, "80", 2) == 0;

	return err_code(e, network ? CODE_TLS_FAILED : CODE_TLS_UNTRUSTED, "%s: %s", q->url, text);
}

/* Did libcurl try the proxy rather than the peer? Its text names whom it tried. */
static bool tried_proxy(const struct https *h, const char *text)
{
	char host[256], both[272];
	unsigned port;

	if (!h->proxy || sscanf(text, "Failed to connect to %255s port %u", host, &port) != 2)
		return false;
	(void)snprintf(both, sizeof both, "%s:%u", host, port);
	if (strstr(h->proxy, both))
		return true;
	(void)snprintf(both, sizeof both, "[%s]:%u", host, port);
	return strstr(h->proxy, both) != NULL;
}

static int no_connection(const struct https *h, CURL *c, const char *url, const char *text,
			 struct err *e)
{
	long number = 0;

	(void)curl_easy_getinfo(c, CURLINFO_OS_ERRNO, &number);
	return err_code(e,
			tried_proxy(h, text)                    ? CODE_NET_PROXY
			: number == 0 || number == ECONNREFUSED ? CODE_NET_REFUSED
								: CODE_NET_UNREACHABLE,
			"%s: %s", url, text);
}

/* What ended in the middle of the reply because of us: 0 when it was something else. */
static int over_limit(CURL *c, CURLcode code, const struct http_request *q,
		      const struct exchange *x, struct err *e)
{
	curl_off_t first_byte = 0;

	if (x->body_too_large || code == CURLE_FILESIZE_EXCEEDED)
		return err_code(e, CODE_NET_TOO_LARGE, "%s: a reply of over %zu bytes", q->url,
				x->body_max);
	if (x->headers_too_large)
		return err_code(e, CODE_NET_TOO_LARGE, "%s: headers of over %u bytes", q->url,
				HEADERS_MAX);
	if (x->reply->body.failed == ERR_NOMEM)
		return err_set(e, ERR_NOMEM, "no memory for a reply");
	/* How libcurl says that one line is over its own limit of 100 KiB. */
	(void)curl_easy_getinfo(c, CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
	if (code == CURLE_OUT_OF_MEMORY && first_byte > 0)
		return err_code(e, CODE_NET_TOO_LARGE, "%s: a header of over %u bytes", q->url,
				HEADERS_MAX);
	return 0;
}

static int failure(const struct https *h, CURL *c, CURLcode code, const struct http_request *q,
		   const struct exchange *x, const char *errors, struct err *e)
{
	const char *text = errors[0] ? errors : curl_easy_strerror(code);
	int r = over_limit(c, code, q, x, e);

	if (r < 0)
		return r;
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
		return no_connection(h, c, q->url, text, e);
	case CURLE_PEER_FAILED_VERIFICATION:
		return untrusted(h, c, q, text, e);
	case CURLE_SSL_CACERT_BADFILE:
		return err_code(e, CODE_CONFIG_VALUE, "cert cannot be read: %s", text);
	case CURLE_SSL_CONNECT_ERROR:
		return no_handshake(q, text, e);
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
	struct exchange x = { .reply = reply,
			      .body_max = q->reply_max ? q->reply_max : HTTP_REPLY_MAX };
	char errors[CURL_ERROR_SIZE] = "";
	const char *where = NULL;
	CURLcode code;
	long status = 0;
	int bad, r;

	reply->body = BUF_MAX(x.body_max);
	/* Without this a body over 1 KiB waits a second for a 100. */
	r = add_header(&headers, "Expect:", "", e);
	if (r == 0 && q->content_type)
		r = add_header(&headers, "Content-Type: ", q->content_type, e);
	/* Else libcurl would call it a form. */
	else if (r == 0 && q->body.len == 0)
		r = add_header(&headers, "Content-Type:", "", e);
	for (const char *const *more = q->headers; r == 0 && more && *more; more++)
		r = add_header(&headers, "", *more, e);
	if (r == 0 && q->bearer)
		r = add_header(&headers, "Authorization: Bearer ", q->bearer, e);
	if (r < 0)
		return r;
	bad = set_client(c, h);
	bad |= set_request(c, h, q, &x, headers, errors);
	if (bad != 0)
		return err_set(e, ERR_INTERNAL, "libcurl refuses an option (%d)", bad);
	code = curl_easy_perform(c);
	if (code != CURLE_OK)
		return failure(h, c, code, q, &x, errors, e);
	/* libcurl takes a connection's end for the end of the headers. */
	if (!x.headers.ended)
		return err_code(e, CODE_NET_BROKEN, "%s: the headers end in the middle", q->url);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &where);
	if (status >= 300 && status < 400)
		return err_code(e, CODE_NET_REDIRECT, "%s: status %ld to %.160s", q->url, status,
				where ? where : "nowhere");
	if (status == 407 && h->proxy)
		return err_code(e, CODE_NET_PROXY, "%s: the proxy wants a login", q->url);
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
	int64_t begin;
	CURL *c;
	int r = acquire(&c, h, request->deadline, e);

	if (r < 0)
		return r;
	begin = clock_boot_ms();
	r = perform(h, c, request, &got, e);
	histogram_add(&h->latency, clock_boot_ms() - begin);
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

const struct histogram *https_latency(const struct https *h)
{
	return &h->latency;
}
