/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/hcl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(struct view var_data)
{
	struct hcl_runtime rt = { 0 };
	struct err e;

	if (hcl_runtime_load(&rt, var_data, &e) < 0) {
		if (rt.ak.p || rt.has_user_data)
			__builtin_trap();
		return;
	}
	/* An AK is at least an RSA key of 2048 bits. */
	if (rt.ak.len < 256 || rt.ak.len > 2048)
		__builtin_trap();
	if (rt.has_user_data && !hcl_carries(&rt, (struct view){ rt.user_data, HCL_USER_DATA }))
		__builtin_trap();
	if (!rt.has_user_data && hcl_carries(&rt, (struct view){ rt.user_data, HCL_USER_DATA }))
		__builtin_trap();
	hcl_runtime_done(&rt);
}

/* Inputs that begin "HCLA" are reports, all others the JSON of one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct view raw = { data, size };
	struct hcl_report h;
	struct err e;
	volatile uint8_t sink = 0;

	if (!view_starts(raw, "HCLA")) {
		load(raw);
		return 0;
	}
	if (hcl_parse(&h, raw, &e) < 0)
		return 0;
	/* Touch every byte handed out: ASan proves the views stay inside the input. */
	for (size_t i = 0; i < h.hw.len; i++)
		sink ^= h.hw.p[i];
	for (size_t i = 0; i < h.var_data.len; i++)
		sink ^= h.var_data.p[i];
	if (h.report_data.p < h.hw.p || h.report_data.p + h.report_data.len > h.hw.p + h.hw.len ||
	    h.report_data.len != 64 || h.var_data.len == 0 || h.var_data.len > HCL_VAR_MAX)
		__builtin_trap();
	(void)sink;
	(void)hcl_bound(&h, &e);
	load(h.var_data);
	return 0;
}
