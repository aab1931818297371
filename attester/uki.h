/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_UKI_H
#define ATTESTER_UKI_H

#include "attester/tcg2.h"

/*
 * Unified kernel images: a PE file whose sections are systemd-stub's, kernel, command line and
 * initrd. What a boot of one measures, from the file (prediction) and from the log (what happened).
 *
 *   PCR 4    the firmware: Authenticode hash of the UKI, then that of the kernel in .linux (unless
 *            the stub keeps firmware from it: uki_pcr4())
 *   PCR 11   the stub, of each section it knows, in its own order: H(name with its NUL), H(content)
 *   PCR 12   the stub: a command line given from outside, credentials
 *
 * The stub measures VirtualSize bytes of a section, as they lie in memory: a command line with
 * its trailing newline or NUL, if the builder put one there.
 * Source: systemd-stub(7), systemd-measure(1); PE/COFF specification; Authenticode PE format as
 * EDK2 hashes it. Confirmed by systemd-measure and sbsign over UKIs of Debian 12's stub
 * (test/integration/boot).
 */
#define UKI_FILE_MAX     (512u << 20)
#define UKI_SECTIONS_MAX 96

/* Those a stub measures, in the order in which it does. */
enum uki_part {
	UKI_LINUX,
	UKI_OSREL,
	UKI_CMDLINE,
	UKI_INITRD,
	UKI_UCODE,
	UKI_SPLASH,
	UKI_DTB,
	UKI_UNAME,
	UKI_SBAT,
	UKI_PCRPKEY,
	UKI_PARTS
};

/* ".cmdline"; static. */
const char *uki_part_name(enum uki_part part);

/* A PE file cut into what is asked of it. Borrowed from the file's bytes. */
struct uki {
	struct view file;
	struct view part[UKI_PARTS]; /* content as the stub measures it; .p NULL: no such section */
	unsigned stub; /* major version of systemd-stub, from .sdmagic; 0: not one of those */
	bool profiles; /* several images in one file (.profile): what is measured depends on the choice */
	size_t n_sections;
	struct {
		uint32_t offset, size; /* raw data in the file, by offset */
	} sections[UKI_SECTIONS_MAX];
	uint32_t checksum, certificates; /* offsets of these header fields */
	uint32_t headers;                /* size of all headers */
	uint32_t signature_size;         /* of the certificate table at the end */
};

/*
 * Cut a PE file. A kernel (bzImage with its EFI stub) is one too: it then has no parts.
 * out   set on success only
 * file  at most UKI_FILE_MAX bytes; must outlive *out
 * Errors: ERR_FORMAT (not PE32+, sizes and offsets that disagree, a part given twice), ERR_LIMIT,
 * ERR_UNSUPPORTED (a part with a tail that is not in the file).
 */
int uki_parse(struct uki *out, struct view file, struct err *e) MUST_CHECK;

/* Whether that version of the stub measures the part (.ucode, .uname, .sbat are later additions). */
bool uki_measures(unsigned stub, enum uki_part part);

/* The Authenticode hash of the file, as firmware measures and signs it. Errors: ERR_CRYPTO. */
int uki_authenticode(struct digest *out, const struct uki *u, enum hash_alg alg,
		     struct err *e) MUST_CHECK;

/*
 * PCR 11 behind the stub, before any boot phase ("systemd-measure calculate --phase=:").
 * Errors: ERR_UNSUPPORTED (no stub, no kernel, several profiles), ERR_CRYPTO.
 */
int uki_pcr11(struct digest *out, const struct uki *u, enum hash_alg alg,
	      struct err *e) MUST_CHECK;

/* The same, further extended with the words of boot phases ("sysinit", "ready"), as pcrphase does. */
int uki_pcr11_phase(struct digest *pcr, enum hash_alg alg, const char *word,
		    struct err *e) MUST_CHECK;

/*
 * PCR 4 after firmware of EDK2's kind started the UKI from a boot option: action, separator, the
 * UKI, the kernel in it.
 *
 * kernel  whether firmware measures the kernel too. With Secure Boot off it does (seen: stub 252,
 *         kernels 6.1 and 6.12). With it on, stub 252 answers firmware's question about the kernel
 *         itself, and then firmware does not measure it (seen); for later stubs look at a log.
 *
 * Errors: as uki_parse() for the kernel, ERR_UNSUPPORTED, ERR_CRYPTO.
 */
int uki_pcr4(struct digest *out, const struct uki *u, enum hash_alg alg, bool kernel,
	     struct err *e) MUST_CHECK;

/* --- what a boot measured, from its log -------------------------------------------------------- */

struct uki_boot {
	enum hash_alg alg;
	bool is_uki;                       /* the stub's sections are in the log */
	struct digest content[UKI_PARTS];  /* of each section; .len 0: not measured */
	struct digest load_options;        /* the kernel's own, of its command line; .len 0: none */
	bool overridden;                   /* PCR 12, or RTMR 2 behind the sections: something was
					    * measured that came from outside */
	unsigned images;                   /* EFI applications measured into PCR 4 */
	int secure_boot;                   /* 1 on, 0 off, -1: no digest in the log says */
};

/*
 * Read the boot out of a log of either framing (of a CCEL, registers 2 and 3 stand for PCR 4 and
 * 11). Whether the log is true is for the caller to check: tcg2_replay() against the registers.
 * out  set on success only
 * Errors: ERR_UNSUPPORTED (the log lacks alg), ERR_FORMAT (a section measured twice, or a name
 * whose digest is not that of the name).
 */
int uki_from_log(struct uki_boot *out, const struct tcg2_log *log, enum hash_alg alg,
		 struct err *e) MUST_CHECK;

/*
 * *is: whether text, as the running kernel shows it (/proc/cmdline, with or without its newline),
 * is the content of the measured .cmdline section, allowing for the newline, NUL and spaces that
 * the stub and the kernel drop from its end. Without a UKI: whether it is what the kernel's EFI stub
 * measured as its load options (UTF-16). Errors: ERR_CRYPTO, ERR_LIMIT (over 16 KiB).
 */
int uki_cmdline_is(bool *is, const struct uki_boot *b, struct view text, struct err *e) MUST_CHECK;

/*
 * The value of NAME=value in a command line, cut into words as the kernel does. Returns true and
 * sets *value (borrowed) when it is there exactly once.
 */
bool uki_cmdline_value(struct view *value, struct view text, const char *name);

/* The verity root hash in a command line: NAME= ("roothash", "usrhash") with 64 hex digits. */
bool uki_root_hash(char out[65], struct view text, const char *name);

#endif
