/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_serve.h"
#include "agent/api/rpc.h"
#include "agent/base/log.h"
#include "agent/daemon/vouchsafed_aa.h"
#include "agent/daemon/vouchsafed_metrics.h"
#include "agent/daemon/vouchsafed_volume.h"
#include "agent/secrets/keyprovider.h"
#include "agent/setup/offline.h"

#include <time.h>

/*
 * What is cached under one generation dies with it: a new token or a denial of any Trustee
 * changes the sum, and nothing outlives the token that ends first.
 */
static uint64_t generation(struct guest *g)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < g->n_trustees; i++)
		sum += kbs_generation(g->trustees[i].kbs);
	return sum;
}

static int64_t first_end_ms(struct guest *g)
{
	int64_t end = 0;

	for (size_t i = 0; i < g->n_trustees; i++) {
		int64_t t = kbs_token_end_ms(g->trustees[i].kbs);

		if (t > 0 && (end == 0 || t < end))
			end = t;
	}
	return end;
}

static int resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		    struct err *e)
{
	struct serve *s = ctx;
	struct kbs *k;

	if (s->guest->config.offline)
		return offline_resource(s->guest, out, uri, e);
	k = guest_trustee_for(s->guest, uri, e);
	return k ? kbs_get(k, out, uri, d, e) : -(int)ERR_NOTFOUND;
}

/* What the cache knows it by; empty, which it keeps nothing under, when it is longer than b takes. */
static struct view key_of(struct buf *b, const char *what, const char *name, struct view text)
{
	buf_puts(b, what);
	buf_putc(b, 0);
	buf_puts(b, name ? name : "");
	buf_putc(b, 0);
	buf_putv(b, text);
	return b->failed ? (struct view){ 0 } : buf_view(b);
}

/*
 * Under the generation as it is now: the first call of all has made the token itself. A full cache
 * or no memory is no error of the call.
 */
static void remember(struct serve *s, struct view key, const struct secret *value)
{
	struct err e;

	if (key.len == 0)
		return;
	if (cache_put(s->cache, key, value, generation(s->guest), first_end_ms(s->guest), &e) < 0)
		log_debug("not cached", "what=\"%s\"", e.msg);
}

static int lock_until(pthread_mutex_t *m, struct deadline d, struct err *e)
{
	int64_t left = deadline_left_ms(d);
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	left += t.tv_nsec / 1000000;
	t.tv_sec += left / 1000;
	t.tv_nsec = left % 1000 * 1000000;
	if (pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &t) != 0)
		return err_code(e, CODE_API_DEADLINE, "another call is still reading the signing key");
	return 0;
}

/*
 * A signing key at Trustee: one read serves all secrets that it signed, for a minute, and all
 * calls that want it at the same time.
 */
static int signing_key(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		       struct err *e)
{
	struct serve *s = ctx;
	cleanup_buf struct buf b = BUF_MAX(4 * URI_MAX);
	struct view key = key_of(&b, "key", NULL, view_str(uri->text));
	int r;

	if (cache_get(s->cache, out, key, generation(s->guest), e) == 0)
		return 0;
	r = lock_until(&s->key_lock, d, e);
	if (r < 0)
		return r;
	if (cache_get(s->cache, out, key, generation(s->guest), e) != 0) {
		r = resource(ctx, out, uri, d, e);
		if (r == 0)
			remember(s, key, out);
	}
	(void)pthread_mutex_unlock(&s->key_lock);
	return r;
}

static int unseal_cached(void *ctx, const char *name, struct view sealed, struct secret *out,
			 struct err *e)
{
	struct serve *s = ctx;
	cleanup_buf struct buf b = BUF_MAX(SEALED_TEXT_MAX + 1024);
	struct view key = key_of(&b, "sealed", name, sealed);

	if (key.len == 0 || cache_get(s->cache, out, key, generation(s->guest), e) != 0)
		return CDH_NOT_HERE;
	count(COUNTED_UNSEAL_CACHE);
	return 0;
}

static int unseal(void *ctx, const char *name, struct view sealed, struct deadline d,
		  struct secret *out, struct err *e)
{
	struct serve *s = ctx;
	cleanup_buf struct buf b = BUF_MAX(SEALED_TEXT_MAX + 1024);
	int r;

	r = sealed_unseal(out, &s->rules, name, sealed, d, e);
	if (r < 0)
		return r;
	count(COUNTED_UNSEAL_TRUSTEE);
	remember(s, key_of(&b, "sealed", name, sealed), out);
	return 0;
}

static int get_resource(void *ctx, struct view text, struct deadline d, struct secret *out,
			struct err *e)
{
	struct uri uri;
	int r = uri_parse(&uri, text, e);

	if (r == 0)
		r = resource(ctx, out, &uri, d, e);
	if (r == 0)
		count(COUNTED_RESOURCE);
	return r;
}

static int unwrap_key(void *ctx, struct view request, struct deadline d, struct secret *out,
		      struct err *e)
{
	int r = keyprovider_unwrap(out, request, resource, ctx, d, e);

	if (r == 0)
		count(COUNTED_KEY);
	return r;
}

/* Hand PullImage on, as it is, to the data hub that measured configuration names. */
static int pull_image(void *ctx, struct view request, struct deadline d, struct buf *reply,
		      struct err *e)
{
	struct serve *s = ctx;
	const char *to = s->guest->config.image_pull_delegate;
	cleanup_secret struct secret answer = { 0 };
	int r;

	if (!to)
		return CDH_NOT_HERE;
	if (strncmp(to, "unix://", 7) == 0)
		to += 7;
	cleanup_rpc struct rpc_link link = RPC_LINK(to);
	if ((r = rpc_ready(&link, d, e)) < 0 ||
	    (r = rpc_call(&link, "api.ImagePullService", "PullImage", request, d, &answer, e)) < 0)
		return err_wrap(e, r, "image_pull.delegate %s", to);
	buf_put(reply, secret_bytes(&answer), answer.len);
	return buf_check(reply, "the reply of PullImage", e);
}

int serve_open(struct serve *s, struct guest *g, struct err *e)
{
	s->guest = g;
	if (pthread_mutex_init(&s->key_lock, NULL) != 0)
		return err_set(e, ERR_NOMEM, "no memory for a lock");
	guest_sealed_rules(&s->rules, g, s->credential_dir);
	s->rules.resource = resource;
	s->rules.signing_key = signing_key;
	s->rules.resource_ctx = s;
	return cache_new(&s->cache, e);
}

void serve_close(struct serve *s)
{
	cache_free(s->cache);
	s->cache = NULL;
}

int64_t serve_sweep(struct serve *s)
{
	return cache_sweep(s->cache, generation(s->guest));
}

struct cdh_backend serve_backend(struct serve *s)
{
	return (struct cdh_backend){
		.unseal = unseal,
		.unseal_cached = unseal_cached,
		.get_resource = get_resource,
		.unwrap_key = unwrap_key,
		.secure_mount = serve_volume,
		.pull_image = pull_image,
		.failed = serve_failed,
		.ctx = s,
	};
}
