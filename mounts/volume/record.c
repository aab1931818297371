/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/record.h"

#include "agent/base/fs.h"
#include "agent/base/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define RECORD_MAX 8192u
#define NAME_MAX_  (VOLUME_MAPPER_MAX - 4) /* dm-integrity's mapping is called NAME_dif */
#define SUFFIX     ".json"

const char *record_fs_name(enum volume_fs fs)
{
	return fs == VOLUME_XFS ? "xfs" : "ext4";
}

bool record_name_ok(const char *mapper)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-";
	size_t n = strlen(mapper);

	if (n < 1 || n > NAME_MAX_ || mapper[0] == '.' || mapper[0] == '-' || strspn(mapper, letters) != n)
		return false;
	/* Device mapper's own node, and what closing another volume would take away. */
	return strcmp(mapper, "control") != 0 && (n < 4 || strcmp(mapper + n - 4, "_dif") != 0);
}

/* An error of base, in the room's own words. */
static int state(struct err *e, const struct err *why)
{
	return err_code(e, CODE_VOLUME_STATE, "%s", why->msg);
}

static bool copy(char *out, size_t room, const struct json *v, const char *key)
{
	const char *s = json_string(json_get(v, key));

	if (!s || strlen(s) >= room)
		return false;
	memcpy(out, s, strlen(s) + 1);
	return true;
}

static bool parse(struct record *out, const struct json *v)
{
	const char *target = json_string(json_get(v, "target")), *fs = json_string(json_get(v, "filesystem"));
	int64_t maj, min;
	struct record r = { 0 };

	if (!target || !copy(r.mapper, sizeof r.mapper, v, "mapper") || !record_name_ok(r.mapper) ||
	    !copy(r.device, sizeof r.device, v, "device") ||
	    !copy(r.mount_point, sizeof r.mount_point, v, "mountPoint") ||
	    !json_integer(&maj, json_get(v, "major")) || !json_integer(&min, json_get(v, "minor")) ||
	    !json_integer(&r.opened_ms, json_get(v, "opened")))
		return false;
	r.major = (unsigned)maj;
	r.minor = (unsigned)min;
	r.target = strcmp(target, "device") == 0 ? VOLUME_DEVICE : VOLUME_FILESYSTEM;
	r.fs = fs && strcmp(fs, "xfs") == 0 ? VOLUME_XFS : VOLUME_EXT4;
	r.integrity = json_is_true(json_get(v, "integrity"));
	r.keyed = json_is_true(json_get(v, "keyed"));
	r.tagged = json_is_true(json_get(v, "headerTag"));
	r.open = json_is_true(json_get(v, "open"));
	*out = r;
	return true;
}

/* -ERR_NOTFOUND without a word where it is gone. */
static int read_one(struct record *out, const char *dir, const char *name, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(RECORD_MAX);
	cleanup_json struct json *doc = NULL;
	cleanup_free char *path = NULL;
	struct err why = { 0 };
	int r;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_read(&text, path, RECORD_MAX, &why);
	if (r == -(int)ERR_NOTFOUND)
		return r;
	if (r < 0 || json_parse(&doc, buf_view(&text), RECORD_MAX, &why) < 0)
		return state(e, &why);
	if (!parse(out, doc) || strlen(name) != strlen(out->mapper) + strlen(SUFFIX) ||
	    strncmp(name, out->mapper, strlen(out->mapper)) != 0)
		return err_code(e, CODE_VOLUME_STATE, "%s: is no record of a volume", path);
	return 0;
}

static void close_folder(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int older_first(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return (x->opened_ms > y->opened_ms) - (x->opened_ms < y->opened_ms);
}

void records_tidy(const char *dir)
{
	__attribute__((cleanup(close_folder))) DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		size_t n = strlen(entry->d_name), more = strlen(SUFFIX ".") + 6;
		const char *half = entry->d_name + (n > more ? n - more : 0);

		/* fs_write()'s: NAME.json, a dot and six letters. The record of the name "x.json.a" is none. */
		if (n > more && strncmp(half, SUFFIX ".", strlen(SUFFIX ".")) == 0 &&
		    !strchr(half + strlen(SUFFIX "."), '.'))
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	}
}

int records_load(struct records *out, const char *dir, struct err *e)
{
	__attribute__((cleanup(close_folder))) DIR *d = opendir(dir);
	cleanup_records struct records all = { 0 };
	struct dirent *entry;

	if (!d && errno == ENOENT) {
		*out = (struct records){ 0 };
		return 0;
	}
	if (!d)
		return err_code(e, CODE_VOLUME_STATE, "%s: %s", dir, strerrorname_np(errno));
	all.p = calloc(RECORDS_MAX, sizeof *all.p);
	if (!all.p)
		return err_set(e, ERR_NOMEM, "no memory for the volumes' records");
	while ((entry = readdir(d))) {
		size_t n = strlen(entry->d_name);
		int r;

		if (n <= strlen(SUFFIX) || strcmp(entry->d_name + n - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		if (all.n == RECORDS_MAX)
			return err_code(e, CODE_VOLUME_STATE, "%s: over %d records", dir, RECORDS_MAX);
		r = read_one(&all.p[all.n], dir, entry->d_name, e);
		/* Who only lists takes no lock: it was closed meanwhile. */
		if (r == -(int)ERR_NOTFOUND)
			continue;
		if (r < 0)
			return r;
		all.n++;
	}
	qsort(all.p, all.n, sizeof *all.p, older_first);
	*out = all;
	all.p = NULL;
	return 0;
}

void records_done(struct records *r)
{
	free(r->p);
	*r = (struct records){ 0 };
}

static void show(struct buf *b, const struct record *r)
{
	buf_puts(b, "{\"mapper\":");
	json_put_string(b, view_str(r->mapper));
	buf_puts(b, ",\"device\":");
	json_put_string(b, view_str(r->device));
	buf_puts(b, ",\"mountPoint\":");
	json_put_string(b, view_str(r->mount_point));
	buf_printf(b, ",\"target\":\"%s\"", r->target == VOLUME_DEVICE ? "device" : "fileSystem");
	if (r->target == VOLUME_FILESYSTEM)
		buf_printf(b, ",\"filesystem\":\"%s\"", record_fs_name(r->fs));
	buf_printf(b, ",\"integrity\":%s,\"keyed\":%s", r->integrity ? "true" : "false",
		   r->keyed ? "true" : "false");
	/* Nobody but us reads a keyless one's header. */
	if (r->keyed)
		buf_printf(b, ",\"headerTag\":%s", r->tagged ? "true" : "false");
}

void record_show(struct buf *json, const struct record *r)
{
	show(json, r);
	buf_puts(json, "}");
}

int record_get(struct record *out, const char *dir, const char *mapper, struct err *e)
{
	cleanup_free char *name = NULL;
	int r;

	if (asprintf(&name, "%s" SUFFIX, mapper) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = read_one(out, dir, name, e);
	return r == -(int)ERR_NOTFOUND ? 0 : r < 0 ? r : 1;
}

/* Is path below folder? */
static bool is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && path[n] == '/';
}

static int admit_place(const struct record *other, const struct record *r, struct err *e)
{
	const char *how;

	if (strcmp(other->mount_point, r->mount_point) == 0)
		how = "is there";
	else if (is_below(other->mount_point, r->mount_point))
		how = "would be hidden";
	else if (!other->open && is_below(r->mount_point, other->mount_point))
		how = "will be above it";
	else
		return 0;
	return err_code(e, CODE_VOLUME_MOUNT_POINT_IN_USE, "%.200s: the volume %s %s (%.200s)", r->mount_point,
			other->mapper, how, other->mount_point);
}

int records_admit(const struct records *all, const struct record *r, struct err *e)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct record *other = &all->p[i];
		int rc;

		if (other->major == r->major && other->minor == r->minor)
			continue;
		if (strcmp(other->mapper, r->mapper) == 0)
			return err_code(e, CODE_VOLUME_BUSY, "mapper name %s is taken by the volume on %s", r->mapper,
					other->device);
		if (device_shared(other->major, other->minor, r->major, r->minor))
			return err_code(e, CODE_VOLUME_BUSY, "%s shares its sectors with %s, which the volume %s is on",
					r->device, other->device, other->mapper);
		rc = admit_place(other, r, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int record_put(const char *dir, const struct record *r, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(RECORD_MAX);
	cleanup_free char *path = NULL;
	struct err why = { 0 };

	if (asprintf(&path, "%s/%s" SUFFIX, dir, r->mapper) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	show(&text, r);
	buf_printf(&text, ",\"major\":%u,\"minor\":%u,\"open\":%s,\"opened\":%lld}\n", r->major, r->minor,
		   r->open ? "true" : "false", (long long)r->opened_ms);
	if (buf_check(&text, "a record", &why) < 0 || fs_write(path, buf_view(&text), 0600, &why) < 0)
		return state(e, &why);
	return 0;
}

int record_drop(const char *dir, const char *mapper, struct err *e)
{
	cleanup_free char *path = NULL;

	if (asprintf(&path, "%s/%s" SUFFIX, dir, mapper) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	if (unlink(path) < 0 && errno != ENOENT)
		return err_code(e, CODE_VOLUME_STATE, "%s: %s", path, strerrorname_np(errno));
	return 0;
}
