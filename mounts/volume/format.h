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
 * Read the header of a device, authenticate it, and only then load it from memory.
 *
 * out   set on success only; *image belongs to the caller and is closed after luks_free()
 *
 * Errors: volume.header*, volume.no-header, volume.wrong-key, volume.filesystem, volume.device.
 */
int format_load(struct luks **out, int *image, const struct device *d, const struct volume_rules *rules,
		const struct volume_spec *spec, const struct secret *key, struct err *e) MUST_CHECK;

/*
 * Steps 1 to 3 without the mapping: the record, the zeros, the header in memory with its tag. For a
 * keyless volume (key NULL) the first and the last MiB are zeroed, and the header stays in memory.
 * Errors: volume.device, volume.mapping, volume.kernel, volume.deadline, ERR_NOMEM, ERR_CRYPTO.
 */
int format_begin(struct luks **out, int *image, const struct device *d, const struct volume_spec *spec,
		 const struct secret *key, struct deadline t, struct err *e) MUST_CHECK;

/* Steps 4 and 5. Errors: volume.device, volume.header. */
int format_finish(const struct device *d, int image, bool integrity, struct err *e) MUST_CHECK;

#endif
