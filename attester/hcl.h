/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_HCL_H
#define ATTESTER_HCL_H

#include "agent/base/buf.h"
#include "agent/base/err.h"
#include "agent/base/mem.h"

/*
 * The report that the Azure paravisor (OpenHCL) leaves in vTPM NV index 0x01400001: a
 * hardware report and the runtime data whose digest that report carries.
 *
 *   offset  size  field                          all integers little-endian
 *        0    32  header   "HCLA", version, report_size, request_type, status, 12 reserved
 *       32  1184  hw       SNP ATTESTATION_REPORT (1184) or TDREPORT_STRUCT (1024 + padding)
 *     1216    20  runtime  data_size, version, report_type, hash_type, var_size
 *     1236     n  var_data JSON {"keys":[{"kid":"HCLAkPub",...}],...}, n = var_size
 *        …     m  zero, to the end of the NV index
 *
 * Source: spec/evidence.md 3.3; azure-cvm-tooling az-cvm-vtpm/src/hcl/mod.rs; checked against its
 * test/hcl-report-{snp,tdx}.bin: report_size = 1216 + data_size, data_size = 20 + var_size,
 * and SHA-256(var_data) is bytes 0..31 of the hardware report's REPORTDATA, the others are zero.
 * vectors/evidence/derived counts only hw in report_size (1184); no verifier reads that field, so
 * both are taken. The header's version, request_type and status are not judged: 1 and 2, 2, 0 seen.
 */
#define HCL_REPORT_MAX (16u << 10) /* the whole NV index, bytes */
#define HCL_VAR_MAX    8192        /* var_data, bytes */
#define HCL_USER_DATA  64          /* bytes of user-data */
#define HCL_AK_KID     "HCLAkPub"

enum hcl_kind {
	HCL_SNP = 2, /* values are those of report_type on the wire */
	HCL_TDX = 4,
};

struct hcl_report {
	enum hcl_kind kind;
	struct view hw;          /* 1184 (SNP) or 1024 (TDX) bytes, borrowed from the input */
	struct view report_data; /* 64 bytes inside hw, borrowed */
	struct view var_data;    /* 1..HCL_VAR_MAX bytes of JSON, borrowed */
};

/*
 * Cut a report into its parts. Nothing is copied and nothing is verified beyond sizes:
 * hcl_bound() compares SHA-256(var_data) with report_data.
 *
 * out  set on success only
 * raw  the whole NV content, 1237..HCL_REPORT_MAX bytes; must outlive *out
 *
 * Errors: ERR_FORMAT (short, wrong magic, sizes that disagree, bytes behind var_data or behind
 * a TDREPORT that are not zero), ERR_LIMIT (raw, var_data), ERR_UNSUPPORTED (runtime version other
 * than 1, report_type other than the above, hash_type other than SHA-256).
 */
int hcl_parse(struct hcl_report *out, struct view raw, struct err *e) MUST_CHECK;

/*
 * Hold var_data to the hardware report: its REPORTDATA is SHA-256(var_data) and 32 zero bytes.
 * Errors: ERR_VERIFY, ERR_CRYPTO.
 */
int hcl_bound(const struct hcl_report *r, struct err *e) MUST_CHECK;

/* What var_data says. */
struct hcl_runtime {
	struct buf ak;                    /* DER SubjectPublicKeyInfo of HCLAkPub; owned */
	bool has_user_data;               /* old paravisors have none */
	uint8_t user_data[HCL_USER_DATA]; /* what the guest wrote to NV 0x01400002, zero padded */
};

#define cleanup_hcl_runtime __attribute__((cleanup(hcl_runtime_done)))

/*
 * Read var_data. Members that are not known are left alone.
 *
 * out  zeroed by the caller; filled on success only; release with hcl_runtime_done()
 *
 * Errors: ERR_FORMAT (no JSON, no keys, not exactly one HCLAkPub, that is no RSA key, a user-data
 * that is not 128 hex digits of either case), ERR_LIMIT, ERR_CRYPTO, ERR_NOMEM.
 */
int hcl_runtime_load(struct hcl_runtime *out, struct view var_data, struct err *e) MUST_CHECK;
void hcl_runtime_done(struct hcl_runtime *r);

/* True when user-data begins with these bytes and is zero behind them. */
bool hcl_carries(const struct hcl_runtime *r, struct view report_data);

#endif
