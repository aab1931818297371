/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/mountd.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum {
	BUSY_MS = 20,
	SLICE_MS = 60000,
	ANSWER_MS = 5000,     /* for the last reply to find room */
	TOLD_LESS_MS = 1000,  /* mountd is told a little less, so that its reason arrives in time */
};

static int gone(struct err *e)
{
	return err_code(e, CODE_VOLUME_MOUNTD, "the other side of the socket is gone");
}

static int wait_for(int fd, short events, struct deadline d, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = deadline_left_ms(d);

	if (left == 0)
		return err_code(e, CODE_VOLUME_DEADLINE, "nothing came in time");
	if (poll(&p, 1, left > SLICE_MS ? SLICE_MS : (int)left) < 0 && errno != EINTR)
		return err_sys(e, errno, "poll");
	return 0;
}

/* --- packets ------------------------------------------------------------------------ */

static int send_packet(int fd, const struct msghdr *m, struct deadline d, struct err *e)
{
	for (;;) {
		int r;

		if (sendmsg(fd, m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
			return gone(e);
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, errno, "send to the other side of mountd's socket");
		r = wait_for(fd, POLLOUT, d, e);
		if (r < 0)
			return r;
	}
}

static int send_bytes(int fd, struct view v, struct deadline d, struct err *e)
{
	/* sendmsg(2) only reads what it is given. */
	struct iovec io = { (void *)(uintptr_t)v.p, v.len };
	const struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	return send_packet(fd, &m, d, e);
}

/* The whole length of the packet, which may be over cap: what does not fit is dropped. */
static int receive_bytes(int fd, uint8_t *p, size_t cap, size_t *len, struct deadline d,
			 struct err *e)
{
	bool reset = false;

	for (;;) {
		ssize_t n = recv(fd, p, cap, MSG_DONTWAIT | MSG_TRUNC);
		int r;

		/* Who closed without reading all comes first; what it said before is still there. */
		if (n < 0 && errno == ECONNRESET && !reset) {
			reset = true;
			continue;
		}

		if (n > 0) {
			*len = (size_t)n;
			return 0;
		}
		if (n == 0 || errno == ECONNRESET)
			return gone(e);
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, errno, "receive from mountd's socket");
		r = wait_for(fd, POLLIN, d, e);
		if (r < 0)
			return r;
	}
}

int mountd_send(int fd, const struct mountd_message *m, struct deadline d, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(MOUNTD_PACKET_MAX);
	int r;

	mountd_encode(&b, m);
	r = buf_check(&b, "a message of mountd's", e);
	return r < 0 ? r : send_bytes(fd, buf_view(&b), d, e);
}

int mountd_receive(int fd, struct mountd_message *out, struct deadline d, struct err *e)
{
	cleanup_free uint8_t *p = malloc(MOUNTD_PACKET_MAX);
	size_t n = 0;
	int r;

	if (!p)
		return err_set(e, ERR_NOMEM, "no memory for a packet");
	r = receive_bytes(fd, p, MOUNTD_PACKET_MAX, &n, d, e);
	if (r < 0)
		return r;
	if (n > MOUNTD_PACKET_MAX)
		return err_code(e, CODE_VOLUME_REQUEST, "packet of %zu bytes, allowed %u", n,
				MOUNTD_PACKET_MAX);
	return mountd_decode(out, (struct view){ p, n }, e);
}

int mountd_send_key(int fd, const struct secret *key, struct deadline d, struct err *e)
{
	if (key->len == 0 || key->len > MOUNTD_KEY_MAX)
		return err_code(e, CODE_VOLUME_KEY, "key of %zu bytes, allowed 1..%u", key->len,
				MOUNTD_KEY_MAX);
	return send_bytes(fd, (struct view){ secret_bytes(key), key->len }, d, e);
}

int mountd_receive_key(int fd, struct secret *key, struct deadline d, struct err *e)
{
	cleanup_secret struct secret s = { 0 };
	size_t n = 0;
	int r = secret_alloc(&s, MOUNTD_KEY_MAX, e);

	if (r == 0)
		r = receive_bytes(fd, s.p, MOUNTD_KEY_MAX, &n, d, e);
	if (r < 0)
		return r;
	if (n > MOUNTD_KEY_MAX)
		return err_code(e, CODE_VOLUME_KEY, "key of %zu bytes, allowed 1..%u", n,
				MOUNTD_KEY_MAX);
	s.len = n;
	secret_move(key, &s);
	return 0;
}

/* --- connections that are handed over -------------------------------------------------- */

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

int mountd_pass(int pair, int fd, struct err *e)
{
	union control c = { 0 };
	char byte = 'C';
	struct iovec io = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = c.room,
		.msg_controllen = sizeof c.room,
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(h), &fd, sizeof fd);
	return send_packet(pair, &m, deadline_in(ANSWER_MS), e);
}

int mountd_take(int *fd, int pair, struct err *e)
{
	union control c = { 0 };
	char byte = 0;
	struct iovec io = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = c.room,
		.msg_controllen = sizeof c.room,
	};
	ssize_t n = recvmsg(pair, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	cleanup_close int got = -1;

	if (n < 0 && errno != ECONNRESET)
		return err_sys(e, errno, "receive a connection");
	if (n <= 0) {
		*fd = -1;
		return 0;
	}
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
	    h->cmsg_len == CMSG_LEN(sizeof got))
		memcpy(&got, CMSG_DATA(h), sizeof got);
	if (got < 0 || byte != 'C' || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return err_set(e, ERR_FORMAT, "what was handed over is no connection");
	*fd = take_fd(got);
	return 0;
}

/* --- client ------------------------------------------------------------------------------ */

static int connect_to(int *out, const char *path, struct deadline d, struct err *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const struct timespec pause = { .tv_nsec = BUSY_MS * 1000000 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (fd < 0)
		return err_sys(e, errno, "socket");
	if (n >= sizeof a.sun_path)
		return err_set(e, ERR_LIMIT, "socket path of %zu bytes", n);
	memcpy(a.sun_path, path, n);
	while (connect(fd, (const struct sockaddr *)&a, sizeof a) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || deadline_left_ms(d) == 0) {
			enum err_code code = errno == EACCES ? CODE_VOLUME_PEER_DENIED : CODE_VOLUME_MOUNTD;

			(void)err_sys(e, errno, "connect to %s", path);
			return err_wrap_code(e, code, "no connection");
		}
		(void)nanosleep(&pause, NULL);
	}
	*out = take_fd(fd);
	return 0;
}

static int hand_over(int *out, int pair, struct err *e)
{
	int fds[2], r;

	if (pair < 0)
		return err_code(e, CODE_VOLUME_MOUNTD, "vouchsafe-mountd was not started");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(e, errno, "socketpair");
	cleanup_close int ours = fds[0], theirs = fds[1];

	r = mountd_pass(pair, theirs, e);
	if (r == 0)
		*out = take_fd(ours);
	return r;
}

/* Send a request, and the key behind it; then wait for the last reply, which is of kind want. */
static int ask(const struct mountd_link *l, struct mountd_message *request,
	       const struct secret *key, struct deadline d, const struct mountd_progress *p,
	       enum mountd_kind want, struct mountd_message *out, struct err *e)
{
	int64_t left = deadline_left_ms(d);
	int64_t less = left / 10 < TOLD_LESS_MS ? left / 10 : TOLD_LESS_MS;
	cleanup_close int fd = -1;
	int r;

	request->time_ms = left > less ? (uint64_t)(left - less) : 1;
	if (request->time_ms > MOUNTD_TIME_MAX_MS)
		request->time_ms = MOUNTD_TIME_MAX_MS;
	r = l->path ? connect_to(&fd, l->path, d, e) : hand_over(&fd, l->pair, e);
	if (r == 0)
		r = mountd_send(fd, request, d, e);
	if (r == 0 && key)
		r = mountd_send_key(fd, key, d, e);
	/* Who refused before it read all has said why. */
	if (r < 0 && e->code != CODE_VOLUME_MOUNTD)
		return r;
	if (fd < 0)
		return r;
	for (;;) {
		cleanup_mountd struct mountd_message m = { 0 };

		r = mountd_receive(fd, &m, d, e);
		if (r < 0)
			return err_wrap(e, r, "vouchsafe-mountd");
		if (m.kind == MOUNTD_FAILED)
			return err_code(e, m.code, "%s", m.text);
		if (m.kind == MOUNTD_PROGRESS && want == MOUNTD_OPENED) {
			if (p)
				p->tell(p->ctx, m.text, m.done, m.total);
			continue;
		}
		if (m.kind != want)
			return err_code(e, CODE_VOLUME_REQUEST, "a reply of kind %d, want %d",
					(int)m.kind, (int)want);
		*out = m;
		m = (struct mountd_message){ 0 };
		return 0;
	}
}

int mountd_open(const struct mountd_link *l, const struct mountd_volume *v, const struct secret *key,
		struct deadline d, const struct mountd_progress *progress, char **mapper,
		struct err *e)
{
	/* Borrowed: not released here. */
	struct mountd_message q = { .kind = MOUNTD_OPEN, .volume = *v };
	cleanup_mountd struct mountd_message a = { 0 };
	struct err own;
	int r;

	if (v->keyed != (key != NULL))
		return err_set(e, ERR_INTERNAL, "a keyed volume goes with a key");
	r = ask(l, &q, key, d, progress, MOUNTD_OPENED, &a, e ? e : &own);
	if (r == 0)
		*mapper = take(a.volume.mapper);
	return r;
}

int mountd_close(const struct mountd_link *l, const char *mapper, struct deadline d, struct err *e)
{
	struct mountd_message q = { .kind = mapper ? MOUNTD_CLOSE : MOUNTD_CLOSE_ALL,
				    .volume.mapper = (char *)(uintptr_t)mapper };
	cleanup_mountd struct mountd_message a = { 0 };
	struct err own;

	return ask(l, &q, NULL, d, NULL, MOUNTD_DONE, &a, e ? e : &own);
}

int mountd_list(const struct mountd_link *l, struct buf *json, struct deadline d, struct err *e)
{
	struct mountd_message q = { .kind = MOUNTD_LIST };
	cleanup_mountd struct mountd_message a = { 0 };
	struct err own;
	int r = ask(l, &q, NULL, d, NULL, MOUNTD_LISTING, &a, e ? e : &own);

	if (r < 0)
		return r;
	buf_puts(json, a.text);
	return buf_check(json, "the list of volumes", e);
}

/* --- server -------------------------------------------------------------------------------- */

struct served {
	int fd;
};

/* A client that does not read, or is gone, holds nothing up. */
static void tell(void *ctx, const char *step, uint64_t done, uint64_t total)
{
	const struct served *s = ctx;
	char text[MOUNTD_STEP_MAX + 1] = { 0 };
	const struct mountd_message m = {
		.kind = MOUNTD_PROGRESS, .text = text, .done = done, .total = total
	};
	size_t n = strnlen(step, MOUNTD_STEP_MAX);

	memcpy(text, step, n);
	if (n > 0)
		(void)!mountd_send(s->fd, &m, deadline_in(0), NULL);
}

static int check_peer(int fd, const struct mountd_admitted *who, enum mountd_kind kind,
		      struct err *e)
{
	struct ucred c = { 0 };
	socklen_t len = sizeof c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0)
		return err_sys(e, errno, "SO_PEERCRED");
	if (c.uid == who->uid || (c.uid == 0 && kind != MOUNTD_OPEN))
		return 0;
	return err_code(e, CODE_VOLUME_PEER_DENIED, "uid %u may not ask for kind %d", c.uid,
			(int)kind);
}

static int do_open(int fd, const struct mountd_message *q, const struct mountd_backend *b,
		   struct mountd_message *answer, struct err *e)
{
	struct deadline d = deadline_in((int64_t)q->time_ms);
	cleanup_secret struct secret key = { 0 };
	struct served s = { .fd = fd };
	const struct mountd_progress p = { .tell = tell, .ctx = &s };
	int r = 0;

	if (q->volume.keyed)
		r = mountd_receive_key(fd, &key, deadline_in(MOUNTD_FIRST_MS), e);
	if (r < 0)
		return r;
	answer->kind = MOUNTD_OPENED;
	return b->open(b->ctx, &q->volume, q->volume.keyed ? &key : NULL, d, &p,
		       &answer->volume.mapper, e);
}

static int do_list(const struct mountd_backend *b, struct mountd_message *answer, struct err *e)
{
	cleanup_buf struct buf json = BUF_MAX(UINT16_MAX);
	int r = b->list(b->ctx, &json, e);

	if (r == 0)
		r = buf_check(&json, "the list of volumes", e);
	if (r < 0)
		return r;
	answer->kind = MOUNTD_LISTING;
	answer->text = buf_take(&json);
	return answer->text ? 0 : err_set(e, ERR_NOMEM, "no memory for the list");
}

static int carry_out(int fd, const struct mountd_message *q, const struct mountd_backend *b,
		     struct mountd_message *answer, struct err *e)
{
	answer->kind = MOUNTD_DONE;
	switch (q->kind) {
	case MOUNTD_OPEN:
		return do_open(fd, q, b, answer, e);
	case MOUNTD_CLOSE:
		return b->close(b->ctx, q->volume.mapper, e);
	case MOUNTD_CLOSE_ALL:
		return b->close(b->ctx, NULL, e);
	case MOUNTD_LIST:
		return do_list(b, answer, e);
	default:
		return err_code(e, CODE_VOLUME_REQUEST, "kind %d is no request", (int)q->kind);
	}
}

int mountd_serve(int fd, const struct mountd_admitted *who, const struct mountd_backend *b,
		 struct err *e)
{
	cleanup_mountd struct mountd_message q = { 0 }, answer = { 0 };
	struct err own, late;
	int r, sent;

	e = e ? e : &own;
	r = mountd_receive(fd, &q, deadline_in(MOUNTD_FIRST_MS), e);
	/* Who may do nothing is told so whatever it sent. */
	if (r < 0 && check_peer(fd, who, MOUNTD_LIST, &late) < 0) {
		*e = late;
		r = -(int)late.kind;
	}
	if (r == 0)
		r = check_peer(fd, who, q.kind, e);
	if (r == 0)
		r = carry_out(fd, &q, b, &answer, e);
	if (r < 0) {
		const struct mountd_message failed = {
			.kind = MOUNTD_FAILED, .code = e->code, .text = e->msg
		};

		(void)!mountd_send(fd, &failed, deadline_in(ANSWER_MS), &late);
		return r;
	}
	sent = mountd_send(fd, &answer, deadline_in(ANSWER_MS), &late);
	if (sent < 0)
		*e = late;
	return sent;
}
