/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/daemon/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

enum { EXIT_CANNOT = 127 };

static int signals = -1; /* signalfd, from the first spawn on */
static sigset_t before;  /* the mask the engine gave us, for children */
static struct sigaction child_before;

static struct {
	int pid, code;
	bool ended;
} expected;

static struct {
	bool on;
	int list[32];
	size_t n;
} held;

void oci_argv_add(struct oci_argv *a, const char *arg)
{
	if (a->failed)
		return;
	if (a->n + 1 >= a->room) {
		size_t room = a->room ? a->room * 2 : 64;
		char **v = room <= OCI_ARGV_MAX ? calloc(room, sizeof *v) : NULL;

		if (!v) {
			a->failed = true;
			return;
		}
		if (a->n > 0)
			memcpy(v, a->v, a->n * sizeof *v);
		free(a->v);
		a->v = v;
		a->room = room;
	}
	/* execve(2) takes char *; nobody writes to them. */
	a->v[a->n++] = (char *)(uintptr_t)arg;
}

void oci_argv_globals(struct oci_argv *a, const struct oci *o)
{
	oci_argv_add(a, o->set.runtime);
	for (size_t i = 0; i < o->global.n_given; i++) {
		const struct oci_given *g = &o->global.given[i];

		for (int k = 0; g->id != OPT_OURS && k < g->count; k++)
			oci_argv_add(a, o->argv[g->at + k]);
	}
}

int oci_argv_check(const struct oci_argv *a, struct err *e)
{
	return a->failed ? err_set(e, ERR_NOMEM, "no memory for arguments") : 0;
}

void oci_argv_done(struct oci_argv *a)
{
	free(a->v);
	*a = (struct oci_argv){ 0 };
}

int oci_pass(struct oci *o)
{
	cleanup_oci_argv struct oci_argv a = { 0 };
	struct err e;

	oci_argv_globals(&a, o);
	/* Also the "--" before the verb, if there was one, and what follows it. */
	for (int i = o->global.n_given > 0 ? o->global.given[o->global.n_given - 1].at +
						     o->global.given[o->global.n_given - 1].count :
					     1;
	     i < o->argc; i++)
		oci_argv_add(&a, o->argv[i]);
	if (oci_argv_check(&a, &e) == 0) {
		(void)execv(o->set.runtime, a.v);
		(void)err_code(&e, CODE_OCI_RUNTIME, "execve %s: %s", o->set.runtime,
			       strerrorname_np(errno));
	}
	return oci_fail(o, &e, "", EXIT_CANNOT);
}

/*
 * Our signals are taken from a descriptor: handed on while a child runs, with no moment in which
 * one would end us between the runtime's return and the erasing.
 */
static int take_signals(struct err *e)
{
	const struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t all;

	if (signals >= 0)
		return 0;
	(void)sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, &before) < 0 ||
	    sigaction(SIGCHLD, &dfl, &child_before) < 0)
		return err_sys(e, errno, "block signals");
	signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	return signals < 0 ? err_sys(e, errno, "signalfd") : 0;
}

/* Socket activation names the process that the descriptors are for; that was us. */
static void hand_over_listen_pid(pid_t us)
{
	const char *pid = getenv("LISTEN_PID");
	char text[16];

	(void)snprintf(text, sizeof text, "%d", (int)us);
	if (!pid || strcmp(pid, text) != 0)
		return;
	(void)snprintf(text, sizeof text, "%d", (int)getpid());
	(void)setenv("LISTEN_PID", text, 1);
}

static void become(char *const *argv, const struct oci_stdio *io, pid_t us)
{
	/* None of them is 0, 1 or 2: main sees to it that those are taken. */
	for (int i = 0; i < 3; i++)
		if (io->fd[i] >= 0 && dup2(io->fd[i], i) < 0)
			_exit(EXIT_CANNOT);
	(void)sigaction(SIGCHLD, &child_before, NULL);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	/* Held signals are not for this child: also not those that the terminal sends to our group. */
	if (held.on) {
		(void)setpgid(0, 0);
		(void)signal(SIGTTOU, SIG_IGN);
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != us)
		_exit(EXIT_CANNOT);
	hand_over_listen_pid(us);
	(void)execv(argv[0], argv);
	_exit(EXIT_CANNOT);
}

int oci_spawn(int *out, char *const *argv, const struct oci_stdio *io, struct err *e)
{
	pid_t us = getpid(), pid;
	int r = take_signals(e);

	if (r < 0)
		return r;
	if (access(argv[0], X_OK) < 0)
		return err_code(e, CODE_OCI_RUNTIME, "%s: %s", argv[0], strerrorname_np(errno));
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "fork");
	if (pid == 0)
		become(argv, io, us);
	*out = pid;
	return 0;
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Also what a subreaper inherits; true when it was the one. */
static bool reap(int pid, int *code)
{
	bool found = false;
	int status;
	pid_t p;

	if (expected.ended && expected.pid == pid) {
		*code = expected.code;
		return true;
	}
	while ((p = waitpid(-1, &status, WNOHANG)) > 0) {
		if (p == expected.pid) {
			expected.code = exit_code(status);
			expected.ended = true;
		}
		if (p == pid) {
			*code = exit_code(status);
			found = true;
		}
	}
	if (p < 0 && errno == ECHILD && !found) {
		*code = 1;
		return true;
	}
	return found;
}

void oci_expect(int pid)
{
	expected.pid = pid;
	expected.ended = false;
}

void oci_hold_signals(bool hold)
{
	held.on = hold;
}

/* What the terminal sends to its process group reaches a child in ours without us. */
static void hand_on(int pid, void (*winch)(void *ctx), void *ctx)
{
	struct signalfd_siginfo si;

	while (read(signals, &si, sizeof si) == sizeof si) {
		int sig = (int)si.ssi_signo;

		if (sig == SIGCHLD || si.ssi_pid == (uint32_t)getpid())
			continue;
		if (sig == SIGWINCH && winch)
			winch(ctx);
		else if (held.on && held.n < ARRAY_LEN(held.list))
			held.list[held.n++] = sig;
		else if (!held.on && !(si.ssi_code == SI_KERNEL && getpgid(pid) == getpgrp()))
			(void)kill(pid, sig);
	}
}

int oci_wait(int pid, const struct oci_watch *watch, void (*winch)(void *ctx), void *ctx)
{
	struct pollfd p[2] = { { .fd = signals, .events = POLLIN },
			       { .fd = watch ? watch->fd : -1, .events = POLLIN } };
	int code = 1;

	for (size_t i = 0; !held.on && i < held.n; i++)
		(void)kill(pid, held.list[i]);
	if (!held.on)
		held.n = 0;
	while (!reap(pid, &code)) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[1].fd >= 0 && p[1].revents)
			watch->readable(watch->ctx);
		hand_on(pid, winch, ctx);
	}
	return code;
}

/* Until end of file, the limit of time, or a full buffer; what more there is, is dropped. */
static void drain(struct buf *out, int fd, struct deadline until)
{
	char chunk[4096];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, (int)deadline_left_ms(until)) <= 0)
			return;
		n = read(fd, chunk, sizeof chunk);
		if (n <= 0)
			return;
		buf_put(out, chunk, (size_t)n);
	}
}

int oci_ask(char *const *argv, struct buf *output, int64_t limit_ms)
{
	struct deadline until = deadline_in(limit_ms);
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup_close int from = -1;
	int to[2], pid, status = 1 << 8;
	struct err e;

	if (null < 0 || pipe2(to, O_CLOEXEC) < 0)
		return -1;
	from = to[0];
	if (oci_spawn(&pid, argv, &(struct oci_stdio){ { null, to[1], null } }, &e) < 0) {
		(void)close(to[1]);
		return -1;
	}
	(void)close(to[1]);
	drain(output, from, until);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (deadline_left_ms(until) == 0) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return -1;
		}
		(void)usleep(500);
	}
	return exit_code(status);
}
