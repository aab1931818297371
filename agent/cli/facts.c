/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/facts.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 1024, NAME_WIDTH = 20 };

/* What stands in front of a value: comma and name, or indentation and name. */
static void lead(struct facts *f, const char *name)
{
	if (f->json) {
		if (f->any[f->depth])
			buf_putc(f->out, ',');
		if (name)
			buf_printf(f->out, "\"%s\":", name);
	} else {
		buf_printf(f->out, "%*s", 2 * (int)(f->depth > 0 ? f->depth - 1 : 0), "");
		if (name)
			buf_printf(f->out, "%-*s ", NAME_WIDTH, name);
		else
			buf_puts(f->out, "- ");
	}
	f->any[f->depth] = true;
}

static void end_line(struct facts *f)
{
	if (!f->json)
		buf_putc(f->out, '\n');
}

static void down(struct facts *f, bool list)
{
	if (f->depth + 1 < FACTS_DEPTH)
		f->depth++;
	f->any[f->depth] = false;
	f->list[f->depth] = list;
}

void facts_begin(struct facts *f, struct buf *out, bool json)
{
	*f = (struct facts){ .out = out, .json = json };
	if (json)
		buf_putc(out, '{');
	down(f, false);
}

void facts_end(struct facts *f)
{
	if (f->json)
		buf_puts(f->out, "}\n");
}

void facts_open(struct facts *f, const char *name, const char *heading)
{
	if (f->json) {
		lead(f, f->list[f->depth] ? NULL : name);
		buf_putc(f->out, '{');
	} else {
		buf_printf(f->out, "%*s%s\n", 2 * (int)(f->depth - 1), "",
			   heading ? heading : name ? name : "-");
	}
	down(f, false);
}

void facts_close(struct facts *f)
{
	if (f->json)
		buf_putc(f->out, '}');
	f->depth--;
}

void facts_open_list(struct facts *f, const char *name)
{
	if (f->json) {
		lead(f, name);
		buf_putc(f->out, '[');
	} else {
		buf_printf(f->out, "%*s%s\n", 2 * (int)(f->depth - 1), "", name);
	}
	down(f, true);
}

void facts_close_list(struct facts *f)
{
	if (f->json)
		buf_putc(f->out, ']');
	f->depth--;
}

void facts_view(struct facts *f, const char *name, struct view text)
{
	lead(f, name);
	if (f->json)
		json_put_string(f->out, text);
	else
		cli_put_plain(f->out, text);
	end_line(f);
}

void facts_text(struct facts *f, const char *name, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	facts_view(f, name, view_str(text));
}

void facts_hex(struct facts *f, const char *name, struct view bytes)
{
	lead(f, name);
	if (f->json)
		buf_putc(f->out, '"');
	enc_hex(f->out, bytes);
	if (f->json)
		buf_putc(f->out, '"');
	end_line(f);
}

/* A u64 over 2^53 is text in JSON, where numbers are doubles for many readers. */
void facts_number(struct facts *f, const char *name, uint64_t n)
{
	lead(f, name);
	buf_printf(f->out, f->json && n > (1ull << 53) ? "\"%llu\"" : "%llu", (unsigned long long)n);
	end_line(f);
}

void facts_bool(struct facts *f, const char *name, bool v)
{
	lead(f, name);
	buf_puts(f->out, f->json ? (v ? "true" : "false") : (v ? "yes" : "no"));
	end_line(f);
}

void facts_bits(struct facts *f, const char *name, struct bit_table table, uint64_t value)
{
	if (!f->json) {
		lead(f, name);
		buf_printf(f->out, "%016llx: ", (unsigned long long)value);
		bits_names(f->out, table, value);
		end_line(f);
		return;
	}
	facts_open(f, name, NULL);
	facts_text(f, "value", "%016llx", (unsigned long long)value);
	for (size_t i = 0; i < table.n; i++)
		facts_bool(f, table.words[i].name, bit_is_set(value, table.words[i].bit));
	facts_close(f);
}
