/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_report.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tdx_report r;
	struct err e;
	volatile uint8_t sink = 0;
	const struct view *views[] = { &r.cpusvn,	    &r.tcb_info_hash, &r.td_info_hash,
				       &r.report_data,	    &r.mac,	      &r.tcb_info,
				       &r.td_info,	    &r.td.mr_td,      &r.td.mr_config_id,
				       &r.td.mr_owner,	    &r.td.mr_owner_config,
				       &r.td.rtmr[0],	    &r.td.rtmr[1],    &r.td.rtmr[2],
				       &r.td.rtmr[3] };

	if (tdx_report_parse(&r, (struct view){ data, size }, &e) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		assert(views[i]->p >= data && views[i]->p + views[i]->len <= data + size);
		for (size_t j = 0; j < views[i]->len; j++)
			sink ^= views[i]->p[j];
	}
	(void)sink;
	(void)tdx_report_check(&r, &e);
	return 0;
}
