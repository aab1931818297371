/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_SNP_REPORT_H
#define ATTESTER_SNP_REPORT_H

#include "agent/base/json.h"
#include "attester/bits.h"

/*
 * The SEV-SNP attestation report: bytes, and the JSON object that Trustee takes instead of them.
 * All numbers are little-endian.
 * Source: spec/evidence.md 2.3 and 7.1 (AMD 56860, table "ATTESTATION_REPORT"); confirmed by
 * vectors/evidence/trustee/deps/verifier/test_data/snp and .../tests/e2e/evidence.json.
 *
 *   000   4  version                        180   8  reported_tcb
 *   004   4  guest_svn                      188   3  CPUID family, model, stepping (v3 on)
 *   008   8  policy                         18B  21  reserved (v2: from 188)
 *   010  16  family_id                      1A0  64  chip_id
 *   020  16  image_id                       1E0   8  committed_tcb
 *   030   4  vmpl                           1E8   3  current build, minor, major; 1 reserved
 *   034   4  signature algorithm            1EC   3  committed build, minor, major; 1 reserved
 *   038   8  current_tcb                    1F0   8  launch_tcb
 *   040   8  plat_info                      1F8   8  launch_mit_vector (v5 on)
 *   048   4  key_info                       200   8  current_mit_vector (v5 on)
 *   04C   4  reserved                       208 152  reserved (below v5: from 1F8)
 *   050  64  report_data                    2A0  72  signature R
 *   090  48  measurement                    2E8  72  signature S
 *   0C0  32  host_data                      330 368  reserved
 *   0E0  48  id_key_digest
 *   110  48  author_key_digest              TCB     0    1    2   3    4 5  6    7
 *   140  32  report_id                      older   boot tee  -   -    - -  snp  microcode
 *   160  32  report_id_ma                   Turin   fmc  boot tee snp  - -  -    microcode
 *
 * Trustee never sees the bytes: it builds them anew from the JSON object, with zeros wherever that
 * has no member, and verifies the signature over those. So a report with a byte set in a reserved
 * place cannot be sent, and which TCB layout holds is decided by the CPUID bytes (in v2, which
 * has none: by a chip_id of 8 bytes, which is Turin's).
 */
#define SNP_REPORT_LEN    1184
#define SNP_SIGNED_LEN    0x2a0 /* what the signature covers, from the start */
#define SNP_SIG_PART      72    /* R, and S: little-endian, 48 significant bytes */
#define SNP_VERSION_MIN   2
#define SNP_VERSION_MAX   5
#define SNP_VERSION_JUDGE 3 /* the first that Trustee takes: older ones lack the CPUID bytes */
#define SNP_ALGO_P384     1 /* ECDSA P-384 with SHA-384 */
#define SNP_REPORT_JSON_MAX (16u << 10) /* the JSON object, bytes */

/* Offsets that others need: a report inside of other structures. */
#define SNP_AT_REPORT_DATA 0x50

#define SNP_POLICY_MIGRATE_MA 18
#define SNP_POLICY_DEBUG      19
#define SNP_KEY_CHIP_MASKED   1 /* bit of key_info: chip_id is zeros */

/* The model of processor, which decides over TCB layout and certificate chain. */
enum snp_generation { SNP_UNKNOWN, SNP_MILAN, SNP_GENOA, SNP_TURIN };

enum snp_key { SNP_KEY_VCEK = 0, SNP_KEY_VLEK = 1, SNP_KEY_NONE = 7 }; /* bits 4:2 of key_info */

struct snp_tcb {
	bool has_fmc; /* Turin */
	uint8_t fmc, bootloader, tee, snp, microcode;
};

struct snp_version {
	uint8_t build, minor, major;
};

/* A report, cut into its parts; every view is borrowed from the bytes that were parsed. */
struct snp_report {
	uint32_t version, guest_svn;
	uint64_t policy;
	struct view family_id, image_id;
	uint32_t vmpl, sig_algo;
	struct snp_tcb current_tcb;
	uint64_t plat_info;
	uint32_t key_info;
	struct view report_data, measurement, host_data;
	struct view id_key_digest, author_key_digest;
	struct view report_id, report_id_ma;
	struct snp_tcb reported_tcb; /* what certificates are matched with */
	bool has_cpuid;              /* v3 on */
	uint8_t family, model, stepping;
	struct view chip_id;
	struct snp_tcb committed_tcb;
	struct snp_version current, committed;
	struct snp_tcb launch_tcb;
	bool has_mit; /* v5 on */
	uint64_t launch_mit_vector, current_mit_vector;
	struct view r, s;       /* SNP_SIG_PART bytes each, little-endian */
	struct view signed_part; /* SNP_SIGNED_LEN bytes */
	struct view raw;         /* the whole */
	enum snp_generation generation;
};

/*
 * Cut a report into its parts. Nothing is verified: who judges asks the fields, and
 * snp_report_reserved().
 *
 * out  set on success only
 * raw  exactly SNP_REPORT_LEN bytes; must outlive *out
 *
 * Errors: ERR_FORMAT (length), ERR_UNSUPPORTED (version outside 2..5).
 */
int snp_report_parse(struct snp_report *out, struct view raw, struct err *e) MUST_CHECK;

/*
 * Find a byte that Trustee's re-encoding would lose. *at is its offset; false when there is none.
 * Looks at the signed part and at what is behind R and S alike: there no signature is over it, and
 * the specification wants zeros.
 */
bool snp_report_reserved(size_t *at, const struct snp_report *r);

/*
 * Hold a report of this guest to what Trustee will hold it to: version, processor, algorithm, no
 * byte that its re-encoding loses (Azure's verifier re-encodes too: what is hashed are the parsed
 * report's bytes), VMPL 0, and no debugging by the host unless that is permitted.
 * Errors: snp.old-firmware, snp.unsupported, evidence.vmpl, evidence.debug.
 */
int snp_report_judge(const struct snp_report *r, bool permit_debug, struct err *e) MUST_CHECK;

/* From CPUID. SNP_UNKNOWN for a processor that Trustee refuses. */
enum snp_generation snp_generation(uint8_t family, uint8_t model);

/* "Milan", "Genoa", "Turin", "unknown". */
const char *snp_generation_name(enum snp_generation g);

static inline enum snp_key snp_report_key(const struct snp_report *r)
{
	return (enum snp_key)(r->key_info >> 2 & 7);
}

/*
 * Append the object `attestation_report`, as sev 6.3 and 7.1 write it with serde: byte arrays as
 * arrays of integers, u64 exactly, null for what this version of the report does not have.
 */
void snp_report_json(struct buf *out, const struct snp_report *r);

/*
 * Build the bytes anew from that object, as Trustee does: unknown members are ignored, zeros where
 * the object has none, TCB layout by CPUID, the mitigation vectors only from v5 on.
 *
 * out  written on success only
 *
 * Errors: ERR_FORMAT (a member missing, of the wrong type, out of range or of the wrong length;
 * fmc null on Turin; CPUID null in v3 on), ERR_UNSUPPORTED (version outside 2..5, processor).
 */
int snp_report_from_json(uint8_t out[SNP_REPORT_LEN], const struct json *object,
			 struct err *e) MUST_CHECK;

/* Bits of policy (above the ABI version in 15:0), and of plat_info. */
struct bit_table snp_policy_bits(void);
struct bit_table snp_platform_bits(void);

#endif
