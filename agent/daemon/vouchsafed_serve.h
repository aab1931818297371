/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_SERVE_H
#define DAEMON_VOUCHSAFED_SERVE_H

#include "agent/api/cdh.h"
#include "agent/api/mountd.h"
#include "agent/secrets/cache.h"
#include "agent/setup/guest.h"

/*
 * What vouchsafed does for a call: unseal through the cache, read resources past it. Thread-safe
 * after serve_open().
 */
struct serve {
	struct guest *guest;
	struct cache *cache;
	struct sealed_rules rules;
	pthread_mutex_t key_lock; /* held while a signing key is read */
	char credential_dir[512];
	struct mountd_link mountd; /* set before serve_backend()'s callbacks are called */
};

/* Errors: ERR_NOMEM. */
int serve_open(struct serve *s, struct guest *g, struct err *e) MUST_CHECK;
void serve_close(struct serve *s);

/* Erase what ended in the cache. Returns the milliseconds until the next entry ends, -1: none. */
int64_t serve_sweep(struct serve *s);

/* The callbacks of the CDH services; their ctx is s. */
struct cdh_backend serve_backend(struct serve *s);

#endif
