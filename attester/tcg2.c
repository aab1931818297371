/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tcg2.h"
#include "attester/le.h"

#include <stdio.h>

enum {
	HEAD = 32,          /* index, type, 20 bytes, size: of the first record */
	SPEC_MIN = 29,      /* signature to number of algorithms, and the vendor's size */
	SPEC_ALGS = 28,     /* where the algorithms begin */
	RECORD_HEAD = 12,   /* index, type, number of digests */
	TERMINATOR = 8,
	FIRST_DRTM = 17, LAST_DRTM = 22, /* PCRs that begin at all ones */
};

/* All that may stand in a log; alg -1: known, and none that we compute. */
static const struct {
	uint16_t id, size;
	int alg;
	const char *name;
} algorithms[] = {
	{ TCG2_SHA1, 20, -1, "SHA-1" },
	{ TCG2_SHA256, 32, HASH_SHA256, "SHA-256" },
	{ TCG2_SHA384, 48, HASH_SHA384, "SHA-384" },
	{ TCG2_SHA512, 64, HASH_SHA512, "SHA-512" },
	{ TCG2_SM3, 32, HASH_SM3, "SM3" },
};

static const char *const types[] = {
	"EV_PREBOOT_CERT",       "EV_POST_CODE",         "EV_UNUSED",
	"EV_NO_ACTION",          "EV_SEPARATOR",         "EV_ACTION",
	"EV_EVENT_TAG",          "EV_S_CRTM_CONTENTS",   "EV_S_CRTM_VERSION",
	"EV_CPU_MICROCODE",      "EV_PLATFORM_CONFIG_FLAGS", "EV_TABLE_OF_DEVICES",
	"EV_COMPACT_HASH",       "EV_IPL",               "EV_IPL_PARTITION_DATA",
	"EV_NONHOST_CODE",       "EV_NONHOST_CONFIG",    "EV_NONHOST_INFO",
	"EV_OMIT_BOOT_DEVICE_EVENTS",
};

#define EFI_BASE 0x80000000u

static const char *const efi_types[] = {
	[0x00] = "EV_EFI_EVENT_BASE",
	[0x01] = "EV_EFI_VARIABLE_DRIVER_CONFIG",
	[0x02] = "EV_EFI_VARIABLE_BOOT",
	[0x03] = "EV_EFI_BOOT_SERVICES_APPLICATION",
	[0x04] = "EV_EFI_BOOT_SERVICES_DRIVER",
	[0x05] = "EV_EFI_RUNTIME_SERVICES_DRIVER",
	[0x06] = "EV_EFI_GPT_EVENT",
	[0x07] = "EV_EFI_ACTION",
	[0x08] = "EV_EFI_PLATFORM_FIRMWARE_BLOB",
	[0x09] = "EV_EFI_HANDOFF_TABLES",
	[0x0a] = "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
	[0x0b] = "EV_EFI_HANDOFF_TABLES2",
	[0x0c] = "EV_EFI_VARIABLE_BOOT2",
	[0x10] = "EV_EFI_HCRTM_EVENT",
	[0xe0] = "EV_EFI_VARIABLE_AUTHORITY",
	[0xe1] = "EV_EFI_SPDM_FIRMWARE_BLOB",
	[0xe2] = "EV_EFI_SPDM_FIRMWARE_CONFIG",
};

const char *tcg2_type_name(uint32_t type)
{
	if (type < ARRAY_LEN(types))
		return types[type];
	if (type >= EFI_BASE && type - EFI_BASE < ARRAY_LEN(efi_types))
		return efi_types[type - EFI_BASE];
	return NULL;
}

uint16_t tcg2_alg_id(enum hash_alg alg)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		if (algorithms[i].alg == (int)alg)
			return algorithms[i].id;
	return 0;
}

int tcg2_alg(uint16_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		if (algorithms[i].id == id)
			return algorithms[i].alg;
	return -1;
}

const char *tcg2_alg_name(uint16_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		if (algorithms[i].id == id)
			return algorithms[i].name;
	return NULL;
}

/* --- the first record ------------------------------------------------------------------------- */

static int bad(size_t at, const char *why, struct err *e)
{
	return err_set(e, ERR_FORMAT, "boot log: record at byte %zu: %s", at, why);
}

/* One declared algorithm. */
static int declare(struct tcg2_log *log, uint16_t id, uint16_t size, struct err *e)
{
	if (size == 0 || size > DIGEST_MAX)
		return bad(0, "a digest's size is out of range", e);
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		if (algorithms[i].id == id && algorithms[i].size != size)
			return bad(0, "a digest's size is not its algorithm's", e);
	for (size_t i = 0; i < log->n_algs; i++)
		if (log->algs[i].id == id)
			return bad(0, "an algorithm is declared twice", e);
	log->algs[log->n_algs].id = id;
	log->algs[log->n_algs++].size = size;
	return 0;
}

/* The signature. Trustee does not look at it, and an agent's own header has zeros there. */
static int check_signature(struct view spec, enum tcg2_framing framing, struct err *e)
{
	static const uint8_t event03[16] = "Spec ID Event03";

	if (memcmp(spec.p, event03, sizeof event03) == 0 ||
	    (framing == TCG2_CCEL && all_zero(view_at(spec, 0, 16))))
		return 0;
	if (memcmp(spec.p, event03, 13) == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "boot log of the old format, which has SHA-1 digests only");
	return bad(0, "it is no \"Spec ID Event03\"", e);
}

static int read_spec(struct tcg2_log *log, struct view spec, struct err *e)
{
	uint32_t n;
	size_t at = SPEC_ALGS;
	int r;

	if (spec.len < 16)
		return bad(0, "it is too short for a Spec ID event", e);
	r = check_signature(spec, log->framing, e);
	if (r < 0)
		return r;
	if (spec.len < SPEC_MIN)
		return bad(0, "it is too short for a Spec ID event", e);
	n = le32(spec.p + 24);
	if (n == 0 || n > TCG2_ALGS_MAX)
		return err_set(e, ERR_LIMIT, "boot log: %u digest algorithms, allowed 1..%d", n,
			       TCG2_ALGS_MAX);
	if (spec.len - SPEC_MIN < 4 * (size_t)n)
		return bad(0, "its algorithm list is cut short", e);
	for (uint32_t i = 0; i < n; i++, at += 4) {
		r = declare(log, le16(spec.p + at), le16(spec.p + at + 2), e);
		if (r < 0)
			return r;
	}
	if (spec.len - at - 1 != spec.p[at])
		return bad(0, "its size is not that of its content", e);
	return 0;
}

/* --- the other records ------------------------------------------------------------------------ */

static size_t declared_size(const struct tcg2_log *log, uint16_t id)
{
	for (size_t i = 0; i < log->n_algs; i++)
		if (log->algs[i].id == id)
			return log->algs[i].size;
	return 0;
}

/* The digests of the record at ev->offset; *at is where they begin, and then where they end. */
static int read_digests(struct tcg2_event *ev, const struct tcg2_log *log, size_t *at,
			uint32_t n, struct err *e)
{
	if (n == 0 || n > log->n_algs)
		return bad(ev->offset, "it has no digest, or more than algorithms are declared", e);
	for (uint32_t i = 0; i < n; i++) {
		size_t left = log->raw.len - *at, size;
		uint16_t id;

		if (left < 2)
			return bad(ev->offset, "it is cut short", e);
		id = le16(log->raw.p + *at);
		size = declared_size(log, id);
		if (size == 0)
			return bad(ev->offset, "a digest's algorithm is not declared", e);
		for (uint32_t k = 0; k < i; k++)
			if (ev->digests[k].alg == id)
				return bad(ev->offset, "it has two digests of one algorithm", e);
		if (left - 2 < size)
			return bad(ev->offset, "it is cut short", e);
		ev->digests[i].alg = id;
		ev->digests[i].bytes = view_at(log->raw, *at + 2, size);
		*at += 2 + size;
	}
	ev->n_digests = n;
	return 0;
}

/* 1: a record; 0: the end, *at stays. */
static int read_record(struct tcg2_event *out, const struct tcg2_log *log, size_t *at,
		       struct err *e)
{
	static const uint8_t ones[TERMINATOR] = { 255, 255, 255, 255, 255, 255, 255, 255 };
	struct tcg2_event ev = { .offset = *at };
	const uint8_t *p = log->raw.p + *at;
	size_t left = log->raw.len - *at, next = *at + RECORD_HEAD;
	uint32_t size;
	int r;

	if (log->framing == TCG2_TPM && left == 0)
		return 0;
	if (log->framing == TCG2_CCEL) {
		if (left < TERMINATOR)
			return bad(ev.offset, "the log has no end mark (8 bytes 00 or FF)", e);
		if (all_zero((struct view){ p, TERMINATOR }) || memcmp(p, ones, TERMINATOR) == 0)
			return 0;
	}
	if (left < RECORD_HEAD)
		return bad(ev.offset, "it is cut short", e);
	ev.index = le32(p);
	ev.type = le32(p + 4);
	r = read_digests(&ev, log, &next, le32(p + 8), e);
	if (r < 0)
		return r;
	if (log->raw.len - next < 4)
		return bad(ev.offset, "it is cut short", e);
	size = le32(log->raw.p + next);
	next += 4;
	if (log->raw.len - next < size)
		return bad(ev.offset, "its event data reach beyond the log", e);
	ev.data = view_at(log->raw, next, size);
	ev.size = next + size - ev.offset;
	*at = next + size;
	*out = ev;
	return 1;
}

static int read_first(struct tcg2_log *log, struct err *e)
{
	uint32_t size;

	if (log->raw.len < HEAD)
		return bad(0, "it is cut short", e);
	/* In the old format an event of any type may stand here. */
	if (le32(log->raw.p + 4) != TCG2_EV_NO_ACTION)
		return err_set(e, ERR_UNSUPPORTED,
			       "boot log whose first record is no Spec ID event: the old format, or "
			       "no boot log");
	/* EDK2 names register 1 in a TD's log. The record extends nothing. */
	if (le32(log->raw.p) > 1 || !all_zero(view_at(log->raw, 8, 20)))
		return bad(0, "the Spec ID event has a digest or another register than 0 or 1", e);
	size = le32(log->raw.p + 28);
	if (log->raw.len - HEAD < size)
		return bad(0, "its event data reach beyond the log", e);
	log->first = HEAD + (size_t)size;
	return read_spec(log, view_at(log->raw, HEAD, size), e);
}

int tcg2_open(struct tcg2_log *out, struct view raw, enum tcg2_framing framing, struct err *e)
{
	struct tcg2_log log = { .raw = raw, .framing = framing };
	struct tcg2_event ev;
	int r;

	if (raw.len > TCG2_LOG_MAX)
		return err_set(e, ERR_LIMIT, "boot log of %zu bytes, allowed 0..%u", raw.len,
			       TCG2_LOG_MAX);
	r = read_first(&log, e);
	if (r < 0)
		return r;
	log.end = log.first;
	while ((r = read_record(&ev, &log, &log.end, e)) == 1)
		if (++log.n_events > TCG2_EVENTS_MAX)
			return err_set(e, ERR_LIMIT, "boot log with over %d records",
				       TCG2_EVENTS_MAX);
	if (r < 0)
		return r;
	*out = log;
	return 0;
}

int tcg2_next(struct tcg2_event *out, const struct tcg2_log *log, size_t *at)
{
	if (*at < log->first || *at >= log->end)
		return 0;
	return read_record(out, log, at, NULL) == 1;
}

struct view tcg2_digest(const struct tcg2_event *ev, enum hash_alg alg)
{
	for (size_t i = 0; i < ev->n_digests; i++)
		if (tcg2_alg(ev->digests[i].alg) == (int)alg)
			return ev->digests[i].bytes;
	return (struct view){ NULL, 0 };
}

int tcg2_digest_true(bool *is, const struct tcg2_event *ev, struct err *e)
{
	bool same = true;

	for (size_t i = 0; i < ev->n_digests; i++) {
		int alg = tcg2_alg(ev->digests[i].alg);
		struct digest d;
		int r;

		if (alg < 0)
			continue;
		r = digest_of(&d, (enum hash_alg)alg, ev->data, e);
		if (r < 0)
			return r;
		same = same && view_eq(digest_view(&d), ev->digests[i].bytes);
	}
	*is = same;
	return 0;
}

/* --- replay ----------------------------------------------------------------------------------- */

/* What a TPM's PCRs hold before anything (PC Client Platform TPM Profile, 4.6.2). */
static void begin(struct tcg2_registers *regs, const struct tcg2_log *log, enum hash_alg alg)
{
	*regs = (struct tcg2_registers){ .alg = alg };
	for (unsigned i = 0; i < TCG2_REGISTERS; i++) {
		regs->value[i].len = hash_len(alg);
		for (size_t k = 0; log->framing == TCG2_TPM && i >= FIRST_DRTM && i <= LAST_DRTM &&
				   k < regs->value[i].len;
		     k++)
			regs->value[i].b[k] = 0xff;
	}
}

/* EV_NO_ACTION extends nothing; one of them says with which locality PCR 0 was begun. */
static int no_action(struct tcg2_registers *regs, const struct tcg2_event *ev, struct err *e)
{
	static const uint8_t signature[16] = "StartupLocality";
	size_t last = regs->value[0].len - 1;
	uint8_t locality;

	if (ev->index != 0 || ev->data.len < 17 || memcmp(ev->data.p, signature, 16) != 0)
		return 0;
	locality = ev->data.p[16];
	if (ev->data.len != 17 || (locality != 0 && locality != 3 && locality != 4))
		return bad(ev->offset, "its StartupLocality is none of 0, 3, 4", e);
	if (regs->events[0] > 0 || regs->value[0].b[last] != 0)
		return bad(ev->offset, "a StartupLocality comes too late, or twice", e);
	regs->value[0].b[last] = locality;
	return 0;
}

static int extend(struct tcg2_registers *regs, const struct tcg2_event *ev, struct err *e)
{
	struct view parts[2], digest = tcg2_digest(ev, regs->alg);
	struct digest next;
	int r;

	if (ev->index >= TCG2_REGISTERS)
		return err_set(e, ERR_LIMIT,
			       "boot log: record at byte %zu: register %u, allowed 0..%d",
			       ev->offset, ev->index, TCG2_REGISTERS - 1);
	if (digest.len == 0)
		return err_set(e, ERR_FORMAT, "boot log: record at byte %zu: it has no digest %s",
			       ev->offset, hash_name(regs->alg));
	parts[0] = digest_view(&regs->value[ev->index]);
	parts[1] = digest;
	r = digest_parts(&next, regs->alg, parts, 2, e);
	if (r < 0)
		return r;
	regs->value[ev->index] = next;
	regs->events[ev->index]++;
	return 0;
}

int tcg2_replay(struct tcg2_registers *out, const struct tcg2_log *log, enum hash_alg alg,
		struct err *e)
{
	struct tcg2_registers regs;
	struct tcg2_event ev;
	size_t at = log->first;
	int r;

	if (declared_size(log, tcg2_alg_id(alg)) == 0)
		return err_set(e, ERR_UNSUPPORTED, "boot log: it declares no %s", hash_name(alg));
	begin(&regs, log, alg);
	while (tcg2_next(&ev, log, &at) == 1) {
		if (log->framing == TCG2_TPM && ev.type == TCG2_EV_NO_ACTION)
			r = no_action(&regs, &ev, e);
		else
			r = extend(&regs, &ev, e);
		if (r < 0)
			return r;
	}
	*out = regs;
	return 0;
}
