/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_LOCK_H
#define VOLUME_LOCK_H

#include "agent/base/clock.h"
#include "agent/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Which process is at work on what. Locks are ranges of one empty file, `lock` in the state folder
 * (open file description locks, F_OFD_SETLK): the kernel takes them back when their holder ends,
 * however it ends, and nothing of them is left lying about.
 *
 *   LOCK_TABLE        the records: held for the moment in which they are compared or written
 *   LOCK_MEMORY       memory: held while a key costs more than LOCK_MEMORY_KIB to try
 *   LOCK_TEMPORARY    mappings of no device's yet: held while dm-integrity is formatted, which
 *                     libcryptsetup does through a mapping of its own
 *   lock_of_device()  one block device: held from before its record is written until its volume is
 *                     open, closed or undone. A record that says "opening" whose device nobody
 *                     holds is what a killed process left
 *
 * Taken in the order device, then one of the others; nobody waits for a device with the table held.
 */
#define LOCK_TABLE      ((off_t)0)
#define LOCK_TABLE_MS   20000 /* to wait for it: nobody works while it is held */
#define LOCK_MEMORY     ((off_t)1)
#define LOCK_TEMPORARY  ((off_t)2)
#define LOCK_MEMORY_KIB (64u << 10) /* what every request may use beside the others */

off_t lock_of_device(unsigned major, unsigned minor);

/*
 * Take one, waiting until d. The folder is made where it is missing.
 * Returns the descriptor, which gives the lock back when it is closed.
 * Errors: volume.state, volume.busy (d passed), ERR_NOMEM.
 */
int lock_take(const char *dir, off_t what, struct deadline d, struct err *e) MUST_CHECK;

#endif
