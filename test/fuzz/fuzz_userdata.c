/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "initdata/userdata.h"

/* What a cloud hands over as user-data, plain or (first byte 'b') in base64. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(const struct userdata *u)
{
	unsigned sum = 0;

	for (int f = 0; f < DELIVER_EXTRAS; f++) {
		if (!u->has[f] && u->content[f].p)
			abort();
		if (u->has[f] && (!u->content[f].p || u->content[f].len > USERDATA_TEXT_MAX))
			abort();
		for (size_t i = 0; i < u->content[f].len; i++)
			sum += u->content[f].p[i];
	}
	for (size_t i = 0; i < u->skipped.len; i++) {
		uint8_t c = u->skipped.p[i];

		if (c != '\n' && (c < ' ' || c >= 0x7f))
			abort();
	}
	/* Every byte was touched. */
	__asm__ volatile("" : : "r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	cleanup_userdata struct userdata u = { 0 };
	struct err e = { 0 };
	int r;

	if (n > 0 && p[0] == 'b')
		r = userdata_load_base64(&u, (struct view){ p + 1, n - 1 }, &e);
	else
		r = userdata_load(&u, (struct view){ p, n }, &e);
	if (r < 0) {
		for (int f = 0; f < DELIVER_EXTRAS; f++)
			if (u.content[f].p || u.has[f])
				abort();
		if (u.skipped.p || e.code == CODE_OK || e.msg[0] == '\0' ||
		    !enc_is_utf8(view_str(e.msg)))
			abort();
		return 0;
	}
	check(&u);
	return 0;
}
