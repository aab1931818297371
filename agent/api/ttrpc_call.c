/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/status.h"
#include "agent/api/ttrpc_parts.h"

#include <stdio.h>

/* --- pools ---------------------------------------------------------------------- */

static void *work(void *worker);

/*
 * A peer may not hold all threads that wait for Trustee; and a connection that does not read
 * what it asked for gets no more made, while others of its peer go on.
 */
static bool ready(const struct ttrpc_pool *p, const struct call *call)
{
	const struct ttrpc_limits *l = &p->server->limits;

	if (p->trustee && call->conn->peer->trustee_threads >= l->peer_trustee_threads)
		return false;
	return call->conn->secret_bytes < l->peer_secret_bytes / 4;
}

static struct call *pick(struct ttrpc_pool *p)
{
	struct call *call;

	TAILQ_FOREACH(call, &p->queue, queued) {
		if (!ready(p, call))
			continue;
		TAILQ_REMOVE(&p->queue, call, queued);
		p->n_queued--;
		return call;
	}
	return NULL;
}

static int spawn(struct ttrpc_pool *p, struct err *e)
{
	struct worker *w = p->workers;
	int r;

	while (w->state == WORKER_LIVE)
		w++;
	/* It left the lock for the last time before we took it. */
	if (w->state == WORKER_GONE)
		(void)pthread_join(w->thread, NULL);
	*w = (struct worker){ .pool = p };
	r = ttrpc_thread(&w->thread, p->name, work, w, e);
	if (r < 0)
		return r;
	w->state = WORKER_LIVE;
	p->n_threads++;
	return 0;
}

void ttrpc_pool_kick(struct ttrpc_pool *p)
{
	if (p->n_queued == 0)
		return;
	if (p->n_idle < p->n_queued && p->n_threads < p->max_threads)
		(void)spawn(p, NULL);
	(void)pthread_cond_broadcast(&p->work);
}

static int submit(struct ttrpc_pool *p, struct call *call, struct err *e)
{
	int r = 0;

	if (p->n_queued >= p->server->limits.queue)
		return err_code(e, CODE_API_PEER_BUSY, "%u calls wait already", p->n_queued);
	if (p->n_idle <= p->n_queued && p->n_threads < p->max_threads)
		r = spawn(p, e);
	/* Fewer threads than wished are enough; none at all are not. */
	if (r < 0 && p->n_threads == 0)
		return r;
	call->pool = p;
	call->state = CALL_QUEUED;
	TAILQ_INSERT_TAIL(&p->queue, call, queued);
	p->n_queued++;
	(void)pthread_cond_signal(&p->work);
	return 0;
}

void ttrpc_pool_done(struct ttrpc_pool *p)
{
	for (unsigned i = 0; p->workers && i < p->max_threads; i++)
		if (p->workers[i].state == WORKER_GONE)
			(void)pthread_join(p->workers[i].thread, NULL);
	free(p->workers);
	p->workers = NULL;
	(void)pthread_cond_destroy(&p->work);
}

/* --- one call -------------------------------------------------------------------- */

static void call_free(struct call *call)
{
	struct conn *c = call->conn;
	struct ttrpc_server *s = c->server;

	LIST_REMOVE(call, all);
	s->n_calls--;
	c->calls--;
	c->peer->calls--;
	c->peer->request_bytes -= call->charge;
	wire_request_done(&call->request);
	free(call);
	if (s->draining && s->n_calls == 0)
		(void)pthread_cond_broadcast(&s->changed);
	ttrpc_conn_unref(c);
}

static void unqueue(struct call *call)
{
	TAILQ_REMOVE(&call->pool->queue, call, queued);
	call->pool->n_queued--;
}

void ttrpc_call_expire(struct call *call)
{
	call->conn->server->stats.timeouts++;
	ttrpc_conn_status(call->conn, call->stream, API_DEADLINE_EXCEEDED, "timeout");
	call->answered = true;
	if (call->state == CALL_RUNNING)
		return;
	unqueue(call);
	call_free(call);
}

void ttrpc_calls_abandon(const struct conn *c)
{
	struct call *call, *next;

	for (call = LIST_FIRST(&c->server->calls); call; call = next) {
		next = LIST_NEXT(call, all);
		if (call->conn != c)
			continue;
		call->answered = true;
		if (call->state == CALL_RUNNING)
			continue;
		unqueue(call);
		call_free(call);
	}
}

static void finish(struct call *call, enum api_status status, struct api_result *result,
		   const char *text)
{
	struct conn *c = call->conn;

	if (call->answered) {
		c->server->stats.late++;
	} else if (call->expires <= clock_boot_ms()) {
		c->server->stats.timeouts++;
		c->server->stats.late++;
		ttrpc_conn_status(c, call->stream, API_DEADLINE_EXCEEDED, "timeout");
	} else if (status == API_OK) {
		ttrpc_conn_result(c, call->stream, result);
	} else if (status < 0) {
		ttrpc_conn_status(c, call->stream, API_INTERNAL, "internal.bug: no status");
	} else {
		ttrpc_conn_status(c, call->stream, status, text);
	}
	buf_done(&result->message);
	secret_done(&result->secret);
	call_free(call);
}

/* locked on entry and return, not in between */
static void run(struct call *call)
{
	struct ttrpc_server *s = call->conn->server;
	const struct api_method *m = call->method;
	struct peer *peer = call->conn->peer;
	bool trustee = call->pool->trustee, local = call->local;
	struct api_result result = { .message = BUF_MAX(FRAME_MAX) };
	char text[API_STATUS_TEXT] = "";
	enum api_status status;
	struct err e;

	call->state = CALL_RUNNING;
	peer->trustee_threads += trustee ? 1 : 0;
	(void)pthread_mutex_unlock(&s->lock);
	status = (local ? m->handle_local : m->handle)(m->ctx, &call->api, &result, text);
	api_text_clean(text, strnlen(text, sizeof text));
	text[sizeof text - 1] = '\0';
	(void)pthread_mutex_lock(&s->lock);
	peer->trustee_threads -= trustee ? 1 : 0;

	if (status == API_NOT_LOCAL && local && !call->answered) {
		call->local = false;
		if (submit(&s->trustee, call, &e) == 0) {
			buf_done(&result.message);
			secret_done(&result.secret);
			return;
		}
		status = api_status_of(e.kind);
		api_status_say(text, NULL, &e);
	}
	finish(call, status, &result, text);
}

static void *work(void *worker)
{
	struct worker *w = worker;
	struct ttrpc_pool *p = w->pool;
	struct ttrpc_server *s = p->server;
	struct call *call;

	(void)pthread_mutex_lock(&s->lock);
	for (;;) {
		int64_t before;

		while ((call = pick(p)) != NULL)
			run(call);
		if (s->stop_workers)
			break;
		before = clock_boot_ms();
		p->n_idle++;
		ttrpc_wait(s, &p->work, s->limits.thread_idle_ms);
		p->n_idle--;
		call = pick(p);
		if (call)
			run(call);
		else if (clock_boot_ms() - before >= s->limits.thread_idle_ms)
			break;
	}
	w->state = WORKER_GONE;
	p->n_threads--;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- dispatch -------------------------------------------------------------------- */

/* The method, or NULL after the refusal was sent. */
static const struct api_method *dispatch(struct conn *c, uint32_t stream,
					 const struct wire_request *q)
{
	const struct api_method *found = NULL;
	bool service = false;
	char text[API_STATUS_TEXT];

	for (size_t i = 0; i < c->from->n_methods && !found; i++) {
		const struct api_method *m = &c->from->methods[i];

		if (!view_is(q->service, m->service))
			continue;
		service = true;
		if (view_is(q->method, m->method))
			found = m;
	}
	if (found && found->handle)
		return found;
	if (found)
		(void)snprintf(text, sizeof text, "/%s/%s is not supported", found->service,
			       found->method);
	else if (service)
		(void)snprintf(text, sizeof text, "%.*s method", VIEW_ARG(q->method));
	else
		(void)snprintf(text, sizeof text, "%.*s service does not exist",
			       VIEW_ARG(q->service));
	api_text_clean(text, strlen(text));
	ttrpc_conn_status(c, stream,
			  found     ? API_NOT_FOUND
			  : service ? API_UNIMPLEMENTED
				    : API_INVALID_ARGUMENT,
			  text);
	return NULL;
}

static bool in_use(const struct conn *c, uint32_t stream)
{
	const struct call *call;

	LIST_FOREACH(call, &c->server->calls, all)
		if (call->conn == c && call->stream == stream && !call->answered)
			return true;
	return false;
}

static int check_caps(const struct conn *c, struct err *e)
{
	const struct ttrpc_limits *l = &c->server->limits;

	if (c->calls >= l->connection_calls)
		return err_code(e, CODE_API_PEER_BUSY,
				"%u calls in flight on this connection, allowed %u", c->calls,
				l->connection_calls);
	if (c->peer->calls >= l->peer_calls)
		return err_code(e, CODE_API_PEER_BUSY,
				"user id %u has %u calls in flight, allowed %u", c->who.uid,
				c->peer->calls, l->peer_calls);
	return 0;
}

static int64_t timeout_ms(const struct ttrpc_server *s, int64_t nano)
{
	int64_t ms = nano / 1000000;

	if (nano <= 0)
		return s->limits.timeout_ms;
	return ms < 1 ? 1 : ms > TTRPC_TIMEOUT_MAX_MS ? TTRPC_TIMEOUT_MAX_MS : ms;
}

static struct call *call_new(struct conn *c, uint32_t stream, const struct api_method *m,
			     struct wire_request *request, size_t charge)
{
	struct call *call = calloc(1, sizeof *call);
	int64_t ms = timeout_ms(c->server, request->timeout_nano);
	int64_t early = ms / 10 < 250 ? ms / 10 : 250;

	if (!call)
		return NULL;
	*call = (struct call){ .conn = c,
			       .method = m,
			       .stream = stream,
			       .local = m->needs_trustee && m->handle_local,
			       .expires = clock_boot_ms() + ms,
			       .request = *request,
			       .charge = charge };
	call->api = (struct api_call){ .peer = c->who,
				       .deadline = { call->expires - early },
				       .payload = request->payload,
				       .name = call->request.name[0] ? call->request.name : NULL };
	*request = (struct wire_request){ 0 };
	LIST_INSERT_HEAD(&c->server->calls, call, all);
	c->server->n_calls++;
	c->server->stats.calls_total++;
	c->calls++;
	c->refs++;
	c->peer->calls++;
	return call;
}

void ttrpc_call_begin(struct conn *c, uint32_t stream, struct wire_request *request, size_t charge)
{
	struct ttrpc_server *s = c->server;
	const struct api_method *m = NULL;
	struct call *call = NULL;
	char text[64];
	struct err e;
	int r = 0;

	if (in_use(c, stream)) {
		(void)snprintf(text, sizeof text, "stream id %u is in use", stream);
		ttrpc_conn_status(c, stream, API_INVALID_ARGUMENT, text);
	} else {
		m = dispatch(c, stream, request);
	}
	if (m)
		r = check_caps(c, &e);
	if (m && r == 0) {
		call = call_new(c, stream, m, request, charge);
		if (!call)
			r = err_set(&e, ERR_NOMEM, "no memory for a call");
	}
	if (!call) {
		c->peer->request_bytes -= charge;
		wire_request_done(request);
		if (r < 0)
			ttrpc_conn_refuse(c, stream, &e);
		return;
	}
	r = submit(m->needs_trustee && !call->local ? &s->trustee : &s->local, call, &e);
	if (r < 0) {
		ttrpc_conn_refuse(c, stream, &e);
		call_free(call);
		return;
	}
	ttrpc_wake_at(s, call->expires);
}
