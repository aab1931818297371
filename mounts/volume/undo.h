/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_UNDO_H
#define VOLUME_UNDO_H

#include "mounts/volume/record.h"

/* Taking a volume away again: what a failed call, a killed process, or another hand left of it. */

/* Is a record's volume gone or half there: begun and not finished, or closed by another hand? */
bool undo_is_due(const struct record *r);

/*
 * Take away whatever of a record is there (mount or link, mapping, dm-integrity's below it, what
 * libcryptsetup mapped for a moment), and the record last. The device's lock is held. What is in use
 * is tried again until d: a killed mkfs needs its time to end.
 *
 * Errors: volume.busy, volume.mount, volume.mapping, volume.state.
 */
int undo(const struct volume_rules *rules, const struct record *r, struct deadline d,
	 struct err *e) MUST_CHECK;

/*
 * Undo every volume for which that is due and at which nobody is at work. Returns how many were.
 * Errors: of the first that stays, after all were tried; of records_load().
 */
int undo_due(const struct volume_rules *rules, struct deadline d, struct err *e) MUST_CHECK;

#endif
