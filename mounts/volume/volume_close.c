/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/volume.h"

#include "mounts/volume/dm.h"
#include "mounts/volume/lock.h"
#include "mounts/volume/undo.h"

#define CLOSE_MS 20000 /* for a device that another call holds */

/* Close one, whatever became of its record since it was seen. */
static int close_seen(const struct volume_rules *rules, const struct record *seen, struct deadline d,
		      struct err *e)
{
	cleanup_close int lock = lock_take(rules->state_dir, lock_of_device(seen->major, seen->minor), d, e);
	struct record r;
	int rc;

	if (lock < 0)
		return lock;
	rc = record_get(&r, rules->state_dir, seen->mapper, e);
	if (rc <= 0)
		return rc;
	if (r.major != seen->major || r.minor != seen->minor)
		return err_code(e, CODE_VOLUME_BUSY, "%s is being opened on another device", r.mapper);
	return undo(rules, &r, deadline_in(0), e);
}

int volume_close(const struct volume_rules *rules, const char *mapper, struct err *e)
{
	struct record seen;
	int rc;

	if (!record_name_ok(mapper))
		return err_code(e, CODE_VOLUME_MAPPER_NAME, "mapper name \"%.127s\"", mapper);
	(void)!undo_due(rules, deadline_in(0), NULL);
	rc = record_get(&seen, rules->state_dir, mapper, e);
	if (rc != 0)
		return rc < 0 ? rc : close_seen(rules, &seen, deadline_in(CLOSE_MS), e);
	if (dm_exists(mapper))
		return err_code(e, CODE_VOLUME_UNKNOWN, "%s was not opened by vouchsafe", mapper);
	return 0;
}

int volume_close_all(const struct volume_rules *rules, struct err *e)
{
	cleanup_records struct records all = { 0 };
	struct deadline d = deadline_in(CLOSE_MS);
	int first = records_load(&all, rules->state_dir, e);

	/* One that is being opened holds the others up only in the second round. */
	for (size_t i = all.n; i-- > 0;)
		if (close_seen(rules, &all.p[i], deadline_in(0), NULL) == 0)
			all.p[i].mapper[0] = '\0';
	for (size_t i = all.n; i-- > 0;) {
		int rc = 0;

		if (all.p[i].mapper[0] != '\0')
			rc = close_seen(rules, &all.p[i], d, first == 0 ? e : NULL);
		if (first == 0)
			first = rc;
	}
	return first;
}

bool volume_half_done(const struct volume_rules *rules)
{
	cleanup_records struct records all = { 0 };

	if (records_load(&all, rules->state_dir, NULL) < 0)
		return false;
	for (size_t i = 0; i < all.n; i++)
		if (undo_is_due(&all.p[i]))
			return true;
	return false;
}

int volume_recover(const struct volume_rules *rules, struct err *e)
{
	return undo_due(rules, deadline_in(CLOSE_MS), e);
}

int volume_list(struct buf *json, const struct volume_rules *rules, struct err *e)
{
	cleanup_records struct records all = { 0 };
	int r = records_load(&all, rules->state_dir, e);
	bool any = false;

	if (r < 0)
		return r;
	buf_puts(json, "[");
	for (size_t i = 0; i < all.n; i++) {
		/* One that another hand closed is not open, whatever its record says. */
		if (!all.p[i].open || !dm_exists(all.p[i].mapper))
			continue;
		buf_puts(json, any ? "," : "");
		record_show(json, &all.p[i]);
		any = true;
	}
	buf_puts(json, "]");
	return buf_check(json, "the list of volumes", e);
}
