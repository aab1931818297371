/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

static int room(struct buf *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 64;
	uint8_t *p;

	if (b->failed)
		return 0;
	if (n > b->max - b->len) {
		b->failed = ERR_LIMIT;
		return 0;
	}
	if (b->cap > b->len && n < b->cap - b->len)
		return 1;
	while (cap - b->len <= n)
		cap = cap > b->max ? cap + n + 1 : cap * 2;
	p = malloc(cap);
	if (!p) {
		b->failed = ERR_NOMEM;
		return 0;
	}
	/* A reply with a token grows here too: nothing of it stays behind. */
	if (b->len > 0) {
		memcpy(p, b->p, b->len);
		explicit_bzero(b->p, b->len);
	}
	free(b->p);
	b->p = p;
	b->cap = cap;
	return 1;
}

uint8_t *buf_extend(struct buf *b, size_t n)
{
	uint8_t *p;

	if (!room(b, n))
		return NULL;
	p = b->p + b->len;
	b->len += n;
	p[n] = '\0';
	return p;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to = buf_extend(b, n);

	if (to && n > 0)
		memcpy(to, p, n);
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, uint8_t c)
{
	buf_put(b, &c, 1);
}

void buf_putv(struct buf *b, struct view v)
{
	buf_put(b, v.p, v.len);
}

void buf_put_plain(struct buf *b, struct view text)
{
	for (size_t i = 0; i < text.len; i++) {
		/* U+0080 to U+009F in UTF-8: CSI is one of them. */
		bool c1 = text.p[i] == 0xc2 && i + 1 < text.len && text.p[i + 1] < 0xa0;

		buf_putc(b, c1 || text.p[i] < ' ' || text.p[i] == 0x7f ? '?' : text.p[i]);
		i += c1;
	}
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && room(b, (size_t)n)) {
		(void)vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

int buf_check(const struct buf *b, const char *what, struct err *e)
{
	if (b->failed == ERR_LIMIT)
		return err_set(e, ERR_LIMIT, "%s exceeds %zu bytes", what, b->max);
	if (b->failed)
		return err_set(e, ERR_NOMEM, "no memory for %s", what);
	return 0;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = 0;
	if (b->p)
		b->p[0] = '\0';
}

const char *buf_str(const struct buf *b)
{
	return b->p ? (const char *)b->p : "";
}

char *buf_take(struct buf *b)
{
	char *s = b->p ? (char *)b->p : strdup("");

	*b = BUF_MAX(b->max);
	return s;
}

void buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}
