/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/teed.h"

#include <stdio.h>

enum { REQUEST_HEAD = 12, REPLY_HEAD = 20 };

static const char request_magic[4] = "VTQ1", reply_magic[4] = "VTA1";

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_le32(struct buf *out, uint32_t v)
{
	const uint8_t b[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) };

	buf_put(out, b, sizeof b);
}

static int malformed(struct err *e, const char *what)
{
	return err_code(e, CODE_API_MALFORMED, "vouchsafe-teed's protocol: %s", what);
}

static size_t data_len(enum teed_op op)
{
	return op == TEED_QUOTE ? TEED_DATA : TEED_DIGEST;
}

void teed_request_encode(struct buf *out, const struct teed_request *r)
{
	const uint8_t head[4] = { (uint8_t)r->op, (uint8_t)r->reg, 0, 0 };

	buf_put(out, request_magic, sizeof request_magic);
	put_le32(out, r->id);
	buf_put(out, head, sizeof head);
	buf_put(out, r->data, data_len(r->op));
}

int teed_request_parse(struct teed_request *out, struct view v, struct err *e)
{
	struct teed_request r = { 0 };

	if (v.len < REQUEST_HEAD || memcmp(v.p, request_magic, sizeof request_magic) != 0)
		return malformed(e, "no request");
	r.id = le32(v.p + 4);
	r.reg = v.p[9];
	if (r.id == 0)
		return malformed(e, "request without an id");
	if (v.p[8] != TEED_QUOTE && v.p[8] != TEED_EXTEND)
		return malformed(e, "unknown operation");
	r.op = (enum teed_op)v.p[8];
	if (r.reg >= (r.op == TEED_EXTEND ? TEED_RTMRS : 1))
		return malformed(e, "register out of range");
	if (v.p[10] != 0 || v.p[11] != 0)
		return malformed(e, "reserved bytes are not zero");
	if (v.len != REQUEST_HEAD + data_len(r.op))
		return malformed(e, "request of a wrong length");
	memcpy(r.data, v.p + REQUEST_HEAD, data_len(r.op));
	*out = r;
	return 0;
}

static void encode(struct buf *out, uint32_t id, bool failed, enum teed_kind kind, struct view a,
		   struct view b)
{
	const uint8_t head[4] = { failed, (uint8_t)kind, 0, 0 };

	buf_put(out, reply_magic, sizeof reply_magic);
	put_le32(out, id);
	buf_put(out, head, sizeof head);
	put_le32(out, (uint32_t)a.len);
	put_le32(out, (uint32_t)b.len);
	buf_putv(out, a);
	buf_putv(out, b);
}

void teed_reply_encode(struct buf *out, uint32_t id, enum teed_kind kind, struct view report,
		       struct view certs)
{
	encode(out, id, false, kind, report, certs);
}

static bool is_printable(uint8_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

void teed_failure_encode(struct buf *out, uint32_t id, const struct err *why)
{
	char reason[TEED_REASON_MAX + 1];
	size_t n = strnlen(why->msg, TEED_REASON_MAX);

	for (size_t i = 0; i < n; i++)
		reason[i] = is_printable((uint8_t)why->msg[i]) ? why->msg[i] : '?';
	encode(out, id, true, TEED_NONE, view_str(err_name(why)),
	       (struct view){ (const uint8_t *)reason, n });
}

static bool is_code(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!(v.p[i] >= 'a' && v.p[i] <= 'z') && !(v.p[i] >= '0' && v.p[i] <= '9') &&
		    v.p[i] != '.' && v.p[i] != '-')
			return false;
	return v.len > 0 && v.len <= TEED_CODE_MAX;
}

static bool is_reason(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!is_printable(v.p[i]))
			return false;
	return v.len <= TEED_REASON_MAX;
}

static int parse_success(struct teed_reply *r, struct view a, struct view b, struct err *e)
{
	if (r->id == 0)
		return malformed(e, "reply without an id");
	if (r->kind > TEED_TDX)
		return malformed(e, "unknown kind of report");
	if ((a.len == 0) != (r->kind == TEED_NONE) || a.len > TEED_REPORT_MAX)
		return malformed(e, "report of a wrong length");
	if ((b.len != 0 && r->kind != TEED_SNP) || b.len > TEED_CERTS_MAX)
		return malformed(e, "certificates of a wrong length");
	r->report = a;
	r->certs = b;
	return 0;
}

static int parse_failure(struct teed_reply *r, struct view a, struct view b, struct err *e)
{
	if (r->kind != TEED_NONE)
		return malformed(e, "a failure with a kind");
	if (!is_code(a))
		return malformed(e, "a failure without a code");
	if (!is_reason(b))
		return malformed(e, "a reason that is no line of text");
	r->code = a;
	r->reason = b;
	return 0;
}

int teed_reply_parse(struct teed_reply *out, struct view v, struct err *e)
{
	struct teed_reply r = { 0 };
	struct view a, b;
	size_t rest;
	int result;

	if (v.len < REPLY_HEAD || memcmp(v.p, reply_magic, sizeof reply_magic) != 0)
		return malformed(e, "no reply");
	r.id = le32(v.p + 4);
	if (v.p[8] > 1)
		return malformed(e, "unknown status");
	r.failed = v.p[8] == 1;
	r.kind = (enum teed_kind)v.p[9];
	if (v.p[10] != 0 || v.p[11] != 0)
		return malformed(e, "reserved bytes are not zero");
	rest = v.len - REPLY_HEAD;
	a.len = le32(v.p + 12);
	b.len = le32(v.p + 16);
	if (a.len > rest || b.len != rest - a.len)
		return malformed(e, "lengths that do not fit the packet");
	a.p = v.p + REPLY_HEAD;
	b.p = a.p + a.len;
	result = r.failed ? parse_failure(&r, a, b, e) : parse_success(&r, a, b, e);
	if (result == 0)
		*out = r;
	return result;
}

static bool may_tell(enum err_code code)
{
	return strncmp(err_entry(code)->name, "tee.", 4) == 0 || code == CODE_EVENTLOG_REGISTER ||
	       code == CODE_PLATFORM_NOT_BUILT || code == CODE_API_PEER_DENIED;
}

int teed_reply_error(const struct teed_reply *r, struct err *e)
{
	char name[TEED_CODE_MAX + 1];
	int code;

	(void)snprintf(name, sizeof name, "%.*s", (int)r->code.len, (const char *)r->code.p);
	code = err_code_by_name(name);
	if (code >= 0 && may_tell((enum err_code)code))
		return err_code(e, (enum err_code)code, "%.*s", (int)r->reason.len,
				(const char *)r->reason.p);
	return err_code(e, CODE_TEE_FAILED, "%s: %.*s", name, (int)r->reason.len,
			(const char *)r->reason.p);
}
