/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures for `make bench`; each mode prints one line of JSON. Times are microseconds.
 *
 *   load cold --socket S --sealed FILE [--log FILE] -- DAEMON…
 *       from exec to the socket's appearance, and to the first secret; then SIGTERM
 *   load line [--log FILE] -- PROGRAM…
 *       from exec to the first line on its stdout
 *   load warm --socket S --sealed FILE --calls N --callers C
 *       C connections, each with N calls one after another; the lines of FILE in turn
 *   load attest --socket S --sealed FILE --count N --pause-ms M --pid PID
 *       N times: sleep, then one call for each line of FILE; what process PID used in one round
 *   load refused --socket S --sealed FILE
 *       one call that must fail; prints the message
 *   load spawn --count N [--log FILE] -- A… -- B…
 *       A and B in turn, medians
 */
#include "test/bench/ttrpc.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { LINES_MAX = 1024, CALLERS_MAX = 64 };

static struct {
	const char *socket, *log;
	unsigned long calls, callers, count, pause_ms, pid;
	struct call call[LINES_MAX];
	size_t n;
} given = { .calls = 1000, .callers = 1, .count = 1 };

static pid_t child; /* ended when we fail */

void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fputs("load: ", stderr);
	(void)vfprintf(stderr, format, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	if (child > 0)
		(void)kill(child, SIGKILL);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* --- programs
 * ------------------------------------------------------------------------------------- */

/* out: where stdout goes, or -1 for the log. */
static pid_t start(char **argv, int out)
{
	const char *log = given.log ? given.log : "/dev/null";
	posix_spawn_file_actions_t files;
	pid_t pid;
	int n;

	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	(void)posix_spawn_file_actions_adddup2(&files, out >= 0 ? out : 2, 1);
	n = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&files);
	if (n != 0)
		die("%s: %s", argv[0], strerror(n));
	return pid;
}

static int end_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("wait: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Wait for the next change in the folder that inotify watches. */
static void wait_for_change(int watch)
{
	struct pollfd p = { .fd = watch, .events = POLLIN };
	char events[4096];

	/* Short, so that the end of the program is seen, too. */
	if (poll(&p, 1, 200) > 0 && read(watch, events, sizeof events) < 0 && errno != EAGAIN)
		die("inotify: %s", strerror(errno));
}

static int mode_cold(char **argv)
{
	char folder[1024];
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), status;
	int64_t begin, ready, first;
	struct peer c;
	size_t len;
	char *slash;

	(void)snprintf(folder, sizeof folder, "%s", given.socket);
	slash = strrchr(folder, '/');
	if (!slash)
		die("--socket is not absolute");
	*slash = '\0';
	(void)unlink(given.socket);
	if (watch < 0 || inotify_add_watch(watch, folder, IN_CREATE | IN_MOVED_TO) < 0)
		die("%s: %s", folder, strerror(errno));
	begin = now_ns();
	child = start(argv, -1);
	while (!peer_try(&c, given.socket)) {
		if (waitpid(child, &status, WNOHANG) != 0) {
			child = 0;
			die("%s ended with %d before it served", argv[0], WEXITSTATUS(status));
		}
		if (now_ns() - begin > WAIT_MS * INT64_C(1000000))
			die("%s does not serve", argv[0]);
		wait_for_change(watch);
	}
	ready = now_ns();
	len = peer_unseal(&c, &given.call[0]);
	first = now_ns();
	peer_close(&c);
	(void)kill(child, SIGTERM);
	status = end_of(child);
	if (status != 0)
		die("%s ended with %d", argv[0], status);
	printf("{\"ready_us\":%.1f,\"first_us\":%.1f,\"length\":%zu}\n",
	       (double)(ready - begin) / 1e3, (double)(first - begin) / 1e3, len);
	return 0;
}

static int mode_line(char **argv)
{
	int64_t begin, first;
	int pipes[2], status;
	char line[256];
	ssize_t n;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	begin = now_ns();
	child = start(argv, pipes[1]);
	(void)close(pipes[1]);
	n = read(pipes[0], line, sizeof line - 1);
	first = now_ns();
	line[n > 0 ? n : 0] = '\0';
	status = end_of(child);
	if (n <= 0 || status != 0)
		die("%s ended with %d", argv[0], status);
	printf("{\"first_us\":%.1f,\"length\":%lu}\n", (double)(first - begin) / 1e3,
	       strtoul(line, NULL, 10));
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double percentile_us(const int64_t *sorted, size_t n, double p)
{
	size_t i = (size_t)(p * (double)(n - 1) + 0.5);

	return (double)sorted[i] / 1e3;
}

static int mode_spawn(char **argv)
{
	char **side[2] = { argv, argv };
	int64_t *took[2];

	while (*side[1] && strcmp(*side[1], "--") != 0)
		side[1]++;
	if (!*side[1] || !side[1][1])
		die("spawn needs two command lines");
	*side[1]++ = NULL;
	for (int s = 0; s < 2; s++) {
		took[s] = calloc(given.count, sizeof *took[s]);
		if (!took[s])
			die("no memory");
	}
	/* Which goes first alternates. */
	for (unsigned long i = 0; i < 2 * given.count; i++) {
		int s = (int)((i + i / 2) & 1), status;
		int64_t begin = now_ns();

		child = start(side[s], -1);
		status = end_of(child);
		took[s][i / 2] = now_ns() - begin;
		child = 0;
		if (status != 0)
			die("%s ended with %d", side[s][0], status);
	}
	for (int s = 0; s < 2; s++)
		qsort(took[s], given.count, sizeof *took[s], by_value);
	printf("{\"a_us\":%.1f,\"b_us\":%.1f}\n", percentile_us(took[0], given.count, 0.5),
	       percentile_us(took[1], given.count, 0.5));
	return 0;
}

/* --- load
 * ------------------------------------------------------------------------------------------- */

struct caller {
	pthread_t thread;
	struct peer peer;
	int64_t *took;
	int64_t end;
};

static pthread_barrier_t together;

static void *run(void *arg)
{
	struct caller *c = arg;

	(void)pthread_barrier_wait(&together);
	for (unsigned long i = 0; i < given.calls; i++) {
		int64_t begin = now_ns();

		(void)peer_unseal(&c->peer, &given.call[i % given.n]);
		c->took[i] = now_ns() - begin;
	}
	c->end = now_ns();
	return NULL;
}

static int mode_warm(void)
{
	size_t total = given.calls * given.callers;
	int64_t *took = calloc(total, sizeof *took), begin, end = 0;
	struct caller *c = calloc(given.callers, sizeof *c);

	if (!took || !c || pthread_barrier_init(&together, NULL, (unsigned)given.callers + 1) != 0)
		die("no memory");
	for (unsigned long i = 0; i < given.callers; i++) {
		c[i].took = took + i * given.calls;
		peer_open(&c[i].peer, given.socket);
		if (pthread_create(&c[i].thread, NULL, run, &c[i]) != 0)
			die("no thread");
	}
	begin = now_ns();
	(void)pthread_barrier_wait(&together);
	for (unsigned long i = 0; i < given.callers; i++) {
		(void)pthread_join(c[i].thread, NULL);
		peer_close(&c[i].peer);
		end = c[i].end > end ? c[i].end : end;
	}
	qsort(took, total, sizeof *took, by_value);
	printf("{\"calls\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"per_second\":%.0f}"
	       "\n",
	       total, percentile_us(took, total, 0.5), percentile_us(took, total, 0.99),
	       percentile_us(took, total, 1.0), (double)total / ((double)(end - begin) / 1e9));
	free(took);
	free(c);
	return 0;
}

static int64_t cpu_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) < 0)
		die("CPU time of %lu: %s", given.pid, strerror(errno));
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* From the end of one pause to the end of another: what follows a reply is counted, too. */
static int mode_attest(void)
{
	const struct timespec pause = { (time_t)(given.pause_ms / 1000),
					(long)(given.pause_ms % 1000 * 1000000) };
	clockid_t clock;
	int64_t before;
	struct peer c;

	if (clock_getcpuclockid((pid_t)given.pid, &clock) != 0)
		die("no process %lu", given.pid);
	peer_open(&c, given.socket);
	(void)nanosleep(&pause, NULL);
	before = cpu_ns(clock);
	for (unsigned long i = 0; i < given.count; i++) {
		for (size_t k = 0; k < given.n; k++)
			(void)peer_unseal(&c, &given.call[k]);
		(void)nanosleep(&pause, NULL);
	}
	printf("{\"cpu_us\":%.1f}\n", (double)(cpu_ns(clock) - before) / 1e3 / (double)given.count);
	peer_close(&c);
	return 0;
}

static int mode_refused(void)
{
	struct peer c;
	struct answer a;

	peer_open(&c, given.socket);
	peer_call(&c, &given.call[0], &a);
	peer_close(&c);
	if (a.code == 0)
		die("that was not refused");
	for (char *p = a.message; *p; p++)
		if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
			*p = '\'';
	printf("{\"code\":%llu,\"message\":\"%s\"}\n", (unsigned long long)a.code, a.message);
	return 0;
}

/* --- command line
 * -------------------------------------------------------------------------------------- */

static void read_sealed(const char *path)
{
	char line[SEALED_MAX];
	FILE *f = fopen(path, "re");

	if (!f)
		die("%s: %s", path, strerror(errno));
	while (given.n < LINES_MAX && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			given.call[given.n++] = call_make(line);
	}
	(void)fclose(f);
	if (given.n == 0)
		die("%s: no sealed secret", path);
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n == 0 || n > max)
		die("%s, allowed 1..%lu", text, max);
	return n;
}

static char **parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "sealed", required_argument, NULL, 'f' },
		{ "log", required_argument, NULL, 'l' },
		{ "calls", required_argument, NULL, 'n' },
		{ "callers", required_argument, NULL, 'c' },
		{ "count", required_argument, NULL, 'k' },
		{ "pause-ms", required_argument, NULL, 'm' },
		{ "pid", required_argument, NULL, 'p' },
		{ 0 },
	};

	for (int o; (o = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		switch (o) {
		case 's':
			given.socket = optarg;
			break;
		case 'f':
			read_sealed(optarg);
			break;
		case 'l':
			given.log = optarg;
			break;
		case 'n':
			given.calls = number(optarg, 1000000);
			break;
		case 'c':
			given.callers = number(optarg, CALLERS_MAX);
			break;
		case 'k':
			given.count = number(optarg, 100000);
			break;
		case 'm':
			given.pause_ms = number(optarg, 60000);
			break;
		case 'p':
			given.pid = number(optarg, INT32_MAX);
			break;
		default:
			exit(64);
		}
	}
	return argv + optind;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		bool socket, program;
		int (*with_program)(char **argv);
		int (*run)(void);
	} modes[] = {
		{ "cold", true, true, mode_cold, NULL },
		{ "line", false, true, mode_line, NULL },
		{ "spawn", false, true, mode_spawn, NULL },
		{ "warm", true, false, NULL, mode_warm },
		{ "attest", true, false, NULL, mode_attest },
		{ "refused", true, false, NULL, mode_refused },
	};

	for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++) {
		char **rest;

		if (strcmp(argv[1], modes[i].name) != 0)
			continue;
		rest = parse(argc - 1, argv + 1);
		if (modes[i].socket && (!given.socket || given.n == 0))
			die("%s needs --socket and --sealed", argv[1]);
		if (modes[i].program != (*rest != NULL))
			die("%s %s a command line", argv[1],
			    modes[i].program ? "needs" : "takes no");
		return modes[i].program ? modes[i].with_program(rest) : modes[i].run();
	}
	fprintf(stderr,
		"usage: load cold|line|warm|attest|refused|spawn …; see the top of load.c\n");
	return 64;
}
