/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { STACK = 256 << 10, SWEEP_MS = 100 };

TAILQ_HEAD(jobs, rest_job);

struct lane {
	struct rest_pool *pool;
	struct jobs queue;
	unsigned n_placed, max_placed; /* jobs that have a place and did not begin */
	int64_t swept;                 /* when it was last looked for who has left */
	pthread_cond_t work;
};

struct rest_pool {
	const struct rest_backend_config *config;
	pthread_mutex_t lock;
	pthread_cond_t ended; /* a thread did */
	struct lane local, trustee;
	bool stopping;
	pthread_t threads[REST_LOCAL + REST_TRUSTEE];
	unsigned n_threads, n_live;
};

static bool has_left(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

static void carry_out(struct rest_backend *b, struct rest_job *job)
{
	if (has_left(job->fd))
		job->reply = (struct rest_reply){ .hang_up = true };
	else if (deadline_left_ms(job->deadline) == 0)
		rest_reply_text(&job->reply, 500, rest_call_failed);
	else
		rest_backend_answer(b, &job->route, &job->entry, job->deadline, &job->reply);
	job->done(job);
}

/* The next job, or NULL when the pool has stopped and none is left. */
static struct rest_job *next(struct lane *lane)
{
	struct rest_pool *p = lane->pool;
	struct rest_job *job;

	(void)pthread_mutex_lock(&p->lock);
	while ((job = TAILQ_FIRST(&lane->queue)) == NULL && !(p->stopping && lane->n_placed == 0))
		(void)pthread_cond_wait(&lane->work, &p->lock);
	if (job) {
		TAILQ_REMOVE(&lane->queue, job, queued);
		lane->n_placed--;
		if (p->stopping && lane->n_placed == 0)
			(void)pthread_cond_broadcast(&lane->work);
	} else {
		p->n_live--;
		(void)pthread_cond_signal(&p->ended);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return job;
}

static void *run(void *arg)
{
	struct lane *lane = arg;
	struct rest_backend backend;
	struct rest_job *job;

	rest_backend_init(&backend, lane->pool->config);
	while ((job = next(lane)) != NULL)
		carry_out(&backend, job);
	rest_backend_done(&backend);
	return NULL;
}

static int start_thread(struct rest_pool *p, struct lane *lane, const pthread_attr_t *attr,
			struct err *e)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&p->threads[p->n_threads], attr, run, lane);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return err_sys(e, r, "start a thread");
	(void)pthread_setname_np(p->threads[p->n_threads], lane == &p->local ? "local" : "trustee");
	p->n_threads++;
	p->n_live++;
	return 0;
}

static int start(struct rest_pool *p, struct err *e)
{
	pthread_attr_t attr;
	int r = 0;

	if (pthread_attr_init(&attr) != 0)
		return err_set(e, ERR_NOMEM, "no memory for threads");
	(void)pthread_attr_setstacksize(&attr, STACK);
	for (unsigned i = 0; r == 0 && i < REST_LOCAL; i++)
		r = start_thread(p, &p->local, &attr, e);
	for (unsigned i = 0; r == 0 && i < REST_TRUSTEE; i++)
		r = start_thread(p, &p->trustee, &attr, e);
	(void)pthread_attr_destroy(&attr);
	return r;
}

static void lane_init(struct lane *lane, struct rest_pool *p, unsigned max_placed)
{
	lane->pool = p;
	lane->max_placed = max_placed;
	TAILQ_INIT(&lane->queue);
	(void)pthread_cond_init(&lane->work, NULL);
}

int rest_pool_new(struct rest_pool **out, const struct rest_backend_config *config, struct err *e)
{
	struct rest_pool *p = calloc(1, sizeof *p);
	pthread_condattr_t monotonic;
	int r;

	if (!p)
		return err_set(e, ERR_NOMEM, "no memory for the pool of threads");
	p->config = config;
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->ended, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	lane_init(&p->local, p, REST_LOCAL_QUEUE);
	lane_init(&p->trustee, p, REST_TRUSTEE_QUEUE);
	r = start(p, e);
	if (r < 0) {
		/* Those that did start have nothing to do and end at once. */
		if (rest_pool_stop(p, deadline_in(INT32_MAX)))
			rest_pool_free(p);
		return r;
	}
	*out = p;
	return 0;
}

static struct lane *lane_of(struct rest_pool *p, const struct rest_job *job)
{
	bool trustee = job->route.action == REST_TOKEN || job->route.action == REST_GET;

	return trustee ? &p->trustee : &p->local;
}

static bool take_place(struct lane *lane)
{
	if (lane->pool->stopping || lane->n_placed >= lane->max_placed)
		return false;
	lane->n_placed++;
	return true;
}

/* Take out of a full lane those whose clients have left, into *gone; not at every call. */
static void sweep(struct lane *lane, struct jobs *gone)
{
	struct rest_job *job, *next_job;
	int64_t now = clock_boot_ms();

	if (lane->n_placed < lane->max_placed || now - lane->swept < SWEEP_MS)
		return;
	lane->swept = now;
	for (job = TAILQ_FIRST(&lane->queue); job; job = next_job) {
		next_job = TAILQ_NEXT(job, queued);
		if (!has_left(job->fd))
			continue;
		TAILQ_REMOVE(&lane->queue, job, queued);
		TAILQ_INSERT_TAIL(gone, job, queued);
		lane->n_placed--;
	}
}

bool rest_pool_reserve(struct rest_pool *p, const struct rest_job *job)
{
	struct lane *lane = lane_of(p, job);
	struct jobs gone = TAILQ_HEAD_INITIALIZER(gone);
	struct rest_job *left;
	bool ok;

	(void)pthread_mutex_lock(&p->lock);
	sweep(lane, &gone);
	ok = take_place(lane);
	(void)pthread_mutex_unlock(&p->lock);
	while ((left = TAILQ_FIRST(&gone)) != NULL) {
		TAILQ_REMOVE(&gone, left, queued);
		left->reply = (struct rest_reply){ .hang_up = true };
		left->done(left);
	}
	return ok;
}

void rest_pool_submit(struct rest_pool *p, struct rest_job *job)
{
	struct lane *lane = lane_of(p, job);

	(void)pthread_mutex_lock(&p->lock);
	job->deadline = deadline_in(REST_CALL_MS);
	TAILQ_INSERT_TAIL(&lane->queue, job, queued);
	(void)pthread_cond_signal(&lane->work);
	(void)pthread_mutex_unlock(&p->lock);
}

bool rest_pool_stop(struct rest_pool *p, struct deadline d)
{
	struct timespec until;
	bool ended;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += deadline_left_ms(d) / 1000 + 1;
	(void)pthread_mutex_lock(&p->lock);
	p->stopping = true;
	(void)pthread_cond_broadcast(&p->local.work);
	(void)pthread_cond_broadcast(&p->trustee.work);
	while (p->n_live > 0)
		if (pthread_cond_timedwait(&p->ended, &p->lock, &until) == ETIMEDOUT)
			break;
	ended = p->n_live == 0;
	(void)pthread_mutex_unlock(&p->lock);
	for (; ended && p->n_threads > 0; p->n_threads--)
		(void)pthread_join(p->threads[p->n_threads - 1], NULL);
	return ended;
}

void rest_pool_free(struct rest_pool *p)
{
	if (!p)
		return;
	(void)pthread_cond_destroy(&p->local.work);
	(void)pthread_cond_destroy(&p->trustee.work);
	(void)pthread_cond_destroy(&p->ended);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}
