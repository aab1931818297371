/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tsm.h"
#include "agent/base/fs.h"
#include "attester/tee_wait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { NAME_ROOM = 64, NUMBER_MAX = 32, RMDIR_TRIES = 20 };

/* What a failure means for the loop around the request. */
enum again { FINAL, BUSY, INTERFERED };

static int fail(enum again *again, int sys, const char *what, struct err *e)
{
	enum err_code code = CODE_TEE_FAILED;
	int r;

	*again = FINAL;
	switch (sys) {
	case EBUSY:
	case EINTR:
		*again = BUSY;
		code = CODE_TEE_BUSY;
		break;
	/* The kernel's word for a generation that moved; and our folder was taken away. */
	case EAGAIN:
	case ENOENT:
		*again = INTERFERED;
		code = CODE_TEE_INTERFERED;
		break;
	case ENXIO:
		code = CODE_TEE_NONE;
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		code = CODE_TEE_ACCESS;
		break;
	case ETIMEDOUT:
	case ETIME:
		code = CODE_TEE_TIMEOUT;
		break;
	case EFBIG:
		code = CODE_TEE_REPLY;
		break;
	default:
		break;
	}
	r = err_code(e, code, "configfs-tsm: %s: %s", what, strerrorname_np(sys));
	if (e)
		e->sys = sys;
	return r;
}

static int open_attribute(int item, const char *name, int flags)
{
	return openat(item, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
}

/* Append a file to its end. 0 or errno; EINTR is the caller's: a report may never get ready. */
static int slurp(struct buf *out, int fd)
{
	uint8_t chunk[8192];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof chunk);

		if (n < 0)
			return errno;
		if (n == 0)
			return out->failed == 0 ? 0 : out->failed == ERR_NOMEM ? ENOMEM : EFBIG;
		buf_put(out, chunk, (size_t)n);
		if (out->failed)
			return out->failed == ERR_NOMEM ? ENOMEM : EFBIG;
	}
}

static int read_attribute(struct buf *out, int item, const char *name, enum again *again,
			  struct err *e)
{
	cleanup_close int fd = open_attribute(item, name, O_RDONLY);
	int sys = fd < 0 ? errno : slurp(out, fd);

	return sys == 0 ? 0 : fail(again, sys, name, e);
}

static int read_provider(enum tee_kind *kind, int item, enum again *again, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(TSM_PROVIDER_MAX);
	int r = read_attribute(&text, item, "provider", again, e);

	if (r < 0)
		return r;
	*again = FINAL;
	if (view_is(buf_view(&text), "sev_guest\n"))
		*kind = TEE_SNP;
	else if (view_is(buf_view(&text), "tdx_guest\n"))
		*kind = TEE_TDX;
	else
		return err_code(e, CODE_PLATFORM_NOT_BUILT, "configfs-tsm: provider \"%.*s\"",
				(int)strcspn(buf_str(&text), "\n"), buf_str(&text));
	return 0;
}

/* One write(2), which the kernel takes over at close. */
static int write_inblob(int item, const uint8_t data[TEE_DATA], enum again *again, struct err *e)
{
	int fd = open_attribute(item, "inblob", O_WRONLY);
	ssize_t n;
	int sys = 0;

	if (fd < 0)
		return fail(again, errno, "inblob", e);
	n = write(fd, data, TEE_DATA);
	if (n < 0)
		sys = errno;
	else if (n != TEE_DATA)
		sys = EIO;
	if (close(fd) < 0 && sys == 0)
		sys = errno;
	return sys == 0 ? 0 : fail(again, sys, "inblob", e);
}

/* Of all writes to our folder there was ours and no other. */
static int check_generation(int item, enum again *again, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(NUMBER_MAX);
	int r = read_attribute(&text, item, "generation", again, e);

	if (r < 0 || view_is(buf_view(&text), "1\n"))
		return r;
	/* What fails at close is not said to who closes. */
	if (view_is(buf_view(&text), "0\n")) {
		*again = BUSY;
		return err_code(e, CODE_TEE_BUSY, "configfs-tsm: inblob was not taken over");
	}
	*again = INTERFERED;
	return err_code(e, CODE_TEE_INTERFERED, "configfs-tsm: generation is %.*s, want 1",
			(int)strcspn(buf_str(&text), "\n"), buf_str(&text));
}

/* SNP's certificates; neither the file nor a content need be there. */
static int read_certs(struct buf *out, int item, enum again *again, struct err *e)
{
	cleanup_close int fd = open_attribute(item, "auxblob", O_RDONLY);
	int sys;

	if (fd < 0 && errno == ENOENT)
		return 0;
	sys = fd < 0 ? errno : slurp(out, fd);
	return sys == 0 ? 0 : fail(again, sys, "auxblob", e);
}

static int use_item(int item, const uint8_t data[TEE_DATA], struct tee_quote *q, enum again *again,
		    struct err *e)
{
	int r;

	if ((r = read_provider(&q->kind, item, again, e)) < 0 ||
	    (r = write_inblob(item, data, again, e)) < 0 ||
	    (r = check_generation(item, again, e)) < 0 ||
	    (r = read_attribute(&q->report, item, "outblob", again, e)) < 0 ||
	    (q->kind == TEE_SNP && (r = read_certs(&q->certs, item, again, e)) < 0) ||
	    (r = check_generation(item, again, e)) < 0)
		return r;
	*again = FINAL;
	if (q->report.len == 0)
		return err_code(e, CODE_TEE_REPLY, "configfs-tsm: outblob is empty");
	return 0;
}

/* An attribute that another process holds open may keep it for a moment. */
static void remove_item(int dir, const char *name)
{
	int64_t pause = 1;

	for (int i = 0; i < RMDIR_TRIES; i++) {
		if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || (errno != EBUSY && errno != EINTR))
			return;
		(void)tee_wait(&pause, deadline_in(TEE_PAUSE_MAX_MS));
	}
}

static int request(int dir, const uint8_t data[TEE_DATA], struct tee_quote *q, enum again *again,
		   struct err *e)
{
	char name[NAME_ROOM];
	uint32_t random[2];
	int r;

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return fail(again, errno, "getrandom", e);
	(void)snprintf(name, sizeof name, TSM_PREFIX "%d-%08x%08x", (int)getpid(), random[0],
		       random[1]);
	if (mkdirat(dir, name, 0700) < 0)
		return fail(again, errno == ENOENT ? ENXIO : errno == EEXIST ? EBUSY : errno,
			    "new request", e);
	cleanup_close int item = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	r = item < 0 ? fail(again, errno, name, e) : use_item(item, data, q, again, e);
	remove_item(dir, name);
	return r;
}

static int open_dir(int root_fd, struct err *e)
{
	int fd = fs_open_beneath(root_fd, TSM_REPORT_DIR, O_RDONLY | O_DIRECTORY, 0, e);

	if (fd == -ERR_NOTFOUND)
		return err_code(e, CODE_TEE_NONE, "%s is not there", TSM_REPORT_DIR);
	return fd < 0 ? err_wrap_code(e, CODE_TEE_ACCESS, "configfs-tsm") : fd;
}

/* The process that made it, of a name like ours; 0: none of ours. */
static pid_t maker_of(const char *name)
{
	const char *digits = name + sizeof TSM_PREFIX - 1;
	char *end;
	long pid;

	if (strncmp(name, TSM_PREFIX, sizeof TSM_PREFIX - 1) != 0 || *digits < '1' || *digits > '9')
		return 0;
	errno = 0;
	pid = strtol(digits, &end, 10);
	return errno == 0 && *end == '-' && pid == (pid_t)pid ? (pid_t)pid : 0;
}

/* Also one that nobody has waited for yet: it will write no more. */
static bool is_gone(pid_t pid)
{
	cleanup_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd < 0 ? errno == ESRCH : poll(&p, 1, 0) == 1;
}

static void sweep(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	for (struct dirent *x = readdir(d); x; x = readdir(d)) {
		pid_t pid = maker_of(x->d_name);

		if (pid != 0 && is_gone(pid))
			(void)unlinkat(dir, x->d_name, AT_REMOVEDIR);
	}
	(void)closedir(d);
}

void tsm_sweep(int root_fd)
{
	cleanup_close int dir = open_dir(root_fd, NULL);

	if (dir >= 0)
		sweep(dir);
}

int tsm_quote(int root_fd, const uint8_t data[TEE_DATA], struct tee_quote *out, struct deadline d,
	      struct err *e)
{
	cleanup_close int dir = open_dir(root_fd, e);
	int64_t pause = TEE_PAUSE_FIRST_MS;
	unsigned interfered = 0;

	if (dir < 0)
		return dir;
	sweep(dir);
	for (;;) {
		cleanup_tee_quote struct tee_quote q = { .report = BUF_MAX(TEE_REPORT_MAX),
							 .certs = BUF_MAX(TEE_CERTS_MAX) };
		enum again again = FINAL;
		int r = request(dir, data, &q, &again, e);

		if (r == 0) {
			*out = q;
			q = (struct tee_quote){ 0 };
			return 0;
		}
		if (again == FINAL || (again == INTERFERED && ++interfered == TSM_TRIES) ||
		    !tee_wait(&pause, d))
			return r;
	}
}
