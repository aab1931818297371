/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/undo.h"

#include "mounts/volume/dm.h"
#include "mounts/volume/lock.h"
#include "mounts/volume/luks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#define NAMES_MAX 8 /* mappings on one device */
#define POLL_US   50000
#define TEMP_MS   5000 /* for others to have formatted dm-integrity */
#define TEMPORARY "temporary-cryptsetup-"

bool undo_is_due(const struct record *r)
{
	return !r->open || !dm_exists(r->mapper);
}

static void close_folder(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/*
 * Names of the mappings right on a device that can be ours: this volume's, dm-integrity's below it,
 * and what libcryptsetup maps for a moment while it formats.
 */
static size_t holders(char names[NAMES_MAX][VOLUME_MAPPER_MAX + 1], const struct record *r)
{
	__attribute__((cleanup(close_folder))) DIR *d = NULL;
	struct dirent *entry;
	char path[400];
	size_t n = 0, len = strlen(r->mapper);

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders", r->major, r->minor);
	d = opendir(path);
	while (d && n < NAMES_MAX && (entry = readdir(d))) {
		char *name = names[n];
		cleanup_close int fd = -1;
		ssize_t got;

		(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders/%.255s/dm/name", r->major,
			       r->minor, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		got = fd < 0 ? -1 : read(fd, name, VOLUME_MAPPER_MAX);
		if (got <= 0)
			continue;
		name[got] = '\0';
		name[strcspn(name, "\n")] = '\0';
		if (strcmp(name, r->mapper) == 0 || strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0 ||
		    (strncmp(name, r->mapper, len) == 0 && strcmp(name + len, "_dif") == 0))
			n++;
	}
	return n;
}

/*
 * What libcryptsetup was killed at before it had a table is on no device. Nobody's who lives: they hold
 * the lock while they have such.
 */
static void undo_unmade(const struct volume_rules *rules, const struct record *r)
{
	cleanup_close int turn = -1;

	if (r->open || !r->integrity)
		return;
	turn = lock_take(rules->state_dir, LOCK_TEMPORARY, deadline_in(TEMP_MS), NULL);
	if (turn >= 0)
		dm_remove_unmade(TEMPORARY);
}

static int undo_once(const struct volume_rules *rules, const struct record *r, struct err *e)
{
	char names[NAMES_MAX][VOLUME_MAPPER_MAX + 1];
	int rc = place_remove(r->mount_point, r->mapper, r->target, e);
	size_t n;

	if (rc == 0)
		rc = luks_close(r->mapper, e);
	n = rc == 0 ? holders(names, r) : 0;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = luks_close(names[i], e);
	if (rc < 0)
		return rc;
	undo_unmade(rules, r);
	return record_drop(rules->state_dir, r->mapper, e);
}

int undo(const struct volume_rules *rules, const struct record *r, struct deadline d, struct err *e)
{
	struct err own = { 0 };
	int rc;

	e = e ? e : &own;
	while ((rc = undo_once(rules, r, e)) < 0 && e->code == CODE_VOLUME_BUSY && deadline_left_ms(d) > 0)
		(void)usleep(POLL_US);
	return rc;
}

/* Returns 1 when it was undone, 0 when nothing was to be done or somebody is at work on it. */
static int undo_one(const struct volume_rules *rules, const struct record *seen, struct deadline d,
		    struct err *e)
{
	cleanup_close int lock = -1;
	struct record r;
	int rc;

	if (!undo_is_due(seen))
		return 0;
	lock = lock_take(rules->state_dir, lock_of_device(seen->major, seen->minor), deadline_in(0), NULL);
	if (lock < 0)
		return 0;
	/* As it is now that nobody changes it. */
	rc = record_get(&r, rules->state_dir, seen->mapper, e);
	if (rc <= 0)
		return rc;
	if (r.major != seen->major || r.minor != seen->minor || !undo_is_due(&r))
		return 0;
	rc = undo(rules, &r, d, e);
	return rc < 0 ? rc : 1;
}

static int tidy(const struct volume_rules *rules, struct err *e)
{
	cleanup_close int table = lock_take(rules->state_dir, LOCK_TABLE, deadline_in(LOCK_TABLE_MS), e);

	if (table < 0)
		return table;
	records_tidy(rules->state_dir);
	return 0;
}

int undo_due(const struct volume_rules *rules, struct deadline d, struct err *e)
{
	cleanup_records struct records all = { 0 };
	int n = 0, first = tidy(rules, e);

	if (first == 0)
		first = records_load(&all, rules->state_dir, e);
	for (size_t i = all.n; i-- > 0;) {
		int rc = undo_one(rules, &all.p[i], d, first == 0 ? e : NULL);

		if (rc > 0)
			n += rc;
		else if (first == 0)
			first = rc;
	}
	return first < 0 ? first : n;
}
