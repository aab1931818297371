/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/initdata.h"

/* What the host delivers. What is read, encoded and read again, is the same text and digest. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_again(const struct initdata *d)
{
	cleanup_initdata struct initdata again = { 0 };
	cleanup_buf struct buf code = BUF_MAX(8u << 20);

	if (initdata_encode(&code, buf_view(&d->text), NULL) < 0)
		return;
	if (code.len > INITDATA_ENCODED_MAX)
		return;
	if (initdata_load(&again, buf_view(&code), NULL) < 0)
		abort();
	if (!view_eq(buf_view(&again.text), buf_view(&d->text)) ||
	    !view_eq(digest_view(&again.digest), digest_view(&d->digest)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	cleanup_initdata struct initdata d = { 0 };
	uint8_t pcr[32];
	struct err e = { 0 };
	int r = initdata_load(&d, (struct view){ p, n }, &e);

	if (r < 0) {
		if (d.text.p || d.toml || e.code == CODE_OK)
			abort();
		return 0;
	}
	for (const struct toml *m = toml_first(initdata_data(&d)); m; m = toml_next(m))
		if (toml_type(m) != TOML_STRING)
			abort();
	if (d.digest.len != hash_len(d.alg) || initdata_pcr_value(pcr, &d.digest, NULL) < 0)
		abort();
	check_again(&d);
	return 0;
}
