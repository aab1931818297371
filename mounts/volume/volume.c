/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/volume.h"

#include "agent/crypto/digest.h"
#include "mounts/volume/dm.h"
#include "mounts/volume/format.h"
#include "mounts/volume/mkfs.h"
#include "mounts/volume/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define CLOSE_MS  20000 /* for a lock that another call holds */
#define NAMES_MAX 8     /* mappings on one device */

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

/* --- undoing ------------------------------------------------------------------------------- */

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
		if (strcmp(name, r->mapper) == 0 || strncmp(name, "temporary-cryptsetup-", 21) == 0 ||
		    (strncmp(name, r->mapper, len) == 0 && strcmp(name + len, "_dif") == 0))
			n++;
	}
	return n;
}

/* Take away whatever of a record is there, and the record last. */
static int undo(const struct volume_rules *rules, const struct record *r, struct err *e)
{
	char names[NAMES_MAX][VOLUME_MAPPER_MAX + 1];
	int rc = place_remove(r->mount_point, r->mapper, r->target, e);
	size_t n;

	if (rc == 0)
		rc = luks_close(r->mapper, e);
	n = rc == 0 ? holders(names, r) : 0;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = luks_close(names[i], e);
	return rc < 0 ? rc : record_drop(rules->state_dir, r->mapper, e);
}

/* What killed processes left on the way is undone, as far as it goes. */
static void sweep(const struct volume_rules *rules, const struct records *all)
{
	for (size_t i = all->n; i-- > 0;)
		if (!all->p[i].open)
			(void)undo(rules, &all->p[i], NULL);
}

/* Take the lock, undo what was left half done, read what is open. Returns the lock. */
static int enter(struct records *out, const struct volume_rules *rules, struct deadline d, struct err *e)
{
	cleanup_close int lock = records_lock(rules->state_dir, d, e);
	cleanup_records struct records all = { 0 };
	int r;

	if (lock < 0)
		return lock;
	records_tidy(rules->state_dir);
	r = records_load(&all, rules->state_dir, e);
	if (r < 0)
		return r;
	sweep(rules, &all);
	r = records_load(out, rules->state_dir, e);
	return r < 0 ? r : take_fd(lock);
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
static struct record *on_device(const struct records *all, const struct device *d)
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
	cleanup_close int image = -1;
	cleanup_luks struct luks *l = NULL;
	bool no_journal = j->spec->integrity && !j->spec->keyed;
	int r;

	tell(j, "format");
	r = format_begin(&l, &image, &j->device, j->spec, j->key, j->until, e);
	if (r == 0)
		r = late(j, e);
	if (r == 0)
		r = luks_activate(l, j->record.mapper, NULL, no_journal, e);
	if (r == 0)
		r = fill(j, e);
	if (r == 0 && j->key)
		r = format_finish(&j->device, image, j->spec->integrity, e);
	return r;
}

static int load(struct job *j, struct err *e)
{
	cleanup_close int image = -1;
	cleanup_luks struct luks *l = NULL;
	int r;

	tell(j, "open");
	r = format_load(&l, &image, &j->device, j->rules, j->spec, j->key, e);
	if (r == 0)
		r = late(j, e);
	return r < 0 ? r : luks_activate(l, j->record.mapper, j->key, false, e);
}

static int place(const struct job *j, struct err *e)
{
	const struct record *r = &j->record;

	if (r->target == VOLUME_DEVICE)
		return place_link(r->mount_point, r->mapper, e);
	return place_mount(r->mount_point, r->mapper, r->fs, e);
}

static int carry_out(struct job *j, enum device_state state, struct err *e)
{
	int r = record_put(j->rules->state_dir, &j->record, e);

	if (r < 0)
		return r;
	r = state == STATE_LUKS ? load(j, e) : format(j, e);
	if (r == 0)
		r = late(j, e);
	if (r == 0)
		r = place(j, e);
	if (r == 0) {
		j->record.open = true;
		r = record_put(j->rules->state_dir, &j->record, e);
	}
	if (r < 0) {
		/* A rollback that fails leaves its record, and the next call tries again. */
		j->record.open = false;
		(void)undo(j->rules, &j->record, NULL);
	}
	return r;
}

static int open_new(struct job *j, const struct records *all, struct err *e)
{
	enum device_state state = STATE_EMPTY;
	char below[VOLUME_MAPPER_MAX + 1];
	int r = device_free(&j->device, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->p[i].mapper, j->record.mapper) == 0)
			return err_code(e, CODE_VOLUME_BUSY, "mapper name %s is taken by the volume on %s",
					j->record.mapper, all->p[i].device);
	(void)snprintf(below, sizeof below, "%.*s_dif", VOLUME_MAPPER_MAX - 4, j->record.mapper);
	if (dm_exists(j->record.mapper) || dm_exists(below))
		return err_code(e, CODE_VOLUME_BUSY, "mapper name %s is taken", j->record.mapper);
	r = place_check(j->record.mount_point, j->record.target, e);
	if (r == 0)
		r = format_judge(&state, &j->device, j->spec, j->key, e);
	if (r == 0)
		r = late(j, e);
	return r < 0 ? r : carry_out(j, state, e);
}

/* The same volume asked for again: kata does so for every container that lists the device. */
static int open_again(struct job *j, const struct record *was, struct err *e)
{
	const struct record *now = &j->record;
	cleanup_close int image = -1;
	cleanup_luks struct luks *l = NULL;
	int r = 0;

	if (strcmp(was->mount_point, now->mount_point) != 0 || was->target != now->target ||
	    (was->target == VOLUME_FILESYSTEM && was->fs != now->fs) || was->integrity != now->integrity ||
	    was->keyed != now->keyed || (j->spec->mapper && strcmp(was->mapper, j->spec->mapper) != 0))
		return err_code(e, CODE_VOLUME_BUSY, "%s is open as %s at %.200s", was->device, was->mapper,
				was->mount_point);
	if (j->key) {
		r = format_load(&l, &image, &j->device, j->rules, j->spec, j->key, e);
		if (r == 0)
			r = luks_activate(l, NULL, j->key, false, e);
	}
	j->record = *was;
	if (r == 0 && !place_has(was->mount_point, was->mapper, was->target)) {
		r = place_check(was->mount_point, was->target, e);
		if (r == 0)
			r = place(j, e);
	}
	return r;
}

static int open_locked(struct job *j, const struct records *all, struct err *e)
{
	struct record *was = on_device(all, &j->device);
	int r;

	/* Closed by another hand (the forwarder of peer pods runs cryptsetup itself): forget it. */
	if (was && !dm_exists(was->mapper)) {
		r = undo(j->rules, was, e);
		if (r < 0)
			return r;
		was->mapper[0] = '\0';
		was = NULL;
	}
	if (was && was->open)
		return open_again(j, was, e);
	if (was)
		return err_code(e, CODE_VOLUME_BUSY, "%s: what an interrupted call left is in use", was->device);
	return open_new(j, all, e);
}

static void done(struct job *j)
{
	device_done(&j->device);
}

int volume_open(char **mapper, const struct volume_rules *rules, const struct volume_spec *spec,
		const struct secret *key, struct deadline d, const struct volume_progress *progress,
		struct err *e)
{
	__attribute__((cleanup(done))) struct job j = { .rules = rules,
							.spec = spec,
							.key = key,
							.until = d,
							.progress = progress,
							.device = DEVICE_NONE };
	cleanup_records struct records all = { 0 };
	cleanup_close int lock = -1;
	cleanup_free char *name = NULL;
	int r = read_spec(&j, e);

	if (r == 0 && spec->mapper)
		memcpy(j.record.mapper, spec->mapper, strlen(spec->mapper) + 1);
	else if (r == 0)
		r = random_name(j.record.mapper, e);
	if (r < 0)
		return r;
	lock = enter(&all, rules, d, e);
	if (lock < 0)
		return lock;
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
	r = open_locked(&j, &all, e);
	if (r < 0)
		return r;
	memcpy(name, j.record.mapper, VOLUME_MAPPER_MAX + 1);
	*mapper = take(name);
	return 0;
}

/* --- closing, listing ----------------------------------------------------------------------- */

int volume_close(const struct volume_rules *rules, const char *mapper, struct err *e)
{
	cleanup_records struct records all = { 0 };
	cleanup_close int lock = -1;

	if (!record_name_ok(mapper))
		return err_code(e, CODE_VOLUME_MAPPER_NAME, "mapper name \"%.127s\"", mapper);
	lock = enter(&all, rules, deadline_in(CLOSE_MS), e);
	if (lock < 0)
		return lock;
	for (size_t i = 0; i < all.n; i++)
		if (strcmp(all.p[i].mapper, mapper) == 0)
			return undo(rules, &all.p[i], e);
	if (dm_exists(mapper))
		return err_code(e, CODE_VOLUME_UNKNOWN, "%s was not opened by vouchsafe", mapper);
	return 0;
}

int volume_close_all(const struct volume_rules *rules, struct err *e)
{
	cleanup_records struct records all = { 0 };
	cleanup_close int lock = enter(&all, rules, deadline_in(CLOSE_MS), e);
	int first = 0;

	if (lock < 0)
		return lock;
	for (size_t i = all.n; i-- > 0;) {
		int r = undo(rules, &all.p[i], first == 0 ? e : NULL);

		if (first == 0)
			first = r;
	}
	return first;
}

static const struct record *half_done(const struct records *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (!all->p[i].open)
			return &all->p[i];
	return NULL;
}

bool volume_half_done(const struct volume_rules *rules)
{
	cleanup_records struct records all = { 0 };

	return records_load(&all, rules->state_dir, NULL) == 0 && half_done(&all);
}

int volume_recover(const struct volume_rules *rules, struct err *e)
{
	cleanup_records struct records all = { 0 };
	cleanup_close int lock = enter(&all, rules, deadline_in(CLOSE_MS), e);
	const struct record *left;

	if (lock < 0)
		return lock;
	left = half_done(&all);
	return left ? err_code(e, CODE_VOLUME_BUSY, "%s: what an interrupted call left is in use", left->device) : 0;
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
