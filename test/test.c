/* SPDX-License-Identifier: Apache-2.0 */
#include "test/test.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77 };

struct test *tests;

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("FAIL %s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

void test_skip(const char *why)
{
	printf("skip: %s\n", why);
	exit(SKIPPED);
}

const char *test_shared(const char *path)
{
	static char full[4096];
	const char *root = getenv("TEST_SHARED");
	int n = snprintf(full, sizeof full, "%s/vectors/%s", root ? root : "../shared", path);

	if (n < 0 || (size_t)n >= sizeof full || access(full, R_OK) < 0)
		test_skip("the shared vectors are not on this machine");
	return full;
}

void test_need_memlock(size_t bytes)
{
	struct rlimit limit;

	if (geteuid() != 0 && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < bytes)
		test_skip("needs a higher limit of locked memory (ulimit -l)");
}

const char *test_vector(const char *path)
{
	static char full[4096];
	int n = snprintf(full, sizeof full, "test/vectors/%s", path);

	if (n < 0 || (size_t)n >= sizeof full || access(full, R_OK) < 0)
		test_fail(__FILE__, __LINE__, "no vector %s (run from the project's root)", full);
	return full;
}

/* Each test is a process: a crash, a leak report or a changed umask stays its own. */
static int run(const struct test *t)
{
	pid_t pid;
	int st;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		t->run();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &st, 0) != pid)
		return 1;
	if (WIFSIGNALED(st))
		printf("FAIL signal %d\n", WTERMSIG(st));
	return WIFEXITED(st) ? WEXITSTATUS(st) : 1;
}

int main(int argc, char **argv)
{
	int failed = 0, skipped = 0, passed = 0, r;

	for (const struct test *t = tests; t; t = t->next) {
		if (argc > 1 && !strstr(t->name, argv[1]))
			continue;
		r = run(t);
		if (r == 0) {
			passed++;
		} else if (r == SKIPPED) {
			skipped++;
		} else {
			printf("     in %s\n", t->name);
			failed++;
		}
	}
	printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed || !passed;
}
