/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/finding.h"
#include "agent/base/json.h"

#include <stdarg.h>
#include <stdio.h>

PRINTF(4, 0)
static void PRINTF(4, 0) add(struct findings *f, const char *name, enum finding_state state,
			     const char *fmt, va_list ap)
{
	struct finding *x;

	if (f->n == FINDINGS_MAX) {
		f->overflow = true;
		return;
	}
	x = &f->list[f->n++];
	x->name = name;
	x->state = state;
	(void)vsnprintf(x->text, sizeof x->text, fmt, ap);
	/* Evidence is a stranger's: nothing of it steers the terminal or breaks the line. */
	for (char *p = x->text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

void finding_add(struct findings *f, const char *name, enum finding_state state, const char *fmt,
		 ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(f, name, state, fmt, ap);
	va_end(ap);
}

void finding_of(struct findings *f, const char *name, int r, const struct err *e, const char *fmt,
		...)
{
	va_list ap;

	if (r < 0) {
		finding_add(f, name, FINDING_BAD, "%s", e->msg);
		return;
	}
	va_start(ap, fmt);
	add(f, name, FINDING_OK, fmt, ap);
	va_end(ap);
}

bool findings_bad(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->list[i].state == FINDING_BAD)
			return true;
	return f->overflow;
}

const struct finding *finding_get(const struct findings *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->list[i].name, name) == 0)
			return &f->list[i];
	return NULL;
}

const char *finding_state_name(enum finding_state state)
{
	static const char *const names[] = {
		[FINDING_OK] = "ok",
		[FINDING_BAD] = "bad",
		[FINDING_UNKNOWN] = "unknown",
		[FINDING_WARN] = "warn",
	};

	return names[state];
}

void findings_text(struct buf *out, const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		buf_printf(out, "%-8s %-18s %s\n", finding_state_name(f->list[i].state),
			   f->list[i].name, f->list[i].text);
	if (f->overflow)
		buf_printf(out, "bad      findings           more than %d findings\n", FINDINGS_MAX);
}

void findings_json(struct buf *out, const struct findings *f)
{
	buf_putc(out, '[');
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *x = &f->list[i];

		buf_printf(out, "%s{\"name\":\"%s\",\"state\":\"%s\",\"text\":", i ? "," : "",
			   x->name, finding_state_name(x->state));
		json_put_string(out, view_str(x->text));
		buf_putc(out, '}');
	}
	if (f->overflow)
		buf_puts(out, ",{\"name\":\"findings\",\"state\":\"bad\",\"text\":\"too many\"}");
	buf_putc(out, ']');
}
