/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_BITS_H
#define ATTESTER_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

#endif
