/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_PLACE_H
#define VOLUME_PLACE_H

#include "mounts/volume/volume.h"

/*
 * Where callers find a volume: a mount, or a symlink to /dev/mapper/NAME. Paths are opened
 * component by component and none may be a symlink, so that nobody leads a mount elsewhere.
 */
#define PLACE_PATH 1024

/*
 * Copy path without a slash at its end.
 * Errors: volume.mount-point (not absolute, "", ".", ".." or empty components, too long).
 */
int place_normal(char out[PLACE_PATH], const char *path, struct err *e) MUST_CHECK;

/* Is a normal path one of the prefixes or below one? */
bool place_allowed(const struct volume_rules *rules, const char *path);

/*
 * Can the volume go there: a folder for a file system; for a device a name that does not exist,
 * in a folder that does. Errors: volume.mount-point.
 */
int place_check(const char *path, enum volume_target target, struct err *e) MUST_CHECK;

/* Mount /dev/mapper/NAME with noatime and nodev. Errors: volume.mount, volume.mount-point. */
int place_mount(const char *path, const char *mapper, enum volume_fs fs, struct err *e) MUST_CHECK;

/* Make the symlink. Errors: volume.mount-point. */
int place_link(const char *path, const char *mapper, struct err *e) MUST_CHECK;

/* Is that volume there now? */
bool place_has(const char *path, const char *mapper, enum volume_target target);

/* Unmount or unlink it, where it is there. Errors: volume.busy, volume.mount. */
int place_remove(const char *path, const char *mapper, enum volume_target target,
		 struct err *e) MUST_CHECK;

#endif
