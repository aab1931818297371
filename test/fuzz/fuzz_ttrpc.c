/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/frame.h"
#include "agent/api/status.h"
#include "agent/api/wire.h"

/*
 * What comes from a socket, at both ends: the first byte says how the rest is cut into pieces
 * for the frame reader; each frame is read as a request, as the hub's messages and as a reply.
 */
static volatile uint8_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte handed out lies where ASan knows it. */
static void touch(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		sink ^= v.p[i];
}

static void server_side(struct view frame)
{
	struct wire_request q;
	struct wire_input in;
	struct err e;

	if (wire_request_decode(&q, frame, &e) < 0)
		return;
	touch(q.service);
	touch(q.method);
	touch(view_str(q.name));
	if (wire_unseal_decode(&in, q.payload, &e) == 0) {
		touch(in.text);
		wire_input_done(&in);
	}
	if (wire_get_resource_decode(&in, q.payload, &e) == 0) {
		touch(in.text);
		wire_input_done(&in);
	}
	wire_request_done(&q);
}

static void client_side(struct view frame)
{
	struct wire_reply r;
	struct view v;
	struct err e;

	if (wire_reply_scan(&r, frame, &e) < 0)
		return;
	touch(r.message);
	if (r.status != 0) {
		(void)api_status_err(r.status, r.message, &e);
		touch(view_str(e.msg));
	}
	if (wire_bytes_scan(&v, r.payload, 1, &e) == 0)
		touch(v);
}

static void on_frame(const struct frame_reader *r)
{
	struct view frame = { r->body, r->head.len };

	server_side(frame);
	client_side(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader r = { 0 };
	size_t piece, at = 1;

	if (size < 1)
		return 0;
	piece = data[0] ? data[0] : size;
	while (at < size) {
		struct view in = { data + at, size - at < piece ? size - at : piece };
		enum frame_step step = FRAME_BEGUN;

		at += in.len;
		while (step != FRAME_MORE && (in.len > 0 || r.begun)) {
			step = frame_feed(&r, &in);
			if (step == FRAME_BEGUN && (r.head.type == 9 || frame_keep(&r, NULL) < 0))
				frame_skip(&r);
			if (step == FRAME_WHOLE)
				on_frame(&r);
			if (step == FRAME_WHOLE || step == FRAME_SKIPPED)
				frame_next(&r);
		}
	}
	frame_next(&r);
	return 0;
}
