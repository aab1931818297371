/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "agent/base/err.h"

/*
 * One line per event on stderr: `level: message key=value …`. Under systemd (JOURNAL_STREAM)
 * each line begins with its <priority>. URIs and digests may be logged; bodies, tokens,
 * cookies, evidence and plaintext may not, at any level.
 *
 * Below agent/daemon and agent/cli only log_debug() is called: who stops an error logs it.
 */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above max are dropped. Before the first call the level is LOG_LEVEL_INFO. */
void log_set_level(enum log_level max);

/* "error", "warn", "info", "debug" into *out. Returns 0, or -ERR_USAGE for another word. */
int log_level_parse(enum log_level *out, const char *word, struct err *e) MUST_CHECK;

/* fmt gives the key=value part, "" for none. Control characters in it are written as '?'. */
void log_line(enum log_level level, const char *message, const char *fmt, ...) PRINTF(3, 4);

/* The usual line for an error that stops here: message, then code=, kind= and what=. */
void log_err(enum log_level level, const char *message, const struct err *e);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
