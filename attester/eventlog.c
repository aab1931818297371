/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/eventlog.h"
#include "agent/base/fs.h"
#include "agent/base/log.h"
#include "attester/eventlog_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Within EVENTLOG_DIR. */
#define LOG_NAME "eventlog"
#define WAL_NAME ".wal_event_entry"
#define NEW_NAME ".wal_event_entry.new" /* until it is whole */

struct eventlog {
	pthread_mutex_t lock;
	const struct attester *attester;
	const struct attester_env *env;
	bool enabled, supported;
	unsigned own; /* register of events that name none */

	/* Under lock. */
	int dir, fd;  /* folder and log */
	size_t end;   /* the log's size */
	bool pending; /* the write-ahead file may be there: recover before the next event */
};

/* One event on its way. */
struct step {
	unsigned reg;
	size_t offset;
	struct digest digest, expected;
	struct buf entry;
};

#define STEP_NONE    ((struct step){ .entry = BUF_MAX(EVENTLOG_ENTRY_MAX) })
#define cleanup_step __attribute__((cleanup(step_done)))

static void step_done(struct step *s)
{
	buf_done(&s->entry);
}

/* Where the register stands against a step. */
enum place { BEFORE, AFTER, ELSEWHERE };

static int inconsistent(struct err *e, const char *what)
{
	return err_code(e, CODE_EVENTLOG_INCONSISTENT, "%s: %s", EVENTLOG_DIR, what);
}

static int file_failed(struct err *e, const char *what)
{
	struct err why;

	(void)err_sys(&why, errno, "%s %s", what, EVENTLOG_DIR);
	return err_code(e, CODE_EVENTLOG_FILE, "%s", why.msg);
}

/* --- files ---------------------------------------------------------------------------------- */

/* Append a file's content. Returns 1, or 0 when it is not there. */
static int read_file(struct buf *out, int dir, const char *name, size_t max, struct err *e)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return file_failed(e, "open a file in");
	if (fs_read_fd(out, fd, max, name, e) < 0)
		return err_wrap_code(e, CODE_EVENTLOG_FILE, "%s", EVENTLOG_DIR);
	return 1;
}

/* What cannot be removed now is looked at again before the next event. */
static void drop_wal(struct eventlog *l)
{
	if ((unlinkat(l->dir, WAL_NAME, 0) == 0 || errno == ENOENT) && fsync(l->dir) == 0)
		l->pending = false;
	else
		log_debug("event log: write-ahead file stays", "errno=%d", errno);
}

static int write_wal(struct eventlog *l, struct view bytes, struct err *e)
{
	cleanup_close int fd = openat(l->dir, NEW_NAME,
				      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return file_failed(e, "make the write-ahead file in");
	if (fs_write_fd(fd, bytes, "the write-ahead file", e) < 0)
		return err_wrap_code(e, CODE_EVENTLOG_FILE, "%s", EVENTLOG_DIR);
	if (fsync(fd) < 0)
		return file_failed(e, "sync the write-ahead file in");
	/* Until it is known to be gone it is there. */
	l->pending = true;
	if (renameat(l->dir, NEW_NAME, l->dir, WAL_NAME) < 0 || fsync(l->dir) < 0) {
		int r = file_failed(e, "name the write-ahead file in");

		drop_wal(l);
		return r;
	}
	return 0;
}

/* --- one event ------------------------------------------------------------------------------ */

/* Entry, digest and place in the log of an event. Not what the register will hold. */
static int step_begin(struct step *s, const struct eventlog *l, unsigned reg, size_t offset,
		      struct view text, struct err *e)
{
	const struct attester *a = l->attester;
	unsigned index = a->log_index ? a->log_index(reg) : reg;

	s->reg = reg;
	s->offset = offset;
	return eventlog_entry_put(&s->entry, &s->digest, index, a->log_hash, text, e);
}

static int read_register(const struct eventlog *l, unsigned reg, struct digest *out, struct err *e)
{
	struct digest now;
	int r = l->attester->read_register(l->env, reg, &now, e);

	if (r < 0)
		return r;
	if (now.len != hash_len(l->attester->log_hash))
		return err_set(e, ERR_INTERNAL, "register %u has %zu bytes", reg, now.len);
	*out = now;
	return 0;
}

static int locate(enum place *out, const struct eventlog *l, const struct step *s, struct err *e)
{
	struct view expected = digest_view(&s->expected);
	struct digest now, next;
	int r = read_register(l, s->reg, &now, e);

	if (r == 0)
		r = eventlog_extended(&next, l->attester->log_hash, &now, digest_view(&s->digest),
				      e);
	if (r < 0)
		return r;
	if (view_eq(digest_view(&now), expected))
		*out = AFTER;
	else
		*out = view_eq(digest_view(&next), expected) ? BEFORE : ELSEWHERE;
	return 0;
}

/*
 * Extend the register, whose event is in the write-ahead file. A failure tells nothing about the
 * register, so it is read: an event that did not reach it is dropped, of one that did nothing more
 * is said.
 */
static int extend(struct eventlog *l, const struct step *s, struct err *e)
{
	struct err why = { 0 };
	enum place place;
	int r = l->attester->extend(l->env, s->reg, digest_view(&s->digest), &why);

	if (r == 0)
		return 0;
	if (locate(&place, l, s, NULL) < 0)
		place = ELSEWHERE; /* not known: it stays pending */
	else if (place == ELSEWHERE)
		return inconsistent(e, "something else extended the register meanwhile");
	if (place == AFTER)
		return 0;
	if (place == BEFORE)
		drop_wal(l);
	if (e)
		*e = why;
	return r;
}

/* Put the entry of an extended event into the log, over any part of it, and end the step. */
static int finish(struct eventlog *l, const struct step *s, struct err *e)
{
	if (lseek(l->fd, (off_t)s->offset, SEEK_SET) < 0)
		return file_failed(e, "write the log in");
	if (fs_write_fd(l->fd, buf_view(&s->entry), "the log", e) < 0)
		return err_wrap_code(e, CODE_EVENTLOG_FILE, "%s", EVENTLOG_DIR);
	if (fsync(l->fd) < 0)
		return file_failed(e, "sync the log in");
	l->end = s->offset + s->entry.len;
	drop_wal(l);
	return 0;
}

/* --- recovery: the table of eventlog.h ------------------------------------------------------- */

static int check_entries(struct view log, struct err *e)
{
	struct eventlog_entry entry = { .size = 0 };
	int r;

	for (size_t at = 0;; at += entry.size) {
		r = eventlog_entry_parse(&entry, log, at, e);
		if (r < 0)
			return err_wrap_code(e, CODE_EVENTLOG_INCONSISTENT, "%s", EVENTLOG_FILE);
		if (r == 0)
			return 0;
	}
}

/* What lies behind the step's offset: none, a part or all of its entry. *n: bytes of it. */
static int check_tail(size_t *n, struct view log, const struct step *s, struct err *e)
{
	struct view tail;

	if (s->offset > log.len)
		return inconsistent(e, "the log is shorter than its write-ahead file says");
	if (s->entry.len > EVENTLOG_MAX - s->offset)
		return inconsistent(e,
				    "the event of the write-ahead file does not fit into the log");
	tail = (struct view){ log.p ? log.p + s->offset : NULL, log.len - s->offset };
	if (tail.len > s->entry.len || !view_eq(tail, (struct view){ s->entry.p, tail.len }))
		return inconsistent(e, "the log's end is not the event of its write-ahead file");
	*n = tail.len;
	return check_entries((struct view){ log.p, s->offset }, e);
}

static int recover_step(struct eventlog *l, struct view log, struct view raw, struct err *e)
{
	cleanup_step struct step s = STEP_NONE;
	struct eventlog_wal wal;
	enum place place;
	size_t tail;
	int r = eventlog_wal_parse(&wal, raw, l->attester->log_hash, e);

	if (r < 0)
		return err_wrap_code(e, CODE_EVENTLOG_INCONSISTENT, "%s", EVENTLOG_DIR);
	s.expected = wal.expected;
	r = step_begin(&s, l, wal.has_reg ? wal.reg : l->own, wal.offset, wal.text, e);
	if (r == 0)
		r = check_tail(&tail, log, &s, e);
	if (r == 0)
		r = locate(&place, l, &s, e);
	if (r < 0)
		return r;
	if (place == ELSEWHERE)
		return inconsistent(e, "the register holds neither the value before nor the one "
				       "after the event of the write-ahead file");
	if (place == BEFORE && tail > 0)
		return inconsistent(e, "the log has an event that the register has not");
	l->end = wal.offset;
	if (place == BEFORE) {
		r = extend(l, &s, e);
		if (r < 0 && l->pending)
			return r;
		if (r < 0) {
			log_debug("event log: dropped an event that nothing was extended with",
				  "register=%u", s.reg);
			return 0;
		}
	}
	return finish(l, &s, e);
}

static int recover(struct eventlog *l, struct err *e)
{
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX), wal = BUF_MAX(EVENTLOG_WAL_MAX);
	int r = read_file(&log, l->dir, LOG_NAME, EVENTLOG_MAX, e);

	if (r == 0)
		return inconsistent(e, "the log is gone");
	if (r > 0)
		r = read_file(&wal, l->dir, WAL_NAME, EVENTLOG_WAL_MAX, e);
	if (r < 0)
		return r;
	l->pending = true;
	if (r == 1)
		return recover_step(l, buf_view(&log), buf_view(&wal), e);
	r = check_entries(buf_view(&log), e);
	if (r < 0)
		return r;
	l->end = log.len;
	l->pending = false;
	return 0;
}

/* --- open and close ------------------------------------------------------------------------- */

static int open_files(struct eventlog *l, const char *root, struct err *e)
{
	cleanup_free char *dir = fs_join(root, EVENTLOG_DIR);
	struct stat st;

	if (!dir)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	if (fs_mkdirs(dir, 0755, e) < 0)
		return err_wrap_code(e, CODE_EVENTLOG_FILE, "event log");
	l->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dir < 0)
		return file_failed(e, "open");
	l->fd = openat(l->dir, LOG_NAME,
		       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644);
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return file_failed(e, "open the log in");
	if (!S_ISREG(st.st_mode))
		return err_code(e, CODE_EVENTLOG_FILE, "%s is not a regular file", EVENTLOG_FILE);
	if (flock(l->fd, LOCK_EX | LOCK_NB) < 0)
		return file_failed(e, errno == EWOULDBLOCK ? "another process has the log in"
							   : "lock the log in");
	if (unlinkat(l->dir, NEW_NAME, 0) < 0 && errno != ENOENT)
		return file_failed(e, "remove an unfinished write-ahead file in");
	return 0;
}

int eventlog_open(struct eventlog **out, const char *root, const struct attester *attester,
		  const struct attester_env *env, const struct eventlog_config *config,
		  struct err *e)
{
	cleanup_eventlog struct eventlog *l = calloc(1, sizeof *l);
	int r;

	if (!l)
		return err_set(e, ERR_NOMEM, "no memory for the event log");
	l->dir = l->fd = -1;
	if (pthread_mutex_init(&l->lock, NULL) != 0) {
		free(take(l));
		return err_set(e, ERR_NOMEM, "no memory for a lock");
	}
	l->attester = attester;
	l->env = env;
	l->enabled = config->enabled;
	l->supported = attester && attester->extend && attester->read_register;
	if (l->enabled && l->supported) {
		l->own = config->has_init_pcr ? config->init_pcr : attester->log_register;
		r = open_files(l, root, e);
		if (r == 0)
			r = recover(l, e);
		if (r < 0)
			return r;
	}
	*out = take(l);
	return 0;
}

void eventlog_close(struct eventlog *log)
{
	if (!log)
		return;
	mem_closep(&log->fd);
	mem_closep(&log->dir);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

/* --- extend --------------------------------------------------------------------------------- */

/* The file that is open is still the log, and as long as it was left. */
static int check_same(const struct eventlog *l, struct err *e)
{
	struct stat mine, named;

	if (fstat(l->fd, &mine) < 0)
		return file_failed(e, "look at the log in");
	if (fstatat(l->dir, LOG_NAME, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    mine.st_dev != named.st_dev || mine.st_ino != named.st_ino)
		return inconsistent(e, "the log was removed or replaced while it was in use");
	if (!l->pending && (uint64_t)mine.st_size != l->end)
		return inconsistent(e, "something else wrote into the log");
	return 0;
}

static int append(struct eventlog *l, unsigned reg, struct view text, struct err *e)
{
	cleanup_buf struct buf raw = BUF_MAX(EVENTLOG_WAL_MAX);
	cleanup_step struct step s = STEP_NONE;
	struct eventlog_wal wal;
	struct digest now;
	int r = step_begin(&s, l, reg, l->end, text, e);

	if (r == 0 && s.entry.len > EVENTLOG_MAX - l->end)
		return err_code(e, CODE_EVENTLOG_FULL,
				"%zu bytes are in it, %zu more do not fit into %u", l->end,
				s.entry.len, EVENTLOG_MAX);
	if (r == 0)
		r = read_register(l, reg, &now, e);
	if (r == 0)
		r = eventlog_extended(&s.expected, l->attester->log_hash, &now,
				      digest_view(&s.digest), e);
	if (r < 0)
		return r;
	wal = (struct eventlog_wal){ l->end, s.expected, text, true, reg };
	eventlog_wal_put(&raw, &wal);
	r = buf_check(&raw, "write-ahead file", e);
	if (r == 0)
		r = write_wal(l, buf_view(&raw), e);
	if (r == 0)
		r = extend(l, &s, e);
	return r < 0 ? r : finish(l, &s, e);
}

static int extend_locked(struct eventlog *l, unsigned reg, struct view text, struct err *e)
{
	int r;

	if (pthread_mutex_lock(&l->lock) != 0)
		return err_set(e, ERR_INTERNAL, "the event log's lock");
	r = check_same(l, e);
	if (r == 0 && l->pending)
		r = recover(l, e);
	/* A file that was not removed would be taken for the next event's. */
	if (r == 0 && l->pending)
		r = err_code(e, CODE_EVENTLOG_FILE, "%s cannot be removed", EVENTLOG_WAL);
	if (r == 0)
		r = append(l, reg, text, e);
	pthread_mutex_unlock(&l->lock);
	return r;
}

int eventlog_extend(struct eventlog *log, struct view domain, struct view operation,
		    struct view content, const uint64_t *reg, enum eventlog_result *result,
		    struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(EVENTLOG_TEXT_MAX);
	int r;

	if (!log->enabled || !log->supported) {
		*result = log->enabled ? EVENTLOG_NOT_SUPPORTED : EVENTLOG_NOT_ENABLED;
		return 0;
	}
	r = eventlog_event_check(domain, operation, content, e);
	if (r < 0)
		return r;
	if (reg && *reg > UINT32_MAX)
		return err_code(e, CODE_EVENTLOG_REGISTER, "register %llu",
				(unsigned long long)*reg);
	buf_putv(&text, domain);
	buf_putc(&text, ' ');
	buf_putv(&text, operation);
	buf_putc(&text, ' ');
	buf_putv(&text, content);
	r = buf_check(&text, "event", e);
	if (r == 0)
		r = extend_locked(log, reg ? (unsigned)*reg : log->own, buf_view(&text), e);
	if (r == 0)
		*result = EVENTLOG_OK;
	return r;
}
