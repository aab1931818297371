/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_LINE_H
#define BASE_LOG_LINE_H

#include "agent/base/log.h"
#include "agent/base/mem.h"

/* Private to log.c and journal.c: one line, and where its values are. */
struct log_field {
	struct view key;   /* as the format has it; borrowed from the format */
	struct view value; /* borrowed from text, without its quotes */
};

struct log_event {
	enum log_level level;
	const char *message;
	char text[LOG_LINE_MAX]; /* key=value …, printable */
	size_t len;
	/* Empty when they cannot be told apart for sure: text was cut, or a value is hostile. */
	struct log_field fields[LOG_FIELDS_MAX];
	size_t n_fields;
};

/* Hand it to the journal. False when stderr is not the journal or its socket takes nothing. */
bool journal_send(const struct log_event *event);

/* Is stderr the journal's? */
bool journal_is_stderr(void);

#endif
