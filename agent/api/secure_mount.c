/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/secure_mount.h"

#include "agent/api/wire.h"

#include <stdio.h>

#define cleanup_wire __attribute__((cleanup(wire_mount_done)))

/* The value of an option; p NULL when it is not given, which an empty one is not. */
static struct view option(const struct wire_mount *w, const char *name)
{
	static const uint8_t empty[1];

	for (size_t i = 0; i < w->n_options; i++) {
		struct view v = w->options[i].value;

		if (view_is(w->options[i].key, name))
			return v.p ? v : (struct view){ empty, 0 };
	}
	return (struct view){ NULL, 0 };
}

static int wrong(const char *name, struct view v, const char *want, struct err *e)
{
	if (!v.p)
		return err_code(e, CODE_VOLUME_OPTION, "%s is missing: want %s", name, want);
	return err_code(e, CODE_VOLUME_OPTION, "%s is \"%.*s\": want %s", name, VIEW_ARG(v), want);
}

static int copy(char **out, struct view v, struct err *e)
{
	*out = strndup((const char *)v.p, v.len);
	return *out ? 0 : err_set(e, ERR_NOMEM, "no memory for an option");
}

/* One of two words. fallback: what an absent option is, -1: it may not be absent. */
static int take_word(bool *out, const struct wire_mount *w, const char *name, const char *no,
		     const char *yes, int fallback, struct err *e)
{
	struct view v = option(w, name);
	char want[64];

	(void)snprintf(want, sizeof want, "%s or %s", no, yes);
	if (!v.p && fallback >= 0)
		*out = fallback == 1;
	else if (v.p && view_is(v, yes))
		*out = true;
	else if (v.p && view_is(v, no))
		*out = false;
	else
		return wrong(name, v, want, e);
	return 0;
}

static int take_number(unsigned *out, struct view *v)
{
	uint64_t n = 0;
	size_t digits = 0;

	while (v->len > 0 && v->p[0] >= '0' && v->p[0] <= '9' && digits < 10) {
		n = n * 10 + (uint64_t)(v->p[0] - '0');
		*v = (struct view){ v->p + 1, v->len - 1 };
		digits++;
	}
	if (digits == 0 || n > UINT32_MAX)
		return -1;
	*out = (unsigned)n;
	return 0;
}

static int take_device(struct mountd_volume *out, const struct wire_mount *w, struct err *e)
{
	struct view id = option(w, "deviceId"), path = option(w, "devicePath"), rest = id;

	if (!id.p) {
		if (!path.p)
			return err_code(e, CODE_VOLUME_OPTION,
					"neither deviceId nor devicePath is given");
		if (path.len == 0 || path.len > SECURE_MOUNT_PATH_MAX || path.p[0] != '/')
			return wrong("devicePath", path, "an absolute path", e);
		return copy(&out->device, path, e);
	}
	if (take_number(&out->major, &rest) == 0 && rest.len > 0 && rest.p[0] == ':') {
		rest = (struct view){ rest.p + 1, rest.len - 1 };
		if (take_number(&out->minor, &rest) == 0 && rest.len == 0)
			return 0;
	}
	return wrong("deviceId", id, "MAJ:MIN", e);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

static int take_mkfs(struct mountd_volume *out, const struct wire_mount *w, struct err *e)
{
	struct view v = option(w, "mkfsOpts");
	size_t at = 0;
	int r;

	if (v.len > MOUNTD_TEXT_MAX)
		return err_code(e, CODE_VOLUME_OPTION, "mkfsOpts of %zu bytes, allowed %d", v.len,
				MOUNTD_TEXT_MAX);
	while (at < v.len) {
		size_t from = at;

		while (at < v.len && !is_space(v.p[at]))
			at++;
		if (at > from) {
			if (out->n_mkfs_args == MOUNTD_ARGS_MAX)
				return err_code(e, CODE_VOLUME_OPTION, "mkfsOpts has over %d words",
						MOUNTD_ARGS_MAX);
			r = copy(&out->mkfs_args[out->n_mkfs_args],
				 (struct view){ v.p + from, at - from }, e);
			if (r < 0)
				return r;
			out->n_mkfs_args++;
		}
		at += at < v.len;
	}
	return 0;
}

/* The order of upstream: sealed, then a URI, then a file. */
static int take_key(struct secure_mount *out, const struct wire_mount *w, struct err *e)
{
	static const char file[] = "file://";
	struct view v = option(w, "key");

	if (!v.p)
		return 0;
	if (view_starts(v, "sealed.")) {
		out->kind = SECURE_MOUNT_SEALED;
	} else if (view_starts(v, "kbs://") || view_starts(v, "kbs+")) {
		if (v.len > SECURE_MOUNT_PATH_MAX)
			return err_code(e, CODE_VOLUME_KEY_SCHEME, "key of %zu bytes", v.len);
		out->kind = SECURE_MOUNT_KBS;
	} else if (view_starts(v, file) && v.len - sizeof file + 1 <= SECURE_MOUNT_PATH_MAX) {
		v = (struct view){ v.p + sizeof file - 1, v.len - sizeof file + 1 };
		if (v.len == 0 || v.p[0] != '/')
			return err_code(e, CODE_VOLUME_KEY_SCHEME,
					"key is file:// without an absolute path");
		out->kind = SECURE_MOUNT_FILE;
	} else {
		/* Whoever writes the key itself into the option has it in no log. */
		return err_code(e, CODE_VOLUME_KEY_SCHEME,
				"key of %zu bytes begins with none of sealed. kbs:// file://", v.len);
	}
	out->volume.keyed = true;
	return copy(&out->key, v, e);
}

static int take_encryption(const struct wire_mount *w, struct err *e)
{
	struct view v = option(w, "encryptionType");

	if (v.p && view_is(v, "zfs"))
		return err_code(e, CODE_VOLUME_ZFS, "encryptionType zfs");
	return v.p && view_is(v, "luks2") ? 0 : wrong("encryptionType", v, "luks2", e);
}

static int take_names(struct mountd_volume *out, const struct wire_mount *w, struct err *e)
{
	struct view mapper = option(w, "mapperName"), at = w->mount_point;
	int r = 0;

	if (mapper.p && (mapper.len == 0 || mapper.len > MOUNTD_MAPPER_MAX))
		return err_code(e, CODE_VOLUME_OPTION, "mapperName of %zu bytes, allowed 1..%d",
				mapper.len, MOUNTD_MAPPER_MAX);
	if (at.len == 0 || at.len > SECURE_MOUNT_PATH_MAX || at.p[0] != '/')
		return err_code(e, CODE_VOLUME_OPTION, "mount_point is \"%.*s\": want an absolute path",
				VIEW_ARG(at));
	if (mapper.p)
		r = copy(&out->mapper, mapper, e);
	return r < 0 ? r : copy(&out->mount_point, at, e);
}

static int take_all(struct secure_mount *out, const struct wire_mount *w, struct err *e)
{
	struct mountd_volume *v = &out->volume;
	int r;

	if (!view_is(w->volume_type, "block-device"))
		return err_code(e, CODE_VOLUME_TYPE, "volume_type \"%.*s\"", VIEW_ARG(w->volume_type));
	if ((r = take_encryption(w, e)) < 0 || (r = take_device(v, w, e)) < 0 ||
	    (r = take_word(&v->encrypted, w, "sourceType", "empty", "encrypted", -1, e)) < 0 ||
	    (r = take_word(&v->filesystem, w, "targetType", "device", "fileSystem", -1, e)) < 0 ||
	    (r = take_word(&v->xfs, w, "filesystemType", "ext4", "xfs", 0, e)) < 0 ||
	    (r = take_word(&v->integrity, w, "dataIntegrity", "false", "true", 0, e)) < 0 ||
	    (r = take_mkfs(v, w, e)) < 0 || (r = take_names(v, w, e)) < 0)
		return r;
	return take_key(out, w, e);
}

int secure_mount_parse(struct secure_mount *out, struct view payload, struct err *e)
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	cleanup_wire struct wire_mount w = { 0 };
	int r = wire_mount_decode(&w, payload, e);

	if (r == 0)
		r = take_all(&m, &w, e);
	if (r < 0)
		return r;
	*out = m;
	m = (struct secure_mount){ 0 };
	return 0;
}

void secure_mount_done(struct secure_mount *m)
{
	mountd_volume_done(&m->volume);
	free(m->key);
	*m = (struct secure_mount){ 0 };
}
