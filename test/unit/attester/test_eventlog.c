/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/attester/fake_register.h"

#include <pthread.h>

/* --- results and registers ---------------------------------------------------------------------
 */

TEST(eventlog_extend__not_enabled__is_result_2_whatever_else)
{
	const struct eventlog_config off = { .enabled = false };
	cleanup_eventlog struct eventlog *log = NULL;
	enum eventlog_result result = EVENTLOG_OK;
	const uint64_t reg = UINT64_MAX;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(eventlog_open(&log, root, NULL, &fake_env, &off, NULL), 0);
	CHECK_INT(eventlog_extend(log, view_str(""), view_str(""), view_str("\n"), &reg, &result,
				  NULL),
		  0);
	CHECK_INT(result, 2);
	CHECK(access(below_root("/run"), F_OK) < 0);
}

TEST(eventlog_extend__platform_without_registers__is_result_1)
{
	const struct eventlog_config on = { .enabled = true };
	enum eventlog_result result = EVENTLOG_OK;

	fake_start(HASH_SHA256);
	root_make();
	for (int i = 0; i < 3; i++) {
		const struct attester *const some[] = { attester_by_name("sample"), NULL,
							&fake_attester };
		cleanup_eventlog struct eventlog *log = NULL;

		fake_attester.read_register = NULL;
		CHECK_INT(eventlog_open(&log, root, some[i], &fake_env, &on, NULL), 0);
		CHECK_INT(eventlog_extend(log, view_str("d"), view_str("o"), view_str("\n"), NULL,
					  &result, NULL),
			  0);
		CHECK_INT(result, 1);
	}
	CHECK(access(below_root("/run"), F_OK) < 0);
}

TEST(eventlog_extend__no_register_named__is_the_platforms_or_the_configured)
{
	const struct eventlog_config configured = { .enabled = true,
						    .has_init_pcr = true,
						    .init_pcr = 0 };
	cleanup_eventlog struct eventlog *log = NULL;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	CHECK_INT(log_add(log, "a", NULL, NULL), 0);
	CHECK(fake->value[15].b[0] != 0);
	CHECK_INT(check_replay(NULL), 1);
	eventlog_close(take(log));
	CHECK_INT(eventlog_open(&log, root, &fake_attester, &fake_env, &configured, NULL), 0);
	CHECK_INT(log_add(log, "b", NULL, NULL), 0);
	CHECK(fake->value[0].b[0] != 0);
	CHECK_INT(check_replay(NULL), 2);
}

/* Upstream writes the configured register into the entry and extends the one that was asked for. */
TEST(eventlog_extend__register_named__is_extended_and_in_the_entry)
{
	cleanup_buf struct buf text = BUF_MAX(EVENTLOG_MAX);
	cleanup_eventlog struct eventlog *log = NULL;
	const uint64_t regs[] = { 23, 0, 15 };

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(regs); i++)
		CHECK_INT(log_add(log, "x", &regs[i], NULL), 0);
	CHECK_INT(check_replay(NULL), 3);
	CHECK(file_read(&text, EVENTLOG_FILE));
	CHECK_INT(text.p[0], 23);
	CHECK_INT(text.p[text.len / 3], 0);
	CHECK_INT(text.p[text.len / 3 * 2], 15);
}

static unsigned to_index(unsigned reg)
{
	return reg < 8 ? 1 : 4;
}

TEST(eventlog_extend__platform_that_maps__logs_the_index_and_extends_the_register)
{
	cleanup_buf struct buf text = BUF_MAX(EVENTLOG_MAX);
	cleanup_eventlog struct eventlog *log = NULL;

	fake_start(HASH_SHA384);
	fake_attester.log_index = to_index;
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	CHECK_INT(log_add(log, "x", NULL, NULL), 0);
	CHECK(fake->value[15].b[0] != 0);
	CHECK(file_read(&text, EVENTLOG_FILE));
	CHECK_INT(text.p[0], 4);
	CHECK_INT(text.p[12], 0x0c);
}

TEST(eventlog_extend__bad_event_or_register__fails_and_leaves_no_trace)
{
	cleanup_eventlog struct eventlog *log = NULL;
	enum eventlog_result result = EVENTLOG_NOT_ENABLED;
	uint64_t reg = 24;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	CHECK_ERR(eventlog_extend(log, view_str("d"), view_str("o"), view_str("a\nb"), NULL,
				  &result, &e),
		  ERR_USAGE, e, "line feed");
	CHECK_ERR(eventlog_extend(log, view_str("d d"), view_str("o"), view_str("a"), NULL, &result,
				  &e),
		  ERR_USAGE, e, "domain has a space");
	CHECK_ERR(log_add(log, "x", &reg, &e), ERR_UNSUPPORTED, e, "register 24");
	reg = (uint64_t)UINT32_MAX + 16; /* its low half is 15 */
	CHECK_ERR(log_add(log, "x", &reg, &e), ERR_UNSUPPORTED, e, "register 4294967311");
	CHECK_INT(e.code, CODE_EVENTLOG_REGISTER);
	CHECK_INT(result, EVENTLOG_NOT_ENABLED);
	CHECK_INT(check_replay(NULL), 0);
	CHECK(!file_there(EVENTLOG_WAL));
	CHECK_INT(log_add(log, "x", NULL, NULL), 0);
	CHECK_INT(check_replay(NULL), 1);
}

/* --- an extend that fails ------------------------------------------------------------------------
 */

TEST(eventlog_extend__register_refuses__the_event_is_dropped)
{
	cleanup_eventlog struct eventlog *log = NULL;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	fake->extend_fails = FAIL_BEFORE;
	CHECK_ERR(log_add(log, "lost", NULL, &e), ERR_DEVICE, e, "the fake refuses");
	CHECK(!file_there(EVENTLOG_WAL));
	fake->extend_fails = FAIL_NOT;
	CHECK_INT(log_add(log, "kept", NULL, NULL), 0);
	CHECK_INT(check_replay(NULL), 1);
}

TEST(eventlog_extend__register_was_extended_although_it_failed__is_success_once)
{
	cleanup_eventlog struct eventlog *log = NULL;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	fake->extend_fails = FAIL_AFTER;
	CHECK_INT(log_add(log, "a", NULL, NULL), 0);
	CHECK_INT(fake->extends, 1);
	CHECK_INT(check_replay(NULL), 1);
}

static void break_reads(const char *what)
{
	if (strcmp(what, "extend") == 0)
		fake->read_fails = true;
}

TEST(eventlog_extend__nobody_can_tell_whether_it_worked__stays_pending_then_is_finished)
{
	static const struct {
		enum fail how;
		unsigned entries;
	} rows[] = {
		{ FAIL_BEFORE, 2 }, /* recovery extends, then the second */
		{ FAIL_AFTER, 2 },  /* recovery writes the entry, then the second */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_eventlog struct eventlog *log = NULL;
		struct err e;

		fake_start(HASH_SHA256);
		root_make();
		CHECK_INT(log_open(&log, NULL), 0);
		fake->extend_fails = rows[i].how;
		fake->step = break_reads;
		CHECK(log_add(log, "1", NULL, &e) < 0);
		CHECK(strncmp(err_name(&e), "tpm.", 4) == 0);
		CHECK(file_there(EVENTLOG_WAL));
		/* Still nobody can tell: nothing goes on. */
		CHECK_ERR(log_add(log, "2", NULL, &e), ERR_TIMEOUT, e, "does not answer");
		fake->step = NULL;
		fake->read_fails = false;
		fake->extend_fails = FAIL_NOT;
		CHECK_INT(log_add(log, "2", NULL, NULL), 0);
		CHECK_INT(check_replay(NULL), rows[i].entries);
		CHECK_INT(fake->extends, 2);
		root_remove();
	}
}

TEST(eventlog_extend__somebody_else_extended_and_it_failed__is_inconsistent_for_good)
{
	cleanup_eventlog struct eventlog *log = NULL, *again = NULL;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	fake->extend_fails = FAIL_FOREIGN;
	CHECK_ERR(log_add(log, "a", NULL, &e), ERR_VERIFY, e, "something else extended");
	CHECK_INT(e.code, CODE_EVENTLOG_INCONSISTENT);
	fake->extend_fails = FAIL_NOT;
	CHECK_ERR(log_add(log, "b", NULL, &e), ERR_VERIFY, e, "neither the value before");
	eventlog_close(take(log));
	CHECK_ERR(log_open(&again, &e), ERR_VERIFY, e, "neither the value before");
	CHECK(again == NULL);
	CHECK_INT(fake->extends, 1);
}

/* --- recovery: every cell of the table in eventlog.h
 * ---------------------------------------------- */

enum tail { TAIL_NONE, TAIL_PART, TAIL_ALL, TAIL_OTHER, TAIL_MORE, TAIL_SHORT };
enum where { R_AFTER, R_BEFORE, R_ELSEWHERE };

/* A log of one event, and one on its way to register 3; the file may have upstream's form (15). */
static void leave(enum tail tail, enum where where, bool upstream)
{
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX), entry = BUF_MAX(EVENTLOG_ENTRY_MAX),
			       raw = BUF_MAX(EVENTLOG_WAL_MAX);
	struct eventlog_wal wal = { .text = view_str("domain operation second"),
				    .has_reg = true,
				    .reg = upstream ? 15 : 3 };
	struct digest d;

	CHECK_INT(eventlog_entry_put(&log, &d, 15, fake_attester.log_hash, view_str("domain operation first"),
				     NULL),
		  0);
	fake_do(15, digest_view(&d));
	CHECK_INT(eventlog_entry_put(&entry, &d, wal.reg, fake_attester.log_hash, wal.text, NULL), 0);
	CHECK_INT(eventlog_extended(&wal.expected, fake_attester.log_hash, &fake->value[wal.reg],
				    digest_view(&d), NULL),
		  0);
	if (where == R_ELSEWHERE)
		fake_do(wal.reg, (struct view){ (const uint8_t[64]){ 9 },
						    hash_len(fake_attester.log_hash) });
	if (where != R_BEFORE)
		fake_do(wal.reg, digest_view(&d));
	wal.offset = log.len + (tail == TAIL_SHORT);
	eventlog_wal_put(&raw, &wal);
	if (tail == TAIL_PART)
		buf_put(&log, entry.p, entry.len - 1);
	else if (tail == TAIL_ALL || tail == TAIL_MORE)
		buf_putv(&log, buf_view(&entry));
	if (tail == TAIL_MORE)
		buf_putc(&log, 0);
	if (tail == TAIL_OTHER) {
		entry.p[60] ^= 1;
		buf_putv(&log, buf_view(&entry));
	}
	file_write(EVENTLOG_FILE, buf_view(&log));
	file_write(EVENTLOG_WAL, (struct view){ raw.p, raw.len - (upstream ? 3 : 0) });
}

static void check_left(enum hash_alg alg, enum tail tail, enum where where, bool upstream,
		       const char *words)
{
	cleanup_buf struct buf before = BUF_MAX(EVENTLOG_MAX), after = BUF_MAX(EVENTLOG_MAX);
	cleanup_eventlog struct eventlog *log = NULL;
	struct replayed seen;
	struct err e;

	fake_start(alg);
	root_make();
	leave(tail, where, upstream);
	CHECK(file_read(&before, EVENTLOG_FILE));
	if (words) {
		CHECK_ERR(log_open(&log, &e), ERR_VERIFY, e, words);
		CHECK_INT(e.code, CODE_EVENTLOG_INCONSISTENT);
		CHECK(log == NULL);
		CHECK(file_read(&after, EVENTLOG_FILE));
		CHECK(view_eq(buf_view(&before), buf_view(&after)));
		CHECK(file_read(&after, EVENTLOG_WAL));
		CHECK_INT(fake->extends, 0);
	} else {
		CHECK_INT(log_open(&log, &e), 0);
		CHECK_INT(check_replay(&seen), 2);
		CHECK(strcmp(seen.last, "second") == 0);
		CHECK(!file_read(&after, EVENTLOG_WAL));
		CHECK_INT(fake->extends, where == R_BEFORE);
		CHECK_INT(log_add(log, "third", NULL, NULL), 0);
		CHECK_INT(check_replay(NULL), 3);
	}
	root_remove();
}

TEST(eventlog_open__every_state_a_kill_can_leave__is_as_the_table_says)
{
	static const struct {
		enum tail tail;
		const char *words[3]; /* NULL: brought to an end; by enum where */
	} rows[] = {
		{ TAIL_NONE, { NULL, NULL, "neither the value before" } },
		{ TAIL_PART, { NULL, "that the register has not", "neither the value before" } },
		{ TAIL_ALL, { NULL, "that the register has not", "neither the value before" } },
		{ TAIL_OTHER, { "not the event", "not the event", "not the event" } },
		{ TAIL_MORE, { "not the event", "not the event", "not the event" } },
		{ TAIL_SHORT, { "shorter", "shorter", "shorter" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (enum where w = R_AFTER; w <= R_ELSEWHERE; w++)
			for (int upstream = 0; upstream < 2; upstream++)
				for (int tdx = 0; tdx < 2; tdx++)
					check_left(tdx ? HASH_SHA384 : HASH_SHA256, rows[i].tail, w,
						   upstream == 1, rows[i].words[w]);
}

TEST(eventlog_open__torn_log_without_a_write_ahead_file__is_refused_and_kept)
{
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX), after = BUF_MAX(EVENTLOG_MAX);
	cleanup_eventlog struct eventlog *l = NULL;
	struct digest d;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	for (int i = 0; i < 2; i++)
		CHECK_INT(eventlog_entry_put(&log, &d, 15, HASH_SHA256, view_str("d o c"), NULL),
			  0);
	log.len--;
	file_write(EVENTLOG_FILE, buf_view(&log));
	CHECK_ERR(log_open(&l, &e), ERR_VERIFY, e, "entry at byte 63: it is cut short");
	CHECK_INT(e.code, CODE_EVENTLOG_INCONSISTENT);
	CHECK(file_read(&after, EVENTLOG_FILE));
	CHECK(view_eq(buf_view(&log), buf_view(&after)));
}

TEST(eventlog_open__torn_log_before_the_offset_of_the_file__is_refused)
{
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX);
	cleanup_eventlog struct eventlog *l = NULL;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	leave(TAIL_NONE, R_AFTER, false);
	CHECK(file_read(&log, EVENTLOG_FILE));
	log.p[8] = 2;
	file_write(EVENTLOG_FILE, buf_view(&log));
	CHECK_ERR(log_open(&l, &e), ERR_VERIFY, e, "entry at byte 0");
}

TEST(eventlog_open__malformed_write_ahead_file__is_refused)
{
	cleanup_eventlog struct eventlog *l = NULL;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	file_write(EVENTLOG_WAL, view_str(""));
	CHECK_ERR(log_open(&l, &e), ERR_VERIFY, e, "want over 40");
	CHECK_INT(e.code, CODE_EVENTLOG_INCONSISTENT);
}

TEST(eventlog_open__an_unfinished_write_ahead_file__is_thrown_away)
{
	cleanup_eventlog struct eventlog *l = NULL;

	fake_start(HASH_SHA256);
	root_make();
	file_write(EVENTLOG_WAL ".new", view_str("\0\0"));
	CHECK_INT(log_open(&l, NULL), 0);
	CHECK(!file_there(EVENTLOG_WAL ".new"));
}

TEST(eventlog_open__register_refuses_the_left_event__it_is_dropped)
{
	cleanup_eventlog struct eventlog *log = NULL;

	fake_start(HASH_SHA256);
	root_make();
	leave(TAIL_NONE, R_BEFORE, false);
	fake->extend_fails = FAIL_BEFORE;
	CHECK_INT(log_open(&log, NULL), 0);
	CHECK_INT(check_replay(NULL), 1);
	fake->extend_fails = FAIL_NOT;
	CHECK_INT(log_add(log, "third", NULL, NULL), 0);
	CHECK_INT(check_replay(NULL), 2);
}

TEST(eventlog_open__register_cannot_be_read__is_that_error_and_keeps_the_file)
{
	cleanup_eventlog struct eventlog *log = NULL;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	leave(TAIL_NONE, R_BEFORE, false);
	fake->read_fails = true;
	CHECK_ERR(log_open(&log, &e), ERR_TIMEOUT, e, "does not answer");
	CHECK(file_there(EVENTLOG_WAL));
	fake->read_fails = false;
	CHECK_INT(log_open(&log, NULL), 0);
	CHECK_INT(check_replay(NULL), 2);
}

/* --- files -------------------------------------------------------------------------------------
 */

TEST(eventlog_open__log_is_open_elsewhere_or_no_file__is_refused)
{
	cleanup_eventlog struct eventlog *first = NULL, *second = NULL;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&first, NULL), 0);
	CHECK_ERR(log_open(&second, &e), ERR_SYSTEM, e, "another process has the log");
	CHECK_INT(e.code, CODE_EVENTLOG_FILE);
	eventlog_close(take(first));
	CHECK(unlink(below_root(EVENTLOG_FILE)) == 0);
	CHECK(symlink("/dev/null", below_root(EVENTLOG_FILE)) == 0);
	CHECK_ERR(log_open(&second, &e), ERR_SYSTEM, e, "open the log");
	CHECK(unlink(below_root(EVENTLOG_FILE)) == 0);
	CHECK(mkfifo(below_root(EVENTLOG_FILE), 0600) == 0);
	CHECK_ERR(log_open(&second, &e), ERR_SYSTEM, e, "not a regular file");
	CHECK(second == NULL);
}

TEST(eventlog_extend__log_removed_replaced_or_written__is_inconsistent_before_any_extend)
{
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX);
	cleanup_eventlog struct eventlog *l = NULL;
	struct err e;

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&l, NULL), 0);
	CHECK_INT(log_add(l, "a", NULL, NULL), 0);
	CHECK(file_read(&log, EVENTLOG_FILE));
	CHECK(truncate(below_root(EVENTLOG_FILE), 1) == 0);
	CHECK_ERR(log_add(l, "b", NULL, &e), ERR_VERIFY, e, "something else wrote");
	file_write(EVENTLOG_FILE, buf_view(&log)); /* the same bytes, another file */
	CHECK_ERR(log_add(l, "b", NULL, &e), ERR_VERIFY, e, "removed or replaced");
	CHECK(unlink(below_root(EVENTLOG_FILE)) == 0);
	CHECK_ERR(log_add(l, "b", NULL, &e), ERR_VERIFY, e, "removed or replaced");
	CHECK_INT(fake->extends, 1);
}

TEST(eventlog_extend__log_at_its_limit__is_full_before_any_extend)
{
	cleanup_free char *content = malloc(EVENTLOG_CONTENT_MAX + 1);
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX), raw = BUF_MAX(EVENTLOG_WAL_MAX);
	cleanup_eventlog struct eventlog *l = NULL;
	struct eventlog_wal wal;
	struct digest d;
	struct err e;
	size_t left;

	fake_start(HASH_SHA256);
	root_make();
	CHECK(content != NULL);
	for (size_t i = 0; i < EVENTLOG_CONTENT_MAX; i++)
		content[i] = 'x';
	content[EVENTLOG_CONTENT_MAX] = '\0';
	memcpy(content, "d o ", 4);
	content[EVENTLOG_CONTENT_MAX - 58] = '\0'; /* entries of 65536 bytes */
	while (EVENTLOG_MAX - log.len > 65536)
		CHECK_INT(eventlog_entry_put(&log, &d, 15, HASH_SHA256, view_str(content), NULL),
			  0);
	left = EVENTLOG_MAX - log.len;
	CHECK_INT(left, 65536);
	/* Room for exactly one event "domain operation x": 58 + 18 bytes. */
	content[left - 2 * 58 - 18] = '\0';
	CHECK_INT(eventlog_entry_put(&log, &d, 15, HASH_SHA256, view_str(content), NULL), 0);
	CHECK_INT(EVENTLOG_MAX - log.len, 58 + 18);
	file_write(EVENTLOG_FILE, buf_view(&log));
	CHECK_INT(log_open(&l, NULL), 0);
	CHECK_ERR(log_add(l, "xy", NULL, &e), ERR_LIMIT, e, "77 more do not fit into 4194304");
	CHECK_INT(e.code, CODE_EVENTLOG_FULL);
	CHECK_INT(fake->extends, 0);
	CHECK_INT(log_add(l, "x", NULL, NULL), 0);
	eventlog_close(take(l));
	CHECK_INT(log_open(&l, NULL), 0);
	eventlog_close(take(l));
	/* The same from a write-ahead file, which is not ours then. */
	wal = (struct eventlog_wal){ .offset = EVENTLOG_MAX,
				     .expected = fake->value[15],
				     .text = view_str("d o c") };
	eventlog_wal_put(&raw, &wal);
	file_write(EVENTLOG_WAL, (struct view){ raw.p, raw.len - 2 });
	CHECK_ERR(log_open(&l, &e), ERR_VERIFY, e, "does not fit into the log");
}

/* --- threads ------------------------------------------------------------------------------------
 */

enum { THREADS = 8, EACH = 25 };

static void *add_some(void *log)
{
	for (int i = 0; i < EACH; i++) {
		const uint64_t reg = (uint64_t)(i % 3);

		CHECK_INT(log_add(log, "from a thread", &reg, NULL), 0);
	}
	return NULL;
}

TEST(eventlog_extend__many_threads__every_event_is_in_the_log_once)
{
	cleanup_eventlog struct eventlog *log = NULL;
	pthread_t threads[THREADS];

	fake_start(HASH_SHA256);
	root_make();
	CHECK_INT(log_open(&log, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, add_some, log) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK_INT(check_replay(NULL), THREADS * EACH);
	CHECK_INT(fake->extends, THREADS * EACH);
}
