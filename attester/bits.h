/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_BITS_H
#define ATTESTER_BITS_H

#include "agent/base/buf.h"

/* Flag words of the hardware reports, for people: which bit, its stable name, what it means. */
struct bit_word {
	unsigned bit;
	const char *name;  /* "debug": for JSON */
	const char *words; /* "the host may read and change this guest's memory" */
};

struct bit_table {
	const struct bit_word *words;
	size_t n;
};

static inline bool bit_is_set(uint64_t value, unsigned bit)
{
	return bit < 64 && (value >> bit & 1);
}

/* Append the names of the bits that are set, ", " between, unknown ones as "bit 12"; or "none". */
void bits_names(struct buf *out, struct bit_table table, uint64_t value);

#endif
