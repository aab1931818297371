/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_RECORD_H
#define VOLUME_RECORD_H

#include "mounts/volume/device.h"
#include "mounts/volume/place.h"

/*
 * What is open, in the state folder: NAME.json for each volume, written before anything of it is
 * mapped ("opening") and again when it is ready ("open"). So whoever comes after a killed process
 * knows what to undo. The file `lock` serialises processes; it is held while anything changes.
 */
#define RECORDS_MAX 256

struct record {
	char mapper[VOLUME_MAPPER_MAX + 1];
	char device[DEVICE_PATH];
	unsigned major, minor;
	char mount_point[PLACE_PATH];
	enum volume_target target;
	enum volume_fs fs;
	bool integrity, keyed;
	bool open;         /* false: somebody is, or was, on the way */
	int64_t opened_ms; /* CLOCK_BOOTTIME */
};

struct records {
	struct record *p; /* oldest first */
	size_t n;
};

#define cleanup_records __attribute__((cleanup(records_done)))

/*
 * Make the folder where it is missing and take the lock, which closing the descriptor gives back.
 * Returns the descriptor. Errors: volume.state, volume.busy (the deadline passed).
 */
int records_lock(const char *dir, struct deadline d, struct err *e) MUST_CHECK;

/* Remove what a writer that was killed left beside its record. Under the lock. */
void records_tidy(const char *dir);

/* Read all. Errors: volume.state, ERR_NOMEM. */
int records_load(struct records *out, const char *dir, struct err *e) MUST_CHECK;
void records_done(struct records *r);

/* Write one, in place of the one of that name. Errors: volume.state. */
int record_put(const char *dir, const struct record *r, struct err *e) MUST_CHECK;

/* Remove one; one that is not there is removed. Errors: volume.state. */
int record_drop(const char *dir, const char *mapper, struct err *e) MUST_CHECK;

/* Append one as volume_list() shows it. */
void record_show(struct buf *json, const struct record *r);

/*
 * 1..123 of [A-Za-z0-9_.+-], not first '.' or '-': a mapper's name, and a file's. Not "control", and
 * none that ends in "_dif", as dm-integrity's mapping below a volume does.
 */
bool record_name_ok(const char *mapper);

/* "ext4", "xfs". */
const char *record_fs_name(enum volume_fs fs);

#endif
