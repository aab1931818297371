/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/edit.h"
#include "agent/base/fs.h"

#include <stdlib.h>

static int grow(struct edits *l, struct err *e)
{
	size_t room = l->room ? l->room * 2 : 32;
	struct edit *p;

	if (l->n >= EDITS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d values to replace", EDITS_MAX);
	p = calloc(room, sizeof *p);
	if (!p)
		return err_set(e, ERR_NOMEM, "no memory for edits");
	if (l->n > 0)
		memcpy(p, l->list, l->n * sizeof *p);
	free(l->list);
	l->list = p;
	l->room = room;
	return 0;
}

int edits_add(struct edits *l, size_t at, size_t len, struct buf *text, const struct secret *secret,
	      struct err *e)
{
	cleanup_buf struct buf t = *text;
	int r;

	*text = BUF_MAX(text->max);
	r = buf_check(&t, "replacement", e);
	if (r == 0 && l->n == l->room)
		r = grow(l, e);
	if (r < 0)
		return r;
	l->list[l->n] = (struct edit){ at, len, l->n, t, secret };
	l->n++;
	t = BUF_MAX(0);
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static struct view stands(const struct edit *d)
{
	return d->secret ? (struct view){ secret_bytes(d->secret), d->secret->len } :
			   buf_view(&d->text);
}

/* Hand every piece of the result to put, in order. */
static int pieces(struct edits *l, struct view text, bool plain,
		  int (*put)(void *ctx, struct view piece, struct err *e), void *ctx, struct err *e)
{
	size_t at = 0;
	int r;

	if (l->n > 1)
		qsort(l->list, l->n, sizeof *l->list, by_place);
	for (size_t i = 0; i < l->n; i++) {
		const struct edit *d = &l->list[i];

		if (d->secret && !plain)
			continue;
		if (d->at < at || d->at > text.len || d->len > text.len - d->at)
			return err_set(e, ERR_INTERNAL, "edits overlap at offset %zu", d->at);
		r = put(ctx, (struct view){ text.p + at, d->at - at }, e);
		if (r == 0)
			r = put(ctx, stands(d), e);
		if (r < 0)
			return r;
		at = d->at + d->len;
	}
	return put(ctx, (struct view){ text.p + at, text.len - at }, e);
}

static int put_fd(void *ctx, struct view piece, struct err *e)
{
	return fs_write_fd(*(int *)ctx, piece, "the container's shadow config", e);
}

static int put_buf(void *ctx, struct view piece, struct err *e)
{
	(void)e;
	buf_putv(ctx, piece);
	return 0;
}

int edits_write(int fd, struct edits *l, struct view text, bool plain, struct err *e)
{
	return pieces(l, text, plain, put_fd, &fd, e);
}

int edits_apply(struct buf *out, struct edits *l, struct view text, struct err *e)
{
	int r = pieces(l, text, false, put_buf, out, e);

	return r < 0 ? r : buf_check(out, "JSON text", e);
}

void edits_done(struct edits *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_done(&l->list[i].text);
	free(l->list);
	*l = (struct edits){ 0 };
}

/* The escape of a byte within a JSON string; 0 when it stands for itself. At most 6 bytes. */
static size_t escape(char out[8], uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
	const char *at = c ? strchr(from, c) : NULL;

	if (at) {
		out[0] = '\\';
		out[1] = to[at - from];
		return 2;
	}
	if (c >= ' ')
		return 0;
	memcpy(out, "\\u00", 4);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return 6;
}

static int append_escaped(struct secret *out, struct view in, struct err *e)
{
	char esc[8];
	int r;

	for (size_t i = 0; i < in.len; i++) {
		size_t n = escape(esc, in.p[i]);

		r = n ? secret_append(out, esc, n, e) : secret_append(out, in.p + i, 1, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static size_t escaped_len(struct view in)
{
	size_t total = 0;
	char esc[8];

	for (size_t i = 0; i < in.len; i++) {
		size_t n = escape(esc, in.p[i]);

		total += n ? n : 1;
	}
	return total;
}

int edit_secret_string(struct secret *out, struct view head, const struct secret *plain,
		       struct err *e)
{
	struct view body = { secret_bytes(plain), plain->len };
	int r = secret_alloc(out, escaped_len(head) + escaped_len(body) + 2, e);

	if (r < 0 || (r = secret_append(out, "\"", 1, e)) < 0 ||
	    (r = append_escaped(out, head, e)) < 0 || (r = append_escaped(out, body, e)) < 0 ||
	    (r = secret_append(out, "\"", 1, e)) < 0) {
		secret_done(out);
		return r;
	}
	return 0;
}
