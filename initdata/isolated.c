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
	UNWRAPPED_MAX = (int)sizeof(struct isolated_unwrapped) + (int)INITDATA_TEXT_MAX +
			DELIVER_EXTRAS * (int)USERDATA_TEXT_MAX + USERDATA_SKIPPED_MAX,
	PARSED_MAX = (int)sizeof(struct isolated_parsed) + DELIVER_FILES * (int)INITDATA_TEXT_MAX,
};

/* What a child does with its input and the pipe; 0, or negative when the pipe broke. */
typedef int isolated_work(int fd, const struct isolated_input *in, int refused, struct err *why);

/* --- the children ------------------------------------------------------------ */

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

static int put(int fd, const void *p, size_t n)
{
	return fs_write_fd(fd, view_of(p, n), "pipe", NULL);
}

static int putv(int fd, struct view v)
{
	return fs_write_fd(fd, v, "pipe", NULL);
}

static int unwrap(struct buf *text, struct userdata *u, const struct isolated_input *in,
		  struct err *e)
{
	int r = 0;

	switch (in->form) {
	case ISOLATED_INITDATA:
		return initdata_decode(text, in->bytes, e);
	case ISOLATED_GZIP:
		return initdata_gunzip(text, in->bytes, e);
	case ISOLATED_USERDATA:
		r = userdata_load(u, in->bytes, e);
		break;
	case ISOLATED_USERDATA_BASE64:
		r = userdata_load_base64(u, in->bytes, e);
		break;
	}
	if (r < 0)
		return r;
	if (u->has[EXTRA_INITDATA])
		return initdata_decode(text, buf_view(&u->content[EXTRA_INITDATA]), e);
	if (in->has_existing)
		return initdata_decode(text, in->existing, e);
	buf_putv(text, initdata_dummy());
	return buf_check(text, "initdata", e);
}

static int unwrap_and_answer(int fd, const struct isolated_input *in, int r, struct err *why)
{
	struct isolated_unwrapped reply = { 0 };
	struct buf text = BUF_MAX(INITDATA_TEXT_MAX);
	struct userdata u = { 0 };

	if (r == 0)
		r = unwrap(&text, &u, in, why);
	if (r < 0) {
		reply.err = *why;
		return put(fd, &reply, sizeof reply);
	}
	reply.text_len = text.len;
	reply.skipped_len = u.skipped.len;
	for (int f = 0; f < DELIVER_EXTRAS; f++) {
		reply.has_extra[f] = u.has[f];
		reply.extra_len[f] = u.content[f].len;
	}
	r = put(fd, &reply, sizeof reply);
	if (r == 0)
		r = putv(fd, buf_view(&text));
	for (int f = 0; f < DELIVER_EXTRAS && r == 0; f++)
		r = putv(fd, buf_view(&u.content[f]));
	return r < 0 ? r : putv(fd, buf_view(&u.skipped));
}

/* in->bytes is the text. */
static int parse_and_answer(int fd, const struct isolated_input *in, int r, struct err *why)
{
	struct isolated_parsed reply = { 0 };
	const char *file[DELIVER_FILES];
	struct initdata d = { 0 };

	if (r == 0)
		r = initdata_load_text(&d, in->bytes, why);
	if (r < 0) {
		reply.err = *why;
		return put(fd, &reply, sizeof reply);
	}
	reply.alg = (uint32_t)d.alg;
	for (int f = 0; f < DELIVER_FILES; f++) {
		const char *name = deliver_name((enum deliver_file)f);

		file[f] = initdata_get(&d, name, &reply.file_len[f]);
		reply.has_file[f] = file[f] != NULL;
	}
	r = put(fd, &reply, sizeof reply);
	for (int f = 0; f < DELIVER_FILES && r == 0; f++)
		r = put(fd, file[f], reply.file_len[f]);
	return r;
}

static void __attribute__((noreturn))
child(isolated_work *work, int fd, const struct isolated_input *in)
{
	struct err why = { 0 };
	int r = 0;

	if (close_all_but(fd) < 0 || confine() < 0)
		r = err_sys(&why, errno, "confine the reader of the initdata");
	_exit(work(fd, in, r, &why) < 0);
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

/* Paths for the log: plain ASCII, one a line. */
static bool is_plain(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] != '\n' && (v.p[i] < ' ' || v.p[i] >= 0x7f))
			return false;
	return v.len <= USERDATA_SKIPPED_MAX;
}

int isolated_check_unwrapped(struct isolated *in, struct err *e)
{
	struct view rest = buf_view(&in->unwrapped), head;
	struct isolated_unwrapped reply;

	if (!cut(&head, &rest, sizeof reply))
		return nonsense(e);
	memcpy(&reply, head.p, sizeof reply);
	if (reply.err.kind != ERR_OK)
		return child_error(&reply.err, e);
	if (!cut(&in->d.text, &rest, reply.text_len))
		return nonsense(e);
	for (int f = 0; f < DELIVER_EXTRAS; f++) {
		if (!cut(&in->d.extra[f], &rest, reply.extra_len[f]))
			return nonsense(e);
		if (!reply.has_extra[f])
			in->d.extra[f] = (struct view){ 0 };
	}
	if (!cut(&in->skipped, &rest, reply.skipped_len) || rest.len > 0 || !is_plain(in->skipped))
		return nonsense(e);
	return 0;
}

int isolated_check_parsed(struct isolated *in, struct err *e)
{
	struct view rest = buf_view(&in->parsed), head;
	struct isolated_parsed reply;

	if (!cut(&head, &rest, sizeof reply))
		return nonsense(e);
	memcpy(&reply, head.p, sizeof reply);
	if (reply.err.kind != ERR_OK)
		return child_error(&reply.err, e);
	if (reply.alg > HASH_SM3)
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

/* Let a child work; its answer, which need not be one, is left in *answer. */
static int run(struct buf *answer, isolated_work *work, const struct isolated_input *in,
	       struct err *e)
{
	cleanup_close int from = -1, to = -1;
	int fds[2], r, status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	from = fds[0];
	to = fds[1];
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "start the reader of the initdata");
	if (pid == 0)
		child(work, to, in);
	(void)close(take_fd(to));
	r = collect(answer, from, e);
	status = end_child(pid);
	if (r == 0 && WIFSIGNALED(status) && answer->len < sizeof(struct err))
		return err_set(e, ERR_INTERNAL, "the reader of the initdata died of signal %d",
			       WTERMSIG(status));
	return r;
}

int isolated_load(struct isolated *out, const struct isolated_input *input, struct err *e)
{
	cleanup_isolated struct isolated in = { .unwrapped = BUF_MAX(UNWRAPPED_MAX),
						.parsed = BUF_MAX(PARSED_MAX) };
	struct isolated_input text = { .form = ISOLATED_INITDATA };
	struct digest warm;
	int r;

	/* libcrypto reads its configuration at first use, which the children may not. */
	for (int a = HASH_SHA256; a <= HASH_SM3; a++) {
		r = digest_of(&warm, (enum hash_alg)a, view_str(""), e);
		if (r < 0)
			return r;
	}
	r = run(&in.unwrapped, unwrap_and_answer, input, e);
	if (r == 0)
		r = isolated_check_unwrapped(&in, e);
	text.bytes = in.d.text;
	if (r == 0)
		r = run(&in.parsed, parse_and_answer, &text, e);
	if (r == 0)
		r = isolated_check_parsed(&in, e);
	if (r < 0)
		return r;
	*out = in;
	in = (struct isolated){ 0 };
	return 0;
}

void isolated_done(struct isolated *i)
{
	buf_done(&i->unwrapped);
	buf_done(&i->parsed);
	*i = (struct isolated){ 0 };
}
