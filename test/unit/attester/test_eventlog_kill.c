/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/attester/fake_register.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/*
 * Kill, or let fail, at every step that an event or a recovery takes: the calls below stand before
 * libc's for everything linked into this program. A step is one of them, or one of the fake's.
 */
enum what { KILL, KILL_HALF_WRITTEN, FAIL_CALL };

static unsigned at;      /* steps taken */
static unsigned stop_at; /* 0: never */
static enum what what;

/* True when this call is to fail. */
static bool step(void)
{
	if (stop_at == 0 || ++at != stop_at)
		return false;
	if (what == FAIL_CALL) {
		errno = ENOSPC;
		return true;
	}
	_exit(0);
}

static void fake_step(const char *where)
{
	(void)where;
	if (what != FAIL_CALL)
		(void)step();
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (stop_at && what == KILL_HALF_WRITTEN && at + 1 == stop_at)
		(void)syscall(SYS_write, fd, p, n / 2);
	return step() ? -1 : syscall(SYS_write, fd, p, n);
}

int fsync(int fd)
{
	return step() ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return step() ? -1 : (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
}

int unlinkat(int dir, const char *path, int flags)
{
	return step() ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return step() ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

/* --- in a child ----------------------------------------------------------------------------------
 */

/* Told from child to parent, who reads it after the child's end. */
static struct told {
	unsigned steps; /* taken by a child that came to its end */
	bool ended, acknowledged;
} * told;

static void start(void)
{
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(told != MAP_FAILED);
	fake_start(HASH_SHA256);
	fake->step = fake_step;
	root_make();
}

/* Open the log and, with an event, add it; stopped at that step. */
static void in_child(unsigned stop, enum what how, const char *event)
{
	pid_t pid;
	int st;

	*told = (struct told){ 0 };
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct eventlog *log = NULL;
		struct err e;

		what = how;
		stop_at = stop;
		if (log_open(&log, &e) == 0 && event)
			told->acknowledged = log_add(log, event, NULL, &e) == 0;
		told->steps = at;
		told->ended = true;
		_exit(0);
	}
	CHECK(waitpid(pid, &st, 0) == pid);
	CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

static unsigned steps_of(const char *event)
{
	in_child(UINT32_MAX, KILL, event);
	CHECK(told->ended);
	CHECK(!event || told->acknowledged);
	CHECK(told->steps > 0);
	return told->steps;
}

/* What must hold after a recovery: n events were there before the one that was stopped. */
static void check_recovered(unsigned n, bool acknowledged)
{
	struct eventlog *log = NULL;
	unsigned extends = fake->extends, entries;
	struct err e;

	if (log_open(&log, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	entries = check_replay(NULL);
	CHECK(entries == n + 1 || (!acknowledged && entries == n));
	CHECK_INT(fake->extends, entries);
	CHECK(fake->extends - extends <= 1);
	CHECK(!file_there(EVENTLOG_WAL));
	eventlog_close(log);
}

static void each_step(enum what how)
{
	unsigned steps, n = 1, seen_lost = 0, seen_kept = 0;

	start();
	steps = steps_of("first");
	CHECK(steps > 12);
	for (unsigned k = 1; k <= steps; k++) {
		struct replayed now;

		in_child(k, how, "event");
		CHECK_INT(told->ended, how == FAIL_CALL);
		check_recovered(n, told->acknowledged);
		(void)check_replay(&now);
		seen_lost += now.n == n;
		seen_kept += now.n == n + 1;
		n = now.n;
	}
	/* The steps lie on both sides of the point of no return. */
	CHECK(seen_lost > 3);
	CHECK(seen_kept > 3);
}

TEST(eventlog__killed_at_every_step__recovers_without_a_double_or_lost_event)
{
	each_step(KILL);
}

TEST(eventlog__killed_in_the_middle_of_every_write__recovers)
{
	each_step(KILL_HALF_WRITTEN);
}

/* ENOSPC from every call; a caller who was told of success finds his event. */
TEST(eventlog__every_call_fails_once__recovers_without_a_double_or_lost_event)
{
	each_step(FAIL_CALL);
}

/* Killed at step k of an event, then at every step of the recovery from that. */
TEST(eventlog__killed_again_at_every_step_of_the_recovery__recovers)
{
	unsigned steps, n = 1, deep = 0;

	start();
	steps = steps_of("first");
	for (unsigned k = 1; k <= steps; k++) {
		for (unsigned j = 1;; j++) {
			bool ended;
			struct replayed now;

			in_child(k, KILL_HALF_WRITTEN, "event");
			in_child(j, KILL_HALF_WRITTEN, NULL);
			ended = told->ended;
			check_recovered(n, false);
			(void)check_replay(&now);
			n = now.n;
			if (ended)
				break;
			deep++;
		}
	}
	CHECK(deep > 30);
}

/* A failed call does not end the log: the next event goes in once the disk has space again. */
TEST(eventlog_extend__after_every_failed_call__the_next_event_goes_in)
{
	unsigned steps;

	start();
	steps = steps_of("first");
	for (unsigned k = 1; k <= steps; k++) {
		struct eventlog *log = NULL;
		unsigned extends;
		bool first;
		struct err e;

		if (log_open(&log, &e) < 0)
			test_fail(__FILE__, __LINE__, "%s", e.msg);
		what = FAIL_CALL;
		at = 0;
		stop_at = k;
		first = log_add(log, "one", NULL, &e) == 0;
		stop_at = 0;
		extends = fake->extends;
		if (!first)
			CHECK_INT(e.code, CODE_EVENTLOG_FILE);
		if (log_add(log, "two", NULL, &e) < 0)
			test_fail(__FILE__, __LINE__, "step %u: %s", k, e.msg);
		/* What had not reached the register when its caller was told of a failure never
		 * does. */
		CHECK_INT(fake->extends, extends + 1);
		CHECK_INT(check_replay(NULL), fake->extends);
		eventlog_close(log);
	}
}
