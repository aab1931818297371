/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/uki.h"

#include <assert.h>

/*
 * A PE file. One that is taken can be hashed and predicted from, and every part lies within it. The
 * same bytes are then a kernel command line.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void cmdline(struct view text)
{
	struct view value;
	char hash[65];

	if (uki_cmdline_value(&value, text, "roothash"))
		assert(value.p >= text.p && value.p + value.len <= text.p + text.len);
	if (uki_root_hash(hash, text, "usrhash"))
		assert(strlen(hash) == 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct view file = { data, size };
	struct digest d;
	struct uki u;
	struct err e = { 0 };
	int r;

	if (size > 65536)
		return 0;
	cmdline(file);
	r = uki_parse(&u, file, &e);
	if (r < 0) {
		assert(r == -(int)e.kind && e.msg[0]);
		return 0;
	}
	for (int i = 0; i < UKI_PARTS; i++)
		if (u.part[i].p)
			assert(u.part[i].p >= data && u.part[i].len <= size &&
			       u.part[i].p + u.part[i].len <= data + size);
	assert(uki_authenticode(&d, &u, HASH_SHA256, &e) == 0);
	(void)uki_pcr11(&d, &u, HASH_SHA256, &e);
	(void)uki_pcr4(&d, &u, HASH_SHA384, size & 1, &e);
	return 0;
}
