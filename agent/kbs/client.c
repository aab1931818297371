/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/client.h"
#include "agent/crypto/jwe.h"
#include "agent/kbs/rcar.h"
#include "agent/kbs/session.h"
#include "agent/kbs/token.h"

#include <stdio.h>
#include <strings.h>

enum { LAST_TRY_MS = 200 }; /* less before the deadline than this, and no try is begun */

struct kbs {
	struct kbs_config config;
	char *url, *tee;
	uint8_t *initdata;
	struct kbs_stats stats, export_stats;
	struct kbs_session own;
	pthread_mutex_t export_lock;
	struct kbs_session export; /* opened at the first GetToken */
	bool export_open;
};

/* The authority and path of a URL follow the grammar of ours: it is read as kbs://HOST/x/PATH. */
static int check_url(const char *url, struct err *e)
{
	size_t scheme = strncasecmp(url, "http://", 7) == 0    ? 7
			: strncasecmp(url, "https://", 8) == 0 ? 8
							       : 0;
	const char *host = url + scheme;
	size_t n = strcspn(host, "/"), end = strlen(host);
	char text[URI_MAX + 16];
	struct uri u;

	while (end > n && host[end - 1] == '/')
		end--;
	if (scheme == 0 || n == 0 || end > URI_MAX || strpbrk(host, "?#"))
		return err_code(e, CODE_CONFIG_VALUE,
				"url \"%.100s\", want http(s)://host[:port][/path]", url);
	(void)snprintf(text, sizeof text, "kbs://%.*s/x%.*s", (int)n, host, (int)(end - n),
		       host + n);
	if (uri_parse(&u, view_str(text), e) < 0)
		return err_wrap_code(e, CODE_CONFIG_VALUE, "url");
	return 0;
}

int kbs_new(struct kbs **out, const struct kbs_config *config, struct err *e)
{
	struct kbs *k;
	size_t n;
	int r = check_url(config->url, e);

	if (r < 0)
		return r;
	k = calloc(1, sizeof *k);
	if (!k)
		return err_set(e, ERR_NOMEM, "no memory for a Trustee client");
	(void)pthread_mutex_init(&k->export_lock, NULL);
	k->config = *config;
	k->url = strdup(config->url);
	k->tee = strdup(config->evidence.tee);
	k->initdata = malloc(config->initdata.len + 1);
	if (!k->url || !k->tee || !k->initdata) {
		kbs_free(k);
		return err_set(e, ERR_NOMEM, "no memory for a Trustee client");
	}
	for (n = strlen(k->url); n > 0 && k->url[n - 1] == '/'; n--)
		k->url[n - 1] = '\0';
	if (config->initdata.len > 0)
		memcpy(k->initdata, config->initdata.p, config->initdata.len);
	k->config.url = k->url;
	k->config.evidence.tee = k->tee;
	k->config.initdata.p = k->initdata;
	r = session_open(&k->own, &k->config, k->url, &k->stats, e);
	/* The key that is given away (GetToken) is never this one. */
	k->config.key = NULL;
	if (r < 0) {
		kbs_free(k);
		return r;
	}
	*out = k;
	return 0;
}

void kbs_free(struct kbs *k)
{
	if (!k)
		return;
	(void)pthread_mutex_lock(&k->export_lock);
	if (k->export_open)
		session_stop(&k->export);
	(void)pthread_mutex_unlock(&k->export_lock);
	session_close(&k->own);
	session_close(&k->export);
	(void)pthread_mutex_destroy(&k->export_lock);
	free(k->url);
	free(k->tee);
	free(k->initdata);
	free(k);
}

/* What one GET came to. */
enum outcome { DONE, RETRY, NEW_TOKEN, FAILED };

static enum outcome get_once(struct kbs *k, struct secret *out, const char *url, const char *what,
			     const struct secret *token, const struct teekey *key,
			     uint64_t serial, struct deadline d,
			     int64_t *retry_after_ms, int *result, struct err *e)
{
	cleanup_http_reply struct http_reply reply = { 0 };
	const struct http_request q = {
		.method = "GET",
		.url = url,
		.bearer = (const char *)secret_bytes(token),
		.reply_max = JWE_TEXT_MAX,
		.deadline = d,
	};
	bool wants_token;
	int r;

	(void)pthread_mutex_lock(&k->own.lock);
	k->stats.requests++;
	(void)pthread_mutex_unlock(&k->own.lock);
	r = k->config.round_trip(k->config.round_trip_ctx, &q, &reply, e);
	if (r == 0 && reply.status == 200) {
		*result = jwe_decrypt(out, key, buf_view(&reply.body), e);
		if (*result < 0)
			*result = err_wrap(e, *result, "%s", what);
		return *result < 0 ? FAILED : DONE;
	}
	if (r == 0) {
		r = rcar_refusal(&wants_token, RCAR_RESOURCE, reply.status, buf_view(&reply.body),
				 what, e);
		*retry_after_ms = session_retry_after(&reply);
		if (wants_token) {
			*result = r;
			return NEW_TOKEN;
		}
		if (e->code == CODE_KBS_POLICY_DENIED)
			session_denied(&k->own, serial);
	}
	*result = r;
	return r == -ERR_NETWORK ? RETRY : FAILED;
}

/*
 * Sleep before another try. A pause that ends behind the deadline is cut so that there is a last
 * try; one that the peer asked for is not. False when there is no time for any, or the client ends.
 */
static bool pause_before_retry(struct kbs *k, int64_t *pause_ms, int64_t retry_after_ms,
			       struct deadline d)
{
	int64_t ms, last = deadline_left_ms(d) - LAST_TRY_MS;

	*pause_ms = *pause_ms == 0 ? KBS_PAUSE_MIN_MS : *pause_ms * 2;
	if (*pause_ms > KBS_PAUSE_MAX_MS)
		*pause_ms = KBS_PAUSE_MAX_MS;
	ms = session_jitter(*pause_ms);
	if (ms > last)
		ms = last;
	if (ms < retry_after_ms)
		ms = retry_after_ms;
	if (ms <= 0 || ms > last)
		return false;
	return session_sleep(&k->own, ms);
}

static int gave_up(int64_t since_ms, unsigned tries, int r, struct err *e)
{
	return err_wrap(e, r, "gave up after %lld ms, %u tries",
			(long long)(clock_boot_ms() - since_ms), tries);
}

static int get(struct kbs *k, struct secret *out, const struct uri *uri, struct deadline d,
	       struct err *e)
{
	cleanup_buf struct buf url = BUF_MAX(4 * URI_MAX);
	int64_t pause_ms = 0, since = clock_boot_ms();
	struct err reason = { 0 };
	unsigned tries = 0;
	bool renewed = false;
	int r;

	uri_request_url(&url, k->url, uri);
	r = buf_check(&url, "the URL", e);
	if (r < 0)
		return r;
	for (;;) {
		cleanup_secret struct secret token = { 0 };
		cleanup_teekey struct teekey *key = NULL;
		int64_t retry_after_ms = 0;
		uint64_t serial;

		r = session_token(&k->own, &token, &serial, d, e);
		if (r == 0)
			r = session_key(&key, &k->own, serial, e);
		if (r < 0)
			return err_wrap(e, r, "%s", uri->text);
		/* Another caller dropped or renewed it in this moment. */
		if (!key)
			continue;
		switch (get_once(k, out, buf_str(&url), uri->text, &token, key, serial, d,
				 &retry_after_ms, &r, e)) {
		case DONE:
			return 0;
		case FAILED:
			if (r != -ERR_TIMEOUT || tries == 0)
				return r;
			/* The last try only ran out of time: why there were several says more. */
			*e = reason;
			return gave_up(since, tries + 1, -(int)reason.kind, e);
		case NEW_TOKEN:
			if (renewed) {
				session_refused(&k->own, serial);
				return r;
			}
			session_drop(&k->own, serial);
			renewed = true;
			break;
		case RETRY:
			tries++;
			reason = *e;
			if (!pause_before_retry(k, &pause_ms, retry_after_ms, d))
				return gave_up(since, tries, r, e);
			break;
		}
	}
}

int kbs_get(struct kbs *k, struct secret *out, const struct uri *uri, struct deadline d,
	    struct err *e)
{
	struct err local = { 0 };
	int r;

	session_enter(&k->own);
	r = get(k, out, uri, d, e ? e : &local);
	session_leave(&k->own);
	return r;
}

int kbs_attest(struct kbs *k, struct deadline d, struct err *e)
{
	cleanup_secret struct secret token = { 0 };
	uint64_t serial;

	return session_token(&k->own, &token, &serial, d, e);
}

/* {"token":"…","tee_keypair":"<PEM, newlines escaped>"} straight into locked memory. */
static int write_export(struct secret *out, const struct secret *token, const struct secret *pem,
			struct err *e)
{
	static const char head[] = "{\"token\":\"", middle[] = "\",\"tee_keypair\":\"",
			  tail[] = "\"}";
	cleanup_secret struct secret s = { 0 };
	int r = secret_alloc(&s, token->len + 2 * pem->len + 64, e);

	if (r < 0 || (r = secret_append(&s, head, sizeof head - 1, e)) < 0 ||
	    (r = secret_append(&s, secret_bytes(token), token->len - 1, e)) < 0 ||
	    (r = secret_append(&s, middle, sizeof middle - 1, e)) < 0)
		return r;
	for (size_t i = 0; r == 0 && i < pem->len; i++) {
		const uint8_t *c = secret_bytes(pem) + i;

		r = *c == '\n' ? secret_append(&s, "\\n", 2, e) : secret_append(&s, c, 1, e);
	}
	if (r < 0 || (r = secret_append(&s, tail, sizeof tail - 1, e)) < 0)
		return r;
	secret_move(out, &s);
	return 0;
}

int kbs_export_token(struct kbs *k, struct secret *out, struct deadline d, struct err *e)
{
	cleanup_secret struct secret token = { 0 }, pem = { 0 };
	uint64_t serial;
	int r = 0;

	(void)pthread_mutex_lock(&k->export_lock);
	if (!k->export_open) {
		r = session_open(&k->export, &k->config, k->url, &k->export_stats, e);
		k->export_open = r == 0;
		if (r < 0)
			session_close(&k->export);
	}
	/* Within the lock: kbs_free() waits for who is counted here. */
	if (r == 0)
		session_enter(&k->export);
	(void)pthread_mutex_unlock(&k->export_lock);
	if (r < 0)
		return r;
	r = session_token(&k->export, &token, &serial, d, e);
	if (r == 0)
		r = teekey_pem(&pem, k->export.key, e);
	session_leave(&k->export);
	return r < 0 ? r : write_export(out, &token, &pem, e);
}

uint64_t kbs_generation(struct kbs *k)
{
	uint64_t g;

	(void)pthread_mutex_lock(&k->own.lock);
	g = k->own.generation;
	(void)pthread_mutex_unlock(&k->own.lock);
	return g;
}

int64_t kbs_token_end_ms(struct kbs *k)
{
	int64_t end;

	(void)pthread_mutex_lock(&k->own.lock);
	end = k->own.token.len > 0 ? k->own.token_end_ms : 0;
	(void)pthread_mutex_unlock(&k->own.lock);
	return end;
}

void kbs_stats(struct kbs *k, struct kbs_stats *out)
{
	int64_t left, life;

	(void)pthread_mutex_lock(&k->own.lock);
	*out = k->stats;
	left = k->own.token.len > 0 ? k->own.token_end_ms - session_now(&k->own) : 0;
	life = k->own.token_life_ms;
	(void)pthread_mutex_unlock(&k->own.lock);
	out->token_left_ms = left > 0 ? left : 0;
	out->token_age_ms = left > 0 ? life - left : 0;
	(void)pthread_mutex_lock(&k->export_lock);
	if (k->export_open) {
		(void)pthread_mutex_lock(&k->export.lock);
		out->handshakes += k->export_stats.handshakes;
		out->handshakes_failed += k->export_stats.handshakes_failed;
		out->quotes += k->export_stats.quotes;
		out->requests += k->export_stats.requests;
		(void)pthread_mutex_unlock(&k->export.lock);
	}
	(void)pthread_mutex_unlock(&k->export_lock);
}
