/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/attest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t touch(struct view v)
{
	uint8_t x = 0;

	for (size_t i = 0; i < v.len; i++)
		x ^= v.p[i];
	return x;
}

/* The first byte chooses: even a TPMS_ATTEST, odd a TPMT_SIGNATURE. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t pcrs[ATTEST_PCRS][32];
	struct view raw, block;
	struct attest a;
	struct err e;
	volatile uint8_t sink = 0;
	bool covers;

	if (size == 0)
		return 0;
	raw = (struct view){ data + 1, size - 1 };
	if (data[0] & 1) {
		if (attest_signature_parse(&block, raw, &e) == 0) {
			sink ^= touch(block);
			if (block.len == 0 || block.len > ATTEST_RSA_MAX ||
			    block.len + 6 != raw.len)
				__builtin_trap();
		}
		return 0;
	}
	if (attest_parse(&a, raw, &e) < 0)
		return 0;
	/* Touch every byte handed out: ASan proves the views stay inside the input. */
	sink ^= touch(a.signer) ^ touch(a.nonce) ^ touch(a.pcr_mask) ^ touch(a.pcr_digest);
	if (a.n_selections == 0 || a.pcr_mask.len == 0)
		__builtin_trap();
	/* Nothing is skipped: the parts and what stands between them are the whole input. */
	if (a.n_selections == 1 && 6 + 2 + a.signer.len + 2 + a.nonce.len + 25 + 4 + 3 +
						   a.pcr_mask.len + 2 + a.pcr_digest.len !=
					   raw.len)
		__builtin_trap();
	(void)sink;
	(void)attest_check(&a, a.nonce, &e);
	(void)attest_covers(&covers, &a, pcrs, &e);
	return 0;
}
