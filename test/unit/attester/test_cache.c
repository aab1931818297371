/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/cache.h"
#include "test/test.h"

#include <pthread.h>

static struct view key(uint8_t *k, unsigned i)
{
	k[0] = 'k';
	k[1] = (uint8_t)i;
	return (struct view){ k, 2 };
}

static bool has(struct attester_cache *c, struct view k, const char *want)
{
	cleanup_buf struct buf b = BUF_MAX(ATTESTER_CACHE_VALUE);

	return attester_cache_get(c, k, &b) && view_is(buf_view(&b), want);
}

TEST(cache__put_get_drop__one_value_a_key)
{
	struct attester_cache *c = NULL;
	struct view a = view_str("a");

	CHECK_INT(attester_cache_new(&c, NULL), 0);
	CHECK(!has(c, a, ""));
	attester_cache_put(c, a, view_str("one"));
	attester_cache_put(c, view_str("ab"), view_str("other"));
	CHECK(has(c, a, "one"));
	attester_cache_put(c, a, view_str("two"));
	CHECK(has(c, a, "two"));
	CHECK(has(c, view_str("ab"), "other"));
	attester_cache_drop(c, a);
	CHECK(!has(c, a, "two"));
	CHECK(has(c, view_str("ab"), "other"));
	attester_cache_free(c);
}

TEST(cache__full__the_one_used_longest_ago_gives_way)
{
	struct attester_cache *c = NULL;
	uint8_t k[2];

	CHECK_INT(attester_cache_new(&c, NULL), 0);
	for (unsigned i = 0; i < ATTESTER_CACHE_ENTRIES; i++)
		attester_cache_put(c, key(k, i), view_str("v"));
	CHECK(has(c, key(k, 0), "v"));
	attester_cache_put(c, key(k, 99), view_str("new"));
	CHECK(has(c, key(k, 0), "v"));
	CHECK(!has(c, key(k, 1), "v"));
	CHECK(has(c, key(k, 2), "v"));
	CHECK(has(c, key(k, 99), "new"));
	attester_cache_free(c);
}

TEST(cache__too_large_or_no_cache__keeps_nothing)
{
	static uint8_t big[ATTESTER_CACHE_VALUE + 1];
	struct attester_cache *c = NULL;
	cleanup_buf struct buf small = BUF_MAX(2);

	CHECK_INT(attester_cache_new(&c, NULL), 0);
	attester_cache_put(c, view_str("a"), (struct view){ big, sizeof big });
	CHECK(!attester_cache_get(c, view_str("a"), &(struct buf)BUF_MAX(1 << 20)));
	attester_cache_put(c, (struct view){ big, ATTESTER_CACHE_KEY + 1 }, view_str("v"));
	attester_cache_put(c, (struct view){ big, 0 }, view_str("v"));
	CHECK(!has(c, (struct view){ big, ATTESTER_CACHE_KEY + 1 }, "v"));
	attester_cache_put(c, view_str("a"), (struct view){ big, sizeof big - 1 });
	/* A buffer that is too small for it is not taken for a value. */
	CHECK(!attester_cache_get(c, view_str("a"), &small));
	attester_cache_put(NULL, view_str("a"), view_str("v"));
	attester_cache_drop(NULL, view_str("a"));
	CHECK(!has(NULL, view_str("a"), "v"));
	attester_cache_free(NULL);
	attester_cache_free(c);
}

static void *hammer(void *arg)
{
	uint8_t k[2];

	for (unsigned i = 0; i < 4000; i++) {
		cleanup_buf struct buf b = BUF_MAX(ATTESTER_CACHE_VALUE);

		attester_cache_put(arg, key(k, i % 11), view_str("value"));
		if (attester_cache_get(arg, key(k, (i + 1) % 11), &b))
			CHECK(view_is(buf_view(&b), "value"));
		if (i % 7 == 0)
			attester_cache_drop(arg, key(k, i % 11));
	}
	return NULL;
}

TEST(cache__many_threads__whole_values_only)
{
	struct attester_cache *c = NULL;
	pthread_t t[4];

	CHECK_INT(attester_cache_new(&c, NULL), 0);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&t[i], NULL, hammer, c), 0);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_join(t[i], NULL), 0);
	attester_cache_free(c);
}
