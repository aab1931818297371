/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_report.h"
#include "agent/crypto/digest.h"
#include "attester/le.h"

enum {
	AT_TYPE = 0x000,
	AT_CPUSVN = 0x010,
	AT_TCB_HASH = 0x020,
	AT_TD_HASH = 0x050,
	AT_MAC = 0x0e0,
	AT_TCB_INFO = 0x100,
	TCB_INFO_LEN = 239,
	AT_TD_INFO = 0x200,
	TD_INFO_LEN = 512,
};

int tdx_report_parse(struct tdx_report *out, struct view raw, struct err *e)
{
	static const struct {
		size_t at, n;
	} zeros[] = {
		{ 0x003, 1 + 12 },
		{ 0x0c0, 32 },
		{ AT_TCB_INFO + TCB_INFO_LEN, 17 },
	};
	const uint8_t *p = raw.p;

	if (raw.len != TDX_REPORT_LEN)
		return err_set(e, ERR_FORMAT, "TDREPORT of %zu bytes, want %d", raw.len,
			       TDX_REPORT_LEN);
	if (p[AT_TYPE] != TDX_TYPE)
		return err_set(e, ERR_UNSUPPORTED, "TDREPORT of type %02x, a TD's is %02x",
			       p[AT_TYPE], TDX_TYPE);
	for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
		if (!all_zero(view_at(raw, zeros[i].at, zeros[i].n)))
			return err_set(e, ERR_FORMAT,
				       "TDREPORT has a byte set in the reserved %zu from %zu",
				       zeros[i].n, zeros[i].at);
	*out = (struct tdx_report){
		.type = p[AT_TYPE],
		.subtype = p[AT_TYPE + 1],
		.version = p[AT_TYPE + 2],
		.cpusvn = view_at(raw, AT_CPUSVN, 16),
		.tcb_info_hash = view_at(raw, AT_TCB_HASH, TDX_MR),
		.td_info_hash = view_at(raw, AT_TD_HASH, TDX_MR),
		.report_data = view_at(raw, TDX_AT_REPORT_DATA, TDX_REPORT_DATA),
		.mac = view_at(raw, AT_MAC, 32),
		.tcb_info = view_at(raw, AT_TCB_INFO, TCB_INFO_LEN),
		.td_info = view_at(raw, AT_TD_INFO, TD_INFO_LEN),
		.td = {
			.attributes = le64(p + 0x200),
			.xfam = le64(p + 0x208),
			.mr_td = view_at(raw, 0x210, TDX_MR),
			.mr_config_id = view_at(raw, 0x240, TDX_MR),
			.mr_owner = view_at(raw, 0x270, TDX_MR),
			.mr_owner_config = view_at(raw, 0x2a0, TDX_MR),
		},
		.raw = raw,
	};
	for (size_t i = 0; i < TDX_RTMRS; i++)
		out->td.rtmr[i] = view_at(raw, 0x2d0 + i * TDX_MR, TDX_MR);
	return 0;
}

static int check_hash(struct view what, struct view hash, const char *name, struct err *e)
{
	struct digest d;
	int r = digest_of(&d, HASH_SHA384, what, e);

	if (r < 0)
		return r;
	if (!view_eq(digest_view(&d), hash))
		return err_set(e, ERR_VERIFY, "TDREPORT's hash of %s is not that of it", name);
	return 0;
}

int tdx_report_check(const struct tdx_report *r, struct err *e)
{
	int rc = check_hash(r->tcb_info, r->tcb_info_hash, "the TCB information", e);

	return rc < 0 ? rc : check_hash(r->td_info, r->td_info_hash, "the TD information", e);
}

bool tdx_td_eq(const struct tdx_td *a, const struct tdx_td *b)
{
	for (size_t i = 0; i < TDX_RTMRS; i++)
		if (!view_eq(a->rtmr[i], b->rtmr[i]))
			return false;
	return a->attributes == b->attributes && a->xfam == b->xfam && view_eq(a->mr_td, b->mr_td) &&
	       view_eq(a->mr_config_id, b->mr_config_id) && view_eq(a->mr_owner, b->mr_owner) &&
	       view_eq(a->mr_owner_config, b->mr_owner_config);
}

struct bit_table tdx_attribute_bits(void)
{
	static const struct bit_word words[] = {
		{ TDX_ATTR_DEBUG, "debug", "the host may read and change this guest's memory" },
		{ 28, "septve_disable", "faults of private memory never become exceptions" },
		{ TDX_ATTR_MIGRATABLE, "migratable", "a migration TD may move this guest to another machine" },
		{ 30, "protection_keys", "supervisor protection keys are in use" },
		{ 31, "key_locker", "Key Locker is in use" },
		{ 63, "perfmon", "performance counters are in use" },
	};

	return (struct bit_table){ words, ARRAY_LEN(words) };
}
