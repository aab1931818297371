/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "attester/eventlog.h"
#include "attester/eventlog_wal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/*
 * What a killed program, or somebody else, left below EVENTLOG_DIR.
 *   1  bit 0: there is a write-ahead file; bits 1, 2: where register 3 stands before anything
 *      (zero; the file's own value; so that one extend leads to it); bit 3: extend fails
 *   2  length of the log, big-endian, then the log, then the write-ahead file
 * After an open that succeeds the log is whole, at most one extend was made, and a second open
 * changes nothing. After one that fails nothing was changed.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[64];
static int dir;
static struct digest value[24];
static unsigned extends;
static bool fails;

static int read_register(const struct attester_env *env, unsigned reg, struct digest *out,
			 struct err *e)
{
	(void)env;
	if (reg >= ARRAY_LEN(value))
		return err_code(e, CODE_EVENTLOG_REGISTER, "register %u", reg);
	*out = value[reg];
	return 0;
}

static int extend(const struct attester_env *env, unsigned reg, struct view digest, struct err *e)
{
	struct digest next;

	(void)env;
	if (fails)
		return err_code(e, CODE_TPM_FAILED, "no");
	assert(eventlog_extended(&next, HASH_SHA256, &value[reg], digest, NULL) == 0);
	value[reg] = next;
	extends++;
	return 0;
}

static const struct attester attester = { .name = "fuzz",
					  .extend = extend,
					  .read_register = read_register,
					  .log_hash = HASH_SHA256,
					  .log_register = 3 };
static const struct attester_env env = { .root_fd = -1 };

static void end(void)
{
	char path[128];

	(void)unlinkat(dir, "eventlog", 0);
	(void)unlinkat(dir, ".wal_event_entry", 0);
	snprintf(path, sizeof path, "%s" EVENTLOG_DIR, root);
	(void)rmdir(path);
	snprintf(path, sizeof path, "%s/run", root);
	(void)rmdir(path);
	(void)rmdir(root);
}

static void begin(void)
{
	char path[128];

	snprintf(root, sizeof root, "/tmp/fuzz_eventlog.XXXXXX");
	assert(mkdtemp(root));
	snprintf(path, sizeof path, "%s" EVENTLOG_DIR, root);
	assert(fs_mkdirs(path, 0700, NULL) == 0);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(dir >= 0);
	assert(atexit(end) == 0);
}

static void put(const char *name, struct view bytes)
{
	cleanup_close int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert(fd >= 0);
	assert(fs_write_fd(fd, bytes, name, NULL) == 0);
}

static bool get(struct buf *out, const char *name)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	assert(fs_read_fd(out, fd, out->max, name, NULL) == 0);
	return true;
}

static int try(void)
{
	const struct eventlog_config config = { .enabled = true };
	cleanup_eventlog struct eventlog *log = NULL;
	struct err e = { 0 };
	int r = eventlog_open(&log, root, &attester, &env, &config, &e);

	assert((r == 0) == (log != NULL));
	assert(r == 0 || (r == -(int)e.kind && e.code != CODE_OK));
	return r;
}

/* The register where the input wants it. */
static void set_registers(unsigned how, struct view raw)
{
	struct eventlog_wal wal;
	cleanup_buf struct buf entry = BUF_MAX(EVENTLOG_ENTRY_MAX);
	struct digest d;
	unsigned reg;

	for (size_t i = 0; i < ARRAY_LEN(value); i++)
		value[i] = (struct digest){ .len = 32 };
	if (how == 0 || eventlog_wal_parse(&wal, raw, HASH_SHA256, NULL) < 0)
		return;
	reg = wal.has_reg ? wal.reg : 3;
	if (reg >= ARRAY_LEN(value))
		return;
	/* One extend of zero cannot lead to a given value: the file is made to fit instead. */
	assert(eventlog_entry_put(&entry, &d, reg, HASH_SHA256, wal.text, NULL) == 0);
	if (how == 1) {
		value[reg] = wal.expected;
		return;
	}
	assert(eventlog_extended(&wal.expected, HASH_SHA256, &value[reg], digest_view(&d), NULL) ==
	       0);
	cleanup_buf struct buf fitting = BUF_MAX(EVENTLOG_WAL_MAX);

	wal.reg = reg;
	eventlog_wal_put(&fitting, &wal);
	assert(buf_check(&fitting, "file", NULL) == 0);
	put(".wal_event_entry", buf_view(&fitting));
}

static void touch_entries(struct view log)
{
	struct eventlog_entry entry;
	bool right;

	for (size_t at = 0;; at += entry.size) {
		int r = eventlog_entry_parse(&entry, log, at, NULL);

		assert(r >= 0);
		if (r == 0)
			return;
		assert(eventlog_entry_true(&right, &entry, NULL) == 0);
		assert(eventlog_event_check(entry.domain, entry.operation, entry.content, NULL) ==
		       0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf before = BUF_MAX(EVENTLOG_MAX), after = BUF_MAX(EVENTLOG_MAX),
			       again = BUF_MAX(EVENTLOG_MAX), wal = BUF_MAX(1u << 20),
			       wal_after = BUF_MAX(1u << 20);
	struct view log, raw;
	bool has_wal, had_log;
	size_t n;

	if (size < 3 || size > 200000)
		return 0;
	if (!root[0])
		begin();
	n = (size_t)data[1] << 8 | data[2];
	if (n > size - 3)
		n = size - 3;
	log = (struct view){ data + 3, n };
	raw = (struct view){ data + 3 + n, size - 3 - n };
	has_wal = data[0] & 1;
	fails = data[0] & 8;
	extends = 0;
	put("eventlog", log);
	(void)unlinkat(dir, ".wal_event_entry", 0);
	if (has_wal)
		put(".wal_event_entry", raw);
	set_registers(has_wal ? data[0] >> 1 & 3 : 0, raw);
	had_log = get(&before, "eventlog");
	(void)get(&wal, ".wal_event_entry");
	if (try() < 0) {
		assert(extends == 0);
		assert(had_log && get(&after, "eventlog"));
		assert(view_eq(buf_view(&before), buf_view(&after)));
		assert(get(&wal_after, ".wal_event_entry") == has_wal);
		assert(view_eq(buf_view(&wal), buf_view(&wal_after)));
		return 0;
	}
	assert(get(&after, "eventlog"));
	assert(!get(&wal_after, ".wal_event_entry"));
	assert(extends <= 1);
	assert(after.len >= before.len &&
	       memcmp(after.p ? after.p : data, before.p ? before.p : data, before.len) == 0);
	touch_entries(buf_view(&after));
	(void)eventlog_replay(buf_view(&after), HASH_SHA256, NULL, NULL, NULL);
	n = extends;
	assert(try() == 0);
	assert(extends == n);
	assert(get(&again, "eventlog"));
	assert(view_eq(buf_view(&after), buf_view(&again)));
	return 0;
}
