/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "agent/base/err.h"

#include <stdbool.h>

/*
 * One line per event: `level: message key=value …` on stderr. Where stderr is the journal
 * (JOURNAL_STREAM of systemd names it) the event goes to the journal's own socket instead, with
 * a field for each key; see systemd.journal-fields(7) and vouchsafe-codes(7):
 *
 *   PRIORITY, SYSLOG_IDENTIFIER
 *   MESSAGE             message key=value …
 *   MESSAGE_ID          log_message_id() of the code, where there is one, else of the message
 *   VOUCHSAFE_EVENT     message
 *   VOUCHSAFE_<KEY>     the value of each key: VOUCHSAFE_CODE, _KIND, _SIDE, _WHAT, …
 *
 * When that socket does not take it, the line goes to stderr with its <priority>.
 *
 * URIs and digests may be logged; bodies, tokens, cookies, evidence and plaintext may not, at any
 * level. Below agent/daemon and agent/cli only log_debug() is called: who stops an error logs it.
 */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

#define LOG_LINE_MAX   2048 /* bytes of one line; what is longer is cut */
#define LOG_FIELDS_MAX 16   /* keys of one line that become fields */

/* Lines above max are dropped. Before the first call the level is LOG_LEVEL_INFO. */
void log_set_level(enum log_level max);

/* "error", "warn", "info", "debug" into *out. Returns 0, or -ERR_USAGE for another word. */
int log_level_parse(enum log_level *out, const char *word, struct err *e) MUST_CHECK;

/*
 * What goes to stderr may be read by the host (kata hands it to the VM's console): of each line
 * only the message and which code, kind, side, method, platform and role. The journal gets all.
 */
void log_codes_only(bool on);

/*
 * fmt gives the key=value part, "" for none; keys are lower case, and one space stands between
 * two parts. Control characters in it are written as '?'.
 */
void log_line(enum log_level level, const char *message, const char *fmt, ...) PRINTF(3, 4);

/* The usual line for an error that stops here: message, then code=, kind= and what=. */
void log_err(enum log_level level, const char *message, const struct err *e);

/*
 * The journal's message id of a code ("kbs.policy-denied") or a message: 32 hex digits, a UUID of
 * version 8 (RFC 9562) whose bits are FNV-1a, 128 bits, over "vouchsafe/" and the text. The same
 * in every version, and for ever.
 */
void log_message_id(char out[33], const char *text);

/* Send to this socket whatever stderr is; NULL: as it is. For tests, before the first line. */
void log_use_journal(const char *path);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
