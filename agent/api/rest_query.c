/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_query.h"

#include "agent/base/enc.h"

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "+" is a space, %XX a byte; a "%" that no two digits follow stays. */
static void form_decode(struct buf *out, struct view in)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.p[i];
		int high = -1, low = -1;

		if (c == '%' && in.len - i > 2) {
			high = hex_digit(in.p[i + 1]);
			low = hex_digit(in.p[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			c = (uint8_t)(high << 4 | low);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		buf_putc(out, c);
	}
}

/* Length of the UTF-8 sequence that a byte begins; 0 when it cannot begin one. */
static size_t utf8_want(uint8_t c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

/* Do the first n bytes, fewer than a whole sequence, begin a valid one? */
static bool utf8_begins(const uint8_t *p, size_t n)
{
	if (n >= 2 && (p[1] & 0xc0) != 0x80)
		return false;
	if (n >= 2 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		       (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)))
		return false;
	return n < 3 || (p[2] & 0xc0) == 0x80;
}

/*
 * What is no UTF-8 becomes U+FFFD, one for each longest beginning of a sequence (the practice
 * that Unicode recommends and upstream's decoder follows): the value is text, also to the AA.
 */
static void text_put(struct buf *out, struct view in)
{
	for (size_t i = 0; i < in.len;) {
		size_t want = utf8_want(in.p[i]), left = in.len - i, n = 1;

		if (want > 0 && want <= left && enc_is_utf8((struct view){ in.p + i, want })) {
			buf_put(out, in.p + i, want);
			i += want;
			continue;
		}
		while (want > 0 && n + 1 < want && n < left && utf8_begins(in.p + i, n + 1))
			n++;
		buf_puts(out, "\xef\xbf\xbd");
		i += n;
	}
}

struct view rest_cut(struct view *in, uint8_t c)
{
	const uint8_t *at = in->len > 0 ? memchr(in->p, c, in->len) : NULL;
	struct view head = *in;

	if (!at) {
		*in = (struct view){ 0 };
		return head;
	}
	head.len = (size_t)(at - in->p);
	*in = (struct view){ at + 1, in->len - head.len - 1 };
	return head;
}

bool rest_query_get(struct buf *out, struct view query, const char *name)
{
	cleanup_buf struct buf raw = BUF_MAX(REST_TARGET_MAX);
	bool found = false;

	while (query.len > 0) {
		struct view pair = rest_cut(&query, '&'), key = rest_cut(&pair, '=');

		buf_reset(&raw);
		form_decode(&raw, key);
		if (!view_is(buf_view(&raw), name))
			continue;
		found = true;
		buf_reset(&raw);
		buf_reset(out);
		form_decode(&raw, pair);
		text_put(out, buf_view(&raw));
	}
	if (raw.failed)
		out->failed = raw.failed;
	return found;
}
