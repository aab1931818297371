/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_EVENTLOG_WAL_H
#define ATTESTER_EVENTLOG_WAL_H

#include "attester/eventlog_entry.h"

/* The write-ahead file of eventlog.h as bytes. For eventlog.c, its tests and its fuzz target. */
#define EVENTLOG_WAL_MAX (8 + DIGEST_MAX + EVENTLOG_TEXT_MAX + 1 + 10)

struct eventlog_wal {
	size_t offset;
	struct digest expected;
	struct view text; /* borrowed */
	bool has_reg;     /* false: upstream's form */
	unsigned reg;
};

/* Append it; has_reg must be set. */
void eventlog_wal_put(struct buf *out, const struct eventlog_wal *wal);

/*
 * Read it. Nothing is compared with anything.
 * out  set on success only; its text is borrowed from raw
 * Errors: eventlog.malformed.
 */
int eventlog_wal_parse(struct eventlog_wal *out, struct view raw, enum hash_alg alg,
		       struct err *e) MUST_CHECK;

#endif
