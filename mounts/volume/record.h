/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_RECORD_H
#define VOLUME_RECORD_H

#include "mounts/volume/device.h"
#include "mounts/volume/place.h"

/*
 * What is open, in the state folder: NAME.json for each volume, written before anything of it is
 * mapped ("opening") and again when it is ready ("open"). So whoever comes after a killed process
 * knows what to undo. Who writes has LOCK_TABLE (lock.h); who removes one has its device's lock.
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
	bool tagged;       /* keyed: its header carried a tag of ours, which was right */
	bool open;         /* false: somebody is, or was, on the way */
	int64_t opened_ms; /* CLOCK_BOOTTIME */
};

struct records {
	struct record *p; /* oldest first */
	size_t n;
};

#define cleanup_records __attribute__((cleanup(records_done)))

/* Remove what a writer that was killed left beside its record. With LOCK_TABLE held. */
void records_tidy(const char *dir);

/* Read all. Errors: volume.state, ERR_NOMEM. */
int records_load(struct records *out, const char *dir, struct err *e) MUST_CHECK;
void records_done(struct records *r);

/* Read the one of a name. Returns 1, or 0 when there is none. Errors: volume.state, ERR_NOMEM. */
int record_get(struct record *out, const char *dir, const char *mapper, struct err *e) MUST_CHECK;

/*
 * May a volume be opened as r says beside those that are, or are being opened? Its own device's
 * record is none of them.
 *
 * Errors: volume.busy (the mapper name is taken; a partition of the device, or the disk that it is
 * a partition of), volume.mount-point-in-use (another volume is there, or below and would be hidden;
 * or will be above).
 */
int records_admit(const struct records *all, const struct record *r, struct err *e) MUST_CHECK;

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
