/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SERVICE_H
#define CLI_SERVICE_H

#include "agent/api/aa_client.h"
#include "agent/api/ttrpc_client.h"
#include "agent/cli/cli.h"

/* What the commands share that are clients of vouchsafed, and how they print plaintext. */

#define CLI_CDH_SOCKET     "/run/confidential-containers/cdh.sock"
#define CLI_METRICS_SOCKET "/run/vouchsafe/metrics/metrics.sock"
#define CLI_TIMEOUT_S      50 /* without --timeout */

/* For the table of options: --timeout. */
#define CLI_TIMEOUT_OPTION(value)                                                                  \
	{                                                                                          \
		"--timeout", NULL, (value), "S  seconds to wait for the answer (50)"               \
	}

/*
 * The deadline that --timeout asks for; text NULL: CLI_TIMEOUT_S. 1 to 3600 s.
 * Errors: ERR_USAGE.
 */
int cli_deadline(struct deadline *out, const char *text, struct err *e) MUST_CHECK;

/* A socket's path below cli_root; malloc'd. Errors: ERR_LIMIT, ERR_NOMEM. */
int cli_socket(char **out, const char *where, struct err *e) MUST_CHECK;

/* Plaintext to standard output: what write(2) takes is read from where it is locked. */
int cli_put_bytes(struct view v, struct err *e) MUST_CHECK;

/* The same as standard base64, which is made piece by piece in locked memory. */
int cli_put_base64(struct view v, struct err *e) MUST_CHECK;

/*
 * A result for a person (its bytes and nothing else) or, with json, {"NAME":"…","base64":"…"}.
 * what  name of the first member; subject is its value. Both NULL: only base64.
 */
int cli_put_result(const struct secret *s, bool json, const char *what, const char *subject,
		   struct err *e) MUST_CHECK;

/*
 * The metrics of the running daemon, Prometheus text of at most METRICS_TEXT_MAX bytes.
 * Errors: api.unreachable, api.deadline, api.malformed, ERR_LIMIT.
 */
int cli_metrics(struct buf *out, struct deadline d, struct err *e) MUST_CHECK;

/* One line of such a text. */
struct cli_sample {
	struct view name, labels; /* labels without their braces, still escaped */
	struct view value;        /* as printed */
};

/* The sample at the front of *text, which moves on behind it; false at the end. */
bool cli_next_sample(struct cli_sample *out, struct view *text);

#endif
