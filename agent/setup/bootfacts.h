/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_BOOTFACTS_H
#define SETUP_BOOTFACTS_H

#include "attester/attester.h"
#include "attester/uki.h"

/*
 * What the boot log of this guest says, and whether the registers say the same. A log alone proves
 * nothing: the host can write it. Facts count once its replay equals what the TPM (or TDX) holds.
 *
 * A TPM's log lies at <root>/sys/kernel/security/tpm0/binary_bios_measurements (root may read it,
 * securityfs must be mounted), a TD's in the CCEL table.
 */
#define BOOTFACTS_TPM_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define BOOTFACTS_WHY     200
#define CMDLINE_TEXT_MAX  8192

struct bootfacts {
	bool log;              /* a log was found and read */
	bool replays;          /* the registers of kernel and command line hold what it says */
	struct uki_boot boot;  /* what it says; counts only where it replays */
	bool cmdline_measured; /* the running kernel's command line is the measured one */
	char cmdline[CMDLINE_TEXT_MAX + 1]; /* /proc/cmdline, without its newline */
	char phases[64]; /* what systemd's boot phases extended PCR 11 with since: "sysinit ready" */
	char why[BOOTFACTS_WHY]; /* what is missing for cmdline_measured; "" when nothing is */
};

/*
 * Look. Nothing here fails: what cannot be had is said in why.
 * root  "" or the prefix of a development build
 * env   its tpm may be NULL. In a TD the RTMRs are used, and on SNP nothing is: a TPM that the host
 *       has put beside them proves nothing
 */
void bootfacts_look(struct bootfacts *out, const char *root, const struct attester_env *env);

/*
 * Whether PCR 11 holds what the log says, or that and then the words of systemd's boot phases
 * (systemd-pcrphase.service(8)), in their order, each perhaps left out.
 * words  those that were found, joined by a space; 64 bytes; set when true is stored
 * Errors: ERR_CRYPTO.
 */
int bootfacts_pcr11(bool *is, char *words, const struct digest *replayed, struct view value,
		    struct err *e) MUST_CHECK;

#endif
