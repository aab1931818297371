/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_BLOCKDEV_H
#define INITDATA_BLOCKDEV_H

#include "agent/base/buf.h"

/*
 * The disk by which native kata hands the initdata to its guest. All of it is the host's; the
 * register decides later. Source: spec/local-api.md 5.4.
 *
 *   offset  size  field
 *        0     8  "initdata"
 *        8     8  n: length of the gzip data, u64 little endian
 *       16     n  gzip of the TOML text
 *     16+n        zeros up to a multiple of 512; not looked at
 */
#define BLOCKDEV_GZIP_MAX  (1u << 20) /* bytes; as INITDATA_ENCODED_MAX */
#define BLOCKDEV_NAMES_MAX 512        /* names in /dev that begin with vd or sd */
#define BLOCKDEV_NAME_MAX  31         /* longer ones are none of ours */

struct blockdev {
	char name[BLOCKDEV_NAME_MAX + 1]; /* "vdb" */
	struct buf gzip;                  /* owned */
};

#define cleanup_blockdev __attribute__((cleanup(blockdev_done)))

/*
 * Find the first device, by name in byte order, of vd* and sd* that begins with the magic, and
 * read its gzip data. Devices that cannot be opened or read are passed over: a host that withholds
 * the disk can do so in simpler ways.
 *
 * out      zeroed by the caller; filled only when one is found
 * root     "" or a prefix of /dev
 * regular  regular files may stand in for devices (tests and development builds)
 *
 * Returns 1 (found), 0 (none), or an error: initdata.block, initdata.too-large, initdata.source
 * (/dev cannot be listed), ERR_NOMEM.
 */
int blockdev_find(struct blockdev *out, const char *root, bool regular, struct err *e) MUST_CHECK;

/*
 * The same for one open device or file.
 * size  of the device, bytes
 * name  for messages
 */
int blockdev_read(struct buf *gzip, int fd, uint64_t size, const char *name,
		  struct err *e) MUST_CHECK;

/* Append such a disk for gzip data, padded. Errors: ERR_LIMIT, ERR_NOMEM. */
int blockdev_image(struct buf *out, struct view gzip, struct err *e) MUST_CHECK;

void blockdev_done(struct blockdev *b);

#endif
