/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/daemon/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>

/*
 * As runc does for `run` in the foreground: the container never holds our own streams (a
 * terminal among them would let it type into it), but pipes, or a terminal of its own.
 */
enum { CONSOLE_WAIT_MS = 10000, DRAIN_S = 5, PIPE_BYTES = 1 << 20 };

struct copy {
	pthread_t thread;
	bool running;
	int from, to;
};

struct oci_relay {
	bool terminal;
	int listener, master, host; /* host: our terminal whose mode was changed; -1 */
	struct termios saved;
	int ends[3];  /* the container's ends of the pipes, closed once it has them */
	struct copy in, out, err;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static int make_pipe(int *reader, int *writer, struct err *e)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	/* What create says is read after it has returned; make room for a debug log. */
	(void)fcntl(fd[0], F_SETPIPE_SZ, PIPE_BYTES);
	*reader = fd[0];
	*writer = fd[1];
	return 0;
}

static int listen_console(struct oci_relay *r, const struct shadow *s, char path[108], struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path, sizeof a.sun_path, "%s/c", s->path);

	if (n < 0 || (size_t)n >= sizeof a.sun_path)
		return err_code(e, CODE_CONFIG_VALUE, "memory_dir is too long for a socket");
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->listener < 0 ||
	    bind(r->listener, (const struct sockaddr *)&a, sizeof a) < 0 ||
	    listen(r->listener, 1) < 0)
		return err_sys(e, errno, "console socket");
	(void)snprintf(path, 108, "%s", a.sun_path);
	return 0;
}

int oci_relay_new(struct oci_relay **out, const struct shadow *s, bool terminal,
		  struct oci_stdio *io, char socket_path[108], struct err *e)
{
	struct oci_relay *r = calloc(1, sizeof *r);
	int k;

	if (!r)
		return err_set(e, ERR_NOMEM, "no memory for the relay");
	*r = (struct oci_relay){ .terminal = terminal,
				 .listener = -1,
				 .master = -1,
				 .host = -1,
				 .ends = { -1, -1, -1 },
				 .in = { .from = -1, .to = -1 },
				 .out = { .from = -1, .to = -1 },
				 .err = { .from = -1, .to = -1 } };
	socket_path[0] = '\0';
	if (terminal) {
		k = listen_console(r, s, socket_path, e);
	} else if ((k = make_pipe(&r->ends[0], &r->in.to, e)) == 0 &&
		   (k = make_pipe(&r->out.from, &r->ends[1], e)) == 0) {
		k = make_pipe(&r->err.from, &r->ends[2], e);
		for (int i = 0; i < 3; i++)
			io->fd[i] = r->ends[i];
	}
	if (k < 0) {
		oci_relay_end(r);
		return k;
	}
	*out = r;
	return 0;
}

static void *copy_bytes(void *ctx)
{
	struct copy *c = ctx;
	char chunk[16384];

	for (;;) {
		ssize_t n = read(c->from, chunk, sizeof chunk);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 ||
		    fs_write_fd(c->to, (struct view){ (const uint8_t *)chunk, (size_t)n }, "", NULL) < 0)
			return NULL;
	}
}

/* Our input has ended: so has the container's. */
static void *copy_input(void *ctx)
{
	struct copy *c = ctx;

	(void)copy_bytes(c);
	if (c->from == STDIN_FILENO)
		close_fd(&c->to);
	return NULL;
}

static int start(struct copy *c, void *(*run)(void *), struct err *e)
{
	int n = pthread_create(&c->thread, NULL, run, c);

	if (n != 0)
		return err_sys(e, n, "start a thread");
	c->running = true;
	return 0;
}

/* The runtime sends the terminal's master over the socket. */
static int receive(struct oci_relay *r, struct err *e)
{
	struct pollfd p = { .fd = r->listener, .events = POLLIN };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char name[256];
	struct iovec iov = { name, sizeof name };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof control.bytes };
	cleanup_close int fd = -1;
	struct cmsghdr *h;

	if (poll(&p, 1, CONSOLE_WAIT_MS) != 1)
		return err_set(e, ERR_TIMEOUT, "the runtime sent no terminal");
	fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
	p.fd = fd;
	if (fd < 0 || poll(&p, 1, CONSOLE_WAIT_MS) != 1 || recvmsg(fd, &m, MSG_CMSG_CLOEXEC) < 0)
		return err_sys(e, errno, "receive the terminal");
	h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS ||
	    h->cmsg_len != CMSG_LEN(sizeof(int)))
		return err_set(e, ERR_FORMAT, "the runtime sent no terminal");
	memcpy(&r->master, CMSG_DATA(h), sizeof r->master);
	return 0;
}

static void raw_host(struct oci_relay *r)
{
	static const int streams[] = { STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO };
	struct termios raw;

	for (size_t i = 0; i < ARRAY_LEN(streams) && r->host < 0; i++)
		if (tcgetattr(streams[i], &r->saved) == 0)
			r->host = streams[i];
	if (r->host < 0)
		return;
	raw = r->saved;
	cfmakeraw(&raw);
	(void)tcsetattr(r->host, TCSANOW, &raw);
}

void oci_relay_resize(void *relay)
{
	struct oci_relay *r = relay;
	struct winsize size;

	if (r->terminal && r->host >= 0 && ioctl(r->host, TIOCGWINSZ, &size) == 0)
		(void)ioctl(r->master, TIOCSWINSZ, &size);
}

int oci_relay_start(struct oci_relay *r, struct err *e)
{
	struct termios t;
	int k;

	for (int i = 0; i < 3; i++)
		close_fd(&r->ends[i]);
	r->in.from = STDIN_FILENO;
	if (!r->terminal) {
		r->out.to = STDOUT_FILENO;
		r->err.to = STDERR_FILENO;
		if ((k = start(&r->out, copy_bytes, e)) < 0 ||
		    (k = start(&r->err, copy_bytes, e)) < 0)
			return k;
		return start(&r->in, copy_input, e);
	}
	k = receive(r, e);
	if (k < 0)
		return k;
	/* runc clears this on the console so that lines end as the program wrote them. */
	if (tcgetattr(r->master, &t) == 0) {
		t.c_oflag &= ~(tcflag_t)ONLCR;
		(void)tcsetattr(r->master, TCSANOW, &t);
	}
	raw_host(r);
	oci_relay_resize(r);
	r->in.to = r->master;
	r->out = (struct copy){ .from = r->master, .to = STDOUT_FILENO };
	k = start(&r->out, copy_bytes, e);
	return k < 0 ? k : start(&r->in, copy_bytes, e);
}

static void finish(struct copy *c)
{
	struct timespec until;

	if (!c->running || clock_gettime(CLOCK_REALTIME, &until) < 0)
		return;
	until.tv_sec += DRAIN_S;
	/* Somebody outside the container may still hold the pipe; he does not hold us. */
	if (pthread_timedjoin_np(c->thread, NULL, &until) != 0)
		(void)pthread_detach(c->thread);
}

/* create failed: what the runtime had to say lies in the pipe. */
static void flush(struct copy *c, int to)
{
	struct pollfd p = { .fd = c->from, .events = POLLIN };
	char chunk[16384];

	while (!c->running && c->from >= 0 && poll(&p, 1, 0) > 0) {
		ssize_t n = read(c->from, chunk, sizeof chunk);

		if (n <= 0 ||
		    fs_write_fd(to, (struct view){ (const uint8_t *)chunk, (size_t)n }, "", NULL) < 0)
			return;
	}
}

void oci_relay_end(struct oci_relay *r)
{
	if (!r)
		return;
	for (int i = 0; i < 3; i++)
		close_fd(&r->ends[i]);
	flush(&r->out, STDOUT_FILENO);
	flush(&r->err, STDERR_FILENO);
	finish(&r->out);
	finish(&r->err);
	/* The input's thread may wait on our terminal: it ends with the process, and so do its ends. */
	if (r->host >= 0)
		(void)tcsetattr(r->host, TCSANOW, &r->saved);
	close_fd(&r->listener);
	if (!r->in.running) {
		close_fd(&r->in.to);
		if (!r->out.running && !r->err.running)
			free(r);
	}
}
