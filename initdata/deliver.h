/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_DELIVER_H
#define INITDATA_DELIVER_H

#include "agent/base/buf.h"
#include "agent/crypto/digest.h"

/*
 * The files that provisioning leaves in /run, for other programs and for vouchsafed. Paths and
 * modes: spec/local-api.md 5.4 and 5.6. They are unmeasured: vouchsafed takes only initdata.toml
 * and checks it against the register.
 *
 *   /run/peerpod/                              policy.rego  aa.toml  cdh.toml  initdata.digest
 *                                              apf.json  auth.json  initdata  scratch-space.marker
 *   /run/confidential-containers/initdata/     aa.toml  cdh.toml  initdata.toml
 */
#define DELIVER_INITDATA_PATH "/run/confidential-containers/initdata/initdata.toml"

enum deliver_file { DELIVER_POLICY, DELIVER_AA, DELIVER_CDH, DELIVER_FILES };

/*
 * What user-data brings besides: settings of the agent protocol forwarder (with its TLS key) and
 * the registry logins, both 0600 because root alone reads them; the initdata as delivered; the
 * sign that a scratch disk is to be made.
 */
enum deliver_extra { EXTRA_APF, EXTRA_AUTH, EXTRA_INITDATA, EXTRA_SCRATCH, DELIVER_EXTRAS };

struct delivery {
	struct view text;                /* the initdata, exact; borrowed */
	struct digest digest;            /* over text */
	struct view file[DELIVER_FILES]; /* borrowed; { NULL } where the initdata has no such key */
	struct view extra[DELIVER_EXTRAS]; /* borrowed; { NULL } where there is none */
};

/* The [data] key of a file, which is also its name: "policy.rego", "aa.toml", "cdh.toml". */
const char *deliver_name(enum deliver_file f);

/* Its full path: "/run/peerpod/apf.json". And the file of a path; -1: that path is not allowed. */
const char *deliver_extra_path(enum deliver_extra f);
int deliver_extra_of(struct view path);

/*
 * Write the files, each at once or not at all, folders 0755, files 0644 but for the extras named
 * above: policy.rego first and initdata.toml, by which others see that provisioning is done, last.
 * A file without a key is left as it is in /run/peerpod (images ship some) and removed from the
 * other folder.
 *
 * root  "" or a prefix
 *
 * Errors: ERR_SYSTEM, ERR_NOMEM. No extra is left then; of the others what was written so far
 * stays, for deliver_remove_policy() to remove.
 */
int deliver_write(const char *root, const struct delivery *d, struct err *e) MUST_CHECK;

/*
 * Remove policy.rego and then all others, from both folders; images ship a policy.rego that
 * allows everything. Goes on after a failure and reports the first. Errors: ERR_SYSTEM, ERR_NOMEM.
 */
int deliver_remove_policy(const char *root, struct err *e) MUST_CHECK;

#endif
