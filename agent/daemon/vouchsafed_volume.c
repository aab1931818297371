/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_volume.h"
#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/daemon/vouchsafed_metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum { SAY_MS = 5000, PAIR_FD = 3 };

/* --- the key ------------------------------------------------------------------------ */

/* What is not in the guest's own memory may be the host's, or change under us. */
static int open_key_file(int *out, const char *path, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct statfs fs;
	struct stat st;

	if (fd < 0)
		return err_code(e, CODE_VOLUME_KEY_FILE, "%s: %s", path, strerrorname_np(errno));
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_code(e, CODE_VOLUME_KEY_FILE, "%s is no regular file", path);
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
		return err_code(e, CODE_VOLUME_KEY_FILE, "%s is not on tmpfs or ramfs", path);
	if (st.st_size < 1 || st.st_size > (off_t)MOUNTD_KEY_MAX)
		return err_code(e, CODE_VOLUME_KEY, "%s of %lld bytes, allowed 1..%u", path,
				(long long)st.st_size, MOUNTD_KEY_MAX);
	*out = take_fd(fd);
	return 0;
}

static int read_key_file(struct secret *out, const char *path, struct err *e)
{
	cleanup_close int fd = -1;
	int r = open_key_file(&fd, path, e);

	return r < 0 ? r : secret_read(out, fd, MOUNTD_KEY_MAX, path, e);
}

static int key_of(struct serve *s, struct secret *out, const struct secure_mount *m,
		  const char *name, struct deadline d, struct err *e)
{
	struct uri uri;
	int r;

	switch (m->kind) {
	case SECURE_MOUNT_SEALED:
		return sealed_unseal(out, &s->rules, name, view_str(m->key), d, e);
	case SECURE_MOUNT_KBS:
		r = uri_parse(&uri, view_str(m->key), e);
		return r < 0 ? r : s->rules.resource(s->rules.resource_ctx, out, &uri, d, e);
	case SECURE_MOUNT_FILE:
		return read_key_file(out, m->key, e);
	default:
		return 0;
	}
}

/* --- the call ------------------------------------------------------------------------- */

struct work {
	const char *mount_point;
	char step[MOUNTD_STEP_MAX + 1];
	int64_t said_ms;
};

/* A line for each step, and one now and then while it lasts. */
static void on_progress(void *ctx, const char *step, uint64_t done, uint64_t total)
{
	struct work *w = ctx;
	int64_t now = clock_boot_ms();

	if (strcmp(w->step, step) == 0 && now - w->said_ms < SAY_MS && done < total)
		return;
	(void)snprintf(w->step, sizeof w->step, "%s", step);
	w->said_ms = now;
	log_info("volume in work", "mount_point=\"%s\" step=\"%s\" done=%llu total=%llu",
		 w->mount_point, step, (unsigned long long)done, (unsigned long long)total);
}

static int open_volume(struct serve *s, const struct secure_mount *m, const char *name,
		       struct deadline d, struct err *e)
{
	struct work w = { .mount_point = m->volume.mount_point };
	const struct mountd_progress p = { .tell = on_progress, .ctx = &w };
	cleanup_secret struct secret key = { 0 };
	cleanup_free char *mapper = NULL;
	int r = key_of(s, &key, m, name, d, e);

	if (r < 0)
		return err_wrap(e, r, "key of the volume");
	r = mountd_open(&s->mountd, &m->volume, m->volume.keyed ? &key : NULL, d, &p, &mapper, e);
	if (r < 0)
		return r;
	log_info("volume is open", "mount_point=\"%s\" mapper=\"%s\"", m->volume.mount_point, mapper);
	return 0;
}

int serve_volume(void *ctx, const struct secure_mount *m, const char *name, struct deadline d,
		 struct err *e)
{
	int64_t begin = clock_boot_ms();
	int r = open_volume(ctx, m, name, d, e);

	count_volume_ms(clock_boot_ms() - begin);
	if (r == 0)
		count(COUNTED_VOLUME);
	return r;
}

/* --- native kata ---------------------------------------------------------------------- */

/* In the child: only async-signal-safe calls. */
static void exec_mountd(const char *path, const char *root, int fd)
{
	const char *argv[] = { "vouchsafe-mountd", "--pair", "3", "--root", root, NULL };
	sigset_t none;

	if (!version_is_dev || root[0] == '\0')
		argv[3] = NULL;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd == PAIR_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, PAIR_FD) < 0)
		_exit(71);
	(void)execv(path, (char **)(uintptr_t)argv);
	_exit(72);
}

static int start_mountd(struct mountd_link *out, const char *root, struct err *e)
{
	char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "vouchsafe-mountd");
	int fds[2];
	char *slash;
	pid_t pid;

	out->pair = -1;
	if (n <= 0)
		return err_sys(e, errno, "readlink /proc/self/exe");
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)n >= sizeof path - sizeof "vouchsafe-mountd")
		return err_set(e, ERR_LIMIT, "path of the program");
	memcpy(slash + 1, "vouchsafe-mountd", sizeof "vouchsafe-mountd");
	if (access(path, X_OK) < 0)
		return err_code(e, CODE_VOLUME_MOUNTD, "%s: %s", path, strerrorname_np(errno));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(e, errno, "socketpair");
	cleanup_close int ours = fds[0], theirs = fds[1];

	pid = fork();
	if (pid == 0)
		exec_mountd(path, root, theirs);
	if (pid < 0)
		return err_sys(e, errno, "fork");
	out->pair = take_fd(ours);
	return 0;
}

static struct mountd_link prepared = { .pair = -1 };

void volume_prepare(const char *root, bool by_unit, bool start)
{
	static char path[256 + sizeof MOUNTD_SOCKET];
	struct err e;

	if (by_unit) {
		(void)snprintf(path, sizeof path, "%s%s", root, MOUNTD_SOCKET);
		prepared.path = path;
	} else if (start && geteuid() == 0 && start_mountd(&prepared, root, &e) < 0) {
		log_err(LOG_LEVEL_WARN, "no volumes", &e);
	}
}

struct mountd_link volume_link(void)
{
	return prepared;
}
