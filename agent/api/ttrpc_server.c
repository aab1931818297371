/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/ttrpc_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

static struct ttrpc_limits limits_of(const struct ttrpc_limits *l)
{
	return (struct ttrpc_limits){
		.connections = l->connections ?: 256,
		.peer_connections = l->peer_connections ?: 128,
		.connection_calls = l->connection_calls ?: 256,
		.peer_calls = l->peer_calls ?: 384,
		.peer_secret_bytes = l->peer_secret_bytes ?: 8u << 20,
		.peer_request_bytes = l->peer_request_bytes ?: 16u << 20,
		.local_threads = l->local_threads ?: 2,
		.trustee_threads = l->trustee_threads ?: 16,
		.peer_trustee_threads = l->peer_trustee_threads ?: 12,
		.queue = l->queue ?: 1024,
		.read_ms = l->read_ms ?: TTRPC_READ_MS,
		.write_ms = l->write_ms ?: TTRPC_WRITE_MS,
		.timeout_ms = l->timeout_ms ?: TTRPC_TIMEOUT_MS,
		.thread_idle_ms = l->thread_idle_ms ?: 5000,
	};
}

static int open_epoll(struct ttrpc_server *s, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &s->wake };

	s->wake.kind = SOURCE_WAKE;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll < 0 || s->wake_fd < 0 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake_fd, &ev) < 0)
		return err_sys(e, errno, "epoll for the ttrpc server");
	return 0;
}

/* Condition variables count on CLOCK_MONOTONIC: the default one follows the wall clock. */
static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	(void)pthread_condattr_init(&a);
	(void)pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	(void)pthread_cond_init(c, &a);
	(void)pthread_condattr_destroy(&a);
}

int ttrpc_pool_init(struct ttrpc_pool *p, struct ttrpc_server *s, const char *name,
		    unsigned max_threads, bool trustee, struct err *e)
{
	*p = (struct ttrpc_pool){
		.server = s, .name = name, .max_threads = max_threads, .trustee = trustee
	};
	TAILQ_INIT(&p->queue);
	cond_init(&p->work);
	p->workers = calloc(max_threads, sizeof *p->workers);
	return p->workers ? 0 : err_set(e, ERR_NOMEM, "no memory for a thread pool");
}

int ttrpc_server_new(struct ttrpc_server **out, const struct ttrpc_config *config, struct err *e)
{
	struct ttrpc_server *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return err_set(e, ERR_NOMEM, "no memory for the ttrpc server");
	s->limits = limits_of(&config->limits);
	s->epoll = s->wake_fd = -1;
	s->wake_at = TTRPC_NEVER;
	(void)pthread_mutex_init(&s->lock, NULL);
	cond_init(&s->changed);
	r = ttrpc_pool_init(&s->local, s, "ttrpc-local", s->limits.local_threads, false, e);
	if (r == 0)
		r = ttrpc_pool_init(&s->trustee, s, "ttrpc-trustee", s->limits.trustee_threads,
				    true, e);
	if (r == 0)
		r = open_epoll(s, e);
	if (r == 0 && config->n_uids > 0) {
		s->uids = calloc(config->n_uids, sizeof *s->uids);
		if (!s->uids)
			r = err_set(e, ERR_NOMEM, "no memory for a list of uids");
	}
	if (r < 0) {
		ttrpc_server_free(s);
		return r;
	}
	if (config->n_uids > 0)
		memcpy(s->uids, config->uids, config->n_uids * sizeof *s->uids);
	s->n_uids = config->n_uids;
	s->store = config->store;
	*out = s;
	return 0;
}

/*
 * bind(2) makes the file before listen(2) makes it work, with a mode of the umask. So both
 * happen under another name, and rename(2) shows it when it is complete.
 */
static int bind_at(int fd, const char *path, mode_t mode, gid_t gid, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path, sizeof a.sun_path, "%s.new", path);

	if (path[0] != '/' || n < 0 || (size_t)n > sizeof a.sun_path - 3)
		return err_set(e, ERR_LIMIT, "socket path %s: absolute and at most %zu bytes",
			       path, sizeof a.sun_path - 7);
	if (unlink(a.sun_path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove %s", a.sun_path);
	if (bind(fd, (const struct sockaddr *)&a, sizeof a) < 0)
		return err_sys(e, errno, "bind %s", a.sun_path);
	if (chmod(a.sun_path, mode) < 0 ||
	    (gid != (gid_t)-1 && chown(a.sun_path, (uid_t)-1, gid) < 0) || listen(fd, 128) < 0 ||
	    rename(a.sun_path, path) < 0) {
		int saved = errno;

		(void)unlink(a.sun_path);
		return err_sys(e, saved, "listen on %s", path);
	}
	return 0;
}

int ttrpc_server_listen(struct ttrpc_server *s, const char *path, mode_t mode, gid_t gid,
			const struct api_method *methods, size_t n_methods, struct err *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct listener *l = &s->listeners[s->n_listeners];
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };
	struct stat st;
	int r;

	if (s->n_listeners == TTRPC_LISTENERS_MAX)
		return err_set(e, ERR_LIMIT, "over %d sockets", TTRPC_LISTENERS_MAX);
	if (fd < 0)
		return err_sys(e, errno, "socket");
	r = bind_at(fd, path, mode, gid, e);
	if (r < 0)
		return r;
	*l = (struct listener){ .source.kind = SOURCE_LISTENER,
				.fd = -1,
				.methods = methods,
				.n_methods = n_methods };
	(void)snprintf(l->path, sizeof l->path, "%s", path);
	if (lstat(path, &st) < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_sys(e, errno, "listen on %s", path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->fd = take_fd(fd);
	s->n_listeners++;
	return 0;
}

int ttrpc_thread(pthread_t *t, const char *name, void *(*run)(void *), void *arg, struct err *e)
{
	pthread_attr_t a;
	sigset_t all;
	size_t stack = TTRPC_STACK;
	int r;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	stack *= 8;
#endif
	(void)sigfillset(&all);
	(void)pthread_attr_init(&a);
	(void)pthread_attr_setstacksize(&a, stack);
	(void)pthread_attr_setsigmask_np(&a, &all);
	r = pthread_create(t, &a, run, arg);
	(void)pthread_attr_destroy(&a);
	if (r != 0)
		return err_sys(e, r, "start thread %s", name);
	(void)pthread_setname_np(*t, name);
	return 0;
}

int ttrpc_server_start(struct ttrpc_server *s, struct err *e)
{
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = ttrpc_thread(&s->loop, "ttrpc-loop", ttrpc_loop, s, e);
	s->started = r == 0;
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

void ttrpc_wait(struct ttrpc_server *s, pthread_cond_t *cond, int64_t ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	(void)pthread_cond_timedwait(cond, &s->lock, &t);
}

int ttrpc_server_ping(struct ttrpc_server *s, int64_t ms, struct err *e)
{
	struct deadline d = deadline_in(ms);
	uint64_t want;
	bool done;

	(void)pthread_mutex_lock(&s->lock);
	want = ++s->ping_want;
	ttrpc_wake(s);
	while (s->ping_done < want && deadline_left_ms(d) > 0)
		ttrpc_wait(s, &s->changed, deadline_left_ms(d));
	done = s->ping_done >= want;
	(void)pthread_mutex_unlock(&s->lock);
	return done ? 0 : err_set(e, ERR_TIMEOUT, "the ttrpc thread did not answer in %lld ms",
				  (long long)ms);
}

void ttrpc_server_stats(struct ttrpc_server *s, struct ttrpc_stats *out)
{
	const struct peer *p;

	(void)pthread_mutex_lock(&s->lock);
	*out = s->stats;
	out->connections = s->n_conns;
	out->kept = s->n_kept;
	out->calls = s->n_calls;
	out->threads = s->local.n_threads + s->trustee.n_threads + (s->started ? 1 : 0);
	out->waiting_local = s->local.n_queued;
	out->waiting_trustee = s->trustee.n_queued;
	LIST_FOREACH(p, &s->peers, all)
		out->secret_bytes += p->secret_bytes;
	(void)pthread_mutex_unlock(&s->lock);
}

/* A successor may have put its own socket there: that one stays. */
static void remove_files(struct ttrpc_server *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];
		struct stat st;

		if (l->fd >= 0 && lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
		    st.st_ino == l->ino)
			(void)unlink(l->path);
	}
}

static void close_all(struct ttrpc_server *s)
{
	struct conn *c, *next;

	for (size_t i = 0; i < s->n_listeners; i++) {
		if (s->listeners[i].fd >= 0)
			(void)close(s->listeners[i].fd);
		s->listeners[i].fd = -1;
	}
	for (c = LIST_FIRST(&s->conns); c; c = next) {
		next = LIST_NEXT(c, all);
		ttrpc_conn_close(c);
	}
}

int ttrpc_server_drain(struct ttrpc_server *s, struct deadline d, struct err *e)
{
	unsigned calls, replies;

	(void)pthread_mutex_lock(&s->lock);
	remove_files(s);
	s->draining = true;
	ttrpc_wake(s);
	while (s->started && (s->n_calls > 0 || s->n_replies > 0) && deadline_left_ms(d) > 0)
		ttrpc_wait(s, &s->changed, deadline_left_ms(d));
	calls = s->n_calls;
	replies = s->n_replies;
	s->stop = true;
	ttrpc_wake(s);
	(void)pthread_mutex_unlock(&s->lock);

	if (s->started)
		(void)pthread_join(s->loop, NULL);
	(void)pthread_mutex_lock(&s->lock);
	s->started = false;
	close_all(s);
	(void)pthread_mutex_unlock(&s->lock);
	if (calls == 0 && replies == 0)
		return 0;
	return err_set(e, ERR_TIMEOUT, "%u calls still ran and %u replies were not read", calls,
		       replies);
}

static void stop_workers(struct ttrpc_server *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->stop_workers = true;
	(void)pthread_cond_broadcast(&s->local.work);
	(void)pthread_cond_broadcast(&s->trustee.work);
	while (s->local.n_threads > 0 || s->trustee.n_threads > 0)
		(void)pthread_cond_wait(&s->changed, &s->lock);
	(void)pthread_mutex_unlock(&s->lock);
	ttrpc_pool_done(&s->local);
	ttrpc_pool_done(&s->trustee);
}

void ttrpc_server_free(struct ttrpc_server *s)
{
	if (!s)
		return;
	(void)ttrpc_server_drain(s, deadline_in(0), NULL);
	stop_workers(s);
	if (s->epoll >= 0)
		(void)close(s->epoll);
	if (s->wake_fd >= 0)
		(void)close(s->wake_fd);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->uids);
	free(s);
}
