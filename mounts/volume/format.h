/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_FORMAT_H
#define VOLUME_FORMAT_H

#include "agent/base/clock.h"
#include "mounts/volume/device.h"
#include "mounts/volume/luks.h"
#include "mounts/volume/luks_auth.h"

/*
 * What happens on the device itself: judging it, taking its header into memory, formatting.
 *
 * Formatting a keyed volume, and what is on the device if it ends at each step:
 *
 *   1  record of intent into the first 512 bytes      before: as it was. From here: the record,
 *   2  the header's place zeroed                       which this key finds again: formatted anew
 *   3  header made in memory, mapped, file system made and flushed
 *   4  all of the header but its first 4096 bytes
 *   5  its first sector, over the record               the whole volume
 *
 * Step 5 is the write of one sector, so there is never a header of ours without what belongs to it.
 */
#define FORMAT_DATA_MIN (16ull << 20) /* bytes for data: a smaller device is refused */

/* A header in memory, and the library's hold on it. */
struct header {
	struct luks *luks;
	int image;   /* -1: none; released after luks, which borrows it */
	bool tagged; /* it carries our tag, and that is right */
};

#define cleanup_header __attribute__((cleanup(header_done)))
#define HEADER_NONE    { .image = -1 }

void header_done(struct header *h);

enum device_state {
	STATE_EMPTY,       /* may be formatted */
	STATE_INTERRUPTED, /* ours, formatting was begun with this key */
	STATE_LUKS,        /* has a LUKS header, of whatever kind */
};

/*
 * Say what is on a device that is to be opened. Reads only.
 *
 * key  NULL for a keyless volume: then everything counts as empty that is not a vouchsafe volume
 *
 * Errors: volume.not-empty (source empty, and something else is on it), volume.no-header,
 * volume.interrupted, volume.wrong-key (another key's record), volume.device, volume.too-small.
 */
int format_judge(enum device_state *out, const struct device *d, const struct volume_spec *spec,
		 const struct secret *key, struct err *e) MUST_CHECK;

/*
 * Read the header of a device, authenticate it, and only then load it from memory and unlock it.
 *
 * out  HEADER_NONE; set on success only, ready for luks_activate()
 * d    until when to wait where the key takes much memory to try
 *
 * Errors: volume.header*, volume.no-header, volume.wrong-key, volume.filesystem, volume.device,
 * volume.busy.
 */
int format_load(struct header *out, const struct device *dev, const struct volume_rules *rules,
		const struct volume_spec *spec, const struct secret *key, struct deadline d,
		struct err *e) MUST_CHECK;

/*
 * Steps 1 to 3 without the mapping: the record, the zeros, the header in memory with its tag. For a
 * keyless volume (key NULL) the first and the last MiB are zeroed, and the header stays in memory.
 *
 * out  HEADER_NONE; set on success only, ready for luks_activate()
 *
 * Errors: volume.device, volume.mapping, volume.kernel, volume.deadline, ERR_NOMEM, ERR_CRYPTO.
 */
int format_begin(struct header *out, const struct device *dev, const struct volume_spec *spec,
		 const struct secret *key, struct deadline d, struct err *e) MUST_CHECK;

/* Steps 4 and 5. Errors: volume.device, volume.header. */
int format_finish(const struct device *dev, const struct header *h, bool integrity,
		  struct err *e) MUST_CHECK;

#endif
