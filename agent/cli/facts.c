/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/facts.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 1024, NAME_WIDTH = 24, SAME_MIN = 16 };

/* A member's name as words: "report_data" is "report data" to a person. */
static void put_name(struct buf *out, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		buf_putc(out, name[i] == '_' ? ' ' : (uint8_t)name[i]);
	buf_printf(out, "%*s", n < NAME_WIDTH ? (int)(NAME_WIDTH - n) + 1 : 1, "");
}

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
			put_name(f->out, name);
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
			   heading ? heading : name);
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
		buf_put_plain(f->out, text);
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

/* Long fields of one value are what nobody set: told in a word. */
static const char *all_same(struct view v)
{
	for (size_t i = 1; i < v.len; i++)
		if (v.p[i] != v.p[0])
			return NULL;
	return v.len < SAME_MIN ? NULL : v.p[0] == 0 ? "zeros" : v.p[0] == 0xff ? "ones" : NULL;
}

void facts_hex(struct facts *f, const char *name, struct view bytes)
{
	const char *word = f->json ? NULL : all_same(bytes);

	lead(f, name);
	if (f->json)
		buf_putc(f->out, '"');
	if (word)
		buf_puts(f->out, word);
	else
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

/* A person reads of each bit whether it is set, and what that means where it is. */
void facts_bits(struct facts *f, const char *name, const char *heading, struct bit_table table,
		uint64_t value)
{
	uint64_t known = 0;

	facts_open(f, name, heading);
	facts_text(f, "value", "%016llx", (unsigned long long)value);
	for (size_t i = 0; i < table.n; i++) {
		const struct bit_word *w = &table.words[i];
		bool set = bit_is_set(value, w->bit);

		known |= 1ull << w->bit;
		if (f->json || !set)
			facts_bool(f, w->name, set);
		else
			facts_text(f, w->name, "yes: %s", w->words);
	}
	if (!f->json && (value & ~known) != 0)
		facts_text(f, "others", "%016llx: not known to this program",
			   (unsigned long long)(value & ~known));
	facts_close(f);
}
