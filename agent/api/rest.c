/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest.h"

#include "agent/api/rest_query.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum { STACK = 256 << 10, SEND_WAIT_MS = 2000, SEND_POLL_MS = 10 };

struct rest {
	struct rest_config config;
	struct MHD_Daemon *daemon;
	struct rest_conns *conns;
	struct rest_pool *pool;
	atomic_uint_fast64_t requests;
};

/* One request, from its first line to the end of its answer. */
struct request {
	struct rest *rest;
	struct MHD_Connection *connection;
	struct rest_conn *conn;
	char *target; /* NULL: longer than allowed */
	struct buf body;
	size_t dropped; /* bytes of a body that nobody wants */
	enum { FRESH, ROUTED, ASKED } state;
	struct rest_job job; /* its reply is the answer, also without any call */
};

/* --- connections --------------------------------------------------------------------- */

static enum MHD_Result on_accept(void *cls, const struct sockaddr *peer, socklen_t len)
{
	struct rest *r = cls;

	(void)len;
	return rest_conns_admit(r->conns, peer) ? MHD_YES : MHD_NO;
}

static const struct sockaddr *peer_of(struct MHD_Connection *c)
{
	return MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
}

static int fd_of(struct MHD_Connection *c)
{
	return MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static struct rest_conn *conn_of(struct MHD_Connection *c)
{
	return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct rest *r = cls;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = rest_conns_add(r->conns, peer_of(c), fd_of(c));
	} else {
		rest_conns_remove(r->conns, *context);
		*context = NULL;
	}
}

/* --- requests -------------------------------------------------------------------------- */

/* The library decodes its own copy of the target after this; ours stays as it came. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *c)
{
	struct request *q = calloc(1, sizeof *q);

	if (!q)
		return NULL;
	q->rest = cls;
	q->connection = c;
	q->body = BUF_MAX(REST_BODY_MAX);
	if (strlen(target) <= REST_TARGET_MAX)
		q->target = strdup(target);
	return q;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **context,
			 enum MHD_RequestTerminationCode why)
{
	struct request *q = *context;

	(void)cls;
	(void)c;
	(void)why;
	if (!q)
		return;
	if (q->conn)
		rest_conns_phase(q->rest->conns, q->conn, REST_WAITING);
	/* An answer that nobody took was counted too. */
	if (q->job.reply.secret.len > 0)
		rest_conns_release(q->rest->conns, q->job.reply.secret.len);
	rest_route_done(&q->job.route);
	rest_entry_done(&q->job.entry);
	rest_reply_done(&q->job.reply);
	buf_done(&q->body);
	free(q->target);
	free(q);
	*context = NULL;
}

static void route(struct request *q, const char *method)
{
	static const char long_target[REST_TARGET_MAX + 1];
	struct view target =
		q->target ? view_str(q->target)
			  : (struct view){ (const uint8_t *)long_target, sizeof long_target };

	if (rest_peer_is_local(peer_of(q->connection)))
		rest_route(&q->job.route, q->rest->config.backend.features, method, target);
	else
		q->job.route = rest_forbidden;
}

/* Announced, so that its sender need not send it to learn that. */
static bool announces_too_much(struct MHD_Connection *c)
{
	const char *text = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");

	return text && strtoull(text, NULL, 10) > REST_DISCARD_MAX;
}

/* False: more than anybody will read. */
static bool take_body(struct request *q, const char *data, size_t n)
{
	if (q->job.route.action == REST_AAEL && n <= REST_BODY_MAX - q->body.len &&
	    q->dropped == 0) {
		buf_put(&q->body, data, n);
		return true;
	}
	q->dropped += n;
	return q->dropped <= REST_DISCARD_MAX;
}

/* --- answers --------------------------------------------------------------------------- */

/* Plaintext that the library sends from; it says when it is done with it. */
struct held {
	struct rest_conns *conns;
	struct secret secret;
	size_t bytes; /* that were counted */
};

static void held_done(void *cls)
{
	struct held *h = cls;

	secret_done(&h->secret);
	rest_conns_release(h->conns, h->bytes);
	free(h);
}

static struct MHD_Response *from_secret(struct rest *r, struct secret *s)
{
	struct held *h = calloc(1, sizeof *h);
	struct MHD_Response *response;

	if (!h)
		return NULL;
	h->conns = r->conns;
	h->bytes = s->len;
	secret_move(&h->secret, s);
	/* The library only reads; its type says otherwise. */
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		h->secret.len, h->secret.p, held_done, h);
	if (!response)
		held_done(h);
	return response;
}

static struct MHD_Response *from_text(const void *text, size_t len)
{
	return MHD_create_response_from_buffer(len, (void *)(uintptr_t)text,
					       MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *make(struct request *q)
{
	static const char *const types[] = { [REST_TYPE_OCTETS] = "application/octet-stream",
					     [REST_TYPE_JSON] = "application/json" };
	struct rest_reply *reply = &q->job.reply;
	struct MHD_Response *response;

	/* Body and text outlive the response: both end with the request. */
	if (reply->secret.len > 0)
		response = from_secret(q->rest, &reply->secret);
	else if (reply->body.len > 0)
		response = from_text(reply->body.p, reply->body.len);
	else
		response = from_text(reply->text ? reply->text : "",
				     reply->text ? strlen(reply->text) : 0);
	if (response && reply->type != REST_TYPE_NONE &&
	    MHD_add_response_header(response, "Content-Type", types[reply->type]) == MHD_NO) {
		MHD_destroy_response(response);
		return NULL;
	}
	return response;
}

static enum MHD_Result give(struct request *q)
{
	struct MHD_Response *response;
	enum MHD_Result done;

	if (q->job.reply.hang_up)
		return MHD_NO;
	rest_conns_phase(q->rest->conns, q->conn, REST_SENDING);
	response = make(q);
	if (!response)
		return MHD_NO;
	done = MHD_queue_response(q->connection, (unsigned)q->job.reply.status, response);
	MHD_destroy_response(response);
	return done;
}

/* On a thread of the pool. After the last line the request may be gone. */
static void on_done(struct rest_job *job)
{
	struct request *q = (struct request *)(void *)((char *)job - offsetof(struct request, job));

	if (job->reply.secret.len > 0)
		rest_conns_hold(q->rest->conns, q->conn, job->reply.secret.len);
	MHD_resume_connection(q->connection);
}

static enum MHD_Result give_fixed(struct request *q, const struct rest_route *fixed)
{
	rest_reply_text(&q->job.reply, fixed->status, fixed->text);
	q->state = ASKED;
	return give(q);
}

/* The whole request is there: answer it, or send it to the pool and sleep. */
static enum MHD_Result act(struct request *q)
{
	struct err e;

	q->state = ASKED;
	if (q->job.route.action == REST_ANSWER)
		return give_fixed(q, &q->job.route);
	if (q->job.route.action == REST_AAEL) {
		int r = q->dropped > 0 ? 0 : buf_check(&q->body, "the body", &e);

		if (q->dropped > 0)
			return give_fixed(q, &rest_too_large);
		if (r == 0)
			r = rest_entry_parse(&q->job.entry, buf_view(&q->body), &e);
		if (r < 0) {
			q->job.reply = (struct rest_reply){ .status = 500, .body = BUF_MAX(4096) };
			rest_entry_refused(&q->job.reply.body, &e);
			return give(q);
		}
	}
	if (!rest_pool_reserve(q->rest->pool, &q->job))
		return give_fixed(q, &rest_busy);
	q->job.fd = fd_of(q->connection);
	q->job.done = on_done;
	rest_conns_phase(q->rest->conns, q->conn, REST_WORKING);
	/* Asleep before a thread can wake it. */
	MHD_suspend_connection(q->connection);
	rest_pool_submit(q->rest->pool, &q->job);
	return MHD_YES;
}

/* Called at a request's headers, at each piece of its body, at its end, and when it wakes. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **context)
{
	struct rest *r = cls;
	struct request *q = *context;

	(void)url;
	(void)version;
	if (!q)
		return MHD_NO;
	if (q->state == FRESH) {
		q->conn = conn_of(c);
		if (!q->conn)
			return MHD_NO;
		q->state = ROUTED;
		atomic_fetch_add(&r->requests, 1);
		rest_conns_phase(r->conns, q->conn, REST_READING);
		route(q, method);
		return announces_too_much(c) ? give_fixed(q, &rest_too_large) : MHD_YES;
	}
	if (q->state == ASKED)
		return give(q);
	if (*data_len > 0) {
		bool ok = take_body(q, data, *data_len);

		*data_len = 0;
		return ok ? MHD_YES : MHD_NO;
	}
	return act(q);
}

/* --- the whole -------------------------------------------------------------------------- */

static struct MHD_Daemon *start_daemon(struct rest *r)
{
	const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;

	/* The table of connections has its own caps, all below the library's. */
	return MHD_start_daemon(flags, 0, on_accept, r, on_request, r, MHD_OPTION_LISTEN_SOCKET,
				r->config.listen_fd, MHD_OPTION_NOTIFY_CONNECTION, on_connection, r,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, r,
				MHD_OPTION_URI_LOG_CALLBACK, on_target, r,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned)REST_CONNS_TABLE,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REST_HEADERS_MAX,
				MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK,
				MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

/* Threads take the mask of who starts them; a signal is the main thread's. */
static int start(struct rest *r, struct err *e)
{
	sigset_t all, before;
	int result = rest_conns_new(&r->conns, r->config.held_max, e);

	if (result == 0)
		result = rest_pool_new(&r->pool, &r->config.backend, e);
	if (result < 0)
		return result;
	if (fcntl(r->config.listen_fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "the listening socket");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	errno = 0;
	r->daemon = start_daemon(r);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* The library closes it when it fails too. */
	r->config.listen_fd = -1;
	return r->daemon ? 0 : err_sys(e, errno, "start the HTTP server");
}

int rest_start(struct rest **out, const struct rest_config *config, struct err *e)
{
	struct rest *r = calloc(1, sizeof *r);
	int result;

	if (!r) {
		(void)close(config->listen_fd);
		return err_set(e, ERR_NOMEM, "no memory for the REST server");
	}
	r->config = *config;
	result = start(r, e);
	if (result < 0) {
		if (!r->pool || rest_pool_stop(r->pool, deadline_in(INT32_MAX)))
			rest_pool_free(r->pool);
		rest_conns_free(r->conns);
		if (r->config.listen_fd >= 0)
			(void)close(r->config.listen_fd);
		free(r);
		return result;
	}
	*out = r;
	return 0;
}

void rest_sweep(struct rest *r)
{
	rest_conns_sweep(r->conns, clock_boot_ms());
}

void rest_stats(struct rest *r, struct rest_stats *out)
{
	rest_conns_stats(r->conns, &out->conns);
	out->requests = atomic_load(&r->requests);
}

/* What is on its way out still leaves, if the client takes it. */
static void wait_for_senders(struct rest *r, struct deadline d)
{
	const struct timespec pause = { .tv_nsec = SEND_POLL_MS * 1000000 };
	struct rest_conns_stats s;

	for (;;) {
		rest_conns_stats(r->conns, &s);
		if ((s.sending == 0 && s.working == 0) || deadline_left_ms(d) == 0)
			return;
		(void)nanosleep(&pause, NULL);
	}
}

int rest_stop(struct rest *r, struct deadline d, struct err *e)
{
	int fd = MHD_quiesce_daemon(r->daemon);

	if (fd >= 0)
		(void)close(fd);
	if (!rest_pool_stop(r->pool, d))
		return err_set(e, ERR_TIMEOUT, "calls are still in flight");
	/* New requests on old connections are answered 503: nothing sleeps for long. */
	wait_for_senders(r, deadline_min(d, deadline_in(SEND_WAIT_MS)));
	MHD_stop_daemon(r->daemon);
	rest_pool_free(r->pool);
	rest_conns_free(r->conns);
	free(r);
	return 0;
}
