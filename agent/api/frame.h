/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_FRAME_H
#define API_FRAME_H

#include "agent/base/buf.h"

/*
 * Frames of ttrpc. Source: spec/local-api.md 1.3; vectors/local/ttrpc.
 *
 *   offset  size  field
 *   0       4     payload length, header excluded, big-endian
 *   4       4     stream id, big-endian
 *   8       1     type
 *   9       1     flags
 *   10            payload
 */
#define FRAME_HEAD 10
#define FRAME_MAX  4194304u /* bytes of payload, both directions */

enum frame_type { FRAME_REQUEST = 1, FRAME_RESPONSE = 2, FRAME_DATA = 3 };

struct frame_head {
	uint32_t len;
	uint32_t stream;
	uint8_t type; /* not checked: may be none of frame_type */
	uint8_t flags;
};

void frame_head_put(uint8_t out[FRAME_HEAD], const struct frame_head *head);
struct frame_head frame_head_get(const uint8_t in[FRAME_HEAD]);

/*
 * Cuts a stream of bytes into frames, whatever the pieces they arrive in. Nothing is reserved
 * for a payload before the caller has seen its header and said frame_keep().
 */
struct frame_reader {
	struct frame_head head; /* from FRAME_BEGUN to frame_next() */
	uint8_t *body;          /* head.len bytes at FRAME_WHOLE; owned */
	uint64_t got;           /* bytes of header and payload so far */
	uint8_t raw[FRAME_HEAD];
	bool begun, skip;
};

enum frame_step {
	FRAME_MORE,    /* all input used, the frame goes on */
	FRAME_BEGUN,   /* head is known: call frame_keep() or frame_skip(), then feed on */
	FRAME_WHOLE,   /* head and body are there: use them, then frame_next() */
	FRAME_SKIPPED, /* the last byte of a skipped frame has passed; then frame_next() */
};

/* Take bytes from the front of *in up to the next step. */
enum frame_step frame_feed(struct frame_reader *r, struct view *in);

/* Make room for the payload. Errors: ERR_LIMIT (over FRAME_MAX), ERR_NOMEM; skip it then. */
int frame_keep(struct frame_reader *r, struct err *e) MUST_CHECK;

/* Let the payload pass unread. */
void frame_skip(struct frame_reader *r);

/* Ready for the next frame; frees the body. */
void frame_next(struct frame_reader *r);

/* In the middle of a frame? */
static inline bool frame_partial(const struct frame_reader *r)
{
	return r->got > 0;
}

#endif
