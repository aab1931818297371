/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/mountd_rules.h"
#include "agent/base/fs.h"
#include "agent/setup/measured.h"
#include "agent/setup/settings.h"

#include <errno.h>
#include <fcntl.h>

enum { FILE_MAX = 64 * 1024 };

/* Disks that a hypervisor attaches, by the kernel's names for them, and kata's name for its own. */
static const char *const default_devices[] = { "/dev/vd*",  "/dev/sd*",   "/dev/nvme*",
					       "/dev/xvd*", "/dev/dasd*", "/dev/trusted_store" };

/* kata-agent's storages and trusted image storage, the forwarder's cloud volumes, a person's. */
static const char *const default_prefixes[] = { "/run/kata-containers", "/run/cloud-volumes", "/mnt" };

static const char *const keys[] = { "volumes.devices", "volumes.mount_prefixes",
				    "volumes.tagged_only" };

/* An empty list would allow everything. */
static int check_list(char *const *list, size_t n, const char *key, const char *begin, struct err *e)
{
	if (n == 0)
		return err_code(e, CODE_CONFIG_VALUE, "%s: %s is empty", MOUNTD_RULES_PATH, key);
	for (size_t i = 0; i < n; i++)
		if (strncmp(list[i], begin, strlen(begin)) != 0 || strstr(list[i], "/../") ||
		    list[i][strlen(begin)] == '\0')
			return err_code(e, CODE_CONFIG_VALUE, "%s: %s has \"%.100s\", want what begins with %s",
					MOUNTD_RULES_PATH, key, list[i], begin);
	return 0;
}

static int read_list(char ***out, size_t *n, const struct settings *in, const char *key,
		     const char *begin, struct err *e)
{
	int r = settings_list(out, n, in, key, MOUNTD_RULES_MAX, e);

	return r < 0 || !*out ? r : check_list(*out, *n, key, begin, e);
}

/* true and false say something each, and so does silence. */
static int read_tags(enum volume_tags *out, const struct settings *in, struct err *e)
{
	bool value = false, other = true;
	int r;

	if ((r = settings_bool(&value, in, keys[2], e)) < 0 || (r = settings_bool(&other, in, keys[2], e)) < 0)
		return r;
	if (value == other)
		*out = value ? VOLUME_TAGS_ALL : VOLUME_TAGS_NONE;
	return 0;
}

static int read_rules(struct mountd_rules *out, const struct settings *in, struct err *e)
{
	struct volume_rules *v = &out->volume;
	size_t n_devices = 0, n_prefixes = 0;
	int r;

	if ((r = settings_only(in, keys, ARRAY_LEN(keys), e)) < 0 ||
	    (r = read_list(&out->devices, &n_devices, in, keys[0], "/dev/", e)) < 0 ||
	    (r = read_list(&out->mount_prefixes, &n_prefixes, in, keys[1], "/", e)) < 0 ||
	    (r = read_tags(&v->tags, in, e)) < 0)
		return r;
	if (out->devices) {
		v->devices = (const char *const *)out->devices;
		v->n_devices = n_devices;
	}
	if (out->mount_prefixes) {
		v->mount_prefixes = (const char *const *)out->mount_prefixes;
		v->n_mount_prefixes = n_prefixes;
	}
	return 0;
}

static int read_file(struct mountd_rules *out, const char *path, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup_buf struct buf text = BUF_MAX(FILE_MAX);
	cleanup_toml struct toml *toml = NULL;
	char why[128] = "";
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "open %s", path);
	if (!measured_file(fd, why))
		return err_code(e, CODE_CONFIG_UNMEASURED, "%s is there, but %s", path, why);
	if ((r = fs_read_fd(&text, fd, FILE_MAX, path, e)) < 0)
		return r;
	if ((r = toml_parse(&toml, buf_view(&text), e)) < 0)
		return err_wrap_code(e, CODE_CONFIG_SYNTAX, "%s", path);
	out->from_file = true;
	return read_rules(out, &(struct settings){ .text_name = path, .root = toml }, e);
}

int mountd_rules_load(struct mountd_rules *out, const char *root, struct err *e)
{
	cleanup_free char *path = fs_join(root, MOUNTD_RULES_PATH);

	out->state_dir = fs_join(root, MOUNTD_STATE_DIR);
	if (!path || !out->state_dir)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	out->volume = (struct volume_rules){
		.devices = default_devices,
		.n_devices = ARRAY_LEN(default_devices),
		.mount_prefixes = default_prefixes,
		.n_mount_prefixes = ARRAY_LEN(default_prefixes),
		.state_dir = out->state_dir,
	};
	return read_file(out, path, e);
}

void mountd_rules_done(struct mountd_rules *r)
{
	settings_list_free(r->devices, r->devices ? r->volume.n_devices : 0);
	settings_list_free(r->mount_prefixes, r->mount_prefixes ? r->volume.n_mount_prefixes : 0);
	free(r->state_dir);
	*r = (struct mountd_rules){ 0 };
}
