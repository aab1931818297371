/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_DM_H
#define VOLUME_DM_H

#include "agent/base/err.h"

#include <stdbool.h>

/*
 * A few words with the device mapper itself (linux/dm-ioctl.h), for mappings that libcryptsetup does
 * not understand: one whose maker was killed before its table was active holds the device below all
 * the same.
 */

/*
 * Is there a mapping of that name, in whatever state? False where there is no device mapper; true
 * where descriptors or memory are too few to ask.
 */
bool dm_exists(const char *name);

/*
 * Remove it, and its node. One that is not there is removed.
 * Errors: volume.busy, volume.mapping.
 */
int dm_remove(const char *name, struct err *e) MUST_CHECK;

/*
 * Remove every mapping whose name begins so, that has no active table and that nobody has open: its
 * maker was killed before it was one. As far as that goes.
 */
void dm_remove_unmade(const char *prefix);

#endif
