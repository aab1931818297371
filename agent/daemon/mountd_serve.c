/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/mountd_serve.h"
#include "agent/api/mountd.h"
#include "agent/base/log.h"
#include "agent/base/notify.h"
#include "agent/daemon/sandbox.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIST_MAX = 65536 };

/* --- one request, in a process of its own ------------------------------------------- */

static int open_one(void *ctx, const struct mountd_volume *v, const struct secret *key,
		    struct deadline d, const struct mountd_progress *p, char **mapper, struct err *e)
{
	/* volume.h borrows and does not change what it is given. */
	const struct volume_spec spec = {
		.device = v->device,
		.major = v->major,
		.minor = v->minor,
		.source = v->encrypted ? VOLUME_ENCRYPTED : VOLUME_EMPTY,
		.target = v->filesystem ? VOLUME_FILESYSTEM : VOLUME_DEVICE,
		.fs = v->xfs ? VOLUME_XFS : VOLUME_EXT4,
		.mkfs_args = (char **)(uintptr_t)v->mkfs_args,
		.n_mkfs_args = v->n_mkfs_args,
		.integrity = v->integrity,
		.mapper = v->mapper,
		.mount_point = v->mount_point,
		.keyed = v->keyed,
	};
	const struct volume_progress progress = { .tell = p->tell, .ctx = p->ctx };
	int64_t begin = clock_boot_ms();
	struct volume_opened opened;
	int r = volume_open(&opened, ctx, &spec, key, d, &progress, e);

	if (r < 0)
		return r;
	log_info("volume opened", "mapper=\"%s\" mount_point=\"%s\" source=%s keyed=%s integrity=%s ms=%lld",
		 opened.mapper, v->mount_point, v->encrypted ? "encrypted" : "empty", v->keyed ? "yes" : "no",
		 v->integrity ? "yes" : "no", (long long)(clock_boot_ms() - begin));
	if (opened.untagged)
		log_warn("the volume's header has no tag of vouchsafe's: only its form was judged",
			 "mapper=\"%s\" mount_point=\"%s\"", opened.mapper, v->mount_point);
	*mapper = opened.mapper;
	return 0;
}

static int close_one(void *ctx, const char *mapper, struct err *e)
{
	int r = mapper ? volume_close(ctx, mapper, e) : volume_close_all(ctx, e);

	if (r == 0)
		log_info("volume closed", "mapper=\"%s\"", mapper ? mapper : "all");
	return r;
}

static int list_all(void *ctx, struct buf *json, struct err *e)
{
	return volume_list(json, ctx, e);
}

/* SIGTERM stays blocked: what was begun is ended. mkfs unblocks nothing either. */
static void serve_one(int fd, const struct volume_rules *rules)
{
	const struct mountd_admitted who = { .uid = SANDBOX_UID };
	const struct mountd_backend b = {
		.open = open_one,
		.close = close_one,
		.list = list_all,
		.ctx = (void *)(uintptr_t)rules,
	};
	struct err e;

	if (mountd_serve(fd, &who, &b, &e) < 0)
		log_err(LOG_LEVEL_WARN, "request failed", &e);
}

/* --- the service -------------------------------------------------------------------- */

struct loop {
	const struct mountd_source *source;
	const struct volume_rules *rules;
	unsigned children;
	pid_t recovering; /* one of them, or 0 */
	bool ends;
	int64_t quiet_since;
};

/* In a child. The rest of what it inherits is close-on-exec and of no use to it. */
static void let_go(const struct loop *l)
{
	if (l->source->listen_fd >= 0)
		(void)close(l->source->listen_fd);
	if (l->source->pair_fd >= 0)
		(void)close(l->source->pair_fd);
	(void)close(l->source->signals);
}

/* What a killed process left mapped does not wait for the next request. */
static void recover(struct loop *l)
{
	struct err e;
	pid_t pid;
	int n;

	if (l->recovering > 0 || !volume_half_done(l->rules))
		return;
	pid = fork();
	if (pid == 0) {
		let_go(l);
		n = volume_recover(l->rules, &e);
		if (n < 0)
			log_err(LOG_LEVEL_WARN, "what a killed process left stays", &e);
		else if (n > 0)
			log_info("what a killed process left is undone", "volumes=%d", n);
		_exit(0);
	}
	if (pid > 0) {
		l->recovering = pid;
		l->children++;
	}
}

static void reap(struct loop *l)
{
	bool died = false;
	int status;
	pid_t pid;

	while (l->children > 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		l->children--;
		l->quiet_since = clock_boot_ms();
		if (WIFSIGNALED(status))
			log_error("a request's process died", "signal=%d", WTERMSIG(status));
		/* Not again for one that was recovering: that might never end. */
		died = died || (WIFSIGNALED(status) && pid != l->recovering);
		if (pid == l->recovering)
			l->recovering = 0;
	}
	if (died)
		recover(l);
}

static void take_signals(struct loop *l)
{
	struct signalfd_siginfo info;

	while (read(l->source->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		l->ends = true;
	}
	reap(l);
}

static void refuse(int fd, enum err_code code, const char *why)
{
	const struct mountd_message m = {
		.kind = MOUNTD_FAILED, .code = code, .text = (char *)(uintptr_t)why
	};

	(void)!mountd_send(fd, &m, deadline_in(0), NULL);
	log_warn("request refused", "code=%s", err_entry(code)->name);
}

static void begin(struct loop *l, int fd)
{
	pid_t pid;

	l->quiet_since = clock_boot_ms();
	if (l->children >= MOUNTD_CHILDREN) {
		refuse(fd, CODE_VOLUME_TOO_MANY, "requests are at their limit");
		return;
	}
	pid = fork();
	if (pid == 0) {
		let_go(l);
		serve_one(fd, l->rules);
		_exit(0);
	}
	if (pid < 0)
		refuse(fd, CODE_GENERAL_SYSTEM, "no process for the request");
	else
		l->children++;
}

/* Returns -ERR_SYSTEM only when nothing can come any more. */
static int take_connection(struct loop *l, struct err *e)
{
	const struct mountd_source *s = l->source;
	cleanup_close int fd = -1;
	int r = 0;

	if (s->pair_fd >= 0) {
		r = mountd_take(&fd, s->pair_fd, e);
		if (r == 0 && fd < 0)
			l->ends = true;
	} else {
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && (errno == EBADF || errno == EINVAL || errno == ENOTSOCK))
			return err_sys(e, errno, "accept");
	}
	if (r < 0)
		log_err(LOG_LEVEL_WARN, "connection refused", e);
	if (fd >= 0)
		begin(l, fd);
	return 0;
}

/*
 * Ending with a volume open would leave nobody to close it at shutdown: systemd starts nothing then.
 * With a record of one that another hand closed, `volume close --all` would wait for nobody.
 */
static bool may_rest(struct loop *l)
{
	cleanup_buf struct buf json = BUF_MAX(LIST_MAX);
	struct err e;

	return volume_list(&json, l->rules, &e) == 0 && strcmp(buf_str(&json), "[]") == 0 &&
	       !volume_half_done(l->rules);
}

static int wait_ms(const struct loop *l)
{
	int64_t left;

	if (l->source->idle_ms <= 0 || l->children > 0)
		return -1;
	left = l->quiet_since + l->source->idle_ms - clock_boot_ms();
	return left > 0 ? (int)left + 1 : 0;
}

int mountd_loop(const struct mountd_source *s, const struct volume_rules *rules, struct err *e)
{
	struct loop l = { .source = s, .rules = rules, .quiet_since = clock_boot_ms() };
	struct pollfd p[2] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = s->pair_fd >= 0 ? s->pair_fd : s->listen_fd, .events = POLLIN },
	};

	recover(&l);
	while (!l.ends) {
		int n = poll(p, 2, wait_ms(&l));
		int r = 0;

		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "poll");
		if (n == 0) {
			if (may_rest(&l))
				break;
			recover(&l);
			l.quiet_since = clock_boot_ms();
			continue;
		}
		if (n > 0 && p[0].revents)
			take_signals(&l);
		if (n > 0 && p[1].revents && !l.ends)
			r = take_connection(&l, e);
		if (r < 0)
			return r;
	}
	(void)notify_send("STOPPING=1", NULL);
	log_info("ending", "requests=%u", l.children);
	while (l.children > 0 && poll(p, 1, -1) != 0)
		take_signals(&l);
	return 0;
}
