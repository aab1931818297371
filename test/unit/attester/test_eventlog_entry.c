/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/eventlog_wal.h"
#include "test/unit/attester/vector.h"

enum { DOC_MAX = 65536 };

static void put(struct buf *out, uint32_t index, enum hash_alg alg, const char *text)
{
	struct digest d;

	CHECK_INT(eventlog_entry_put(out, &d, index, alg, view_str(text), NULL), 0);
}

/* Origin: vectors/local/aa/aael-entries.json, upstream's own digests and bytes. */
TEST(eventlog_entry__upstreams_entries__are_made_and_read_byte_for_byte)
{
	cleanup_json struct json *doc = vector_json(test_shared("local/aa/aael-entries.json"));
	unsigned n = 0;

	for (const struct json *row = json_first(doc); row; row = json_next(row), n++) {
		cleanup_buf struct buf made = BUF_MAX(EVENTLOG_ENTRY_MAX);
		size_t size = strlen(vector_text(row, "entry_hex")) / 2;
		struct eventlog_entry entry;
		uint8_t want[256], digest[DIGEST_MAX];
		enum hash_alg alg;
		struct digest d;
		int64_t index;
		bool right = false;

		CHECK(size <= sizeof want);
		vector_hex(want, size, row, "entry_hex");
		CHECK_INT(hash_by_name(&alg, view_str(vector_text(row, "alg")), NULL), 0);
		CHECK(json_integer(&index, json_get(row, "ccmr")));
		vector_hex(digest, hash_len(alg), row, "digest");
		CHECK_INT(eventlog_entry_put(&made, &d, (uint32_t)index, alg,
					     view_str("domain operation content"), NULL),
			  0);
		CHECK(view_eq(buf_view(&made), (struct view){ want, size }));
		CHECK(view_eq(digest_view(&d), (struct view){ digest, hash_len(alg) }));
		CHECK_INT(eventlog_entry_parse(&entry, (struct view){ want, size }, 0, NULL), 1);
		CHECK_INT(entry.size, size);
		CHECK_INT(entry.index, index);
		CHECK_INT(entry.alg, alg);
		CHECK(view_is(entry.domain, "domain"));
		CHECK(view_is(entry.operation, "operation"));
		CHECK(view_is(entry.content, "content"));
		CHECK_INT(eventlog_entry_true(&right, &entry, NULL), 0);
		CHECK(right);
	}
	CHECK_INT(n, 3);
}

struct last {
	struct eventlog_entry entry;
	struct digest value;
	unsigned n;
};

static int keep(void *ctx, const struct eventlog_entry *entry, const struct digest *value,
		struct err *e)
{
	struct last *l = ctx;

	(void)e;
	l->entry = *entry;
	l->value = *value;
	l->n++;
	return 0;
}

/* Origin: vectors/evidence/derived; the register's value is in expected.json. */
static void check_derived(const char *file, size_t skip, size_t after, enum hash_alg alg,
			  uint32_t index, const char *value_key)
{
	cleanup_json struct json *doc = vector_json(test_shared("evidence/derived/expected.json"));
	cleanup_buf struct buf raw = BUF_MAX(DOC_MAX), made = BUF_MAX(DOC_MAX);
	struct last last = { .n = 0 };
	uint8_t want[DIGEST_MAX];
	struct view log;
	struct digest d;

	CHECK_INT(fs_read(&raw, test_shared(file), DOC_MAX, NULL), 0);
	CHECK(raw.len > skip + after);
	log = (struct view){ raw.p + skip, raw.len - skip - after };
	CHECK_INT(eventlog_entry_put(&made, &d, index, alg, view_str(vector_text(doc, "aael_text")),
				     NULL),
		  0);
	CHECK(view_eq(buf_view(&made), log));
	CHECK_INT(eventlog_replay(log, alg, keep, &last, NULL), 0);
	CHECK_INT(last.n, 1);
	CHECK(view_is(last.entry.domain, "github.com/confidential-containers"));
	CHECK(view_is(last.entry.operation, "PullImage"));
	vector_hex(want, hash_len(alg), doc, value_key);
	CHECK(view_eq(digest_view(&last.value), (struct view){ want, hash_len(alg) }));
}

TEST(eventlog_entry__derived_entries__have_the_registers_values)
{
	check_derived("evidence/derived/aael-entry-sha256-pcr23.bin", 0, 0, HASH_SHA256, 23,
		      "pcr23_after_event");
	check_derived("evidence/derived/aael-entry-sha384-ccmr4.bin", 0, 0, HASH_SHA384, 4,
		      "rtmr3_after_event");
	/* As in evidence: a header of 69 bytes before it, eight FF behind it. */
	check_derived("evidence/derived/eventlog-aael-only-sha384.bin", 69, 8, HASH_SHA384, 4,
		      "rtmr3_after_event");
}

TEST(eventlog_entry_parse__every_truncation__is_malformed_and_leaves_out_untouched)
{
	cleanup_buf struct buf log = BUF_MAX(DOC_MAX);
	struct err e;

	put(&log, 15, HASH_SHA256, "domain operation content");
	for (size_t n = 1; n < log.len; n++) {
		/* At the end of a heap block of that size, so that ASan sees a read past it. */
		cleanup_free uint8_t *exact = malloc(n);
		struct eventlog_entry entry = { .index = 77 };

		CHECK(exact != NULL);
		memcpy(exact, log.p, n);
		CHECK_ERR(eventlog_entry_parse(&entry, (struct view){ exact, n }, 0, &e),
			  ERR_FORMAT, e, "cut short");
		CHECK_INT(e.code, CODE_EVENTLOG_MALFORMED);
		CHECK_INT(entry.index, 77);
	}
	CHECK_INT(eventlog_entry_parse(&(struct eventlog_entry){ 0 }, (struct view){ 0 }, 0, &e),
		  0);
}

/* 14 bytes of head, 32 of digest, 4 size of event, 4 id, 4 size of text, "domain operation content"
 */
TEST(eventlog_entry_parse__one_wrong_field__is_malformed)
{
	static const struct {
		size_t off;
		uint8_t val[4];
		size_t n;
		const char *words;
	} rows[] = {
		{ 4, { 3 }, 1, "type is not 6" },
		{ 7, { 0x80 }, 1, "type is not 6" },
		{ 8, { 0 }, 1, "one digest" },
		{ 8, { 2 }, 1, "one digest" },
		{ 12, { 0x04 }, 1, "neither SHA-256" },
		{ 12, { 0x12 }, 1, "neither SHA-256" },
		{ 13, { 1 }, 1, "neither SHA-256" },
		{ 46, { 7 }, 1, "out of range" },
		{ 46, { 0 }, 1, "out of range" },
		{ 46, { 0xff, 0xff, 0xff, 0xff }, 4, "out of range" },
		{ 46, { 33 }, 1, "cut short" },
		{ 46, { 31 }, 1, "disagree" },
		{ 50, { 0x41, 0x41, 0x45, 0x4c }, 4, "not tagged" },
		{ 54, { 23 }, 1, "disagree" },
		{ 54, { 25 }, 1, "disagree" },
		{ 57, { 1 }, 1, "disagree" },
		{ 58, { ' ' }, 1, "domain of 0 bytes" },
		{ 64, { 'x' }, 1, "fewer than two spaces" },
		{ 65, { ' ' }, 1, "operation of 0 bytes" },
		{ 60, { '\t' }, 1, "domain has a space or control character at byte 2" },
		{ 60, { 0xff }, 1, "domain is not UTF-8" },
		{ 66, { 0x7f }, 1, "operation has a space or control" },
		{ 75, { '\n' }, 1, "content has a line feed or NUL at byte 0" },
		{ 81, { 0 }, 1, "content has a line feed or NUL at byte 6" },
		{ 81, { 0xc3 }, 1, "content is not UTF-8" },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf log = BUF_MAX(DOC_MAX);
		struct eventlog_entry entry = { .index = 77 };

		put(&log, 15, HASH_SHA256, "domain operation content");
		memcpy(log.p + rows[i].off, rows[i].val, rows[i].n);
		CHECK_ERR(eventlog_entry_parse(&entry, buf_view(&log), 0, &e), ERR_FORMAT, e,
			  rows[i].words);
		CHECK_INT(e.code, CODE_EVENTLOG_MALFORMED);
		CHECK_INT(entry.index, 77);
	}
}

TEST(eventlog_event_check__caps_and_what_may_be__are_as_documented)
{
	cleanup_free char *big = malloc(EVENTLOG_CONTENT_MAX + 1);
	struct view word, content, w = view_str("w");
	struct err e;

	CHECK(big != NULL);
	for (size_t i = 0; i <= EVENTLOG_CONTENT_MAX; i++)
		big[i] = 'x';
	word = (struct view){ (const uint8_t *)big, EVENTLOG_WORD_MAX };
	content = (struct view){ (const uint8_t *)big, EVENTLOG_CONTENT_MAX };
	CHECK_INT(eventlog_event_check(word, word, content, &e), 0);
	CHECK_INT(eventlog_event_check(w, w, (struct view){ 0 }, &e), 0);
	CHECK_INT(eventlog_event_check(w, w, view_str(" {\"a\": \"\xc3\xa4\"}\t "), &e), 0);
	word.len++;
	CHECK_ERR(eventlog_event_check(word, w, w, &e), ERR_USAGE, e, "domain of 257 bytes");
	CHECK_ERR(eventlog_event_check(w, word, w, &e), ERR_USAGE, e, "operation of 257 bytes");
	content.len++;
	CHECK_ERR(eventlog_event_check(w, w, content, &e), ERR_USAGE, e, "allowed 0..65536");
	CHECK_ERR(eventlog_event_check(view_str("a b"), w, w, &e), ERR_USAGE, e, "at byte 1");
	CHECK_INT(e.code, CODE_EVENTLOG_BAD_EVENT);
}

TEST(eventlog_replay__several_registers__each_chain_is_its_own)
{
	cleanup_buf struct buf log = BUF_MAX(DOC_MAX);
	struct digest value[2] = { { .len = 32 }, { .len = 32 } }, d, next;
	struct last last = { .n = 0 };

	for (int i = 0; i < 6; i++) {
		char text[32];

		snprintf(text, sizeof text, "d o %d", i);
		CHECK_INT(eventlog_entry_put(&log, &d, (uint32_t)(i & 1), HASH_SHA256,
					     view_str(text), NULL),
			  0);
		CHECK_INT(
			eventlog_extended(&next, HASH_SHA256, &value[i & 1], digest_view(&d), NULL),
			0);
		value[i & 1] = next;
		CHECK_INT(eventlog_replay(buf_view(&log), HASH_SHA256, keep, &last, NULL), 0);
		CHECK(view_eq(digest_view(&last.value), digest_view(&value[i & 1])));
	}
	CHECK_INT(last.n, 1 + 2 + 3 + 4 + 5 + 6);
}

static int stop(void *ctx, const struct eventlog_entry *entry, const struct digest *value,
		struct err *e)
{
	(void)value;
	++*(unsigned *)ctx;
	return entry->offset > 0 ? err_set(e, ERR_DENIED, "stop") : 0;
}

TEST(eventlog_replay__what_it_cannot__is_an_error)
{
	cleanup_buf struct buf log = BUF_MAX(DOC_MAX);
	unsigned n = 0;
	struct err e;

	CHECK_INT(eventlog_replay((struct view){ 0 }, HASH_SHA256, stop, &n, &e), 0);
	put(&log, 1, HASH_SHA256, "d o a");
	CHECK_ERR(eventlog_replay(buf_view(&log), HASH_SHA384, NULL, NULL, &e), ERR_FORMAT, e,
		  "its digest is sha256, the registers' sha384");
	put(&log, 1, HASH_SHA256, "d o b");
	put(&log, 1, HASH_SHA256, "d o c");
	CHECK_ERR(eventlog_replay(buf_view(&log), HASH_SHA256, stop, &n, &e), ERR_DENIED, e,
		  "stop");
	CHECK_INT(n, 2);
	buf_putc(&log, 1);
	CHECK_ERR(eventlog_replay(buf_view(&log), HASH_SHA256, NULL, NULL, &e), ERR_FORMAT, e,
		  "entry at byte 189: it is cut short");
	CHECK_ERR(eventlog_replay((struct view){ log.p, EVENTLOG_MAX + 1 }, HASH_SHA256, NULL, NULL,
				  &e),
		  ERR_LIMIT, e, "allowed 0..4194304");
	buf_reset(&log);
	for (uint32_t i = 0; i < EVENTLOG_INDEX_MAX; i++)
		put(&log, i, HASH_SHA256, "d o a");
	CHECK_INT(eventlog_replay(buf_view(&log), HASH_SHA256, NULL, NULL, &e), 0);
	put(&log, UINT32_MAX, HASH_SHA256, "d o a");
	CHECK_ERR(eventlog_replay(buf_view(&log), HASH_SHA256, NULL, NULL, &e), ERR_LIMIT, e,
		  "over 32 registers");
}

/* --- the write-ahead file ----------------------------------------------------------------------
 */

/* Source: spec/evidence.md 5.5: offset big-endian, value, text; then our register. */
TEST(eventlog_wal__an_event__has_the_documented_bytes)
{
	struct eventlog_wal wal = { .offset = 0x0102,
				    .expected = { .len = 32 },
				    .reg = 15,
				    .text = view_str("d o c"),
				    .has_reg = true },
			    got;
	cleanup_buf struct buf raw = BUF_MAX(EVENTLOG_WAL_MAX);

	wal.expected.b[0] = 0xaa;
	wal.expected.b[31] = 0xbb;
	eventlog_wal_put(&raw, &wal);
	CHECK_INT(raw.len, 8 + 32 + 5 + 3);
	CHECK(memcmp(raw.p, "\0\0\0\0\0\0\1\2\xaa", 9) == 0);
	CHECK(memcmp(raw.p + 39,
		     "\xbb"
		     "d o c\n15",
		     9) == 0);
	CHECK_INT(eventlog_wal_parse(&got, buf_view(&raw), HASH_SHA256, NULL), 0);
	CHECK_INT(got.offset, 0x102);
	CHECK(view_eq(digest_view(&got.expected), digest_view(&wal.expected)));
	CHECK(view_is(got.text, "d o c"));
	CHECK(got.has_reg);
	CHECK_INT(got.reg, 15);
	/* Upstream's form. */
	CHECK_INT(eventlog_wal_parse(&got, (struct view){ raw.p, raw.len - 3 }, HASH_SHA256, NULL),
		  0);
	CHECK(!got.has_reg);
	CHECK(view_is(got.text, "d o c"));
}

TEST(eventlog_wal_parse__malformed__is_refused)
{
	static const struct {
		size_t offset;
		const char *tail, *words;
	} rows[] = {
		{ 0, "", "want over 40" },
		{ EVENTLOG_MAX + 1, "d o c\n1", "offset 4194305, allowed 0..4194304" },
		{ SIZE_MAX, "d o c\n1", "offset" },
		{ 0, "d o c\n", "no register" },
		{ 0, "d o c\n01", "no register" },
		{ 0, "d o c\n+1", "no register" },
		{ 0, "d o c\n1\n", "no register" },
		{ 0, "d o c\n1 ", "no register" },
		{ 0, "d o c\n4294967296", "no register" },
		{ 0, "d o c\n99999999999", "no register" },
		{ 0, "\n1", "fewer than two spaces" },
		{ 0, "d o\n1", "fewer than two spaces" },
		{ 0, " o c\n1", "domain of 0 bytes" },
		{ 0, "d \xff c\n1", "operation is not UTF-8" },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf raw = BUF_MAX(EVENTLOG_WAL_MAX);
		struct eventlog_wal got = { .reg = 77 };

		for (int shift = 56; shift >= 0; shift -= 8)
			buf_putc(&raw, (uint8_t)(rows[i].offset >> shift));
		for (int k = 0; k < 32; k++)
			buf_putc(&raw, 1);
		buf_puts(&raw, rows[i].tail);
		CHECK_ERR(eventlog_wal_parse(&got, buf_view(&raw), HASH_SHA256, &e), ERR_FORMAT, e,
			  rows[i].words);
		CHECK_INT(e.code, CODE_EVENTLOG_MALFORMED);
		CHECK_INT(got.reg, 77);
	}
	CHECK_ERR(eventlog_wal_parse(&(struct eventlog_wal){ 0 }, (struct view){ 0 }, HASH_SHA256,
				     &e),
		  ERR_FORMAT, e, "of 0 bytes");
}
