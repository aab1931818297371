/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program under test: the Nth call of a named function fails with a named error.
 *
 *   FAULT=rename:3:EIO   the third rename(2) of each process fails with EIO; then none does
 *   FAULT_MARK=FILE      is created when it has happened
 *
 * "openat" stands for all that opens a file by a path: open, openat, mkostemp, mkstemp, opendir.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int calls;
static char *fault, *mark;

/* Before main(), which may forget the environment. */
__attribute__((constructor)) static void read_environment(void)
{
	const char *f = getenv("FAULT"), *m = getenv("FAULT_MARK");

	fault = f ? strdup(f) : NULL;
	mark = m ? strdup(m) : NULL;
}

static int error_of(const char *name)
{
	static const struct {
		const char *name;
		int value;
	} all[] = {
		{ "EIO", EIO },       { "ENOSPC", ENOSPC },
		{ "EACCES", EACCES }, { "EMFILE", EMFILE },
		{ "EROFS", EROFS },   { "ECONNREFUSED", ECONNREFUSED },
		{ "EDQUOT", EDQUOT }, { "ENETUNREACH", ENETUNREACH },
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i].value;
	abort();
}

/* Is this the call? errno is set then. */
static bool fails(const char *function)
{
	size_t n = strlen(function);
	char *end;
	long at;

	if (!fault || strncmp(fault, function, n) != 0 || fault[n] != ':')
		return false;
	at = strtol(fault + n + 1, &end, 10);
	if (atomic_fetch_add(&calls, 1) + 1 != at || *end != ':')
		return false;
	if (mark)
		(void)syscall(SYS_close,
			      syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY, 0600));
	errno = error_of(end + 1);
	return true;
}

/* The real one; ISO C has no conversion of object to function pointers. */
#define REAL(f)                                                                                    \
	static __typeof__(&f) real;                                                                \
	if (!real)                                                                                 \
	*(void **)&real = dlsym(RTLD_NEXT, #f)

ssize_t write(int fd, const void *p, size_t n)
{
	REAL(write);
	return fails("write") ? -1 : real(fd, p, n);
}

int fsync(int fd)
{
	REAL(fsync);
	return fails("fsync") ? -1 : real(fd);
}

int rename(const char *from, const char *to)
{
	REAL(rename);
	return fails("rename") ? -1 : real(from, to);
}

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
	REAL(connect);
	return fails("connect") ? -1 : real(fd, to, n);
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode;
	va_list ap;

	REAL(openat);
	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return fails("openat") ? -1 : real(dir, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	mode_t mode;
	va_list ap;

	REAL(open);
	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return fails("openat") ? -1 : real(path, flags, mode);
}

int mkostemp(char *path, int flags)
{
	REAL(mkostemp);
	return fails("openat") ? -1 : real(path, flags);
}

int mkstemp(char *path)
{
	REAL(mkstemp);
	return fails("openat") ? -1 : real(path);
}

DIR *opendir(const char *path)
{
	REAL(opendir);
	return fails("openat") ? NULL : real(path);
}
