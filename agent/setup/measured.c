/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/measured.h"
#include "agent/base/fs.h"
#include "agent/base/version.h"
#include "agent/setup/cmdline.h"
#include "agent/setup/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SETTINGS_PATH "/usr/lib/vouchsafe/vouchsafe.toml"

enum { SETTINGS_MAX = 64 * 1024, SMALL_MAX = 4096, AK_DEFAULT = 0x81010002 };

static const char *const keys[IMAGE_KEYS] = {
	[IMAGE_PLATFORM] = "platform.name",
	[IMAGE_TPM] = "tpm.device",
	[IMAGE_AK] = "tpm.ak_handle",
	[IMAGE_PCR] = "initdata.pcr",
	[IMAGE_ADDITIONAL] = "platform.additional",
	[IMAGE_PERMIT_UNBOUND] = "permit.unbound",
	[IMAGE_PERMIT_SAMPLE] = "permit.sample",
	[IMAGE_PERMIT_SWTPM] = "permit.swtpm",
	[IMAGE_PERMIT_SWAP] = "permit.allow_swap",
	[IMAGE_PERMIT_DEBUG] = "permit.debug",
};

/* The kernel command line has NAME= with 64 hex digits (a SHA-256 root hash). */
static bool has_hash(const struct cmdline *line, const char *name)
{
	const char *value = NULL;

	return cmdline_get(&value, line, name, NULL) == 1 && strlen(value) == 64 &&
	       strspn(value, "0123456789abcdef") == 64;
}

/*
 * The device below a file is dm-verity and the kernel was told its root hash. systemd names the
 * mapping of root "root" and that of /usr "usr" (systemd-veritysetup-generator(8)).
 */
static bool on_verity(dev_t dev, char why[128])
{
	cleanup_buf struct buf uuid = BUF_MAX(SMALL_MAX), name = BUF_MAX(SMALL_MAX);
	cleanup_cmdline struct cmdline line = { 0 };
	char path[96];
	struct err e;

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/dm/uuid", major(dev), minor(dev));
	if (fs_read(&uuid, path, SMALL_MAX - 1, &e) < 0 ||
	    !view_starts(buf_view(&uuid), "CRYPT-VERITY-")) {
		(void)snprintf(why, 128, "its mount is not on dm-verity");
		return false;
	}
	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/dm/name", major(dev), minor(dev));
	if (fs_read(&name, path, SMALL_MAX - 1, &e) < 0 ||
	    cmdline_read(&line, "", &e) < 0) {
		(void)snprintf(why, 128, "%.100s", e.msg);
		return false;
	}
	if ((view_is(buf_view(&name), "root\n") && has_hash(&line, "roothash")) ||
	    (view_is(buf_view(&name), "usr\n") && has_hash(&line, "usrhash")))
		return true;
	(void)snprintf(why, 128, "the kernel command line has no roothash= or usrhash= for it");
	return false;
}

/* Names only: whether there is such a device, and beside this platform, is asked at the platform. */
static int read_additional(struct image_settings *t, const struct settings *in, struct err *e)
{
	char **list = NULL;
	size_t n = 0;
	int r = settings_list(&list, &n, in, keys[IMAGE_ADDITIONAL], IMAGE_ADDITIONAL_MAX, e);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (strlen(list[i]) >= sizeof t->additional[i])
			r = err_code(e, CODE_CONFIG_VALUE, "%s: a name is too long", in->text_name);
		for (size_t k = 0; r == 0 && k < i; k++)
			if (strcmp(list[k], list[i]) == 0)
				r = err_code(e, CODE_CONFIG_VALUE, "%s: platform.additional has %s twice",
					     in->text_name, list[i]);
		if (r == 0)
			(void)snprintf(t->additional[i], sizeof t->additional[i], "%s", list[i]);
	}
	settings_list_free(list, n);
	t->n_additional = n;
	return r;
}

static int read_settings(struct image_settings *s, const struct settings *in, struct err *e)
{
	cleanup_free char *platform = NULL, *tpm = NULL;
	uint32_t pcr = s->initdata_pcr;
	struct image_settings t = *s;
	int r = settings_only(in, keys, ARRAY_LEN(keys), e);

	if (r < 0 || (r = settings_text(&platform, in, "platform.name", e)) < 0 ||
	    (r = settings_text(&tpm, in, "tpm.device", e)) < 0 ||
	    (r = settings_uint(&t.ak_handle, in, "tpm.ak_handle", UINT32_MAX, e)) < 0 ||
	    (r = settings_uint(&pcr, in, "initdata.pcr", 23, e)) < 0 ||
	    (r = read_additional(&t, in, e)) < 0 ||
	    (r = settings_bool(&t.unbound, in, "permit.unbound", e)) < 0 ||
	    (r = settings_bool(&t.sample, in, "permit.sample", e)) < 0 ||
	    (r = settings_bool(&t.swtpm, in, "permit.swtpm", e)) < 0 ||
	    (r = settings_bool(&t.allow_swap, in, "permit.allow_swap", e)) < 0 ||
	    (r = settings_bool(&t.debug, in, "permit.debug", e)) < 0)
		return r;
	if ((platform && strlen(platform) >= sizeof t.platform) ||
	    (tpm && strlen(tpm) >= sizeof t.tpm))
		return err_code(e, CODE_CONFIG_VALUE, "%s: a name is too long", in->text_name);
	if (!s->measured &&
	    (t.unbound || t.sample || t.swtpm || t.allow_swap || t.debug || pcr != 8 ||
	     t.n_additional > 0))
		return err_code(e, CODE_CONFIG_UNMEASURED,
				"%s has a permit, another PCR or additional devices, but %s", in->text_name, s->why_not);
	if (platform)
		(void)snprintf(t.platform, sizeof t.platform, "%s", platform);
	if (tpm)
		(void)snprintf(t.tpm, sizeof t.tpm, "%s", tpm);
	t.initdata_pcr = pcr;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		r = settings_given(in, keys[i], &t.line[i], e);
		if (r < 0)
			return r;
	}
	*s = t;
	return 0;
}

bool measured_file(int fd, char why_not[128])
{
	struct stat st;

	if (version_is_dev)
		return true;
	if (fstat(fd, &st) < 0) {
		(void)snprintf(why_not, 128, "fstat: %s", strerrorname_np(errno));
		return false;
	}
	return on_verity(st.st_dev, why_not);
}

const char *image_key_name(enum image_key key)
{
	return keys[key];
}

void image_put_value(struct buf *out, const struct image_settings *s, enum image_key key)
{
	const bool permits[] = { s->unbound, s->sample, s->swtpm, s->allow_swap, s->debug };

	switch (key) {
	case IMAGE_PLATFORM:
		buf_puts(out, s->platform[0] ? s->platform : "detected");
		break;
	case IMAGE_TPM:
		buf_puts(out, s->tpm);
		break;
	case IMAGE_AK:
		buf_printf(out, "0x%08x", s->ak_handle);
		break;
	case IMAGE_PCR:
		buf_printf(out, "%u", s->initdata_pcr);
		break;
	case IMAGE_ADDITIONAL:
		for (size_t i = 0; i < s->n_additional; i++)
			buf_printf(out, "%s%s", i ? ", " : "", s->additional[i]);
		buf_puts(out, s->n_additional ? "" : "none");
		break;
	default:
		buf_puts(out, permits[key - IMAGE_PERMIT_UNBOUND] ? "true" : "false");
	}
}

int measured_load(struct image_settings *out, const char *root, struct err *e)
{
	struct image_settings s = { .ak_handle = AK_DEFAULT, .initdata_pcr = 8 };
	cleanup_free char *path = fs_join(root, SETTINGS_PATH);
	cleanup_buf struct buf text = BUF_MAX(SETTINGS_MAX);
	cleanup_toml struct toml *toml = NULL;
	cleanup_close int fd = -1;
	struct stat st;
	int r;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	(void)snprintf(s.tpm, sizeof s.tpm, "/dev/tpmrm0");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno != ENOENT)
		return err_sys(e, errno, "open %s", path);
	if (fd >= 0) {
		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			return err_code(e, CODE_CONFIG_SYNTAX, "%s is not a regular file", path);
		s.present = true;
		s.measured = version_is_dev || on_verity(st.st_dev, s.why_not);
		r = fs_read_fd(&text, fd, SETTINGS_MAX, path, e);
		if (r < 0)
			return r;
		r = toml_parse(&toml, buf_view(&text), e);
		if (r < 0)
			return err_wrap_code(e, CODE_CONFIG_SYNTAX, "%s", path);
		r = read_settings(&s, &(struct settings){ .text_name = path, .root = toml }, e);
		if (r < 0)
			return r;
	} else {
		(void)snprintf(s.why_not, sizeof s.why_not, "%.100s is not there", SETTINGS_PATH);
	}
	if (version_is_dev)
		s.unbound = s.sample = s.swtpm = s.allow_swap = s.debug = true;
	*out = s;
	return 0;
}
