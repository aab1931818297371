/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/snp_report.h"
#include "attester/byte_list.h"
#include "attester/le.h"

#include <stdio.h>

enum {
	AT_VERSION = 0x000,
	AT_CURRENT_TCB = 0x038,
	AT_REPORTED_TCB = 0x180,
	AT_CPUID = 0x188,
	AT_CHIP_ID = 0x1a0,
	AT_COMMITTED_TCB = 0x1e0,
	AT_CURRENT = 0x1e8,
	AT_COMMITTED = 0x1ec,
	AT_LAUNCH_TCB = 0x1f0,
	AT_LAUNCH_MIT = 0x1f8,
	AT_CURRENT_MIT = 0x200,
	AT_R = 0x2a0,
	AT_S = 0x2e8,
	AT_TAIL = 0x330,
	CHIP_ID_LEN = 64,
	CHIP_ID_TURIN = 8, /* a Turin's chip_id has only so many bytes, zeros behind */
	TCB_LEN = 8,
};

/* Which byte of a TCB holds what; NONE: the layout has no such part. */
enum { NONE = 0xff };
struct tcb_layout {
	uint8_t fmc, bootloader, tee, snp, microcode;
	uint8_t reserved, reserved_n;
};

static const struct tcb_layout *layout_of(enum snp_generation g)
{
	static const struct tcb_layout older = { NONE, 0, 1, 6, 7, 2, 4 };
	static const struct tcb_layout turin = { 0, 1, 2, 3, 7, 4, 3 };

	return g == SNP_TURIN ? &turin : &older;
}

enum snp_generation snp_generation(uint8_t family, uint8_t model)
{
	if (family == 0x19 && model <= 0x0f)
		return SNP_MILAN;
	if (family == 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf)))
		return SNP_GENOA;
	if (family == 0x1a && model <= 0x11)
		return SNP_TURIN;
	return SNP_UNKNOWN;
}

const char *snp_generation_name(enum snp_generation g)
{
	static const char *const names[] = {
		[SNP_UNKNOWN] = "unknown",
		[SNP_MILAN] = "Milan",
		[SNP_GENOA] = "Genoa",
		[SNP_TURIN] = "Turin",
	};

	return names[g <= SNP_TURIN ? g : SNP_UNKNOWN];
}

/* Version 2 has no CPUID bytes. Only Turin is told, for its TCB is laid out otherwise. */
static enum snp_generation generation_of(uint32_t version, const uint8_t *raw)
{
	struct view id = { raw + AT_CHIP_ID, CHIP_ID_LEN };

	if (version > 2)
		return snp_generation(raw[AT_CPUID], raw[AT_CPUID + 1]);
	if (!all_zero(view_at(id, 0, CHIP_ID_TURIN)) &&
	    all_zero(view_at(id, CHIP_ID_TURIN, CHIP_ID_LEN - CHIP_ID_TURIN)))
		return SNP_TURIN;
	return SNP_UNKNOWN;
}

static struct snp_tcb tcb_at(const uint8_t *p, enum snp_generation g)
{
	const struct tcb_layout *l = layout_of(g);

	return (struct snp_tcb){
		.has_fmc = l->fmc != NONE,
		.fmc = l->fmc != NONE ? p[l->fmc] : 0,
		.bootloader = p[l->bootloader],
		.tee = p[l->tee],
		.snp = p[l->snp],
		.microcode = p[l->microcode],
	};
}

static struct snp_version version_at(const uint8_t *p)
{
	return (struct snp_version){ .build = p[0], .minor = p[1], .major = p[2] };
}

int snp_report_parse(struct snp_report *out, struct view raw, struct err *e)
{
	const uint8_t *p = raw.p;
	enum snp_generation g;
	uint32_t version;

	if (raw.len != SNP_REPORT_LEN)
		return err_set(e, ERR_FORMAT, "SNP report of %zu bytes, want %d", raw.len,
			       SNP_REPORT_LEN);
	version = le32(p + AT_VERSION);
	if (version < SNP_VERSION_MIN || version > SNP_VERSION_MAX)
		return err_set(e, ERR_UNSUPPORTED, "SNP report of version %u, known are %d..%d",
			       version, SNP_VERSION_MIN, SNP_VERSION_MAX);
	g = generation_of(version, p);
	*out = (struct snp_report){
		.version = version,
		.guest_svn = le32(p + 0x004),
		.policy = le64(p + 0x008),
		.family_id = view_at(raw, 0x010, 16),
		.image_id = view_at(raw, 0x020, 16),
		.vmpl = le32(p + 0x030),
		.sig_algo = le32(p + 0x034),
		.current_tcb = tcb_at(p + AT_CURRENT_TCB, g),
		.plat_info = le64(p + 0x040),
		.key_info = le32(p + 0x048),
		.report_data = view_at(raw, SNP_AT_REPORT_DATA, 64),
		.measurement = view_at(raw, 0x090, 48),
		.host_data = view_at(raw, 0x0c0, 32),
		.id_key_digest = view_at(raw, 0x0e0, 48),
		.author_key_digest = view_at(raw, 0x110, 48),
		.report_id = view_at(raw, 0x140, 32),
		.report_id_ma = view_at(raw, 0x160, 32),
		.reported_tcb = tcb_at(p + AT_REPORTED_TCB, g),
		.has_cpuid = version > 2,
		.chip_id = view_at(raw, AT_CHIP_ID, CHIP_ID_LEN),
		.committed_tcb = tcb_at(p + AT_COMMITTED_TCB, g),
		.current = version_at(p + AT_CURRENT),
		.committed = version_at(p + AT_COMMITTED),
		.launch_tcb = tcb_at(p + AT_LAUNCH_TCB, g),
		.has_mit = version >= 5,
		.r = view_at(raw, AT_R, SNP_SIG_PART),
		.s = view_at(raw, AT_S, SNP_SIG_PART),
		.signed_part = view_at(raw, 0, SNP_SIGNED_LEN),
		.raw = raw,
		.generation = g,
	};
	if (out->has_cpuid) {
		out->family = p[AT_CPUID];
		out->model = p[AT_CPUID + 1];
		out->stepping = p[AT_CPUID + 2];
	}
	if (out->has_mit) {
		out->launch_mit_vector = le64(p + AT_LAUNCH_MIT);
		out->current_mit_vector = le64(p + AT_CURRENT_MIT);
	}
	return 0;
}

bool snp_report_reserved(size_t *at, const struct snp_report *r)
{
	const struct tcb_layout *l = layout_of(r->generation);
	const size_t cpuid = r->has_cpuid ? AT_CPUID + 3 : AT_CPUID;
	const size_t behind = r->has_mit ? AT_CURRENT_MIT + 8 : AT_LAUNCH_MIT;
	const struct {
		size_t at, n;
	} zeros[] = {
		{ AT_CURRENT_TCB + l->reserved, l->reserved_n },
		{ 0x04c, 4 },
		{ AT_REPORTED_TCB + l->reserved, l->reserved_n },
		{ cpuid, AT_CHIP_ID - cpuid },
		{ AT_COMMITTED_TCB + l->reserved, l->reserved_n },
		{ AT_CURRENT + 3, 1 },
		{ AT_COMMITTED + 3, 1 },
		{ AT_LAUNCH_TCB + l->reserved, l->reserved_n },
		{ behind, AT_R - behind },
		{ AT_TAIL, SNP_REPORT_LEN - AT_TAIL },
	};

	for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
		for (size_t j = zeros[i].at; j < zeros[i].at + zeros[i].n; j++)
			if (r->raw.p[j] != 0) {
				*at = j;
				return true;
			}
	return false;
}

/* What this program, or Trustee after it, cannot make anything of. */
static int judge_kind(const struct snp_report *r, struct err *e)
{
	size_t at;

	if (r->version < SNP_VERSION_JUDGE)
		return err_code(e, CODE_SNP_OLD_FIRMWARE, "SNP report of version %u", r->version);
	if (r->generation == SNP_UNKNOWN)
		return err_code(e, CODE_SNP_UNSUPPORTED,
				"a processor of family 0x%02x, model 0x%02x: neither Milan, Genoa "
				"nor Turin",
				r->family, r->model);
	if (r->sig_algo != SNP_ALGO_P384)
		return err_code(e, CODE_SNP_UNSUPPORTED,
				"SNP report with signature algorithm %u, want %d (ECDSA P-384)",
				r->sig_algo, SNP_ALGO_P384);
	if (snp_report_reserved(&at, r))
		return err_code(e, CODE_SNP_UNSUPPORTED,
				"SNP report with a byte set at 0x%03zx, where Trustee takes zeros", at);
	return 0;
}

int snp_report_judge(const struct snp_report *r, bool permit_debug, struct err *e)
{
	int rc = judge_kind(r, e);

	if (rc < 0)
		return rc;
	if (r->vmpl != 0)
		return err_code(e, CODE_EVIDENCE_VMPL, "SNP report of VMPL %u, want 0", r->vmpl);
	if (bit_is_set(r->policy, SNP_POLICY_DEBUG) && !permit_debug)
		return err_code(e, CODE_EVIDENCE_DEBUG,
				"the guest's policy 0x%llx has the debug bit (%d)",
				(unsigned long long)r->policy, SNP_POLICY_DEBUG);
	return 0;
}

/* --- JSON ------------------------------------------------------------------------------------ */

enum form {
	F_UINT,    /* n bytes, a number */
	F_BYTES,   /* n bytes, an array */
	F_TCB,     /* an object */
	F_CPUID,   /* one byte; null below v3 */
	F_VERSION, /* an object */
	F_MIT,     /* 8 bytes, a number; null below v5 */
	F_SIG,     /* an object of two arrays */
};

/* In the order in which serde writes them. */
static const struct field {
	const char *name;
	enum form form;
	uint16_t at;
	uint8_t n;
} fields[] = {
	{ "version", F_UINT, AT_VERSION, 4 },
	{ "guest_svn", F_UINT, 0x004, 4 },
	{ "policy", F_UINT, 0x008, 8 },
	{ "family_id", F_BYTES, 0x010, 16 },
	{ "image_id", F_BYTES, 0x020, 16 },
	{ "vmpl", F_UINT, 0x030, 4 },
	{ "sig_algo", F_UINT, 0x034, 4 },
	{ "current_tcb", F_TCB, AT_CURRENT_TCB, TCB_LEN },
	{ "plat_info", F_UINT, 0x040, 8 },
	{ "key_info", F_UINT, 0x048, 4 },
	{ "report_data", F_BYTES, SNP_AT_REPORT_DATA, 64 },
	{ "measurement", F_BYTES, 0x090, 48 },
	{ "host_data", F_BYTES, 0x0c0, 32 },
	{ "id_key_digest", F_BYTES, 0x0e0, 48 },
	{ "author_key_digest", F_BYTES, 0x110, 48 },
	{ "report_id", F_BYTES, 0x140, 32 },
	{ "report_id_ma", F_BYTES, 0x160, 32 },
	{ "reported_tcb", F_TCB, AT_REPORTED_TCB, TCB_LEN },
	{ "cpuid_fam_id", F_CPUID, AT_CPUID, 1 },
	{ "cpuid_mod_id", F_CPUID, AT_CPUID + 1, 1 },
	{ "cpuid_step", F_CPUID, AT_CPUID + 2, 1 },
	{ "chip_id", F_BYTES, AT_CHIP_ID, CHIP_ID_LEN },
	{ "committed_tcb", F_TCB, AT_COMMITTED_TCB, TCB_LEN },
	{ "current", F_VERSION, AT_CURRENT, 3 },
	{ "committed", F_VERSION, AT_COMMITTED, 3 },
	{ "launch_tcb", F_TCB, AT_LAUNCH_TCB, TCB_LEN },
	{ "launch_mit_vector", F_MIT, AT_LAUNCH_MIT, 8 },
	{ "current_mit_vector", F_MIT, AT_CURRENT_MIT, 8 },
	{ "signature", F_SIG, AT_R, 0 },
};

static void put_uint(struct buf *out, const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = n; i > 0; i--)
		v = v << 8 | p[i - 1];
	buf_printf(out, "%llu", (unsigned long long)v);
}

static void put_tcb(struct buf *out, struct snp_tcb t)
{
	if (t.has_fmc)
		buf_printf(out, "{\"fmc\":%u", t.fmc);
	else
		buf_puts(out, "{\"fmc\":null");
	buf_printf(out, ",\"bootloader\":%u,\"tee\":%u,\"snp\":%u,\"microcode\":%u}", t.bootloader,
		   t.tee, t.snp, t.microcode);
}

static void put_field(struct buf *out, const struct snp_report *r, const struct field *f)
{
	const uint8_t *p = r->raw.p + f->at;
	struct snp_version v;

	switch (f->form) {
	case F_UINT:
		put_uint(out, p, f->n);
		break;
	case F_BYTES:
		byte_list_put(out, (struct view){ p, f->n });
		break;
	case F_TCB:
		put_tcb(out, tcb_at(p, r->generation));
		break;
	case F_CPUID:
	case F_MIT:
		if (f->form == F_CPUID ? r->has_cpuid : r->has_mit)
			put_uint(out, p, f->n);
		else
			buf_puts(out, "null");
		break;
	case F_VERSION:
		v = version_at(p);
		buf_printf(out, "{\"major\":%u,\"minor\":%u,\"build\":%u}", v.major, v.minor,
			   v.build);
		break;
	case F_SIG:
		buf_puts(out, "{\"r\":");
		byte_list_put(out, r->r);
		buf_puts(out, ",\"s\":");
		byte_list_put(out, r->s);
		buf_putc(out, '}');
		break;
	}
}

void snp_report_json(struct buf *out, const struct snp_report *r)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		buf_printf(out, "%s\"%s\":", i ? "," : "{", fields[i].name);
		put_field(out, r, &fields[i]);
	}
	buf_putc(out, '}');
}

/* where names the object; "" is the report itself. */
static int get_uint(uint64_t *out, const struct json *object, const char *where, const char *name,
		    size_t bytes, struct err *e)
{
	const uint64_t max = bytes == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * bytes) - 1;

	if (!json_u64(out, json_get(object, name)) || *out > max)
		return err_set(e, ERR_FORMAT,
			       "attestation_report: %s%s is no number of 0..%llu", where, name,
			       (unsigned long long)max);
	return 0;
}

static int get_bytes(uint8_t *out, size_t n, const struct json *object, const char *where,
		     const char *name, struct err *e)
{
	const struct json *list = json_get(object, name);
	cleanup_buf struct buf bytes = BUF_MAX(n);
	size_t bad;

	if (byte_list_get(&bytes, list, &bad) < 0 && bad != SIZE_MAX)
		return err_set(e, ERR_FORMAT, "attestation_report: %s%s[%zu] is no byte", where, name,
			       bad);
	if (bytes.failed == ERR_NOMEM)
		return buf_check(&bytes, name, e);
	if (bytes.len != n || bytes.failed)
		return err_set(e, ERR_FORMAT, "attestation_report: %s%s is no list of %zu bytes",
			       where, name, n);
	memcpy(out, bytes.p, n);
	return 0;
}

static const struct json *present(const struct json *object, const char *name)
{
	const struct json *v = json_get(object, name);

	return v && !json_is_null(v) ? v : NULL;
}

static int get_small(uint8_t *out, const struct json *object, const char *where, const char *name,
		     struct err *e)
{
	uint64_t v;
	int r = get_uint(&v, object, where, name, 1, e);

	if (r == 0)
		*out = (uint8_t)v;
	return r;
}

static int get_tcb(uint8_t out[TCB_LEN], const struct json *object, const char *name,
		   enum snp_generation g, struct err *e)
{
	const struct tcb_layout *l = layout_of(g);
	char where[32];
	uint8_t fmc = 0;
	int r;

	(void)snprintf(where, sizeof where, "%.24s.", name);
	/* Read even where the layout has no place for it: a wrong one does not parse at Trustee. */
	r = present(object, "fmc") || l->fmc != NONE ? get_small(&fmc, object, where, "fmc", e) : 0;
	if (r < 0 || (r = get_small(&out[l->bootloader], object, where, "bootloader", e)) < 0 ||
	    (r = get_small(&out[l->tee], object, where, "tee", e)) < 0 ||
	    (r = get_small(&out[l->snp], object, where, "snp", e)) < 0 ||
	    (r = get_small(&out[l->microcode], object, where, "microcode", e)) < 0)
		return r;
	if (l->fmc != NONE)
		out[l->fmc] = fmc;
	return 0;
}

static int get_version(uint8_t *out, const struct json *object, const char *name, struct err *e)
{
	char where[32];
	int r;

	(void)snprintf(where, sizeof where, "%.24s.", name);
	if ((r = get_small(&out[0], object, where, "build", e)) < 0 ||
	    (r = get_small(&out[1], object, where, "minor", e)) < 0 ||
	    (r = get_small(&out[2], object, where, "major", e)) < 0)
		return r;
	return 0;
}

/* All but the TCBs, whose layout depends on the others. */
static int get_field(uint8_t *raw, const struct json *object, const struct field *f,
		     uint32_t version, struct err *e)
{
	const struct json *v = json_get(object, f->name);
	const uint32_t since = f->form == F_CPUID ? 3 : f->form == F_MIT ? 5 : 0;
	uint64_t n = 0;
	int r = 0;

	switch (f->form) {
	case F_TCB:
		break;
	case F_BYTES:
		return get_bytes(raw + f->at, f->n, object, "", f->name, e);
	case F_VERSION:
		return get_version(raw + f->at, v, f->name, e);
	case F_SIG:
		r = get_bytes(raw + AT_R, SNP_SIG_PART, v, "signature.", "r", e);
		return r < 0 ? r : get_bytes(raw + AT_S, SNP_SIG_PART, v, "signature.", "s", e);
	case F_MIT:
	case F_CPUID:
		/* A vector that is absent is written as zeros; CPUID bytes are needed. */
		if (!present(object, f->name) && (version < since || f->form == F_MIT))
			break;
		__attribute__((fallthrough));
	case F_UINT:
		r = get_uint(&n, object, "", f->name, f->n, e);
		if (r == 0 && version >= since)
			le_put(raw + f->at, n, f->n);
	}
	return r;
}

int snp_report_from_json(uint8_t out[SNP_REPORT_LEN], const struct json *object, struct err *e)
{
	uint8_t raw[SNP_REPORT_LEN] = { 0 };
	enum snp_generation g;
	uint64_t version;
	int r;

	if (!json_is_object(object))
		return err_set(e, ERR_FORMAT, "attestation_report is no object");
	r = get_uint(&version, object, "", "version", 4, e);
	if (r < 0)
		return r;
	if (version < SNP_VERSION_MIN || version > SNP_VERSION_MAX)
		return err_set(e, ERR_UNSUPPORTED, "SNP report of version %llu, known are %d..%d",
			       (unsigned long long)version, SNP_VERSION_MIN, SNP_VERSION_MAX);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		r = get_field(raw, object, &fields[i], (uint32_t)version, e);
		if (r < 0)
			return r;
	}
	g = generation_of((uint32_t)version, raw);
	if (g == SNP_UNKNOWN && version > 2)
		return err_set(e, ERR_UNSUPPORTED,
			       "SNP report of a processor of family 0x%02x, model 0x%02x: neither "
			       "Milan, Genoa nor Turin",
			       raw[AT_CPUID], raw[AT_CPUID + 1]);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (fields[i].form != F_TCB)
			continue;
		r = get_tcb(raw + fields[i].at, json_get(object, fields[i].name), fields[i].name, g,
			    e);
		if (r < 0)
			return r;
	}
	memcpy(out, raw, sizeof raw);
	return 0;
}

/* --- words ----------------------------------------------------------------------------------- */

struct bit_table snp_policy_bits(void)
{
	static const struct bit_word words[] = {
		{ 16, "smt_allowed", "may run where hyperthreading is on" },
		{ 17, "reserved", "always set" },
		{ SNP_POLICY_MIGRATE_MA, "migrate_ma",
		  "a migration agent may move this guest to another machine" },
		{ SNP_POLICY_DEBUG, "debug_allowed",
		  "the host may read and change this guest's memory" },
		{ 20, "single_socket", "runs only on a machine with one socket" },
		{ 21, "cxl_allowed", "memory may be on CXL devices" },
		{ 22, "mem_aes_256_xts", "memory is encrypted with AES-256-XTS" },
		{ 23, "rapl_dis", "power measurement (RAPL) must be off" },
		{ 24, "ciphertext_hiding", "the host must not see ciphertext" },
		{ 25, "page_swap_disabled", "the host must not move pages" },
	};

	return (struct bit_table){ words, ARRAY_LEN(words) };
}

struct bit_table snp_platform_bits(void)
{
	static const struct bit_word words[] = {
		{ 0, "smt_enabled", "hyperthreading is on" },
		{ 1, "tsme_enabled", "all memory of the machine is encrypted" },
		{ 2, "ecc_enabled", "memory has error correction" },
		{ 3, "rapl_disabled", "power measurement (RAPL) is off" },
		{ 4, "ciphertext_hiding_enabled", "the host does not see ciphertext" },
		{ 5, "alias_check_complete", "memory was checked for aliased addresses" },
		{ 7, "tio_enabled", "trusted devices (SEV-TIO) are on" },
	};

	return (struct bit_table){ words, ARRAY_LEN(words) };
}
