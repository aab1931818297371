/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CMD_EVENTLOG_H
#define CLI_CMD_EVENTLOG_H

#include "agent/setup/guest.h"

/* What `vouchsafe eventlog --verify` finds, without its listing. */
struct eventlog_findings {
	unsigned entries;
	bool false_digest; /* an entry's digest is not that of its event */
	bool differs;      /* a register does not hold what the log says */
};

/*
 * Read the log at path and compare it with the registers of this guest, whose platform is open.
 * Errors: as `vouchsafe eventlog`: ERR_NOTFOUND, eventlog.malformed, ERR_UNSUPPORTED, tpm.*.
 */
int cli_eventlog_check(struct eventlog_findings *out, const struct guest *g, const char *path,
		       struct err *e) MUST_CHECK;

#endif
