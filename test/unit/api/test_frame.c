/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/frame.h"
#include "agent/api/wire.h"
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "test/test.h"

static const uint8_t two[] = {
	0, 0, 0, 3, 0, 0x12, 0x34, 0x56, 1, 0, 'a', 'b', 'c', /* three bytes */
	0, 0, 0, 0, 0, 0, 0, 7, 3, 4,                         /* none */
};

/* Feed in pieces of n bytes, keep every frame, and count what comes whole. */
static int feed_all(const uint8_t *p, size_t len, size_t piece, char out[64])
{
	struct frame_reader r = { 0 };
	int whole = 0;
	size_t at = 0;

	out[0] = '\0';
	while (at < len) {
		struct view in = { p + at, len - at < piece ? len - at : piece };
		enum frame_step step = FRAME_BEGUN;

		at += in.len;
		while (step != FRAME_MORE && (in.len > 0 || r.begun)) {
			step = frame_feed(&r, &in);
			if (step == FRAME_BEGUN && frame_keep(&r, NULL) < 0)
				frame_skip(&r);
			if (step != FRAME_WHOLE && step != FRAME_SKIPPED)
				continue;
			(void)snprintf(out + strlen(out), 64 - strlen(out), "%x/%u/%.*s ",
				       r.head.stream, r.head.type,
				       step == FRAME_WHOLE ? (int)r.head.len : 4,
				       step == FRAME_WHOLE ? (const char *)r.body : "skip");
			whole++;
			frame_next(&r);
		}
	}
	CHECK(!frame_partial(&r));
	return whole;
}

TEST(frame_feed__any_piece_size__gives_the_same_frames)
{
	char out[64];

	for (size_t piece = 1; piece <= sizeof two; piece++) {
		CHECK_INT(feed_all(two, sizeof two, piece, out), 2);
		CHECK(strcmp(out, "123456/1/abc 7/3/ ") == 0);
	}
}

TEST(frame_keep__over_the_maximum__is_a_limit)
{
	uint8_t head[FRAME_HEAD];
	struct frame_reader r = { 0 };
	struct view in = { head, sizeof head };
	struct err e;

	frame_head_put(head, &(struct frame_head){ .len = FRAME_MAX + 1, .stream = 1, .type = 1 });
	CHECK_INT(frame_feed(&r, &in), FRAME_BEGUN);
	CHECK_ERR(frame_keep(&r, &e), ERR_LIMIT, e, "4194305 bytes, allowed 4194304");
	frame_skip(&r);
	/* The next header must be found right behind the skipped bytes. */
	for (size_t left = FRAME_MAX + 1; left > 0;) {
		static const uint8_t junk[65536];
		size_t n = left < sizeof junk ? left : sizeof junk;

		in = (struct view){ junk, n };
		left -= n;
		CHECK_INT(frame_feed(&r, &in), left > 0 ? FRAME_MORE : FRAME_SKIPPED);
		CHECK_INT(in.len, 0);
	}
	frame_next(&r);
	CHECK(!frame_partial(&r));
}

TEST(frame_keep__maximum__is_kept)
{
	uint8_t head[FRAME_HEAD];
	struct frame_reader r = { 0 };
	struct view in = { head, sizeof head };

	frame_head_put(head, &(struct frame_head){ .len = FRAME_MAX, .stream = 1, .type = 1 });
	CHECK_INT(frame_feed(&r, &in), FRAME_BEGUN);
	CHECK_INT(frame_keep(&r, NULL), 0);
	r.body[FRAME_MAX - 1] = 1;
	frame_next(&r);
}

TEST(frame_feed__neither_kept_nor_skipped__is_skipped)
{
	struct frame_reader r = { 0 };
	struct view in = { two, 13 };

	CHECK_INT(frame_feed(&r, &in), FRAME_BEGUN);
	CHECK_INT(frame_feed(&r, &in), FRAME_SKIPPED);
	CHECK_INT(in.len, 0);
}

static void check_vector(const struct json *item)
{
	cleanup_buf struct buf raw = BUF_MAX(1 << 16);
	const char *hex = json_string(json_get(item, "hex"));
	const char *name = json_string(json_get(item, "name"));
	int64_t stream, type, len;
	struct frame_head h;

	CHECK(hex && name && json_integer(&stream, json_get(item, "stream")) &&
	      json_integer(&type, json_get(item, "type")) &&
	      json_integer(&len, json_get(item, "len")));
	raw.p = malloc(strlen(hex) / 2);
	raw.len = raw.cap = strlen(hex) / 2;
	CHECK_INT(enc_hex_decode(raw.p, raw.len, view_str(hex), NULL), 0);
	h = frame_head_get(raw.p);
	CHECK_INT(h.stream, stream);
	CHECK_INT(h.type, type);
	CHECK_INT(h.len, len);
	CHECK_INT(raw.len, len + FRAME_HEAD);
	if (type == FRAME_REQUEST) {
		struct wire_request q;

		CHECK_INT(wire_request_decode(&q, (struct view){ raw.p + FRAME_HEAD, h.len }, NULL),
			  0);
		CHECK(q.service.len > 0 && q.method.len > 0);
		wire_request_done(&q);
	} else {
		struct wire_reply reply;

		CHECK_INT(wire_reply_scan(&reply, (struct view){ raw.p + FRAME_HEAD, h.len }, NULL),
			  0);
		CHECK(strstr(name, "err") ? reply.status > 0 && reply.message.len > 0
					  : reply.status == 0);
	}
}

static int check_vectors(const char *path)
{
	cleanup_buf struct buf text = BUF_MAX(1 << 20);
	cleanup_json struct json *doc = NULL;
	int n = 0;

	CHECK_INT(fs_read(&text, path, 1 << 20, NULL), 0);
	CHECK_INT(json_parse(&doc, buf_view(&text), 1 << 20, NULL), 0);
	for (const struct json *i = json_first(doc); i; i = json_next(i), n++)
		check_vector(i);
	return n;
}

TEST(frames__own_vectors__decode)
{
	CHECK(check_vectors(test_vector("api/frames.json")) >= 6);
}

TEST(frames__shared_vectors__decode)
{
	CHECK_INT(check_vectors(test_shared("local/ttrpc/frames.json")), 25);
}
