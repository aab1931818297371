/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_REST_POOL_H
#define API_REST_POOL_H

#include "agent/api/rest_backend.h"

#include <sys/queue.h>

/*
 * The threads that call the backends. So many and no more: REST is one client of vouchsafed among
 * others, and a pod that floods it must not take what kata-agent needs.
 *
 *   lane      what                                      threads            waiting at most
 *   local     /info, evidence, event log                REST_LOCAL         REST_LOCAL_QUEUE
 *   trustee   tokens, resources                         REST_TRUSTEE       REST_TRUSTEE_QUEUE
 *
 * So a Trustee that does not answer never delays what the guest can answer itself.
 */
#define REST_LOCAL         4
#define REST_LOCAL_QUEUE   64
#define REST_TRUSTEE       12
#define REST_TRUSTEE_QUEUE 112
#define REST_CALL_MS       (50 * 1000) /* from submission to answer */

struct rest_job {
	TAILQ_ENTRY(rest_job) queued;
	struct rest_route route;
	struct rest_entry entry; /* of REST_AAEL */
	int fd;                  /* the client's socket: who has left is not served */
	struct deadline deadline;
	struct rest_reply reply; /* set when done */
	/* Called on a thread of the pool, as the last thing that is done with the job. */
	void (*done)(struct rest_job *job);
};

struct rest_pool; /* thread-safe */

/* Starts the threads, which block all signals. Errors: ERR_NOMEM, ERR_SYSTEM. */
int rest_pool_new(struct rest_pool **out, const struct rest_backend_config *config,
		  struct err *e) MUST_CHECK;

/*
 * Is there room for this job? It has a place then, and rest_pool_submit() must follow. Where
 * there is none, jobs whose clients have left are done without a call, which may make some.
 */
bool rest_pool_reserve(struct rest_pool *p, const struct rest_job *job) MUST_CHECK;

/* Queue a job that has its place; it stays the caller's, untouched, until done. */
void rest_pool_submit(struct rest_pool *p, struct rest_job *job);

/*
 * Give no more places, let the jobs there are end, and the threads.
 * False when the deadline passed: threads run on, and the pool must not be freed.
 */
bool rest_pool_stop(struct rest_pool *p, struct deadline d) MUST_CHECK;

/* After rest_pool_stop(), when nobody asks for a place any more. Accepts NULL. */
void rest_pool_free(struct rest_pool *p);

#endif
