/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ATTESTER_FAKE_REGISTER_H
#define TEST_ATTESTER_FAKE_REGISTER_H

#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "attester/eventlog.h"
#include "attester/eventlog_wal.h"
#include "test/test.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A platform with 24 registers in shared memory, which outlive a child that is killed. */
enum fail {
	FAIL_NOT,
	FAIL_BEFORE,  /* extend fails and does nothing */
	FAIL_AFTER,   /* extend works and says that it failed */
	FAIL_FOREIGN, /* extend fails, and somebody else extended */
};

struct fake_registers {
	struct digest value[24];
	enum fail extend_fails;
	bool read_fails;
	unsigned extends, reads;
	void (*step)(const char *what); /* called at each place where a kill makes a difference */
};

static struct fake_registers *fake;
static struct attester fake_attester;
static const struct attester_env fake_env = { .root_fd = -1, .initdata_pcr = 8 };

static inline void fake_at(const char *what)
{
	if (fake->step)
		fake->step(what);
}

static inline int fake_read(const struct attester_env *env, unsigned reg, struct digest *out,
			    struct err *e)
{
	CHECK(env == &fake_env);
	fake_at("read");
	fake->reads++;
	if (fake->read_fails)
		return err_code(e, CODE_TPM_TIMEOUT, "the fake does not answer");
	if (reg >= ARRAY_LEN(fake->value))
		return err_code(e, CODE_EVENTLOG_REGISTER, "register %u", reg);
	*out = fake->value[reg];
	return 0;
}

static inline void fake_do(unsigned reg, struct view digest)
{
	struct digest next;

	CHECK_INT(digest.len, hash_len(fake_attester.log_hash));
	CHECK_INT(eventlog_extended(&next, fake_attester.log_hash, &fake->value[reg], digest, NULL),
		  0);
	fake->value[reg] = next;
}

static inline int fake_extend(const struct attester_env *env, unsigned reg, struct view digest,
			      struct err *e)
{
	CHECK(env == &fake_env);
	CHECK(reg < ARRAY_LEN(fake->value));
	fake_at("extend");
	if (fake->extend_fails == FAIL_BEFORE)
		return err_code(e, CODE_TPM_FAILED, "the fake refuses");
	if (fake->extend_fails == FAIL_FOREIGN)
		fake_do(reg, (struct view){ (const uint8_t[64]){ 7 }, digest.len });
	fake_do(reg, digest);
	fake->extends++;
	fake_at("extended");
	return fake->extend_fails != FAIL_NOT ? err_code(e, CODE_TPM_TIMEOUT, "the fake lies") : 0;
}

static inline void fake_start(enum hash_alg alg)
{
	fake = mmap(NULL, sizeof *fake, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(fake != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_LEN(fake->value); i++)
		fake->value[i].len = hash_len(alg);
	fake_attester = (struct attester){ .name = "fake",
					   .extend = fake_extend,
					   .read_register = fake_read,
					   .log_hash = alg,
					   .log_register = 15 };
}

/* --- a root with a log ------------------------------------------------------------------------ */

static char root[64];

static inline void root_remove(void)
{
	char command[3][128];

	snprintf(command[0], 128, "%s" EVENTLOG_FILE, root);
	snprintf(command[1], 128, "%s" EVENTLOG_WAL, root);
	snprintf(command[2], 128, "%s" EVENTLOG_WAL ".new", root);
	for (int i = 0; i < 3; i++)
		(void)unlink(command[i]);
	snprintf(command[0], 128, "%s" EVENTLOG_DIR, root);
	snprintf(command[1], 128, "%s/run", root);
	(void)rmdir(command[0]);
	(void)rmdir(command[1]);
	(void)rmdir(root);
}

static inline void root_make(void)
{
	snprintf(root, sizeof root, "/tmp/eventlog.XXXXXX");
	CHECK(mkdtemp(root) != NULL);
	(void)atexit(root_remove);
}

static inline const char *below_root(const char *path)
{
	static char full[2][256];
	static unsigned n;

	n ^= 1;
	snprintf(full[n], sizeof full[n], "%s%s", root, path);
	return full[n];
}

/* The file's bytes appended; false without one. */
static inline bool file_read(struct buf *out, const char *path)
{
	struct err e;
	int r = fs_read(out, below_root(path), EVENTLOG_MAX, &e);

	CHECK(r == 0 || r == -ERR_NOTFOUND);
	return r == 0;
}

static inline bool file_there(const char *path)
{
	return access(below_root(path), F_OK) == 0;
}

static inline void file_write(const char *path, struct view bytes)
{
	struct err e;

	if (fs_mkdirs(below_root(EVENTLOG_DIR), 0755, &e) < 0 ||
	    fs_write(below_root(path), bytes, 0644, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

static inline int log_open(struct eventlog **out, struct err *e)
{
	const struct eventlog_config config = { .enabled = true };

	return eventlog_open(out, root, &fake_attester, &fake_env, &config, e);
}

static inline int log_add(struct eventlog *log, const char *content, const uint64_t *reg,
			  struct err *e)
{
	enum eventlog_result result = EVENTLOG_NOT_ENABLED;
	int r = eventlog_extend(log, view_str("domain"), view_str("operation"), view_str(content),
				reg, &result, e);

	CHECK_INT(result, r == 0 ? EVENTLOG_OK : EVENTLOG_NOT_ENABLED);
	return r;
}

/* --- what a log says ---------------------------------------------------------------------------
 */

struct replayed {
	struct digest value[24];
	unsigned n;
	char last[64]; /* content of the last entry */
};

static inline int replay_one(void *ctx, const struct eventlog_entry *entry,
			     const struct digest *value, struct err *e)
{
	struct replayed *r = ctx;
	bool right = false;

	(void)e;
	CHECK(entry->index < 24);
	CHECK_INT(eventlog_entry_true(&right, entry, NULL), 0);
	CHECK(right);
	r->value[entry->index] = *value;
	r->n++;
	snprintf(r->last, sizeof r->last, "%.*s", VIEW_ARG(entry->content));
	return 0;
}

/* The log is whole, and all registers hold what it says. Returns the number of entries. */
static inline unsigned check_replay(struct replayed *out)
{
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX);
	struct replayed r = { .n = 0 };
	struct err e;

	CHECK(file_read(&log, EVENTLOG_FILE));
	if (eventlog_replay(buf_view(&log), fake_attester.log_hash, replay_one, &r, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	for (size_t i = 0; i < ARRAY_LEN(r.value); i++) {
		r.value[i].len = hash_len(fake_attester.log_hash);
		if (!view_eq(digest_view(&r.value[i]), digest_view(&fake->value[i])))
			test_fail(__FILE__, __LINE__, "register %zu is not what the log says", i);
	}
	if (out)
		*out = r;
	return r.n;
}

#endif
