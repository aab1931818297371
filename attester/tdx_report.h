/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TDX_REPORT_H
#define ATTESTER_TDX_REPORT_H

#include "agent/base/err.h"
#include "agent/base/mem.h"
#include "attester/bits.h"

/*
 * TDREPORT, which the processor makes for other programs on the same machine: its MAC proves
 * nothing elsewhere, a quote is made from it. All numbers are little-endian.
 * Source: spec/evidence.md 7.4 (Intel TDX module, TDREPORT_STRUCT); confirmed by
 * vectors/evidence: tdx_report_1.bin and az-tdx-vtpm/hcl-report.bin.
 *
 *   000   4  type 81, subtype, version, reserved     200   8  attributes  \
 *   004  12  reserved                                208   8  xfam        |
 *   010  16  cpusvn                                  210  48  mrtd        | TDINFO
 *   020  48  SHA-384 of tee_tcb_info                 240  48  mrconfigid  |
 *   050  48  SHA-384 of TDINFO                       270  48  mrowner     |
 *   080  64  reportdata                              2A0  48  mrownerconfig
 *   0C0  32  reserved                                2D0  48  rtmr0 .. rtmr3 to 390
 *   0E0  32  MAC                                     390 112  reserved (TD 1.5: servtd_hash)
 *   100 239  tee_tcb_info
 *   1EF  17  reserved
 */
#define TDX_REPORT_LEN      1024
#define TDX_REPORT_DATA     64
#define TDX_AT_REPORT_DATA  0x80
#define TDX_MR              48 /* a measurement register, SHA-384 */
#define TDX_RTMRS           4
#define TDX_TYPE            0x81
#define TDX_ATTR_DEBUG      0
#define TDX_ATTR_MIGRATABLE 29

/* What the TD is: the same fields in TDREPORT and in a quote. Views are borrowed. */
struct tdx_td {
	uint64_t attributes, xfam;
	struct view mr_td, mr_config_id, mr_owner, mr_owner_config;
	struct view rtmr[TDX_RTMRS];
};

struct tdx_report {
	uint8_t type, subtype, version;
	struct view cpusvn;
	struct view tcb_info_hash, td_info_hash;
	struct view report_data;
	struct view mac;
	struct view tcb_info, td_info; /* what the two hashes are of */
	struct tdx_td td;
	struct view raw;
};

/*
 * Cut a TDREPORT into its parts.
 *
 * out  set on success only
 * raw  exactly TDX_REPORT_LEN bytes; must outlive *out
 *
 * Errors: ERR_FORMAT (length, a reserved byte of the head or the gaps is set), ERR_UNSUPPORTED
 * (type other than a TD's).
 */
int tdx_report_parse(struct tdx_report *out, struct view raw, struct err *e) MUST_CHECK;

/* Hold both hashes to what they are of. Errors: ERR_VERIFY (which), ERR_CRYPTO. */
int tdx_report_check(const struct tdx_report *r, struct err *e) MUST_CHECK;

/* The same TD in the same state: every field of the two. */
bool tdx_td_eq(const struct tdx_td *a, const struct tdx_td *b);

/* Bits of the TD's attributes. */
struct bit_table tdx_attribute_bits(void);

#endif
