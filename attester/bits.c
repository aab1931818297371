/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/bits.h"

void bits_names(struct buf *out, struct bit_table table, uint64_t value)
{
	const char *between = "";

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = NULL;

		if (!bit_is_set(value, bit))
			continue;
		for (size_t i = 0; i < table.n; i++)
			if (table.words[i].bit == bit)
				name = table.words[i].name;
		buf_puts(out, between);
		if (name)
			buf_puts(out, name);
		else
			buf_printf(out, "bit %u", bit);
		between = ", ";
	}
	if (!*between)
		buf_puts(out, "none");
}
