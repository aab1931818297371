/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CMD_EVIDENCE_SHOW_H
#define CLI_CMD_EVIDENCE_SHOW_H

#include "agent/cli/facts.h"
#include "agent/verify/evidence.h"
#include "attester/tcg2.h"

/* The boot log in `vouchsafe evidence show`, beside the registers of the evidence. */

/* Where this guest's kernel has firmware's log, and its own command line. */
#define SHOW_TPM_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define SHOW_CMDLINE "/proc/cmdline"

struct show_log {
	struct view log;     /* empty: none */
	struct view cmdline; /* text that may be the measured command line; empty: none */
};

/* What the log says: how the guest was booted, and the events of each register. */
void show_boot(struct facts *f, const struct evidence *ev, const struct show_log *with);

/*
 * What the log says of a unified kernel image: its sections, Secure Boot, and the command line and
 * verity root hash where cmdline is the measured one.
 */
void show_uki(struct facts *f, const struct tcg2_log *log, enum hash_alg alg, struct view cmdline);

#endif
