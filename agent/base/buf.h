/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "agent/base/err.h"
#include "agent/base/mem.h"

/*
 * Growing bytes that know their cap. Never for plaintext: growing leaves copies behind
 * (struct secret has no way to grow for that reason).
 *
 * Writers do not fail one by one: the first that does not fit, or finds no memory, marks the
 * buffer, later ones do nothing, and buf_check() reports it once at the end.
 */
struct buf {
	uint8_t *p; /* len bytes, and always a NUL behind them once anything was put */
	size_t len;
	size_t cap;
	size_t max;    /* never more bytes than this */
	int failed;    /* 0, or the err_kind that marked it: ERR_LIMIT, ERR_NOMEM */
};

#define cleanup_buf __attribute__((cleanup(buf_done)))

/* An empty buffer of at most max bytes; allocates nothing. */
#define BUF_MAX(n) ((struct buf){ .max = (n) })

void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, uint8_t c);
void buf_putv(struct buf *b, struct view v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/*
 * n more bytes, for the caller to write before anything else is done with the buffer: one look at
 * the room for all of them. NULL: they do not fit, and buf_check() says so.
 */
uint8_t *buf_extend(struct buf *b, size_t n);

/* Text that somebody else wrote, for a terminal: a control character (C0, DEL, C1) becomes '?'. */
void buf_put_plain(struct buf *b, struct view text);

/* 0, or the error that marked the buffer: ERR_LIMIT ("what exceeds N bytes") or ERR_NOMEM. */
int buf_check(const struct buf *b, const char *what, struct err *e) MUST_CHECK;

/* Forget the content, keep memory and cap. */
void buf_reset(struct buf *b);

/* The content, borrowed until the next call that changes the buffer. */
static inline struct view buf_view(const struct buf *b)
{
	return (struct view){ b->p, b->len };
}

/* The content as NUL-terminated text, borrowed; "" when empty. */
const char *buf_str(const struct buf *b);

/* Give the content away as malloc'd NUL-terminated text and leave *b empty. NULL only for no memory. */
char *buf_take(struct buf *b);

void buf_done(struct buf *b);

#endif
