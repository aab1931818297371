/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program under test: SIGKILL before its Nth step that changes something.
 *
 *   KILL_AT=N      the step, counted from 1 over all of them in this process
 *   KILL_TORN=512  when that step is a pwrite, this many bytes of it are written first
 *
 * Steps: pwrite, fsync, fdatasync, ioctl, mount, umount2, rename, unlink, unlinkat, symlinkat.
 * Children do not count: what they do is their own.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1;
static pid_t self;

__attribute__((constructor)) static void begin(void)
{
	const char *at = getenv("KILL_AT");

	left = at ? strtol(at, NULL, 10) : -1;
	self = getpid();
}

/* True when this is the step. */
static int reached(void)
{
	return left > 0 && getpid() == self && --left == 0;
}

static void step(void)
{
	if (reached())
		(void)kill(self, SIGKILL);
}

#define REAL(type, name, ...)                                                                      \
	static type (*real)(__VA_ARGS__);                                                          \
	if (!real)                                                                                 \
	real = (type(*)(__VA_ARGS__))(void (*)(void))dlsym(RTLD_NEXT, name)

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
	if (reached()) {
		const char *torn = getenv("KILL_TORN");
		size_t some = torn ? strtoul(torn, NULL, 10) : 0;

		if (some > 0)
			(void)real(fd, p, some < n ? some : n, at);
		(void)kill(self, SIGKILL);
	}
	return real(fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return pwrite64(fd, p, n, at);
}

int fsync(int fd)
{
	REAL(int, "fsync", int);
	step();
	return real(fd);
}

int fdatasync(int fd)
{
	REAL(int, "fdatasync", int);
	step();
	return real(fd);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	REAL(int, "ioctl", int, unsigned long, ...);
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	step();
	return real(fd, request, arg);
}

int mount(const char *from, const char *to, const char *type, unsigned long flags, const void *data);
int mount(const char *from, const char *to, const char *type, unsigned long flags, const void *data)
{
	REAL(int, "mount", const char *, const char *, const char *, unsigned long, const void *);
	step();
	return real(from, to, type, flags, data);
}

int umount2(const char *path, int flags);
int umount2(const char *path, int flags)
{
	REAL(int, "umount2", const char *, int);
	step();
	return real(path, flags);
}

int rename(const char *from, const char *to);
int rename(const char *from, const char *to)
{
	REAL(int, "rename", const char *, const char *);
	step();
	return real(from, to);
}

int unlink(const char *path)
{
	REAL(int, "unlink", const char *);
	step();
	return real(path);
}

int unlinkat(int dir, const char *path, int flags)
{
	REAL(int, "unlinkat", int, const char *, int);
	step();
	return real(dir, path, flags);
}

int symlinkat(const char *to, int dir, const char *path)
{
	REAL(int, "symlinkat", const char *, int, const char *);
	step();
	return real(to, dir, path);
}
