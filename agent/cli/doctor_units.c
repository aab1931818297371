/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/doctor_units.h"
#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SYSTEMCTL_MS = 5000, ANSWER_MAX = 4096, DROP_IN_MAX = 16384 };

#define CAA_OVERRIDE "/etc/systemd/system/process-user-data.service.d/10-override.conf"

/* In the order that systemctl is asked about them. */
static const struct {
	const char *name, *without;
} units[] = {
	{ "vouchsafe-initdata.service", "nothing was provisioned by it" },
	{ "vouchsafed.service", "no secret can be unsealed" },
	{ "vouchsafe-rest.socket", "no REST API for the pod's containers" },
	{ "vouchsafe-mountd.socket", "no encrypted volumes" },
	{ "vouchsafe-volumes.service", "nothing closes encrypted volumes at shutdown" },
};

static void check_unit(struct doctor *d, size_t i, const char *state, size_t len)
{
	char word[32];

	(void)snprintf(word, sizeof word, "%.*s", (int)(len < 31 ? len : 31), state);
	if (strcmp(word, "active") == 0)
		doctor_say(d, "units", VERDICT_OK, "%s is active", units[i].name);
	else if (strcmp(word, "failed") == 0)
		doctor_say(d, "units", VERDICT_FAIL, "%s failed: %s; see systemctl status %s",
			   units[i].name, units[i].without, units[i].name);
	else
		doctor_say(d, "units", VERDICT_NOTE, "%s is %s: %s", units[i].name,
			   len > 0 ? word : "not known", units[i].without);
}

/* Returns 0, or an errno. The words are cut into lines by the caller. */
static int read_all(struct buf *out, int fd, struct deadline end)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char piece[512];
		ssize_t n;

		if (deadline_left_ms(end) == 0)
			return ETIMEDOUT;
		if (poll(&p, 1, (int)deadline_left_ms(end)) <= 0)
			continue;
		n = read(fd, piece, sizeof piece);
		if (n == 0 || (n < 0 && errno != EINTR))
			return n == 0 ? 0 : errno;
		buf_put(out, piece, n > 0 ? (size_t)n : 0);
	}
}

static int start(pid_t *pid, int *out, const char *program)
{
	static char locale[] = "LC_ALL=C", verb[] = "is-active";
	char *const environment[] = { locale, NULL };
	char *argv[ARRAY_LEN(units) + 3] = { (char *)(uintptr_t)program, verb };
	posix_spawn_file_actions_t actions;
	int ends[2], r;

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		argv[2 + i] = (char *)(uintptr_t)units[i].name;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	r = posix_spawn(pid, program, &actions, NULL, argv, environment);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(ends[1]);
	if (r != 0)
		(void)close(ends[0]);
	else
		*out = ends[0];
	return r;
}

/* A state a line; its exit code only says whether all are active. */
static int ask(struct buf *out, const char *program)
{
	cleanup_close int fd = -1;
	pid_t pid;
	int r = start(&pid, &fd, program);

	if (r != 0)
		return r;
	r = read_all(out, fd, deadline_in(SYSTEMCTL_MS));
	if (r != 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return r;
}

/* A drop-in whose lines are all empty or comments adds nothing to its unit. */
static bool says_nothing(const char *path)
{
	cleanup_buf struct buf text = BUF_MAX(DROP_IN_MAX);
	struct view v;
	struct err e;

	if (fs_read(&text, path, DROP_IN_MAX, &e) < 0)
		return false;
	v = buf_view(&text);
	for (size_t i = 0, start = 0; i <= v.len; i++) {
		if (i < v.len && v.p[i] != '\n')
			continue;
		if (i > start && v.p[start] != '#')
			return false;
		start = i + 1;
	}
	return true;
}

/* CAA's images have a drop-in that extends PCR 8 once more. */
static void check_override(struct doctor *d)
{
	cleanup_free char *path = fs_join(d->guest.root, CAA_OVERRIDE);
	char target[16] = "";
	struct stat st;

	if (!path || lstat(path, &st) < 0)
		return;
	if ((S_ISLNK(st.st_mode) && readlink(path, target, sizeof target - 1) > 0 &&
	     strcmp(target, "/dev/null") == 0) ||
	    (S_ISREG(st.st_mode) && says_nothing(path)))
		doctor_say(d, "units", VERDICT_OK, "cloud-api-adaptor's drop-in for PCR 8 is masked");
	else
		doctor_say(d, "units", VERDICT_BAD,
			   "%s is not masked: it extends PCR 8 once more, and no initdata fits it then. "
			   "Make it a file of comments (make install-caa does)",
			   path);
}

void doctor_check_units(struct doctor *d)
{
	cleanup_free char *booted = fs_join(d->guest.root, "/run/systemd/system");
	cleanup_free char *program = fs_join(d->guest.root, "/usr/bin/systemctl");
	cleanup_buf struct buf b = BUF_MAX(ANSWER_MAX);
	const char *line;
	int r;

	if (!booted || !program)
		return;
	if (access(booted, F_OK) < 0) {
		doctor_say(d, "units", VERDICT_SKIP, "systemd does not run here");
		return;
	}
	r = ask(&b, program);
	if (r != 0 || b.failed) {
		doctor_say(d, "units", VERDICT_SKIP, "systemctl does not answer (%s)",
			   r != 0 ? strerrorname_np(r) : "too much");
		return;
	}
	line = buf_str(&b);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t n = strcspn(line, "\n");

		check_unit(d, i, line, n);
		line += line[n] ? n + 1 : n;
	}
	check_override(d);
}
