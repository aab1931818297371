/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/deliver.h"
#include "agent/base/enc.h"
#include "agent/base/fs.h"

#include <errno.h>
#include <stdio.h>

static const char peerpod[] = "/run/peerpod";
static const char initdata[] = "/run/confidential-containers/initdata";

const char *deliver_name(enum deliver_file f)
{
	static const char *const names[] = {
		[DELIVER_POLICY] = "policy.rego",
		[DELIVER_AA] = "aa.toml",
		[DELIVER_CDH] = "cdh.toml",
	};

	return names[f];
}

/* root + folder + "/" + name, malloc'd. */
static int path_of(char **out, const char *root, const char *folder, const char *name,
		   struct err *e)
{
	if (asprintf(out, "%s%s/%s", root, folder, name) < 0) {
		*out = NULL;
		return err_set(e, ERR_NOMEM, "no memory for a path");
	}
	return 0;
}

static int make_folder(const char *root, const char *folder, struct err *e)
{
	cleanup_free char *path = fs_join(root, folder);

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	return fs_mkdirs(path, 0755, e);
}

static const struct {
	const char *path;
	mode_t mode;
} extras[] = {
	[EXTRA_APF] = { "/run/peerpod/apf.json", 0600 },
	[EXTRA_AUTH] = { "/run/peerpod/auth.json", 0600 },
	[EXTRA_INITDATA] = { "/run/peerpod/initdata", 0644 },
	[EXTRA_SCRATCH] = { "/run/peerpod/scratch-space.marker", 0644 },
};

const char *deliver_extra_path(enum deliver_extra f)
{
	return extras[f].path;
}

int deliver_extra_of(struct view path)
{
	for (int f = 0; f < DELIVER_EXTRAS; f++)
		if (view_is(path, extras[f].path))
			return f;
	return -1;
}

static int put(const char *root, const char *folder, const char *name, struct view bytes,
	       struct err *e)
{
	cleanup_free char *path = NULL;
	int r = path_of(&path, root, folder, name, e);

	return r < 0 ? r : fs_write(path, bytes, 0644, e);
}

static int drop(const char *root, const char *folder, const char *name, struct err *e)
{
	cleanup_free char *path = NULL;
	int r = path_of(&path, root, folder, name, e);

	if (r < 0)
		return r;
	if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_sys(e, errno, "remove %s", path);
	return 0;
}

static int put_file(const char *root, const struct delivery *d, enum deliver_file f, struct err *e)
{
	const char *name = deliver_name(f);
	int r = 0;

	if (d->file[f].p)
		r = put(root, peerpod, name, d->file[f], e);
	if (r < 0 || f == DELIVER_POLICY)
		return r;
	return d->file[f].p ? put(root, initdata, name, d->file[f], e)
			    : drop(root, initdata, name, e);
}

static int put_extras(const char *root, const struct delivery *d, struct err *e)
{
	for (int f = 0; f < DELIVER_EXTRAS; f++) {
		cleanup_free char *path = fs_join(root, extras[f].path);
		int r;

		if (!path)
			return err_set(e, ERR_NOMEM, "no memory for a path");
		if (!d->extra[f].p)
			continue;
		r = fs_write(path, d->extra[f], extras[f].mode, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void drop_extras(const char *root, const struct delivery *d)
{
	for (int f = 0; f < DELIVER_EXTRAS; f++)
		if (d->extra[f].p)
			(void)drop(root, "", extras[f].path + 1, NULL);
}

static int put_all(const char *root, const struct delivery *d, struct err *e)
{
	char hex[2 * DIGEST_MAX + 1];
	int r;

	if ((r = make_folder(root, peerpod, e)) < 0 || (r = make_folder(root, initdata, e)) < 0)
		return r;
	for (int f = 0; f < DELIVER_FILES; f++) {
		r = put_file(root, d, (enum deliver_file)f, e);
		if (r < 0)
			return r;
	}
	enc_hex_str(hex, digest_view(&d->digest));
	r = put(root, peerpod, "initdata.digest", view_str(hex), e);
	if (r == 0)
		r = put_extras(root, d, e);
	return r < 0 ? r : put(root, initdata, "initdata.toml", d->text, e);
}

int deliver_write(const char *root, const struct delivery *d, struct err *e)
{
	int r = put_all(root, d, e);

	if (r < 0)
		drop_extras(root, d);
	return r;
}

int deliver_remove_policy(const char *root, struct err *e)
{
	static const struct {
		const char *folder, *name;
	} all[] = {
		{ peerpod, "policy.rego" },    { initdata, "policy.rego" },
		{ initdata, "initdata.toml" }, { initdata, "aa.toml" },
		{ initdata, "cdh.toml" },      { peerpod, "aa.toml" },
		{ peerpod, "cdh.toml" },       { peerpod, "initdata.digest" },
	};
	int first = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		int r = drop(root, all[i].folder, all[i].name, first < 0 ? NULL : e);

		if (first == 0)
			first = r;
	}
	return first;
}
