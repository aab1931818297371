/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/frame.h"

void frame_head_put(uint8_t out[FRAME_HEAD], const struct frame_head *head)
{
	for (int i = 0; i < 4; i++) {
		out[i] = (uint8_t)(head->len >> (24 - 8 * i));
		out[4 + i] = (uint8_t)(head->stream >> (24 - 8 * i));
	}
	out[8] = head->type;
	out[9] = head->flags;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct frame_head frame_head_get(const uint8_t in[FRAME_HEAD])
{
	return (struct frame_head){
		.len = be32(in), .stream = be32(in + 4), .type = in[8], .flags = in[9]
	};
}

enum frame_step frame_feed(struct frame_reader *r, struct view *in)
{
	size_t n;
	uint64_t want;

	if (!r->begun) {
		n = FRAME_HEAD - (size_t)r->got;
		n = n < in->len ? n : in->len;
		if (n > 0)
			memcpy(r->raw + r->got, in->p, n);
		r->got += n;
		in->p += n;
		in->len -= n;
		if (r->got < FRAME_HEAD)
			return FRAME_MORE;
		r->head = frame_head_get(r->raw);
		r->begun = true;
		return FRAME_BEGUN;
	}

	want = (uint64_t)FRAME_HEAD + r->head.len - r->got;
	n = want < in->len ? (size_t)want : in->len;
	/* Neither kept nor skipped would be our own mistake; it must not become a wild write. */
	if (n > 0 && !r->skip && r->body)
		memcpy(r->body + (r->got - FRAME_HEAD), in->p, n);
	r->got += n;
	in->p += n;
	in->len -= n;
	if (n < want)
		return FRAME_MORE;
	return r->body && !r->skip ? FRAME_WHOLE : FRAME_SKIPPED;
}

int frame_keep(struct frame_reader *r, struct err *e)
{
	if (r->head.len > FRAME_MAX)
		return err_set(e, ERR_LIMIT, "frame of %u bytes, allowed %u", r->head.len,
			       FRAME_MAX);
	r->body = malloc(r->head.len > 0 ? r->head.len : 1);
	if (!r->body)
		return err_set(e, ERR_NOMEM, "no memory for a frame of %u bytes", r->head.len);
	return 0;
}

void frame_skip(struct frame_reader *r)
{
	r->skip = true;
}

void frame_next(struct frame_reader *r)
{
	free(r->body);
	*r = (struct frame_reader){ 0 };
}
