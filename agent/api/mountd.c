/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/mountd.h"

#include "agent/api/status.h"

#include <stdarg.h>
#include <stdio.h>

enum { HEAD = 24, FIELD_HEAD = 3, REASON_MAX = ERR_MSG_MAX - 1, CODE_MAX = 64, KINDS = 256 };

static const char magic[] = { 'V', 'M', 'D', '1' };

enum tag {
	TAG_DEVICE = 1,
	TAG_MAPPER,
	TAG_MOUNT_POINT,
	TAG_MKFS_ARG,
	TAG_STEP,
	TAG_CODE,
	TAG_REASON,
	TAG_JSON,
	TAGS
};

#define BIT(tag) (1u << (tag))

static const struct {
	const char *name;
	size_t min, max;
} fields[TAGS] = {
	[TAG_DEVICE] = { "device", 1, MOUNTD_TEXT_MAX },
	[TAG_MAPPER] = { "mapper", 1, MOUNTD_MAPPER_MAX },
	[TAG_MOUNT_POINT] = { "mount_point", 1, MOUNTD_TEXT_MAX },
	[TAG_MKFS_ARG] = { "mkfs_arg", 1, MOUNTD_TEXT_MAX },
	[TAG_STEP] = { "step", 1, MOUNTD_STEP_MAX },
	[TAG_CODE] = { "code", 1, CODE_MAX },
	[TAG_REASON] = { "reason", 0, REASON_MAX },
	[TAG_JSON] = { "json", 2, UINT16_MAX },
};

/* What a message of a kind may have, and what it must. A request has its time, others have none. */
static const struct shape {
	bool known, is_request, numbers; /* numbers: done and total, which a progress has */
	unsigned may, must;
} shapes[KINDS] = {
	[MOUNTD_OPEN] = { true, true, false,
			  BIT(TAG_DEVICE) | BIT(TAG_MAPPER) | BIT(TAG_MOUNT_POINT) | BIT(TAG_MKFS_ARG),
			  BIT(TAG_MOUNT_POINT) },
	[MOUNTD_CLOSE] = { true, true, false, BIT(TAG_MAPPER), BIT(TAG_MAPPER) },
	[MOUNTD_LIST] = { true, true, false, 0, 0 },
	[MOUNTD_CLOSE_ALL] = { true, true, false, 0, 0 },
	[MOUNTD_PROGRESS] = { true, false, true, BIT(TAG_STEP), BIT(TAG_STEP) },
	[MOUNTD_OPENED] = { true, false, false, BIT(TAG_MAPPER), BIT(TAG_MAPPER) },
	[MOUNTD_DONE] = { true, false, false, 0, 0 },
	[MOUNTD_LISTING] = { true, false, false, BIT(TAG_JSON), BIT(TAG_JSON) },
	[MOUNTD_FAILED] = { true, false, false, BIT(TAG_CODE) | BIT(TAG_REASON),
			    BIT(TAG_CODE) | BIT(TAG_REASON) },
};

void mountd_volume_done(struct mountd_volume *v)
{
	free(v->device);
	free(v->mapper);
	free(v->mount_point);
	for (size_t i = 0; i < v->n_mkfs_args; i++)
		free(v->mkfs_args[i]);
	*v = (struct mountd_volume){ 0 };
}

void mountd_message_done(struct mountd_message *m)
{
	mountd_volume_done(&m->volume);
	free(m->text);
	*m = (struct mountd_message){ 0 };
}

/* --- encoding ------------------------------------------------------------------- */

static void put_number(struct buf *out, uint64_t n, unsigned bytes)
{
	while (bytes-- > 0)
		buf_putc(out, (uint8_t)(n >> 8 * bytes));
}

static void put_field(struct buf *out, enum tag tag, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return;
	if (n > fields[tag].max && tag == TAG_REASON)
		n = fields[tag].max;
	/* What does not fit its field does not fit the packet: buf_check() says so. */
	if (n > fields[tag].max)
		out->failed = ERR_LIMIT;
	buf_putc(out, (uint8_t)tag);
	put_number(out, n, 2);
	buf_put(out, text, n);
}

static unsigned flags_of(const struct mountd_volume *v)
{
	return (v->keyed ? (unsigned)MOUNTD_KEYED : 0) | (v->encrypted ? (unsigned)MOUNTD_ENCRYPTED : 0) |
	       (v->filesystem ? (unsigned)MOUNTD_FILESYSTEM : 0) | (v->xfs ? (unsigned)MOUNTD_XFS : 0) |
	       (v->integrity ? (unsigned)MOUNTD_INTEGRITY : 0);
}

void mountd_encode(struct buf *out, const struct mountd_message *m)
{
	const struct shape *s = &shapes[m->kind];
	const struct mountd_volume *v = &m->volume;
	bool opens = m->kind == MOUNTD_OPEN;
	uint64_t second = s->numbers ? m->total : 0;

	if (opens && !v->device)
		second = (uint64_t)v->major << 32 | v->minor;
	buf_put(out, magic, sizeof magic);
	buf_putc(out, (uint8_t)m->kind);
	buf_putc(out, (uint8_t)(opens ? flags_of(v) : 0));
	put_number(out, 0, 2);
	put_number(out, s->is_request ? m->time_ms : s->numbers ? m->done : 0, 8);
	put_number(out, second, 8);
	if (opens)
		put_field(out, TAG_DEVICE, v->device);
	if (s->may & BIT(TAG_MAPPER))
		put_field(out, TAG_MAPPER, v->mapper);
	if (opens)
		put_field(out, TAG_MOUNT_POINT, v->mount_point);
	for (size_t i = 0; opens && i < v->n_mkfs_args; i++)
		put_field(out, TAG_MKFS_ARG, v->mkfs_args[i]);
	if (m->kind == MOUNTD_PROGRESS)
		put_field(out, TAG_STEP, m->text);
	if (m->kind == MOUNTD_FAILED) {
		put_field(out, TAG_CODE, err_entry(m->code)->name);
		put_field(out, TAG_REASON, m->text ? m->text : "");
	}
	if (m->kind == MOUNTD_LISTING)
		put_field(out, TAG_JSON, m->text);
}

/* --- decoding -------------------------------------------------------------------- */

static int bad(struct err *e, const char *fmt, ...) PRINTF(2, 3);

static int bad(struct err *e, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_code(e, CODE_VOLUME_REQUEST, "%s", text);
}

static uint64_t number_at(const uint8_t *p, unsigned bytes)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | p[i];
	return n;
}

static int take_head(struct mountd_message *m, const struct shape *s, const uint8_t *p,
		     struct err *e)
{
	uint64_t first = number_at(p + 8, 8), second = number_at(p + 16, 8);
	unsigned flags = p[5];

	if (m->kind == MOUNTD_OPEN ? (flags & ~(unsigned)MOUNTD_FLAGS) != 0 : flags != 0)
		return bad(e, "flags 0x%02x in a packet of kind %d", flags, (int)m->kind);
	if (number_at(p + 6, 2) != 0)
		return bad(e, "bytes 6 and 7 are not 0");
	if (s->is_request && (first == 0 || first > MOUNTD_TIME_MAX_MS))
		return bad(e, "time of %llu ms, allowed 1..%u", (unsigned long long)first,
			   MOUNTD_TIME_MAX_MS);
	if ((!s->is_request && !s->numbers && first != 0) ||
	    (!s->numbers && m->kind != MOUNTD_OPEN && second != 0))
		return bad(e, "a number in a packet of kind %d that has none", (int)m->kind);
	m->time_ms = s->is_request ? first : 0;
	m->done = s->numbers ? first : 0;
	m->total = s->numbers ? second : 0;
	m->volume.major = (unsigned)(second >> 32);
	m->volume.minor = (unsigned)second;
	if (m->kind != MOUNTD_OPEN) {
		m->volume.major = m->volume.minor = 0;
		return 0;
	}
	m->volume.keyed = flags & MOUNTD_KEYED;
	m->volume.encrypted = flags & MOUNTD_ENCRYPTED;
	m->volume.filesystem = flags & MOUNTD_FILESYSTEM;
	m->volume.xfs = flags & MOUNTD_XFS;
	m->volume.integrity = flags & MOUNTD_INTEGRITY;
	return 0;
}

static int keep_field(struct mountd_message *m, enum tag tag, struct view v, struct err *e)
{
	char **const places[TAGS] = {
		[TAG_DEVICE] = &m->volume.device,
		[TAG_MAPPER] = &m->volume.mapper,
		[TAG_MOUNT_POINT] = &m->volume.mount_point,
		[TAG_MKFS_ARG] = m->volume.n_mkfs_args < MOUNTD_ARGS_MAX ?
					 &m->volume.mkfs_args[m->volume.n_mkfs_args] :
					 NULL,
		[TAG_STEP] = &m->text,
		[TAG_REASON] = &m->text,
		[TAG_JSON] = &m->text,
	};
	cleanup_free char *text = strndup((const char *)v.p, v.len);
	int code;

	if (!text)
		return err_set(e, ERR_NOMEM, "no memory for a field");
	if (tag == TAG_CODE) {
		code = err_code_by_name(text);
		if (code <= (int)CODE_OK)
			return bad(e, "a failure without a code of ours");
		m->code = (enum err_code)code;
		return 0;
	}
	if (tag == TAG_STEP || tag == TAG_REASON)
		api_text_clean(text, v.len);
	if (!places[tag])
		return bad(e, "over %d mkfs words", MOUNTD_ARGS_MAX);
	*places[tag] = take(text);
	m->volume.n_mkfs_args += tag == TAG_MKFS_ARG;
	return 0;
}

static int take_fields(struct mountd_message *m, const struct shape *s, struct view in,
		       struct err *e)
{
	unsigned last = 0, seen = 0;

	while (in.len > 0) {
		unsigned tag = in.p[0];
		size_t n;
		int r;

		if (in.len < FIELD_HEAD)
			return bad(e, "%zu bytes behind the last field", in.len);
		if (tag == 0 || tag >= TAGS || !(s->may & BIT(tag)))
			return bad(e, "field %u in a packet of kind %d", tag, (int)m->kind);
		if (tag < last || (tag == last && tag != TAG_MKFS_ARG))
			return bad(e, "%s is out of order or stands there twice", fields[tag].name);
		n = (size_t)number_at(in.p + 1, 2);
		in = (struct view){ in.p + FIELD_HEAD, in.len - FIELD_HEAD };
		if (n > in.len)
			return bad(e, "%s goes past the end of the packet", fields[tag].name);
		if (n < fields[tag].min || n > fields[tag].max)
			return bad(e, "%s of %zu bytes, allowed %zu..%zu", fields[tag].name, n,
				   fields[tag].min, fields[tag].max);
		if (memchr(in.p, 0, n))
			return bad(e, "%s has a NUL in it", fields[tag].name);
		r = keep_field(m, (enum tag)tag, (struct view){ in.p, n }, e);
		if (r < 0)
			return r;
		in = (struct view){ in.p + n, in.len - n };
		seen |= BIT(tag);
		last = tag;
	}
	for (unsigned tag = 1; tag < TAGS; tag++)
		if ((s->must & BIT(tag)) && !(seen & BIT(tag)))
			return bad(e, "%s is missing", fields[tag].name);
	if (m->kind == MOUNTD_OPEN && m->volume.device && (m->volume.major || m->volume.minor))
		return bad(e, "a device by path and by number");
	return 0;
}

int mountd_decode(struct mountd_message *out, struct view packet, struct err *e)
{
	cleanup_mountd struct mountd_message m = { 0 };
	const struct shape *s;
	int r;

	if (packet.len < HEAD)
		return bad(e, "packet of %zu bytes, want %d or more", packet.len, HEAD);
	if (packet.len > MOUNTD_PACKET_MAX)
		return bad(e, "packet of %zu bytes, allowed %u", packet.len, MOUNTD_PACKET_MAX);
	if (memcmp(packet.p, magic, sizeof magic) != 0)
		return bad(e, "the packet does not begin with VMD1");
	m.kind = (enum mountd_kind)packet.p[4];
	s = &shapes[packet.p[4]];
	if (!s->known)
		return bad(e, "a packet of the unknown kind %u", packet.p[4]);
	r = take_head(&m, s, packet.p, e);
	if (r == 0)
		r = take_fields(&m, s, (struct view){ packet.p + HEAD, packet.len - HEAD }, e);
	if (r < 0)
		return r;
	*out = m;
	m = (struct mountd_message){ 0 };
	return 0;
}
