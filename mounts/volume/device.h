/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_DEVICE_H
#define VOLUME_DEVICE_H

#include "agent/base/clock.h"
#include "mounts/volume/volume.h"

/* The block device of a volume: found, allowed, held, judged empty or not, written. */
#define DEVICE_PATH 256

struct device {
	int fd; /* O_RDWR, not exclusive; -1 when closed */
	unsigned major, minor;
	uint64_t size; /* bytes, a multiple of 4096 */
	char path[DEVICE_PATH]; /* the kernel's name: /dev/vdb */
};

#define cleanup_device __attribute__((cleanup(device_done)))
#define DEVICE_NONE    { .fd = -1 }

/*
 * Open what a spec names: its path (links are followed, and must end below /dev), or the DEVNAME of
 * /sys/dev/block/MAJ:MIN/uevent. Then hold it against the rules' allow-list.
 *
 * Errors: volume.not-allowed, volume.device-missing, volume.device.
 */
int device_open(struct device *out, const struct volume_rules *rules, const struct volume_spec *spec,
		struct err *e) MUST_CHECK;

/* Nothing else has the device open for itself: no mount, mapping, swap. Errors: volume.busy. */
int device_free(const struct device *d, struct err *e) MUST_CHECK;

/*
 * Do two devices share sectors: one device, or a disk and a partition of it? Two partitions of one
 * disk do not.
 */
bool device_shared(unsigned major_a, unsigned minor_a, unsigned major_b, unsigned minor_b);

/* Does the allow-list of that form (volume.h) have this path? */
bool device_allowed(const struct volume_rules *rules, const char *path);

/* n bytes at an offset. Errors: volume.device. */
int device_read(const struct device *d, uint64_t at, uint8_t *p, size_t n, struct err *e) MUST_CHECK;

/* Written and on the medium (fdatasync). Errors: volume.device. */
int device_write(const struct device *d, uint64_t at, struct view bytes, struct err *e) MUST_CHECK;

/*
 * Zero a range of a block device, 1 MiB at a time, past the page cache where the size allows.
 * path  of the device: /dev/mapper/NAME too
 * step  the name of the work for progress, NULL: no word of it
 * Errors: volume.deadline, volume.device.
 */
int device_zero(const char *path, uint64_t at, uint64_t n, struct deadline d, const char *step,
		const struct volume_progress *progress, struct err *e) MUST_CHECK;

/* Size of an open block device, or of a regular file. Errors: volume.device. */
int device_size(uint64_t *out, int fd, const char *path, struct err *e) MUST_CHECK;

void device_done(struct device *d);

/*
 * What is known to be on the device: a file system, swap, RAID, LVM, a partition table, LUKS, …
 * (libblkid). name gets its type, or the types' absence "" on return 0.
 *
 * Returns 1 when something was found, also when it is ambiguous or damaged; 0 for nothing.
 * Errors: volume.device, ERR_NOMEM.
 */
int signature_find(char name[32], const struct device *d, struct err *e) MUST_CHECK;

#endif
