/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/mkfs.h"

#include "mounts/volume/device.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define BACKUPS_MAX 256
#define BLOCK       4096u
#define HEAD        (1u << 20)
#define TAIL        (64u << 10)

struct child {
	pid_t pid;
	int out; /* what it says */
};

static void reap(struct child *c)
{
	if (c->pid > 0) {
		(void)kill(c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (c->out >= 0)
		(void)close(c->out);
	*c = (struct child){ .out = -1 };
}

/* In the child: only what may be called between fork and exec. */
static _Noreturn void become(const char *path, char *const *argv, int null, int out, pid_t parent)
{
	static char search[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", words[] = "LC_ALL=C";
	char *env[] = { search, words, NULL };
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	(void)syscall(SYS_close_range, 3u, ~0u, 0u);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execve(path, argv, env);
	_exit(127);
}

static int start(struct child *c, const char *path, char *const *argv, struct err *e)
{
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC), to = -1;
	pid_t self = getpid();
	int ends[2];

	if (null < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "start %s", path);
	c->out = ends[0];
	to = ends[1];
	c->pid = fork();
	if (c->pid == 0)
		become(path, argv, null, to, self);
	if (c->pid < 0)
		return err_sys(e, errno, "start %s", path);
	return 0;
}

static void keep(struct buf *said, const char *p, size_t n)
{
	size_t room = said->max - said->len;

	buf_put(said, p, n < room ? n : room);
}

/* Take what it says until it is gone. Returns its wait status. */
static int attend(int *status, struct child *c, struct buf *said, const char *name, struct deadline d,
		  const struct volume_progress *progress, struct err *e)
{
	bool ended = false;

	for (;;) {
		struct pollfd p = { .fd = c->out, .events = POLLIN };
		int64_t left = deadline_left_ms(d);
		char some[4096];
		ssize_t n;

		if (left == 0)
			return err_code(e, CODE_VOLUME_DEADLINE, "%s took too long", name);
		if (!ended && poll(&p, 1, left < 1000 ? (int)left : 1000) == 0 && progress && progress->tell)
			progress->tell(progress->ctx, name, 0, 0);
		if (!ended && p.revents) {
			n = read(c->out, some, sizeof some);
			if (n > 0)
				keep(said, some, (size_t)n);
			ended = n == 0 || (n < 0 && errno != EINTR);
		}
		if (ended) {
			pid_t gone = waitpid(c->pid, status, WNOHANG);

			if (gone < 0 && errno != EINTR)
				return err_sys(e, errno, "wait for %s", name);
			if (gone == c->pid) {
				c->pid = 0;
				return 0;
			}
			(void)usleep(5000);
		}
	}
}

/* The last words, on one line. */
static void last_words(char out[200], const struct buf *said)
{
	size_t from = said->len > 199 ? said->len - 199 : 0, n = 0;

	for (size_t i = from; i < said->len; i++) {
		uint8_t c = said->p[i];
		bool space = c <= ' ' || c > '~';

		if (!space || (n > 0 && out[n - 1] != ' '))
			out[n++] = space ? ' ' : (char)c;
	}
	out[n] = '\0';
}

/* Run NAME from /usr/sbin or /sbin. said gets what it says. */
static int run(struct buf *said, const char *name, char *const *argv, struct deadline d,
	       const struct volume_progress *progress, struct err *e)
{
	__attribute__((cleanup(reap))) struct child c = { .out = -1 };
	char path[64], words[200];
	int status = 0, r;

	(void)snprintf(path, sizeof path, "/usr/sbin/%s", name);
	if (access(path, X_OK) < 0)
		(void)snprintf(path, sizeof path, "/sbin/%s", name);
	if (access(path, X_OK) < 0)
		return err_code(e, CODE_VOLUME_MKFS, "%s is not in the image (/usr/sbin, /sbin)", name);
	r = start(&c, path, argv, e);
	if (r == 0)
		r = attend(&status, &c, said, name, d, progress, e);
	if (r < 0)
		return r;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_words(words, said);
	return err_code(e, CODE_VOLUME_MKFS, "%s ended with %s %d: %s", name,
			WIFEXITED(status) ? "status" : "signal",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), words);
}

static char *text(const char *s)
{
	return (char *)(uintptr_t)s; /* argv is read only, and not const */
}

/* mkfs.ext4 DEVICE -F [-n] WORDS: the device first, so that no word can be taken for it. */
static int run_mkfs(struct buf *said, enum volume_fs fs, const char *device, char *const *args, size_t n,
		    bool dry, struct deadline d, const struct volume_progress *progress, struct err *e)
{
	const char *name = fs == VOLUME_XFS ? "mkfs.xfs" : "mkfs.ext4";
	char *argv[VOLUME_ARGS_MAX + 10] = { text(name) };
	size_t at = 1;

	argv[at++] = text(device);
	argv[at++] = text(fs == VOLUME_XFS ? "-f" : "-F");
	if (dry)
		argv[at++] = text("-n");
	for (size_t i = 0; i < n; i++)
		argv[at++] = args[i];
	return run(said, name, argv, d, progress, e);
}

static int mapping_size(uint64_t *out, const char *device, struct err *e)
{
	cleanup_close int fd = open(device, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: %s", device, strerrorname_np(errno));
	return device_size(out, fd, device, e);
}

/*
 * ext4 writes superblocks of 1024 bytes through the page cache, which reads the rest of the page:
 * that must have been written. As upstream does, the places are asked of mkfs itself.
 */
static int zero_before_ext4(const char *device, uint64_t size, char *const *args, size_t n,
			    struct deadline d, struct err *e)
{
	cleanup_buf struct buf said = BUF_MAX(MKFS_OUTPUT_MAX);
	uint64_t at[BACKUPS_MAX];
	size_t found;
	int r = run_mkfs(&said, VOLUME_EXT4, device, args, n, true, d, NULL, e);

	if (r < 0)
		return r;
	found = mkfs_backups(at, BACKUPS_MAX, buf_str(&said));
	for (size_t i = 0; i < found; i++) {
		uint64_t from = at[i] / BLOCK * BLOCK;

		if (size < BLOCK || from > size - BLOCK)
			return err_code(e, CODE_VOLUME_MKFS, "mkfs.ext4 names byte %llu of a device of %llu",
					(unsigned long long)at[i], (unsigned long long)size);
		r = device_zero(device, from, BLOCK, d, NULL, NULL, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int zero_before(enum volume_fs fs, const char *device, char *const *args, size_t n,
		       struct deadline d, struct err *e)
{
	uint64_t size = 0;
	int r = mapping_size(&size, device, e);

	if (r == 0 && size < HEAD + TAIL)
		return err_code(e, CODE_VOLUME_TOO_SMALL, "%s: %llu bytes are too few for a file system", device,
				(unsigned long long)size);
	if (r == 0)
		r = device_zero(device, 0, HEAD, d, NULL, NULL, e);
	/* Where tools look for RAID, GPT and ZFS. */
	if (r == 0)
		r = device_zero(device, size / BLOCK * BLOCK - TAIL, TAIL, d, NULL, NULL, e);
	if (r == 0 && fs == VOLUME_EXT4)
		r = zero_before_ext4(device, size, args, n, d, e);
	return r;
}

int mkfs_run(enum volume_fs fs, const char *device, char *const *args, size_t n, bool fresh, bool journal,
	     struct deadline d, const struct volume_progress *progress, struct err *e)
{
	cleanup_buf struct buf said = BUF_MAX(MKFS_OUTPUT_MAX);
	cleanup_mkfs_words struct mkfs_words words = { 0 };
	int r = mkfs_check(fs, args, n, e);

	if (r == 0 && fresh)
		r = zero_before(fs, device, args, n, d, e);
	if (r == 0 && fresh && fs == VOLUME_EXT4)
		r = mkfs_merge(&words, args, n, journal, e);
	if (r < 0)
		return r;
	if (words.n > 0)
		return run_mkfs(&said, fs, device, words.word, words.n, false, d, progress, e);
	return run_mkfs(&said, fs, device, args, n, false, d, progress, e);
}
