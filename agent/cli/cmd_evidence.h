/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CMD_EVIDENCE_H
#define CLI_CMD_EVIDENCE_H

#include "agent/cli/cli.h"
#include "agent/verify/verify.h"
#include "attester/attester.h"

/* What the subcommands of `vouchsafe evidence`, and reference-values, share. */

int evidence_verify(int argc, char **argv);
int evidence_show(int argc, char **argv);

/*
 * Read a file ("-" is standard input) with evidence. *out is zeroed by the caller.
 * tee  what the primary must be, or NULL
 * Errors: as fs_read() and evidence_file_load().
 */
int cli_load_evidence(struct evidence_file *out, const char *path, const char *tee,
		      struct err *e) MUST_CHECK;

/*
 * Ask vouchsafed for this guest's evidence, which binds zeros, and for that of additional devices.
 * *out is zeroed by the caller, and released by it on an error too.
 * Errors: api.unreachable, api.deadline, what the daemon refuses, as evidence_file_load().
 */
int cli_live_evidence(struct evidence_file *out, struct err *e) MUST_CHECK;

/* Which item a boot log belongs to: the first with registers of a boot, or 0. */
size_t cli_booted(const struct evidence_file *f);

/* A person's time: "2025-06-01", "2025-06-01T12:00:00Z", seconds since 1970. Errors: ERR_USAGE. */
int cli_time(int64_t *out, const char *text, struct err *e) MUST_CHECK;

/* What --help of both says of FILE. */
#define CLI_EVIDENCE_FILE                                                                          \
	"FILE (\"-\": standard input) is what `vouchsafe evidence` prints, with or without --json,\n"   \
	"what Trustee receives (primary_evidence, additional_evidence), or a bare SNP report or\n" \
	"TD quote.\n"

#endif
