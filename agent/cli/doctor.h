/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "agent/setup/guest.h"
#include "agent/setup/verity.h"

/*
 * `vouchsafe doctor`: checks in the order of the main path. Each records one finding; a check
 * whose ground is missing (no platform, no URL) is skipped with the reason.
 */
enum verdict {
	VERDICT_OK,
	VERDICT_NOTE, /* works, and an operator should know */
	VERDICT_BAD,  /* works less safely than it should: red */
	VERDICT_FAIL, /* does not work */
	VERDICT_SKIP,
};

struct finding {
	const char *check; /* "tpm", "clock": stable, in the manual */
	enum verdict verdict;
	bool has_code;
	enum err_code code;
	const char *remedy; /* of a finding without a code; static, or NULL */
	char text[ERR_MSG_MAX];
};

#define DOCTOR_FINDINGS_MAX 96

struct doctor {
	struct guest guest;
	bool have_platform, have_initdata, have_config; /* what later checks stand on */
	struct bootfacts boot;
	struct verity_mount verity[2]; /* "/", "/usr" */
	struct finding findings[DOCTOR_FINDINGS_MAX];
	size_t n;
	struct deadline deadline;
};

/* Record a finding. Control characters in the text become '?', a newline too. */
void doctor_say(struct doctor *d, const char *check, enum verdict v, const char *fmt, ...)
	PRINTF(4, 5);

/* Record a NOTE and what to do about it (static). */
void doctor_advise(struct doctor *d, const char *check, const char *remedy, const char *fmt, ...)
	PRINTF(4, 5);

/* Record an error as FAIL with its code. */
void doctor_fail(struct doctor *d, const char *check, const struct err *e);

/* Checks that need no network. */
void doctor_check_guest(struct doctor *d);

/* How the image was booted: dm-verity, the boot log, and what a hardened guest has and this lacks. */
void doctor_check_posture(struct doctor *d);

/* Append "boot" and "verity" of --json, as members. */
void doctor_put_boot(struct buf *out, const struct doctor *d);

/* What stands around the daemon: delivery, sockets, units, the pod's namespace, keys, event log. */
void doctor_check_services(struct doctor *d);

/* Clock, DNS, TLS, Trustee's answer. */
void doctor_check_trustee(struct doctor *d);

#endif
