/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_ROLE_H
#define DAEMON_VOUCHSAFED_ROLE_H

#include "agent/api/aa_client.h"
#include "agent/daemon/startup.h"

/*
 * What vouchsafed does, by the name it was started with, and the command line that goes with it.
 * Native kata's agent starts upstream's names with upstream's arguments, one process each
 * (spec/local-api.md 4.1, 4.2 and 6.2).
 */
enum role {
	ROLE_BOTH, /* vouchsafed: both sockets, of provisioned initdata */
	ROLE_AA,   /* attestation-agent: its socket; binds the initdata */
	ROLE_CDH,  /* confidential-data-hub: cdh.sock; token and key come from the agent */
};

struct role_options {
	enum role role;
	const char *name; /* what it was called */
	struct startup_given given; /* level_given: measured configuration's log.level does not count */
	bool fd_store;        /* of ROLE_BOTH: root's connections go into the manager's store */
	const char *socket;   /* -a: path of the agent's socket, or NULL */
	const char *initdata; /* -t: file of the initdata, or NULL */
	const char *digest;   /* -i: base64, or NULL */
	const char *config;   /* -c: not measured; accepted and named in the log */
};

/*
 * Read a command line into *o, which begins with the defaults.
 * Returns -1 to go on, else the exit code of the process: help or version was printed, or what is
 * wrong with it.
 */
int role_parse(struct role_options *o, int argc, char **argv);

/*
 * kbs_config.passport of the CDH role: GetToken("kbs") on the agent's socket below the root of g,
 * which is a struct guest. Errors: as aa_get_token().
 */
int role_passport(void *g, struct secret *json, struct deadline d, struct err *e);

/*
 * Does a digest of -i, given without a file, fit this one? 0 where none was given.
 * Errors: ERR_USAGE (no base64), initdata.digest-mismatch.
 */
int role_check_digest(const struct role_options *o, struct view digest, struct err *e) MUST_CHECK;

#endif
