/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/fields.h"

enum { NUMBER_MAX = 536870911 };

static int varint_get(uint64_t *out, struct view *in, struct err *e)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
		uint8_t b = *in->p++;

		in->len--;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			*out = v;
			return 0;
		}
	}
	return err_set(e, ERR_FORMAT, "protobuf: a varint does not end");
}

static int length_of(uint64_t *out, enum field_type type, struct view *in, struct err *e)
{
	if (type == FIELD_BYTES)
		return varint_get(out, in, e);
	*out = type == FIELD_FIXED64 ? 8 : 4;
	return 0;
}

int field_next(struct field *out, struct view *in, struct err *e)
{
	struct field f = { 0 };
	uint64_t tag, n = 0;
	unsigned type;
	int r = varint_get(&tag, in, e);

	if (r < 0)
		return r;
	if (tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
		return err_set(e, ERR_FORMAT, "protobuf: field number out of range");
	f.number = (unsigned)(tag >> 3);
	type = (unsigned)(tag & 7);
	if (type != FIELD_VARINT && type != FIELD_FIXED64 && type != FIELD_BYTES &&
	    type != FIELD_FIXED32)
		return err_set(e, ERR_FORMAT, "protobuf: unknown wire type %u", type);
	f.type = (enum field_type)type;
	r = f.type == FIELD_VARINT ? varint_get(&f.value, in, e) : length_of(&n, f.type, in, e);
	if (r < 0)
		return r;
	if (f.type != FIELD_VARINT) {
		if (n > in->len)
			return err_set(e, ERR_FORMAT,
				       "protobuf: a field goes past the end of its message");
		f.bytes = (struct view){ in->p, (size_t)n };
		in->p += n;
		in->len -= (size_t)n;
	}
	*out = f;
	return 0;
}

int field_want(const struct field *f, enum field_type type, struct err *e)
{
	if (f->type == type)
		return 0;
	return err_set(e, ERR_FORMAT, "protobuf: field %u has wire type %u, want %u", f->number,
		       (unsigned)f->type, (unsigned)type);
}

static void varint_put(struct buf *out, uint64_t v)
{
	while (v >= 0x80) {
		buf_putc(out, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	buf_putc(out, (uint8_t)v);
}

void field_put_bytes(struct buf *out, unsigned number, struct view bytes)
{
	varint_put(out, (uint64_t)number << 3 | FIELD_BYTES);
	varint_put(out, bytes.len);
	buf_putv(out, bytes);
}

void field_put_varint(struct buf *out, unsigned number, uint64_t value)
{
	varint_put(out, (uint64_t)number << 3 | FIELD_VARINT);
	varint_put(out, value);
}
