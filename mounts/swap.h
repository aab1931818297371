/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_SWAP_H
#define MOUNTS_SWAP_H

#include "agent/base/err.h"

#include <stdbool.h>

/*
 * Could memory of a container reach a disk in clear? Source: proc(5), /proc/swaps; the uuid of a
 * device-mapper device begins "CRYPT-" when dm-crypt made it (dm/uuid in sysfs).
 *
 * Not in clear: dm-crypt, what lies wholly on dm-crypt (LVM, RAID, partitions, files on such a
 * file system), and zram without a backing device, which is memory. Anything that cannot be
 * found out counts as clear.
 *
 * root   "" or a prefix of /proc and /sys, for tests
 * clear  out: true when there is such a device
 * name   out: the first one, for the journal
 *
 * Errors: ERR_SYSTEM, ERR_LIMIT (/proc/swaps cannot be read). No swap support is no swap.
 */
int swap_in_clear(const char *root, bool *clear, char name[256], struct err *e) MUST_CHECK;

#endif
