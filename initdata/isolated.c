/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/isolated.h"
#include "agent/base/clock.h"
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "initdata/initdata.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__s390x__)
#define ARCH AUDIT_ARCH_S390X
#else
#error "name this architecture's AUDIT_ARCH_ value"
#endif

enum {
	REPLY_MAX =
		(int)sizeof(struct isolated_reply) + (1 + DELIVER_FILES) * (int)INITDATA_TEXT_MAX
};

/* --- the child ------------------------------------------------------------ */

/* Memory, the pipe and the end; everything else is EPERM. */
static int confine(void)
{
#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                           \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(__NR_write),
		ALLOW(__NR_exit_group),
		ALLOW(__NR_exit),
		ALLOW(__NR_brk),
		ALLOW(__NR_mmap),
		ALLOW(__NR_munmap),
		ALLOW(__NR_mremap),
		ALLOW(__NR_mprotect),
		ALLOW(__NR_madvise),
		ALLOW(__NR_futex),
		ALLOW(__NR_getrandom),
		ALLOW(__NR_clock_gettime),
		ALLOW(__NR_sched_yield),
		ALLOW(__NR_rt_sigreturn),
		ALLOW(__NR_rt_sigprocmask),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog program = { .len = ARRAY_LEN(rules), .filter = rules };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
#undef ALLOW
}

static int close_all_but(int fd)
{
	if (fd > 0 && close_range(0, (unsigned)fd - 1, 0) < 0)
		return -1;
	return close_range((unsigned)fd + 1, ~0u, 0);
}

static struct view view_of(const void *p, size_t n)
{
	return (struct view){ p, n };
}

static int answer(int fd, struct isolated_reply *reply, const struct initdata *d)
{
	const char *file[DELIVER_FILES] = { NULL };
	int r;

	if (!d)
		return fs_write_fd(fd, view_of(reply, sizeof *reply), "pipe", NULL);
	reply->alg = (uint32_t)d->alg;
	reply->text_len = d->text.len;
	for (int f = 0; f < DELIVER_FILES; f++) {
		file[f] = initdata_get(d, deliver_name((enum deliver_file)f), &reply->file_len[f]);
		reply->has_file[f] = file[f] != NULL;
	}
	r = fs_write_fd(fd, view_of(reply, sizeof *reply), "pipe", NULL);
	if (r == 0)
		r = fs_write_fd(fd, buf_view(&d->text), "pipe", NULL);
	for (int f = 0; f < DELIVER_FILES && r == 0; f++)
		r = fs_write_fd(fd, view_of(file[f], reply->file_len[f]), "pipe", NULL);
	return r;
}

static void __attribute__((noreturn)) child(int fd, struct view delivered)
{
	struct isolated_reply reply = { 0 };
	struct initdata d = { 0 };
	int r;

	if (close_all_but(fd) < 0 || confine() < 0)
		r = err_sys(&reply.err, errno, "confine the reader of the initdata");
	else
		r = initdata_load(&d, delivered, &reply.err);
	_exit(answer(fd, &reply, r < 0 ? NULL : &d) < 0);
}

/* --- the parent ----------------------------------------------------------- */

/* All that the child writes, until it closes the pipe. */
static int collect(struct buf *out, int fd, struct err *e)
{
	struct deadline deadline = deadline_in(ISOLATED_MS);
	uint8_t chunk[65536];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline_left_ms(deadline);
		ssize_t n;

		if (left == 0)
			return err_set(e, ERR_TIMEOUT, "the reader of the initdata took over %d s",
				       ISOLATED_MS / 1000);
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read from the reader of the initdata");
		if (n == 0)
			return buf_check(out, "answer of the reader of the initdata", e);
		buf_put(out, chunk, (size_t)n);
	}
}

static int nonsense(struct err *e)
{
	return err_set(e, ERR_INTERNAL, "the reader of the initdata answered nonsense");
}

/* Its own error, as far as it is one. */
static int child_error(struct err *theirs, struct err *e)
{
	theirs->msg[sizeof theirs->msg - 1] = '\0';
	if (theirs->kind >= ERR_KIND_COUNT || theirs->code == CODE_OK ||
	    theirs->code >= CODE_COUNT || !enc_is_utf8(view_str(theirs->msg)))
		return nonsense(e);
	if (e)
		*e = *theirs;
	return -(int)theirs->kind;
}

/* n more bytes of the answer. */
static bool cut(struct view *out, struct view *rest, size_t n)
{
	if (n > rest->len)
		return false;
	*out = (struct view){ rest->p, n };
	*rest = (struct view){ rest->p + n, rest->len - n };
	return true;
}

int isolated_check(struct isolated *in, struct err *e)
{
	struct view rest = buf_view(&in->bytes), head;
	struct isolated_reply reply;

	if (!cut(&head, &rest, sizeof reply))
		return nonsense(e);
	memcpy(&reply, head.p, sizeof reply);
	if (reply.err.kind != ERR_OK)
		return child_error(&reply.err, e);
	if (reply.alg > HASH_SHA512 || !cut(&in->d.text, &rest, reply.text_len))
		return nonsense(e);
	in->alg = (enum hash_alg)reply.alg;
	for (int f = 0; f < DELIVER_FILES; f++) {
		if (!cut(&in->d.file[f], &rest, reply.file_len[f]))
			return nonsense(e);
		if (!reply.has_file[f])
			in->d.file[f] = (struct view){ 0 };
	}
	if (rest.len > 0)
		return nonsense(e);
	return digest_of(&in->d.digest, in->alg, in->d.text, e);
}

/* The child only computes, so that killing it loses nothing; a finished one does not notice. */
static int end_child(pid_t pid)
{
	int status = 0;

	(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int isolated_load(struct isolated *out, struct view delivered, struct err *e)
{
	cleanup_isolated struct isolated in = { .bytes = BUF_MAX(REPLY_MAX) };
	cleanup_close int from = -1, to = -1;
	struct digest warm;
	int fds[2], r, status;
	pid_t pid;

	/* libcrypto reads its configuration at first use, which the child may not. */
	for (int a = HASH_SHA256; a <= HASH_SHA512; a++) {
		r = digest_of(&warm, (enum hash_alg)a, view_str(""), e);
		if (r < 0)
			return r;
	}
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	from = fds[0];
	to = fds[1];
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "start the reader of the initdata");
	if (pid == 0)
		child(to, delivered);
	(void)close(take_fd(to));
	r = collect(&in.bytes, from, e);
	status = end_child(pid);
	if (r == 0 && WIFSIGNALED(status) && in.bytes.len < sizeof(struct isolated_reply))
		return err_set(e, ERR_INTERNAL, "the reader of the initdata died of signal %d",
			       WTERMSIG(status));
	if (r == 0)
		r = isolated_check(&in, e);
	if (r < 0)
		return r;
	*out = in;
	in = (struct isolated){ 0 };
	return 0;
}

void isolated_done(struct isolated *i)
{
	buf_done(&i->bytes);
	*i = (struct isolated){ 0 };
}
