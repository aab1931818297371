/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/wire.h"
#include "test/test.h"

/* A request of service "s", method "m"; more bytes behind it. */
#define SM "\x0a\x01s\x12\x01m"

struct row {
	const char *bytes;
	size_t len;
	const char *words;
};
#define ROW(s, words) { s, sizeof(s) - 1, words }

TEST(wire_request_decode__malformed__says_why_and_leaves_out_alone)
{
	static const struct row rows[] = {
		ROW("\x0a", "not a ttrpc Request"),
		ROW("\x0a\x05s", "not a ttrpc Request"),
		ROW("\x08\x01", "not a ttrpc Request"), /* service as a varint */
		ROW(SM "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not a ttrpc"),
		ROW(SM "\x2a\x03\x0a\x05x", "not a ttrpc Request"),
		ROW("\x0a\x01\xff\x12\x01m", "service name is not UTF-8"),
		ROW("\x0a\x01s\x12\x02m\x00", "method name contains a NUL"),
		ROW(SM "\x2a\x15\x0a\x11io.vouchsafe.name\x12\x00", "is empty"),
		ROW(SM "\x2a\x13\x0a\x11io.vouchsafe.name", "is empty"),
		ROW(SM "\x2a\x16\x0a\x11io.vouchsafe.name\x12\x01" "A"
		       "\x2a\x16\x0a\x11io.vouchsafe.name\x12\x01" "B", "given twice"),
		ROW(SM "\x2a\x17\x0a\x11io.vouchsafe.name\x12\x02" "A\x00", "contains a NUL"),
		ROW(SM "\x2a\x16\x0a\x11io.vouchsafe.name\x12\x01\xc3", "is not UTF-8"),
	};
	struct wire_request q = { .timeout_nano = 42 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view in = { (const uint8_t *)rows[i].bytes, rows[i].len };

		CHECK_ERR(wire_request_decode(&q, in, &e), ERR_FORMAT, e, rows[i].words);
		CHECK_INT(e.code, CODE_API_MALFORMED);
		CHECK_INT(q.timeout_nano, 42);
	}
}

TEST(wire_request_decode__long_texts__are_refused_at_their_limit)
{
	struct wire_request q;
	char name[WIRE_NAME_MAX + 2] = { 0 };
	struct err e;

	for (size_t i = 0; i < WIRE_NAME_MAX + 1; i++)
		name[i] = 'n';
	for (size_t cut = 0; cut < 2; cut++) {
		cleanup_buf struct buf b = BUF_MAX(4096);

		name[WIRE_NAME_MAX + 1 - cut] = '\0';
		wire_request_encode(&b, name, "m", view_str(""), 0, NULL);
		if (cut == 0) {
			CHECK_ERR(wire_request_decode(&q, buf_view(&b), &e), ERR_FORMAT, e,
				  "service name of 257 bytes, allowed 256");
		} else {
			CHECK_INT(wire_request_decode(&q, buf_view(&b), &e), 0);
			wire_request_done(&q);
		}
	}
	for (size_t cut = 0; cut < 2; cut++) {
		cleanup_buf struct buf b = BUF_MAX(4096);

		name[API_NAME_MAX + 1 - cut] = '\0';
		wire_request_encode(&b, "s", "m", view_str(""), 0, name);
		if (cut == 0) {
			CHECK_ERR(wire_request_decode(&q, buf_view(&b), &e), ERR_FORMAT, e,
				  "of 256 bytes, allowed 255");
		} else {
			CHECK_INT(wire_request_decode(&q, buf_view(&b), &e), 0);
			CHECK_INT(strlen(q.name), API_NAME_MAX);
			wire_request_done(&q);
		}
	}
}

TEST(wire_request__encoded_and_decoded__is_the_same)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct wire_request q;

	wire_request_encode(&b, "api.X", "Y", (struct view){ (const uint8_t *)"\0\1\2", 3 }, -5,
			    "DB_PASSWORD");
	CHECK_INT(wire_request_decode(&q, buf_view(&b), NULL), 0);
	CHECK(view_is(q.service, "api.X") && view_is(q.method, "Y"));
	CHECK(q.payload.len == 3 && memcmp(q.payload.p, "\0\1\2", 3) == 0);
	CHECK_INT(q.timeout_nano, -5);
	CHECK(strcmp(q.name, "DB_PASSWORD") == 0);
	wire_request_done(&q);
}

TEST(wire_request_decode__unknown_fields_and_metadata__are_skipped)
{
	static const char bytes[] = "\x0a\x01x" SM "\x2a\x06\x0a\x01k\x12\x01v" /* last one wins */
				    "\x32\x03zzz\x3d\x01\x02\x03\x04\x41\x01\x02\x03\x04\x05\x06"
				    "\x07\x08\x98\x06\x07";
	struct wire_request q;

	CHECK_INT(wire_request_decode(&q, (struct view){ (const uint8_t *)bytes, sizeof bytes - 1 },
				      NULL),
		  0);
	CHECK(view_is(q.service, "s") && view_is(q.method, "m"));
	CHECK(q.name[0] == '\0');
	wire_request_done(&q);
}

/* Two bytes of input would cost a hundred each: the bound must end it, not the memory. */
TEST(wire_request_decode__bomb__is_refused)
{
	static const char *const units[] = { "\x2a\x00", "\x3a\x00", "\x98\x06\x00" };
	struct wire_request q;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		cleanup_buf struct buf b = BUF_MAX(FRAME_MAX);
		size_t n = i == 2 ? 3 : 2;

		while (b.len + n <= FRAME_MAX)
			buf_put(&b, units[i], n);
		CHECK_ERR(wire_request_decode(&q, buf_view(&b), &e), ERR_FORMAT, e, "");
	}
}

TEST(wire_request_decode__too_many_metadata__is_refused)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct wire_request q;
	struct err e;

	buf_puts(&b, SM);
	for (int i = 0; i < WIRE_METADATA_MAX; i++)
		buf_puts(&b, "\x2a\x03\x0a\x01k");
	CHECK_INT(wire_request_decode(&q, buf_view(&b), NULL), 0);
	wire_request_done(&q);
	buf_puts(&b, "\x2a\x03\x0a\x01k");
	CHECK_ERR(wire_request_decode(&q, buf_view(&b), &e), ERR_FORMAT, e, "33 metadata, allowed 32");
}

TEST(wire_status_encode__and_scan__is_the_same)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct wire_reply r;

	wire_status_encode(&b, API_INTERNAL, "[CDH] [ERROR]: Get Resource failed");
	/* The bytes of vectors/local/ttrpc cdh-getresource.resp-err. */
	CHECK(b.len == 40 && memcmp(b.p, "\x0a\x26\x08\x0d\x12\x22[CDH]", 11) == 0);
	CHECK_INT(wire_reply_scan(&r, buf_view(&b), NULL), 0);
	CHECK_INT(r.status, 13);
	CHECK(view_is(r.message, "[CDH] [ERROR]: Get Resource failed"));
	CHECK_INT(r.payload.len, 0);
}

TEST(wire_ok_head__every_size__is_what_a_packer_writes)
{
	static const size_t sizes[] = { 0, 1, 126, 127, 128, 16380, 16384, 2097152, SECRET_MAX };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		cleanup_buf struct buf b = BUF_MAX(FRAME_MAX + 100);
		cleanup_free uint8_t *value = calloc(1, sizes[i] + 1);
		uint8_t head[WIRE_HEAD_MAX];
		size_t n = wire_ok_head(head, sizes[i], 1);
		struct wire_reply r;
		struct view v;

		buf_put(&b, head, n);
		buf_put(&b, value, sizes[i]);
		CHECK_INT(wire_reply_scan(&r, buf_view(&b), NULL), 0);
		CHECK_INT(r.status, 0);
		CHECK_INT(wire_bytes_scan(&v, r.payload, 1, NULL), 0);
		CHECK_INT(v.len, sizes[i]);
		if (sizes[i] == 0)
			CHECK_INT(b.len, 2);
		/* The plaintext is the last thing in the frame. */
		else
			CHECK(v.p + v.len == b.p + b.len);
	}
}

TEST(wire_ok_head__message__is_the_payload_itself)
{
	uint8_t head[WIRE_HEAD_MAX];

	CHECK_INT(wire_ok_head(head, 5, 0), 4);
	CHECK(memcmp(head, "\x0a\x00\x12\x05", 4) == 0);
	CHECK_INT(wire_ok_head(head, 0, 0), 2);
}

TEST(wire_reply_scan__any_order_and_unknown_fields__are_read)
{
	static const char bytes[] = "\x12\x03\x0a\x01x\x98\x06\x07\x0a\x08\x12\x03wha\x1a\x01z"
				    "\x0a\x02\x08\x07";
	struct wire_reply r;
	struct view v;

	CHECK_INT(wire_reply_scan(&r, (struct view){ (const uint8_t *)bytes, sizeof bytes - 1 }, NULL),
		  0);
	CHECK_INT(r.status, 7);
	CHECK(view_is(r.message, "wha"));
	CHECK_INT(wire_bytes_scan(&v, r.payload, 1, NULL), 0);
	CHECK(view_is(v, "x"));
	CHECK_INT(wire_reply_scan(&r, (struct view){ 0 }, NULL), 0);
	CHECK_INT(r.status, 0);
}

TEST(wire_reply_scan__malformed__says_why_and_leaves_out_alone)
{
	static const struct row rows[] = {
		ROW("\x0a", "does not end"),
		ROW("\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "does not end"),
		ROW("\x0a\x02\x08", "past the end"),
		ROW("\x0a\x01\x08", "does not end"),
		ROW("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", "past the end"),
		ROW("\x08\x01", "field 1 has wire type 0"),
		ROW("\x15\x01\x02\x03\x04", "field 2 has wire type 5"),
		ROW("\x0a\x02\x10\x01", "field 2 has wire type 0"),
		ROW("\x0b", "unknown wire type 3"),
		ROW("\x00", "out of range"),
		ROW("\x39\x01\x02", "past the end"),
	};
	struct wire_reply r = { .status = 99 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view in = { (const uint8_t *)rows[i].bytes, rows[i].len };

		CHECK_ERR(wire_reply_scan(&r, in, &e), ERR_FORMAT, e, rows[i].words);
		CHECK_INT(r.status, 99);
	}
}

TEST(wire_get_resource_decode__bad_text__is_malformed)
{
	static const struct row rows[] = {
		ROW("\x0a\x02" "a\x00", "ResourcePath contains a NUL"),
		ROW("\x0a\x01\xff", "ResourcePath is not UTF-8"),
		ROW("\x0a\x09" "a", "not a GetResourceRequest"),
	};
	cleanup_buf struct buf b = BUF_MAX(8192);
	struct wire_input in = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view v = { (const uint8_t *)rows[i].bytes, rows[i].len };

		CHECK_ERR(wire_get_resource_decode(&in, v, &e), ERR_FORMAT, e, rows[i].words);
		CHECK(in.owned == NULL);
	}
	buf_put(&b, "\x0a\x81\x20", 3);
	for (int i = 0; i < WIRE_STRING_MAX + 1; i++)
		buf_putc(&b, 'a');
	CHECK_ERR(wire_get_resource_decode(&in, buf_view(&b), &e), ERR_FORMAT, e,
		  "of 4097 bytes, allowed 4096");
}
