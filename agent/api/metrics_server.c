/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics.h"
#include "agent/api/metrics_request.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { STACK_BYTES = 128 * 1024, PAUSE_MS = 100, BACKLOG = 64 };

/* One connection: its head is read, then its answer is written, then it is closed. */
struct peer {
	int fd; /* -1: free */
	struct deadline end;
	char head[METRICS_HEAD_MAX];
	size_t head_len;
	struct buf answer; /* empty: still reading */
	size_t sent;
};

struct metrics_server {
	char path[108];
	int listen_fd, wake_fd;
	void (*write)(void *ctx, struct buf *out);
	void *ctx;
	pthread_t thread;
	bool running;
	struct peer peers[METRICS_PEERS];
};

static void drop(struct peer *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	buf_done(&p->answer);
	p->fd = -1;
}

static void answer_with(struct peer *p, const char *status, struct view body)
{
	p->answer = BUF_MAX(METRICS_TEXT_MAX + 512);
	buf_printf(&p->answer,
		   "HTTP/1.0 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		   "%sContent-Length: %zu\r\nConnection: close\r\n\r\n",
		   status, strncmp(status, "405", 3) == 0 ? "Allow: GET\r\n" : "", body.len);
	buf_putv(&p->answer, body);
	/* No memory for it: closed without an answer. */
	if (p->answer.failed)
		drop(p);
}

static void answer_text(struct metrics_server *s, struct peer *p)
{
	cleanup_buf struct buf text = BUF_MAX(METRICS_TEXT_MAX);

	s->write(s->ctx, &text);
	if (text.failed)
		answer_with(p, "500 Internal Server Error", view_str("the text is too long\n"));
	else
		answer_with(p, "200 OK", buf_view(&text));
}

static void answer_request(struct metrics_server *s, struct peer *p, enum metrics_request what)
{
	switch (what) {
	case METRICS_TEXT:
		answer_text(s, p);
		break;
	case METRICS_NOT_FOUND:
		answer_with(p, "404 Not Found", view_str("the metrics are at /metrics\n"));
		break;
	case METRICS_METHOD:
		answer_with(p, "405 Method Not Allowed", view_str("only GET\n"));
		break;
	case METRICS_MALFORMED:
		answer_with(p, "400 Bad Request", view_str("no request\n"));
		break;
	case METRICS_PARTIAL:
		if (p->head_len == sizeof p->head - 1)
			answer_with(p, "431 Request Header Fields Too Large",
				    view_str("too long\n"));
		break;
	}
}

static void read_some(struct metrics_server *s, struct peer *p)
{
	ssize_t n = recv(p->fd, p->head + p->head_len, sizeof p->head - 1 - p->head_len, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(p);
		return;
	}
	p->head_len += (size_t)n;
	p->head[p->head_len] = '\0';
	answer_request(s, p, metrics_request(p->head));
}

static void write_some(struct peer *p)
{
	ssize_t n = send(p->fd, p->answer.p + p->sent, p->answer.len - p->sent, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	p->sent += n > 0 ? (size_t)n : 0;
	if (n > 0 && p->sent < p->answer.len)
		return;
	/* Closed with unread bytes it would be a reset. */
	(void)recv(p->fd, p->head, sizeof p->head, 0);
	drop(p);
}

/* A place: a free one, or that of who has been here longest. */
static struct peer *place(struct metrics_server *s)
{
	struct peer *oldest = &s->peers[0];

	for (size_t i = 0; i < METRICS_PEERS; i++) {
		if (s->peers[i].fd < 0)
			return &s->peers[i];
		if (s->peers[i].end.at_ms < oldest->end.at_ms)
			oldest = &s->peers[i];
	}
	drop(oldest);
	return oldest;
}

/* False when there is nobody, or no descriptor for one: then a pause is due. */
static bool take_peer(struct metrics_server *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct peer *p;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	p = place(s);
	p->fd = fd;
	p->end = deadline_in(METRICS_MS);
	p->head_len = p->sent = 0;
	p->head[0] = '\0';
	p->answer = BUF_MAX(0);
	return true;
}

/* Milliseconds until the first connection's time is over, -1: there is none. */
static int fill(struct metrics_server *s, struct pollfd *fds)
{
	int64_t least = -1;

	fds[0] = (struct pollfd){ .fd = s->wake_fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = s->listen_fd, .events = POLLIN };
	for (size_t i = 0; i < METRICS_PEERS; i++) {
		struct peer *p = &s->peers[i];
		int64_t left = p->fd >= 0 ? deadline_left_ms(p->end) : -1;

		if (left == 0)
			drop(p);
		else if (left > 0 && (least < 0 || left < least))
			least = left;
		fds[2 + i] = (struct pollfd){ .fd = p->fd,
					      .events = p->answer.len > 0 ? POLLOUT : POLLIN };
	}
	return (int)least;
}

static void *run(void *arg)
{
	struct metrics_server *s = arg;
	struct pollfd fds[2 + METRICS_PEERS];

	for (;;) {
		int n = poll(fds, 2 + METRICS_PEERS, fill(s, fds));

		if (n < 0 && errno != EINTR)
			return NULL;
		if (n <= 0)
			continue;
		if (fds[0].revents)
			return NULL;
		for (size_t i = 0; i < METRICS_PEERS; i++) {
			struct peer *p = &s->peers[i];

			if (!fds[2 + i].revents)
				continue;
			if (p->answer.len == 0)
				read_some(s, p);
			else
				write_some(p);
		}
		/* Last: it may give the place of a connection that is in fds to another. */
		if (fds[1].revents && !take_peer(s))
			(void)poll(fds, 1, PAUSE_MS);
	}
}

static int listen_at(struct metrics_server *s, const char *path, mode_t mode, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (path[0] != '/' || n >= sizeof a.sun_path)
		return err_set(e, ERR_LIMIT,
			       "metrics socket of %zu bytes, absolute and at most %zu", n,
			       sizeof a.sun_path - 1);
	memcpy(a.sun_path, path, n);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->listen_fd < 0 || s->wake_fd < 0)
		return err_sys(e, errno, "socket for metrics");
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove %s", path);
	if (bind(s->listen_fd, (const struct sockaddr *)&a, sizeof a) < 0)
		return err_sys(e, errno, "bind %s", path);
	memcpy(s->path, path, n + 1);
	/* Before listen(2) nobody can connect, whatever the umask made of it. */
	if (chmod(path, mode) < 0 || listen(s->listen_fd, BACKLOG) < 0)
		return err_sys(e, errno, "listen on %s", path);
	return 0;
}

static int start(struct metrics_server *s, struct err *e)
{
	sigset_t all, before;
	pthread_attr_t a;
	int n;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	(void)pthread_attr_init(&a);
	(void)pthread_attr_setstacksize(&a, STACK_BYTES);
	n = pthread_create(&s->thread, &a, run, s);
	(void)pthread_attr_destroy(&a);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->running = n == 0;
	return n == 0 ? 0 : err_sys(e, n, "thread for metrics");
}

int metrics_serve(struct metrics_server **out, const char *path, mode_t mode,
		  void (*write)(void *ctx, struct buf *out), void *ctx, struct err *e)
{
	struct metrics_server *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return err_set(e, ERR_NOMEM, "no memory for the metrics' server");
	s->listen_fd = s->wake_fd = -1;
	s->write = write;
	s->ctx = ctx;
	for (size_t i = 0; i < METRICS_PEERS; i++)
		s->peers[i].fd = -1;
	r = listen_at(s, path, mode, e);
	if (r == 0)
		r = start(s, e);
	if (r < 0) {
		metrics_stop(s);
		return r;
	}
	*out = s;
	return 0;
}

void metrics_stop(struct metrics_server *s)
{
	if (!s)
		return;
	if (s->path[0])
		(void)unlink(s->path);
	if (s->running) {
		(void)eventfd_write(s->wake_fd, 1);
		(void)pthread_join(s->thread, NULL);
	}
	for (size_t i = 0; i < METRICS_PEERS; i++)
		drop(&s->peers[i]);
	mem_closep(&s->listen_fd);
	mem_closep(&s->wake_fd);
	free(s);
}
