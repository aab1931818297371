/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/cache.h"
#include "test/test.h"

#include <pthread.h>

static int64_t now_ms = 1000000;
static int64_t the_clock(void)
{
	return now_ms;
}

#define FOREVER INT64_MAX

static struct cache *new_cache(void)
{
	struct cache *c = NULL;
	struct err e;

	CHECK_INT(cache_new(&c, &e), 0);
	cache_use_clock(c, the_clock);
	return c;
}

/* Put n bytes, the first ones of text and the rest NUL. */
static void put(struct cache *c, const char *key, const char *text, size_t n, uint64_t generation,
		int64_t end_ms)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;

	CHECK_INT(secret_alloc(&s, n, &e), 0);
	CHECK_INT(secret_append(&s, text, strlen(text) < n ? strlen(text) : n, &e), 0);
	s.len = n;
	CHECK_INT(cache_put(c, view_str(key), &s, generation, end_ms, &e), 0);
}

static bool has(struct cache *c, const char *key, const char *text, uint64_t generation)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;
	int r = cache_get(c, &s, view_str(key), generation, &e);

	CHECK(r == 0 || r == CACHE_MISS);
	CHECK(r == 0 || !secret_bytes(&s));
	return r == 0 && secret_eq(&s, text, strlen(text));
}

TEST(cache_get__what_was_put__is_a_copy_of_it)
{
	struct cache *c = new_cache();
	cleanup_secret struct secret a = { 0 }, b = { 0 };
	struct cache_stats st;
	struct err e;

	CHECK(!has(c, "k", "v", 1));
	put(c, "k", "v", 1, 1, FOREVER);
	CHECK_INT(cache_get(c, &a, view_str("k"), 1, &e), 0);
	CHECK_INT(cache_get(c, &b, view_str("k"), 1, &e), 0);
	CHECK(secret_bytes(&a) != secret_bytes(&b));
	CHECK(secret_eq(&a, "v", 1));
	CHECK(!has(c, "K", "v", 1));
	CHECK(!has(c, "", "v", 1));
	put(c, "k", "w", 1, 1, FOREVER);
	CHECK(has(c, "k", "w", 1));
	cache_stats(c, &st);
	CHECK_INT(st.entries, 1);
	CHECK_INT(st.hits, 3);
	CHECK_INT(st.misses, 3);
	CHECK_INT(st.bytes, sysconf(_SC_PAGESIZE));
	cache_free(c);
}

TEST(cache_get__miss__leaves_out_untouched)
{
	struct cache *c = new_cache();
	cleanup_secret struct secret s = { 0 };
	struct err e;

	CHECK_INT(secret_alloc(&s, 4, &e), 0);
	CHECK_INT(secret_append(&s, "keep", 4, &e), 0);
	CHECK_INT(cache_get(c, &s, view_str("k"), 1, &e), CACHE_MISS);
	CHECK(secret_eq(&s, "keep", 4));
	cache_free(c);
}

TEST(cache__after_its_minute__is_empty)
{
	struct cache *c = new_cache();
	struct cache_stats st;

	put(c, "k", "v", 1, 1, FOREVER);
	CHECK_INT(cache_sweep(c, 1), CACHE_LIFE_MS);
	now_ms += CACHE_LIFE_MS - 1;
	CHECK_INT(cache_sweep(c, 1), 1);
	CHECK(has(c, "k", "v", 1));
	/* Reading it does not make it live longer. */
	now_ms += 1;
	CHECK(!has(c, "k", "v", 1));
	CHECK_INT(cache_sweep(c, 1), -1);
	cache_stats(c, &st);
	CHECK_INT(st.entries, 0);
	CHECK_INT(st.bytes, 0);
	cache_free(c);
}

TEST(cache__token_ends_first__entry_ends_with_it)
{
	struct cache *c = new_cache();

	put(c, "k", "v", 1, 1, now_ms + 500);
	CHECK_INT(cache_sweep(c, 1), 500);
	now_ms += 500;
	CHECK(!has(c, "k", "v", 1));
	/* No token, or one that has ended. */
	put(c, "k", "v", 1, 1, 0);
	CHECK(!has(c, "k", "v", 1));
	put(c, "k", "v", 1, 1, now_ms);
	CHECK(!has(c, "k", "v", 1));
	cache_free(c);
}

TEST(cache__higher_generation__drops_everything)
{
	struct cache *c = new_cache();
	struct cache_stats st;

	put(c, "a", "1", 1, 1, FOREVER);
	put(c, "b", "2", 1, 1, FOREVER);
	CHECK(!has(c, "a", "1", 2));
	cache_stats(c, &st);
	CHECK_INT(st.entries, 0);
	/* Who still shows the old one neither sees nor keeps anything. */
	put(c, "a", "new", 3, 2, FOREVER);
	CHECK(!has(c, "a", "new", 1));
	put(c, "a", "old", 3, 1, FOREVER);
	CHECK(has(c, "a", "new", 2));
	CHECK_INT(cache_sweep(c, 3), -1);
	cache_free(c);
}

TEST(cache__one_more_than_its_places__drops_the_least_recently_used)
{
	struct cache *c = new_cache();
	struct cache_stats st;
	char key[16];

	for (int i = 0; i < CACHE_ENTRIES; i++) {
		(void)snprintf(key, sizeof key, "%d", i);
		put(c, key, "v", 1, 1, FOREVER);
	}
	CHECK(has(c, "0", "v", 1));
	put(c, "more", "v", 1, 1, FOREVER);
	CHECK(has(c, "0", "v", 1));
	CHECK(!has(c, "1", "v", 1));
	CHECK(has(c, "2", "v", 1));
	CHECK(has(c, "more", "v", 1));
	cache_stats(c, &st);
	CHECK_INT(st.entries, CACHE_ENTRIES);
	cache_free(c);
}

TEST(cache__bytes__count_whole_pages_and_stay_under_the_cap)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), big = 3u << 20;
	struct cache_stats st;
	struct cache *c;

	test_need_memlock(24u << 20);
	c = new_cache();
	put(c, "a", "a", big, 1, FOREVER);
	put(c, "b", "b", big, 1, FOREVER);
	put(c, "small", "s", page + 1, 1, FOREVER);
	cache_stats(c, &st);
	CHECK_INT(st.bytes, 2 * big + 2 * page);
	put(c, "c", "c", big, 1, FOREVER);
	cache_stats(c, &st);
	CHECK_INT(st.entries, 3);
	CHECK_INT(st.bytes, 2 * big + 2 * page);
	CHECK(st.bytes <= CACHE_BYTES);
	cache_free(c);
}

TEST(cache_put__empty_value__is_not_kept)
{
	struct cache *c = new_cache();
	const struct secret none = { 0 };
	struct cache_stats st;
	struct err e;

	CHECK_INT(cache_put(c, view_str("k"), &none, 1, FOREVER, &e), 0);
	cache_stats(c, &st);
	CHECK_INT(st.entries, 0);
	cache_free(c);
	cache_free(NULL);
}

/* Many threads on few keys, with generations moving on: for the thread sanitizer. */
enum { THREADS = 8, ROUNDS = 400 };

static uint64_t shared_generation = 1;

static void *worker(void *ctx)
{
	struct cache *c = ctx;
	struct cache_stats st;
	struct err e;

	for (int i = 0; i < ROUNDS; i++) {
		cleanup_secret struct secret s = { 0 }, got = { 0 };
		uint64_t g = __atomic_load_n(&shared_generation, __ATOMIC_RELAXED);
		char key[8];

		(void)snprintf(key, sizeof key, "%d", i % 5);
		if (secret_alloc(&s, 8, &e) < 0 || secret_append(&s, key, strlen(key), &e) < 0)
			return ctx;
		if (cache_put(c, view_str(key), &s, g, FOREVER, &e) < 0)
			return ctx;
		if (cache_get(c, &got, view_str(key), g, &e) == 0 &&
		    !secret_eq(&got, key, strlen(key)))
			return ctx;
		if (i % 100 == 99)
			__atomic_add_fetch(&shared_generation, 1, __ATOMIC_RELAXED);
		(void)cache_sweep(c, g);
		cache_stats(c, &st);
		if (st.bytes > CACHE_BYTES)
			return ctx;
	}
	return NULL;
}

TEST(cache__many_threads__never_mix_values)
{
	struct cache *c = new_cache();
	pthread_t t[THREADS];
	void *bad;

	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&t[i], NULL, worker, c), 0);
	for (int i = 0; i < THREADS; i++) {
		CHECK_INT(pthread_join(t[i], &bad), 0);
		CHECK(!bad);
	}
	cache_free(c);
}
