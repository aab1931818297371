/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/volume.h"

#include "agent/crypto/digest.h"
#include "mounts/volume/dm.h"
#include "mounts/volume/format.h"
#include "mounts/volume/lock.h"
#include "mounts/volume/mkfs.h"
#include "mounts/volume/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* Everything of one call. */
struct job {
	const struct volume_rules *rules;
	const struct volume_spec *spec;
	const struct secret *key; /* NULL: keyless */
	struct deadline until;
	const struct volume_progress *progress;
	struct device device;
	struct record record;
};

static int late(const struct job *j, struct err *e)
{
	if (deadline_left_ms(j->until) > 0)
		return 0;
	return err_code(e, CODE_VOLUME_DEADLINE, "%s: the deadline passed", j->record.mapper);
}

static void tell(const struct job *j, const char *step)
{
	if (j->progress && j->progress->tell)
		j->progress->tell(j->progress->ctx, step, 0, 0);
}

static void node_of(char out[VOLUME_MAPPER_MAX + 16], const char *mapper)
{
	(void)snprintf(out, VOLUME_MAPPER_MAX + 16, "/dev/mapper/%s", mapper);
}

/* --- what is asked for ---------------------------------------------------------------------- */

static int random_name(char out[VOLUME_MAPPER_MAX + 1], struct err *e)
{
	uint8_t b[16];
	int r = random_bytes(b, sizeof b, e);

	if (r < 0)
		return r;
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, VOLUME_MAPPER_MAX + 1,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		       b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		       b[15]);
	return 0;
}

static int read_spec(struct job *j, struct err *e)
{
	const struct volume_spec *s = j->spec;
	struct record *r = &j->record;
	int rc;

	if (s->keyed != (j->key != NULL) || (j->key && (j->key->len < 1 || j->key->len > VOLUME_KEY_MAX)))
		return err_code(e, CODE_VOLUME_KEY, "a key of %zu bytes, allowed 1..%u",
				j->key ? j->key->len : 0, VOLUME_KEY_MAX);
	if (!s->keyed && s->source == VOLUME_ENCRYPTED)
		return err_code(e, CODE_VOLUME_KEY, "an encrypted volume cannot be opened without its key");
	if (s->mapper && !record_name_ok(s->mapper))
		return err_code(e, CODE_VOLUME_MAPPER_NAME, "mapper name \"%.127s\"", s->mapper);
	if (s->target == VOLUME_FILESYSTEM) {
		rc = mkfs_check(s->fs, s->mkfs_args, s->n_mkfs_args, e);
		if (rc < 0)
			return rc;
	}
	rc = place_normal(r->mount_point, s->mount_point, e);
	if (rc < 0)
		return rc;
	if (!place_allowed(j->rules, r->mount_point))
		return err_code(e, CODE_VOLUME_NOT_ALLOWED, "%.200s: no rule allows this mount point",
				r->mount_point);
	r->target = s->target;
	r->fs = s->fs;
	r->integrity = s->integrity;
	r->keyed = s->keyed;
	return 0;
}

/* The volume on this device that is open already, or NULL. */
static const struct record *on_device(const struct records *all, const struct device *d)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->p[i].major == d->major && all->p[i].minor == d->minor)
			return &all->p[i];
	return NULL;
}

/* --- opening -------------------------------------------------------------------------------- */

static int fill(struct job *j, struct err *e)
{
	const struct volume_spec *s = j->spec;
	char node[VOLUME_MAPPER_MAX + 16];
	uint64_t size = 0;
	int r = 0;

	node_of(node, j->record.mapper);
	if (s->target == VOLUME_FILESYSTEM) {
		tell(j, "mkfs");
		r = mkfs_run(s->fs, node, s->mkfs_args, s->n_mkfs_args, s->integrity, s->keyed, j->until,
			     j->progress, e);
	}
	cleanup_close int fd = open(node, O_RDONLY | O_CLOEXEC);

	if (r == 0 && fd < 0)
		r = err_code(e, CODE_VOLUME_DEVICE, "%s: %s", node, strerrorname_np(errno));
	if (r == 0 && s->target == VOLUME_DEVICE && s->integrity) {
		/* Whoever reads a sector that was never written would get an error. */
		r = device_size(&size, fd, node, e);
		if (r == 0)
			r = device_zero(node, 0, size, j->until, "wipe", j->progress, e);
	}
	if (r == 0 && fsync(fd) < 0)
		r = err_code(e, CODE_VOLUME_DEVICE, "%s: sync: %s", node, strerrorname_np(errno));
	return r;
}

static int format(struct job *j, struct err *e)
{
	cleanup_header struct header h = HEADER_NONE;
	bool no_journal = j->spec->integrity && !j->spec->keyed;
	int turn = -1, r = 0;

	tell(j, "format");
	if (j->spec->integrity)
		r = turn = lock_take(j->rules->state_dir, LOCK_TEMPORARY, j->until, e);
	if (r >= 0)
		r = format_begin(&h, &j->device, j->spec, j->key, j->until, e);
	if (turn >= 0)
		(void)close(turn);
	if (r == 0)
		r = late(j, e);
	if (r == 0)
		r = luks_activate(h.luks, j->record.mapper, no_journal, e);
	if (r == 0)
		r = fill(j, e);
	if (r == 0 && j->key)
		r = format_finish(&j->device, &h, j->spec->integrity, e);
	j->record.tagged = h.tagged;
	return r;
}

static int load(struct job *j, struct err *e)
{
	cleanup_header struct header h = HEADER_NONE;
	int r;

	tell(j, "open");
	r = format_load(&h, &j->device, j->rules, j->spec, j->key, j->until, e);
	if (r == 0)
		r = late(j, e);
	j->record.tagged = h.tagged;
	return r < 0 ? r : luks_activate(h.luks, j->record.mapper, false, e);
}

static int place(const struct job *j, struct err *e)
{
	const struct record *r = &j->record;

	if (r->target == VOLUME_DEVICE)
		return place_link(r->mount_point, r->mapper, e);
	return place_mount(r->mount_point, r->mapper, r->fs, e);
}

/* Write the record. A new one: only when no other stands in its way, and no mapping of its name. */
static int keep_record(struct job *j, bool is_new, struct err *e)
{
	const char *dir = j->rules->state_dir;
	cleanup_close int table = lock_take(dir, LOCK_TABLE, deadline_in(LOCK_TABLE_MS), e);
	cleanup_records struct records all = { 0 };
	char below[VOLUME_MAPPER_MAX + 1];
	int r = table < 0 ? table : 0;

	(void)snprintf(below, sizeof below, "%.*s_dif", VOLUME_MAPPER_MAX - 4, j->record.mapper);
	if (r == 0 && is_new)
		r = records_load(&all, dir, e);
	if (r == 0 && is_new)
		r = records_admit(&all, &j->record, e);
	if (r == 0 && is_new && (dm_exists(j->record.mapper) || dm_exists(below)))
		return err_code(e, CODE_VOLUME_BUSY, "mapper name %s is taken", j->record.mapper);
	return r < 0 ? r : record_put(dir, &j->record, e);
}

/* Can it be done? Nothing is written yet. */
static int look(const struct job *j, enum device_state *state, struct err *e)
{
	int r = device_free(&j->device, e);

	if (r == 0)
		r = place_check(j->record.mount_point, j->record.target, e);
	if (r == 0)
		r = format_judge(state, &j->device, j->spec, j->key, e);
	return r < 0 ? r : late(j, e);
}

static int carry_out(struct job *j, enum device_state state, struct err *e)
{
	int r = state == STATE_LUKS ? load(j, e) : format(j, e);

	if (r == 0)
		r = late(j, e);
	if (r == 0)
		r = place(j, e);
	if (r < 0)
		return r;
	j->record.open = true;
	return keep_record(j, false, e);
}

static int open_new(struct job *j, struct err *e)
{
	enum device_state state = STATE_EMPTY;
	int r = keep_record(j, true, e);

	if (r < 0)
		return r;
	r = look(j, &state, e);
	if (r < 0) {
		(void)!record_drop(j->rules->state_dir, j->record.mapper, NULL);
		return r;
	}
	r = carry_out(j, state, e);
	/* A rollback that fails leaves its record, and whoever comes next tries again. */
	if (r < 0)
		(void)!undo(j->rules, &j->record, deadline_in(0), NULL);
	return r;
}

/* Unmounted by another hand, and still mapped. */
static int place_again(struct job *j, struct err *e)
{
	cleanup_records struct records all = { 0 };
	int r = records_load(&all, j->rules->state_dir, e);

	if (r == 0)
		r = records_admit(&all, &j->record, e);
	if (r == 0)
		r = place_check(j->record.mount_point, j->record.target, e);
	return r < 0 ? r : place(j, e);
}

/* The same volume asked for again: kata does so for every container that lists the device. */
static int open_again(struct job *j, const struct record *was, struct err *e)
{
	const struct record *now = &j->record;
	cleanup_header struct header h = HEADER_NONE;
	int r = 0;

	if (strcmp(was->mount_point, now->mount_point) != 0 || was->target != now->target ||
	    (was->target == VOLUME_FILESYSTEM && was->fs != now->fs) || was->integrity != now->integrity ||
	    was->keyed != now->keyed || (j->spec->mapper && strcmp(was->mapper, j->spec->mapper) != 0))
		return err_code(e, CODE_VOLUME_BUSY, "%s is open as %s at %.200s", was->device, was->mapper,
				was->mount_point);
	if (j->key)
		r = format_load(&h, &j->device, j->rules, j->spec, j->key, j->until, e);
	j->record = *was;
	if (r == 0 && !place_has(was->mount_point, was->mapper, was->target))
		r = place_again(j, e);
	return r;
}

/* With the device's lock held. */
static int open_held(struct job *j, struct err *e)
{
	cleanup_records struct records all = { 0 };
	const struct record *was;
	int r = records_load(&all, j->rules->state_dir, e);

	if (r < 0)
		return r;
	was = on_device(&all, &j->device);
	if (was && !undo_is_due(was))
		return open_again(j, was, e);
	if (was) {
		r = undo(j->rules, was, j->until, e);
		if (r < 0)
			return err_wrap(e, r, "%s: what an interrupted call left", was->device);
	}
	return open_new(j, e);
}

static void done(struct job *j)
{
	device_done(&j->device);
}

int volume_open(struct volume_opened *out, const struct volume_rules *rules, const struct volume_spec *spec,
		const struct secret *key, struct deadline d, const struct volume_progress *progress,
		struct err *e)
{
	__attribute__((cleanup(done))) struct job j = { .rules = rules,
							.spec = spec,
							.key = key,
							.until = d,
							.progress = progress,
							.device = DEVICE_NONE };
	cleanup_close int lock = -1;
	cleanup_free char *name = NULL;
	int r = read_spec(&j, e);

	if (r == 0 && spec->mapper)
		memcpy(j.record.mapper, spec->mapper, strlen(spec->mapper) + 1);
	else if (r == 0)
		r = random_name(j.record.mapper, e);
	if (r == 0)
		r = device_open(&j.device, rules, spec, e);
	if (r < 0)
		return r;
	memcpy(j.record.device, j.device.path, sizeof j.record.device);
	j.record.major = j.device.major;
	j.record.minor = j.device.minor;
	j.record.opened_ms = clock_boot_ms();
	name = malloc(VOLUME_MAPPER_MAX + 1);
	if (!name)
		return err_set(e, ERR_NOMEM, "no memory for a name");
	(void)!undo_due(rules, deadline_in(0), NULL);
	lock = lock_take(rules->state_dir, lock_of_device(j.device.major, j.device.minor), d, e);
	if (lock < 0)
		return lock;
	r = open_held(&j, e);
	if (r < 0)
		return r;
	memcpy(name, j.record.mapper, VOLUME_MAPPER_MAX + 1);
	*out = (struct volume_opened){ .mapper = take(name), .untagged = key && !j.record.tagged };
	return 0;
}
