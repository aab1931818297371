/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_MOUNTD_RULES_H
#define DAEMON_MOUNTD_RULES_H

#include "mounts/volume/volume.h"

/*
 * What vouchsafe-mountd may touch: <root>/usr/lib/vouchsafe/mountd.toml, where that is measured
 * (agent/setup/measured.h); without the file, the defaults. One that is there and not measured is
 * an error: it might have come from the host.
 *
 *   [volumes]
 *   devices = ["/dev/vd*"]               what may be opened; a link counts by its name too
 *   mount_prefixes = ["/run/x"]          where it may be mounted: these folders and below
 *   tagged_only = true                   all keyed volumes must carry our tag; false: none must;
 *                                        without the line those must that were made here
 */
#define MOUNTD_RULES_PATH "/usr/lib/vouchsafe/mountd.toml"
#define MOUNTD_STATE_DIR  "/run/vouchsafe/volumes"
#define MOUNTD_RULES_MAX  64 /* entries of a list */

struct mountd_rules {
	struct volume_rules volume; /* borrows from the rest */
	bool from_file;
	char **devices, **mount_prefixes;
	char *state_dir;
};

/*
 * out   zeroed; release with mountd_rules_done() also after a failure
 * root  "" or the prefix of a development build
 * Errors: config.syntax, config.value, config.unknown-key, config.unmeasured, ERR_SYSTEM, ERR_NOMEM.
 */
int mountd_rules_load(struct mountd_rules *out, const char *root, struct err *e) MUST_CHECK;

void mountd_rules_done(struct mountd_rules *r);

#endif
