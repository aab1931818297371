/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/cache.h"

#include <pthread.h>

struct entry {
	uint8_t key[ATTESTER_CACHE_KEY];
	size_t key_len; /* 0: free */
	uint8_t *value;
	size_t value_len;
	uint64_t used; /* a count that only grows */
};

struct attester_cache {
	pthread_mutex_t lock;
	uint64_t count;
	struct entry entry[ATTESTER_CACHE_ENTRIES];
};

int attester_cache_new(struct attester_cache **out, struct err *e)
{
	struct attester_cache *c = calloc(1, sizeof *c);

	if (!c || pthread_mutex_init(&c->lock, NULL) != 0) {
		free(c);
		return err_set(e, ERR_NOMEM, "no memory for a cache");
	}
	*out = c;
	return 0;
}

static void clear(struct entry *n)
{
	free(n->value);
	*n = (struct entry){ 0 };
}

void attester_cache_free(struct attester_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < ATTESTER_CACHE_ENTRIES; i++)
		clear(&c->entry[i]);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Under lock. */
static struct entry *find(struct attester_cache *c, struct view key)
{
	for (size_t i = 0; i < ATTESTER_CACHE_ENTRIES; i++) {
		struct entry *n = &c->entry[i];

		if (n->key_len > 0 && view_eq((struct view){ n->key, n->key_len }, key))
			return n;
	}
	return NULL;
}

bool attester_cache_get(struct attester_cache *c, struct view key, struct buf *out)
{
	struct entry *n;

	if (!c)
		return false;
	(void)pthread_mutex_lock(&c->lock);
	n = find(c, key);
	if (n) {
		n->used = ++c->count;
		buf_put(out, n->value, n->value_len);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return n && out->failed == 0;
}

void attester_cache_put(struct attester_cache *c, struct view key, struct view value)
{
	cleanup_free uint8_t *copy = NULL;
	struct entry *n;

	if (!c || key.len == 0 || key.len > ATTESTER_CACHE_KEY || value.len == 0 ||
	    value.len > ATTESTER_CACHE_VALUE)
		return;
	copy = malloc(value.len);
	if (!copy)
		return;
	memcpy(copy, value.p, value.len);
	(void)pthread_mutex_lock(&c->lock);
	n = find(c, key);
	for (size_t i = 0; !n && i < ATTESTER_CACHE_ENTRIES; i++)
		if (c->entry[i].key_len == 0)
			n = &c->entry[i];
	if (!n) {
		n = &c->entry[0];
		for (size_t i = 1; i < ATTESTER_CACHE_ENTRIES; i++)
			if (c->entry[i].used < n->used)
				n = &c->entry[i];
	}
	clear(n);
	memcpy(n->key, key.p, key.len);
	n->key_len = key.len;
	n->value = take(copy);
	n->value_len = value.len;
	n->used = ++c->count;
	(void)pthread_mutex_unlock(&c->lock);
}

void attester_cache_drop(struct attester_cache *c, struct view key)
{
	struct entry *n;

	if (!c)
		return;
	(void)pthread_mutex_lock(&c->lock);
	n = find(c, key);
	if (n)
		clear(n);
	(void)pthread_mutex_unlock(&c->lock);
}
