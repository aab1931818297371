/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_EVENTLOG_ENTRY_H
#define ATTESTER_EVENTLOG_ENTRY_H

#include "agent/base/buf.h"
#include "agent/crypto/digest.h"

/*
 * The entries of the event log (AAEL), as bytes: made, read and replayed. Nothing here touches a
 * file or a register. A log is entries back to back, without header or end; all numbers are
 * little-endian.
 * Source: spec/evidence.md 5.2, 5.3; confirmed by vectors/local/aa/aael-entries.json and
 * vectors/evidence/derived/aael-entry-*.bin.
 *
 *   4   index of the register
 *   4   event type 6, EV_EVENT_TAG
 *   4   number of digests, 1
 *   2   000B SHA-256, 000C SHA-384, 000D SHA-512
 *   n   digest of the event data: what the register was extended with
 *   4   size of the event data
 *   4   \  4141454C
 *   4   |  size of the text               the event data
 *   n   /  "DOMAIN OPERATION CONTENT"
 *
 * DOMAIN and OPERATION hold no space and no control character; CONTENT holds no LF and no NUL and
 * may be empty. All are UTF-8.
 */
#define EVENTLOG_MAX         (4u << 20) /* the whole log, bytes */
#define EVENTLOG_WORD_MAX    256        /* domain, and operation, bytes */
#define EVENTLOG_CONTENT_MAX (64u << 10)
#define EVENTLOG_TEXT_MAX    (2 * EVENTLOG_WORD_MAX + 2 + EVENTLOG_CONTENT_MAX)
#define EVENTLOG_ENTRY_MAX   (14 + DIGEST_MAX + 12 + EVENTLOG_TEXT_MAX)
#define EVENTLOG_INDEX_MAX   32 /* different registers in one log */

/* One entry; every view is borrowed from the log. */
struct eventlog_entry {
	size_t offset; /* of its first byte in the log */
	size_t size;   /* of the whole entry */
	uint32_t index;
	enum hash_alg alg;
	struct view digest; /* as it stands there; eventlog_entry_true() compares it */
	struct view data;   /* the event data that it should be of */
	struct view domain, operation, content;
};

/* Hold an event to the rules above. Errors: eventlog.bad-event (ERR_USAGE). */
int eventlog_event_check(struct view domain, struct view operation, struct view content,
			 struct err *e) MUST_CHECK;

/* The same for a text of three parts. Errors: eventlog.bad-event. */
int eventlog_text_check(struct view text, struct err *e) MUST_CHECK;

/*
 * Append an entry.
 * digest  out: what the register is to be extended with
 * text    as eventlog_text_check() accepts it
 * Errors: ERR_CRYPTO, and those of buf_check().
 */
int eventlog_entry_put(struct buf *out, struct digest *digest, uint32_t index, enum hash_alg alg,
		       struct view text, struct err *e) MUST_CHECK;

/*
 * Read the entry at offset.
 * out     set on success only
 * offset  at most log.len
 * Returns 1, or 0 at the end of the log. Errors: eventlog.malformed (ERR_FORMAT, with the offset).
 */
int eventlog_entry_parse(struct eventlog_entry *out, struct view log, size_t offset,
			 struct err *e) MUST_CHECK;

/* *is: whether the entry's digest is that of its event data. Errors: ERR_CRYPTO. */
int eventlog_entry_true(bool *is, const struct eventlog_entry *entry, struct err *e) MUST_CHECK;

/* H(before, then digest): what an extend makes of a register. Errors: ERR_CRYPTO. */
int eventlog_extended(struct digest *out, enum hash_alg alg, const struct digest *before,
		      struct view digest, struct err *e) MUST_CHECK;

/* Called for each entry, with its register's value after it. A negative return ends the replay. */
typedef int eventlog_each(void *ctx, const struct eventlog_entry *entry, const struct digest *value,
			  struct err *e);

/*
 * Walk a log and compute what its registers would hold, had they been zero before it and had
 * nothing else extended them.
 *
 * log   at most EVENTLOG_MAX bytes
 * alg   of the registers; an entry with another is an error
 * each  may be NULL
 *
 * Errors: eventlog.malformed, ERR_LIMIT (log, number of registers), ERR_CRYPTO, what each returns.
 */
int eventlog_replay(struct view log, enum hash_alg alg, eventlog_each *each, void *ctx,
		    struct err *e) MUST_CHECK;

#endif
