/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_PROVISION_H
#define INITDATA_PROVISION_H

#include "initdata/deliver.h"
#include "initdata/isolated.h"

/*
 * Provisioning, once a boot: read what was delivered, bind it to the platform's register, leave
 * the files. What was done before is judged by the register's value alone, never by a file, so
 * that it can be killed at any moment and run again.
 *
 *   delivered   register   bind()   then
 *   malformed   (not read)          its own error
 *   valid       matches    any      deliver
 *   valid       empty      yes      bind, check that it now matches, deliver
 *   valid       empty      no       initdata.digest-mismatch (the host has not set it)
 *   valid       other      yes      initdata.pcr8-in-use
 *   valid       other      no       initdata.digest-mismatch
 *   valid       none                initdata.unbindable; with permit_unbound: deliver
 *   absent, or exactly initdata_dummy(): as valid, with that, except
 *   absent      other      any      initdata.missing
 *   absent      empty      no       initdata.unbindable; with permit_unbound: deliver
 */
enum provision_register {
	REGISTER_EMPTY,   /* nothing has been bound yet */
	REGISTER_MATCHES, /* it vouches for this digest */
	REGISTER_OTHER,   /* it holds something else */
};

struct provision_platform {
	void *ctx;

	/* Called between reading and the first look at the register; may fill the rest. Or NULL. */
	int (*open)(struct provision_platform *p, struct err *e);

	/* Compare the register with a digest. NULL: the platform has no register. */
	int (*binding)(void *ctx, struct view digest, enum provision_register *out, struct err *e);

	/* Record a digest in the empty register. NULL: the host does it. */
	int (*bind)(void *ctx, struct view digest, struct err *e);

	bool permit_unbound; /* go on where nothing can bind the initdata */
};

struct provision_result {
	enum { PROVISION_BOUND, PROVISION_ALREADY, PROVISION_UNBOUND } how;
	bool dummy; /* none was delivered */
	enum hash_alg alg;
	struct digest digest;
	bool file[DELIVER_FILES], extra[DELIVER_EXTRAS]; /* what was delivered */
};

#define PROVISION_ERROR_PATH  "/run/vouchsafe/provision-error"
#define PROVISION_REPORT_PATH "/run/vouchsafe/provision.json"

/*
 * Carry out the table.
 *
 * in    what was read of the source; initdata_dummy()'s text stands for absent
 * root  "" or a prefix of all files
 *
 * Errors: of the table, the callbacks and deliver_write(). The caller then calls
 * provision_refuse(), as for any failure before this.
 */
int provision_deliver(struct provision_result *out, const struct isolated *in,
		      struct provision_platform *p, const char *root, struct err *e) MUST_CHECK;

/*
 * The same after isolated_load() of what is delivered as for initdata_load(), or NULL where the
 * source has none.
 */
int provision_run(struct provision_result *out, const struct view *delivered,
		  struct provision_platform *p, const char *root, struct err *e) MUST_CHECK;

/* The row of the table alone, without delivering: binds when that is what it says. */
int provision_bind(struct provision_result *out, const struct provision_platform *p, bool absent,
		   const struct digest *digest, struct err *e) MUST_CHECK;

/*
 * Outcome (c): remove policy.rego and the other files, and leave the reason where doctor finds
 * it: root + PROVISION_ERROR_PATH (0600), JSON with code, message and time.
 * Errors: ERR_SYSTEM, ERR_NOMEM; it goes on after a failure and reports the first.
 */
int provision_refuse(const char *root, const struct err *why, struct err *e) MUST_CHECK;

/*
 * Leave what happened for doctor and status: root + PROVISION_REPORT_PATH (0644), JSON:
 *
 *   source     source_name(), or "file"
 *   outcome    "bound", "already-bound", "unbound", "refused"
 *   time       "2026-08-20T14:03:11Z"
 *   code       of the failure; only with "refused", as what follows is only without
 *   dummy      true: no initdata was delivered
 *   algorithm, digest
 *   files      paths that were delivered
 *   skipped    paths that user-data wanted and did not get
 *
 * done     NULL: refused
 * why      NULL unless refused
 * skipped  as userdata.skipped
 *
 * Errors: ERR_SYSTEM, ERR_NOMEM, ERR_LIMIT; nothing depends on it.
 */
int provision_report(const char *root, const char *source, const struct provision_result *done,
		     const struct err *why, struct view skipped, struct err *e) MUST_CHECK;

#endif
