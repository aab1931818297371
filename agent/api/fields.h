/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_FIELDS_H
#define API_FIELDS_H

#include "agent/base/buf.h"

/*
 * Fields of a protobuf message, one after the other, where they lie: for messages whose bytes
 * are in locked memory, and for the small ones of the attestation agent. Source:
 * protobuf.dev/programming-guides/encoding.
 */
enum field_type { FIELD_VARINT = 0, FIELD_FIXED64 = 1, FIELD_BYTES = 2, FIELD_FIXED32 = 5 };

struct field {
	unsigned number; /* 1..536870911 */
	enum field_type type;
	uint64_t value;    /* of FIELD_VARINT */
	struct view bytes; /* of the others; borrowed from the message */
};

/*
 * Take the next field off the front of *in, which is not empty.
 * Errors: ERR_FORMAT (a length past the end, a varint without one, a group, a bad number).
 */
int field_next(struct field *out, struct view *in, struct err *e) MUST_CHECK;

/* Errors: ERR_FORMAT when the field is of another type. */
int field_want(const struct field *f, enum field_type type, struct err *e) MUST_CHECK;

/* Append one field. */
void field_put_bytes(struct buf *out, unsigned number, struct view bytes);
void field_put_varint(struct buf *out, unsigned number, uint64_t value);

#endif
