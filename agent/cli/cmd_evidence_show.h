/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CMD_EVIDENCE_SHOW_H
#define CLI_CMD_EVIDENCE_SHOW_H

#include "agent/cli/facts.h"
#include "agent/verify/evidence.h"
#include "attester/uki.h"

/* The boot log in `vouchsafe evidence show`, beside the registers of the evidence. */

/* Where this guest's kernel has firmware's log, and its own command line. */
#define SHOW_TPM_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define SHOW_CMDLINE "/proc/cmdline"

struct show_log {
	bool has_log;
	struct view log;
	bool own;              /* it is this machine's, which the evidence may have nothing to do with */
	struct view cmdline;   /* text that may be the measured command line; empty: none */
	const struct uki *uki; /* that may be the measured image, or NULL */
	bool own_cmdline;      /* cmdline is what this machine was booted with */
};

/* What a PCR is for, in a word or two: "Secure Boot". */
const char *show_pcr_words(unsigned pcr);

/*
 * How the guest was booted, and the events of each register. The machine's own log is left out
 * where its registers are not the evidence's.
 */
void show_boot(struct facts *f, const struct evidence *ev, const struct show_log *with);

/*
 * What the log says of a unified kernel image: its sections, Secure Boot, and the command line and
 * verity root hash where with->cmdline is the measured one. Of this machine's own log and command line
 * also whether / and /usr are on dm-verity and of that root hash.
 */
void show_uki(struct facts *f, const struct tcg2_log *log, enum hash_alg alg,
	      const struct show_log *with);

/*
 * Whether PCR 11 is what that image measures, with or without systemd's boot phases, and then the
 * command line and root hash in it: without a log.
 */
void show_image(struct facts *f, const struct evidence *ev, const struct uki *uki);

/* The text of the image's command line, up to a NUL; borrowed. */
struct view show_line_of(const struct uki *uki);

#endif
