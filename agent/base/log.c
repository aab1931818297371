/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static atomic_int level_max = LOG_LEVEL_INFO;

static const char *word(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warn";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "?";
}

void log_set_level(enum log_level max)
{
	atomic_store(&level_max, (int)max);
}

int log_level_parse(enum log_level *out, const char *text, struct err *e)
{
	static const enum log_level all[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO,
					      LOG_LEVEL_DEBUG };

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		if (strcmp(text, word(all[i])) == 0) {
			*out = all[i];
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "log level \"%.20s\", allowed error, warn, info, debug", text);
}

void log_line(enum log_level level, const char *message, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t n = 0;
	va_list ap;
	int k;

	if ((int)level > atomic_load(&level_max))
		return;
	if (getenv("JOURNAL_STREAM"))
		n += (size_t)snprintf(line, sizeof line, "<%d>", (int)level);
	n += (size_t)snprintf(line + n, sizeof line - n, "%s: %.400s%s", word(level), message,
			      fmt[0] ? " " : "");
	va_start(ap, fmt);
	k = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
	va_end(ap);
	if (k > 0)
		n = (size_t)k < sizeof line - n - 1 ? n + (size_t)k : sizeof line - 2;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[n] = '\n';
	/* One write, so that lines of several threads do not mix. */
	if (write(STDERR_FILENO, line, n + 1) < 0)
		return;
}

void log_err(enum log_level level, const char *message, const struct err *e)
{
	log_line(level, message, "code=%s kind=%s what=\"%s\"", err_name(e), err_kind_name(e->kind),
		 e->msg);
}
