/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/cache.h"
#include "agent/base/clock.h"
#include "agent/crypto/digest.h"

#include <pthread.h>

struct entry {
	struct digest key;
	struct secret value; /* no bytes: the place is free */
	int64_t end_ms;
	uint64_t used; /* higher is more recent */
};

struct cache {
	int64_t (*now_ms)(void);
	pthread_mutex_t lock; /* guards all below */
	uint64_t generation;
	uint64_t tick;
	size_t bytes;
	uint64_t hits, misses;
	size_t entries;
	struct entry entry[CACHE_ENTRIES];
};

int cache_new(struct cache **out, struct err *e)
{
	struct cache *c = calloc(1, sizeof *c);

	if (!c || pthread_mutex_init(&c->lock, NULL) != 0) {
		free(c);
		return err_set(e, ERR_NOMEM, "no memory for the cache of secrets");
	}
	c->now_ms = clock_boot_ms;
	*out = c;
	return 0;
}

void cache_use_clock(struct cache *c, int64_t (*now_ms)(void))
{
	c->now_ms = now_ms;
}

/* What a value of n bytes costs in locked memory: each has pages of its own. */
static size_t locked_size(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

static bool is_free(const struct entry *t)
{
	return t->value.len == 0;
}

static void drop(struct cache *c, struct entry *t)
{
	if (is_free(t))
		return;
	c->bytes -= locked_size(t->value.len);
	c->entries--;
	secret_done(&t->value);
	*t = (struct entry){ 0 };
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		drop(c, &c->entry[i]);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Drop what has ended, and all of it when the generation moved on. */
static void sweep(struct cache *c, uint64_t generation, int64_t now_ms)
{
	bool all = generation > c->generation;

	if (all)
		c->generation = generation;
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		if (all || c->entry[i].end_ms <= now_ms)
			drop(c, &c->entry[i]);
}

static struct entry *find(struct cache *c, const struct digest *key)
{
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		if (!is_free(&c->entry[i]) &&
		    view_eq(digest_view(&c->entry[i].key), digest_view(key)))
			return &c->entry[i];
	return NULL;
}

static int copy(struct secret *out, const struct secret *from, struct err *e)
{
	cleanup_secret struct secret s = { 0 };
	int r = secret_alloc(&s, from->len, e);

	if (r == 0)
		r = secret_append(&s, secret_bytes(from), from->len, e);
	if (r == 0)
		secret_move(out, &s);
	return r;
}

static int get_locked(struct cache *c, struct secret *out, const struct digest *key, struct err *e)
{
	struct entry *t = find(c, key);
	int r;

	if (!t) {
		c->misses++;
		return CACHE_MISS;
	}
	r = copy(out, &t->value, e);
	if (r < 0)
		return r;
	c->hits++;
	t->used = ++c->tick;
	return 0;
}

int cache_get(struct cache *c, struct secret *out, struct view key, uint64_t generation,
	      struct err *e)
{
	struct digest d;
	int r = digest_of(&d, HASH_SHA256, key, e);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&c->lock);
	sweep(c, generation, c->now_ms());
	/* A caller that read its generation before the last change must not see what came after. */
	r = generation == c->generation ? get_locked(c, out, &d, e) : CACHE_MISS;
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

static struct entry *least_recent(struct cache *c)
{
	struct entry *t = NULL;

	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		if (!is_free(&c->entry[i]) && (!t || c->entry[i].used < t->used))
			t = &c->entry[i];
	return t;
}

static struct entry *free_place(struct cache *c)
{
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		if (is_free(&c->entry[i]))
			return &c->entry[i];
	return NULL;
}

static void put_locked(struct cache *c, const struct digest *key, struct secret *value,
		       int64_t end_ms)
{
	size_t n = locked_size(value->len);
	struct entry *t = find(c, key);

	if (t)
		drop(c, t);
	while (c->entries == CACHE_ENTRIES || n > CACHE_BYTES - c->bytes)
		drop(c, least_recent(c));
	t = free_place(c);
	*t = (struct entry){ .key = *key, .end_ms = end_ms, .used = ++c->tick };
	secret_move(&t->value, value);
	c->bytes += n;
	c->entries++;
}

int cache_put(struct cache *c, struct view key, const struct secret *value, uint64_t generation,
	      int64_t token_end_ms, struct err *e)
{
	cleanup_secret struct secret own = { 0 };
	int64_t now_ms = c->now_ms(), end_ms = now_ms + CACHE_LIFE_MS;
	struct digest d;
	int r;

	if (token_end_ms < end_ms)
		end_ms = token_end_ms;
	if (end_ms <= now_ms || value->len == 0 || locked_size(value->len) > CACHE_BYTES)
		return 0;
	r = digest_of(&d, HASH_SHA256, key, e);
	if (r == 0)
		r = copy(&own, value, e);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&c->lock);
	sweep(c, generation, now_ms);
	if (generation == c->generation)
		put_locked(c, &d, &own, end_ms);
	(void)pthread_mutex_unlock(&c->lock);
	return 0;
}

int64_t cache_sweep(struct cache *c, uint64_t generation)
{
	int64_t now_ms = c->now_ms(), left = -1;

	(void)pthread_mutex_lock(&c->lock);
	sweep(c, generation, now_ms);
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		if (!is_free(&c->entry[i]) && (left < 0 || c->entry[i].end_ms - now_ms < left))
			left = c->entry[i].end_ms - now_ms;
	(void)pthread_mutex_unlock(&c->lock);
	return left;
}

void cache_stats(struct cache *c, struct cache_stats *out)
{
	(void)pthread_mutex_lock(&c->lock);
	*out = (struct cache_stats){
		.hits = c->hits, .misses = c->misses, .entries = c->entries, .bytes = c->bytes
	};
	(void)pthread_mutex_unlock(&c->lock);
}
