/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TCG2_H
#define ATTESTER_TCG2_H

#include "agent/base/buf.h"
#include "agent/crypto/digest.h"

/*
 * Event logs of a measured boot: what firmware, boot loader and kernel measured before any of our
 * code ran. Nothing here touches a file. All numbers are little-endian.
 * Source: spec/evidence.md 5.6, 5.7, 6.1; TCG PC Client Platform Firmware Profile, 10.2;
 * confirmed by vectors/evidence/trustee/deps/eventlog/test_data.
 *
 * The first record has the old form and says which digests the others carry:
 *
 *   4   index of the register
 *   4   event type 3, EV_NO_ACTION
 *   20  zero
 *   4   size of what follows
 *   16  \  "Spec ID Event03", NUL (zero in a log that only an agent wrote)
 *   8   |  class, version, size of a word
 *   4   |  number of algorithms                         this size exactly
 *   n   |  of each: 2 its number, 2 size of its digest
 *   1+n /  vendor information
 *
 * Each further record:
 *
 *   4   index of the register
 *   4   event type
 *   4   number of digests
 *   n   of each: 2 algorithm, n digest
 *   4+n size of the event data, and that
 *
 * Two framings differ in what an index is, where the log ends and what extends:
 *
 *                CCEL (an area in guest memory)           TPM (the kernel's copy)
 *   index        measurement register: 1..4 RTMR0..3      PCR
 *   end          8 bytes, all 00 or all FF                end of file
 *   extends      every record (as Trustee replays it)     all but EV_NO_ACTION
 */
#define TCG2_LOG_MAX    (4u << 20) /* bytes; firmware's areas have 64 KiB to 1 MiB */
#define TCG2_EVENTS_MAX 65536
#define TCG2_ALGS_MAX   8
#define TCG2_REGISTERS  24 /* PCRs; of measurement registers 0..4 are in use */

/* TCG's numbers of digest algorithms (TCG Algorithm Registry). */
enum {
	TCG2_SHA1 = 0x04,
	TCG2_SHA256 = 0x0b,
	TCG2_SHA384 = 0x0c,
	TCG2_SHA512 = 0x0d,
	TCG2_SM3 = 0x12,
};

/* Event types that somebody here asks for; tcg2_type_name() knows them all. */
enum {
	TCG2_EV_POST_CODE = 0x01,
	TCG2_EV_NO_ACTION = 0x03,
	TCG2_EV_SEPARATOR = 0x04,
	TCG2_EV_ACTION = 0x05,
	TCG2_EV_EVENT_TAG = 0x06,
	TCG2_EV_COMPACT_HASH = 0x0c,
	TCG2_EV_IPL = 0x0d,
	TCG2_EV_OMIT_BOOT_DEVICE_EVENTS = 0x12,
	TCG2_EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001u,
	TCG2_EV_EFI_VARIABLE_BOOT = 0x80000002u,
	TCG2_EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000003u,
	TCG2_EV_EFI_ACTION = 0x80000007u,
	TCG2_EV_EFI_PLATFORM_FIRMWARE_BLOB2 = 0x8000000au,
	TCG2_EV_EFI_HANDOFF_TABLES2 = 0x8000000bu,
	TCG2_EV_EFI_VARIABLE_BOOT2 = 0x8000000cu,
	TCG2_EV_EFI_VARIABLE_AUTHORITY = 0x800000e0u,
};

enum tcg2_framing { TCG2_CCEL, TCG2_TPM };

/* A log whose structure is known to be whole. Borrowed from the bytes. */
struct tcg2_log {
	struct view raw;
	enum tcg2_framing framing;
	size_t n_algs;
	struct {
		uint16_t id;
		uint16_t size; /* of a digest, bytes */
	} algs[TCG2_ALGS_MAX];
	size_t first;    /* offset of the second record */
	size_t end;      /* offset behind the last; of a CCEL that of its terminator */
	size_t n_events; /* without the first record */
};

/* One record behind the first; every view is borrowed. */
struct tcg2_event {
	size_t offset, size;
	uint32_t index;
	uint32_t type;
	size_t n_digests;
	struct {
		uint16_t alg;
		struct view bytes;
	} digests[TCG2_ALGS_MAX];
	struct view data;
};

/* What the registers would hold had they begun as the platform leaves them. */
struct tcg2_registers {
	enum hash_alg alg;
	struct digest value[TCG2_REGISTERS];
	unsigned events[TCG2_REGISTERS]; /* that extended it */
};

/*
 * Check the structure of a whole log, once; afterwards it can be walked.
 * out  set on success only
 * raw  at most TCG2_LOG_MAX bytes; must outlive *out. Of a CCEL, the whole area or the log cut
 *      behind its terminator: what follows the terminator is not looked at
 *
 * Errors: ERR_FORMAT with the offset (cut short, no terminator, a digest of an undeclared
 * algorithm, sizes that disagree), ERR_LIMIT (any of the caps), ERR_UNSUPPORTED (the old format
 * with SHA-1 only, which has no algorithm list).
 */
int tcg2_open(struct tcg2_log *out, struct view raw, enum tcg2_framing framing,
	      struct err *e) MUST_CHECK;

/*
 * Read the next record.
 * at   offset; begins as log->first, and is moved behind the record
 * out  set when 1 is returned
 * Returns 1, or 0 at the end. Cannot fail on a log that tcg2_open() accepted.
 */
int tcg2_next(struct tcg2_event *out, const struct tcg2_log *log, size_t *at);

/* The digest of that algorithm as it stands in the record; empty when there is none. */
struct view tcg2_digest(const struct tcg2_event *ev, enum hash_alg alg);

/* TCG's number of an algorithm, and back: -1 when it is none of ours. */
uint16_t tcg2_alg_id(enum hash_alg alg);
int tcg2_alg(uint16_t id);

/* "SHA-384" as Trustee's claims have it; NULL when unknown. Static. */
const char *tcg2_alg_name(uint16_t id);

/* "EV_IPL"; NULL for a type that Trustee does not know (and refuses). Static. */
const char *tcg2_type_name(uint32_t type);

/*
 * *is: whether every digest of the record is the hash of its event data. Many events carry only a
 * description of what was measured, so false is no fault. Errors: ERR_CRYPTO.
 */
int tcg2_digest_true(bool *is, const struct tcg2_event *ev, struct err *e) MUST_CHECK;

/*
 * Compute what the registers hold.
 *
 * TPM: PCRs begin at zero, 17 to 22 at all ones, PCR 0 at the locality that a StartupLocality
 * event names. CCEL: all begin at zero, every record extends.
 *
 * out  set on success only
 * Errors: ERR_UNSUPPORTED (the log does not declare alg), ERR_FORMAT (a record without a digest of
 * alg; a StartupLocality behind PCR 0's first event), ERR_LIMIT (an index of TCG2_REGISTERS or
 * above), ERR_CRYPTO.
 */
int tcg2_replay(struct tcg2_registers *out, const struct tcg2_log *log, enum hash_alg alg,
		struct err *e) MUST_CHECK;

/*
 * What Trustee would refuse in a CCEL although its structure is sound (5.7): an unknown event
 * type, a SHA-1 digest, event data that it cannot take apart.
 * Errors: ERR_UNSUPPORTED, ERR_FORMAT, with the offset.
 */
int tcg2_trustee_takes(const struct tcg2_log *log, struct err *e) MUST_CHECK;

/* --- what an event says ----------------------------------------------------------------------- */

/* A UEFI variable: EV_EFI_VARIABLE_*. */
struct tcg2_variable {
	struct view guid; /* 16 bytes */
	struct view name; /* UTF-16, without a NUL */
	struct view data;
};

/* False when the record is none, or malformed. */
bool tcg2_variable(struct tcg2_variable *out, const struct tcg2_event *ev);
/* The variable has that name (ASCII). */
bool tcg2_variable_is(const struct tcg2_variable *v, const char *name);

/* EV_EVENT_TAG: a number and data. 8F3B22ED the kernel's command line, 8F3B22EC its initrd. */
struct tcg2_tag {
	uint32_t id;
	struct view data;
};

enum {
	TCG2_TAG_LOAD_OPTIONS = 0x8f3b22edu,
	TCG2_TAG_INITRD = 0x8f3b22ecu,
	TCG2_TAG_AAEL = 0x4141454cu,
};

/* False when the record is none, or its sizes disagree. */
bool tcg2_tag(struct tcg2_tag *out, const struct tcg2_event *ev);

/*
 * Append the event data as text where it is text (EV_IPL and the like): UTF-16 or UTF-8, up to its
 * NUL. Whole UTF-8 without control characters (they become '?'). Returns false, and appends
 * nothing, when it is neither.
 */
bool tcg2_text(struct buf *out, const struct tcg2_event *ev);

/*
 * Append the device path of an EV_EFI_BOOT_SERVICES_APPLICATION (or driver), nodes joined by '/':
 * "PciRoot(0x0)/Pci(0x1,0x0)/HD(1,GPT,…)/File(\EFI\BOOT\BOOTX64.EFI)". Nodes it does not know
 * become "Path(type,subtype)". Returns false, and appends nothing, when there is none.
 */
bool tcg2_image_path(struct buf *out, const struct tcg2_event *ev);

/*
 * Append what the event says, for a person: one line of at most TCG2_WORDS_MAX bytes of UTF-8
 * without control characters, perhaps empty. Any event is fit.
 */
#define TCG2_WORDS_MAX 512
void tcg2_describe(struct buf *out, const struct tcg2_event *ev);

#endif
