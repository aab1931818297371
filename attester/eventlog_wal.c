/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/eventlog_wal.h"

enum { OFFSET = 8 };

void eventlog_wal_put(struct buf *out, const struct eventlog_wal *wal)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		buf_putc(out, (uint8_t)((uint64_t)wal->offset >> shift));
	buf_putv(out, digest_view(&wal->expected));
	buf_putv(out, wal->text);
	buf_printf(out, "\n%u", wal->reg);
}

/* Decimal without sign, white space or leading zeros. */
static bool read_register(unsigned *out, struct view digits)
{
	uint64_t x = 0;

	if (digits.len == 0 || digits.len > 10 || (digits.len > 1 && digits.p[0] == '0'))
		return false;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
		x = x * 10 + (digits.p[i] - '0');
	}
	if (x > UINT32_MAX)
		return false;
	*out = (unsigned)x;
	return true;
}

int eventlog_wal_parse(struct eventlog_wal *out, struct view raw, enum hash_alg alg, struct err *e)
{
	struct eventlog_wal wal = { .expected.len = hash_len(alg) };
	size_t head = OFFSET + wal.expected.len;
	const uint8_t *end;
	uint64_t offset = 0;
	int r;

	if (raw.len <= head)
		return err_code(e, CODE_EVENTLOG_MALFORMED,
				"write-ahead file of %zu bytes, want over %zu", raw.len, head);
	for (size_t i = 0; i < OFFSET; i++)
		offset = offset << 8 | raw.p[i];
	if (offset > EVENTLOG_MAX)
		return err_code(e, CODE_EVENTLOG_MALFORMED,
				"write-ahead file: offset %llu, allowed 0..%u",
				(unsigned long long)offset, EVENTLOG_MAX);
	wal.offset = (size_t)offset;
	memcpy(wal.expected.b, raw.p + OFFSET, wal.expected.len);
	wal.text = (struct view){ raw.p + head, raw.len - head };
	end = memchr(wal.text.p, '\n', wal.text.len);
	if (end) {
		size_t n = (size_t)(end - wal.text.p);
		struct view digits = { end + 1, wal.text.len - n - 1 };

		wal.has_reg = true;
		if (!read_register(&wal.reg, digits))
			return err_code(e, CODE_EVENTLOG_MALFORMED,
					"write-ahead file: no register behind its line feed");
		wal.text.len = n;
	}
	r = eventlog_text_check(wal.text, e);
	if (r < 0)
		return err_wrap_code(e, CODE_EVENTLOG_MALFORMED, "write-ahead file");
	*out = wal;
	return 0;
}
