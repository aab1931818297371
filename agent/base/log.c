/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log_line.h"
#include "agent/base/buf.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int level_max = LOG_LEVEL_INFO;
static atomic_bool codes_only;

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

void log_codes_only(bool on)
{
	atomic_store(&codes_only, on);
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

/* Stands for the spaces between parts while values are told apart. */
#define BETWEEN '\x1f'

/* The format with BETWEEN for each space outside quotes; false when it does not fit. */
static bool mark(char *out, size_t room, const char *fmt, size_t *parts)
{
	bool quoted = false;
	size_t i;

	*parts = fmt[0] ? 1 : 0;
	for (i = 0; fmt[i] && i < room - 1; i++) {
		quoted ^= fmt[i] == '"';
		out[i] = fmt[i];
		if (fmt[i] != ' ' || quoted)
			continue;
		out[i] = BETWEEN;
		(*parts)++;
	}
	out[i] = '\0';
	return fmt[i] == '\0';
}

static void add_field(struct log_event *event, char *part, size_t len)
{
	char *equals = memchr(part, '=', len);
	struct view value;

	if (!equals || event->n_fields == LOG_FIELDS_MAX)
		return;
	value = (struct view){ (uint8_t *)equals + 1, len - (size_t)(equals + 1 - part) };
	if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
		value = (struct view){ value.p + 1, value.len - 2 };
	event->fields[event->n_fields++] = (struct log_field){
		.key = { (uint8_t *)part, (size_t)(equals - part) },
		.value = value,
	};
}

/*
 * A value may hold anything, `" code=ok` too: parts are told apart by marks in the format, and
 * when a value brings marks of its own there are too many, and no fields.
 */
static void split(struct log_event *event, size_t parts)
{
	size_t found = event->len > 0 ? 1 : 0, from = 0;

	for (size_t i = 0; i < event->len; i++)
		found += event->text[i] == BETWEEN;
	for (size_t i = 0; found == parts && i <= event->len; i++) {
		if (i < event->len && event->text[i] != BETWEEN)
			continue;
		add_field(event, event->text + from, i - from);
		from = i + 1;
	}
}

static void make_printable(struct log_event *event, bool marked)
{
	for (size_t i = 0; i < event->len; i++) {
		unsigned char c = (unsigned char)event->text[i];

		if (marked && c == BETWEEN)
			event->text[i] = ' ';
		else if (c < ' ' || c == 0x7f)
			event->text[i] = '?';
	}
}

static void format(struct log_event *event, const char *fmt, va_list ap)
{
	char marked[512];
	size_t parts;
	bool whole = mark(marked, sizeof marked, fmt, &parts);
	int n;

	/* The same conversions in the same order: only spaces between them differ. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	n = vsnprintf(event->text, sizeof event->text, whole ? marked : fmt, ap);
#pragma GCC diagnostic pop
	event->len = n < 0 ? 0 : (size_t)n < sizeof event->text ? (size_t)n : sizeof event->text - 1;
	if (whole && (size_t)n == event->len)
		split(event, parts);
	make_printable(event, whole);
}

/* The values that are words of ours, whatever the caller or the host has sent. */
static void codes_to_stderr(const struct log_event *event)
{
	static const char *const shown[] = { "code", "kind", "side", "method", "platform", "as" };
	cleanup_buf struct buf line = BUF_MAX(LOG_LINE_MAX);

	buf_printf(&line, "%s: %.400s", word(event->level), event->message);
	for (size_t i = 0; i < event->n_fields; i++)
		for (size_t k = 0; k < ARRAY_LEN(shown); k++)
			if (view_is(event->fields[i].key, shown[k]))
				buf_printf(&line, " %s=%.*s", shown[k],
					   VIEW_ARG(event->fields[i].value));
	buf_putc(&line, '\n');
	if (write(STDERR_FILENO, line.p, line.len) < 0)
		return;
}

/* One write, so that lines of several threads do not mix. */
static void to_stderr(const struct log_event *event)
{
	char line[LOG_LINE_MAX + 512];
	int n = 0;

	if (atomic_load(&codes_only)) {
		codes_to_stderr(event);
		return;
	}
	if (journal_is_stderr())
		n = snprintf(line, sizeof line, "<%d>", (int)event->level);
	n += snprintf(line + n, sizeof line - (size_t)n, "%s: %.400s%s%s\n", word(event->level),
		      event->message, event->len > 0 ? " " : "", event->text);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

void log_line(enum log_level level, const char *message, const char *fmt, ...)
{
	struct log_event event = { .level = level, .message = message };
	va_list ap;

	if ((int)level > atomic_load(&level_max))
		return;
	va_start(ap, fmt);
	format(&event, fmt, ap);
	va_end(ap);
	if (!journal_send(&event))
		to_stderr(&event);
}

void log_err(enum log_level level, const char *message, const struct err *e)
{
	log_line(level, message, "code=%s kind=%s what=\"%s\"", err_name(e), err_kind_name(e->kind),
		 e->msg);
}
