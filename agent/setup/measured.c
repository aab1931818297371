/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/measured.h"
#include "agent/base/fs.h"
#include "agent/base/version.h"
#include "agent/setup/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SETTINGS_PATH "/usr/lib/vouchsafe/vouchsafe.toml"

enum { SETTINGS_MAX = 64 * 1024, SMALL_MAX = 4096, AK_DEFAULT = 0x81010002 };

/* The kernel command line has NAME= followed by 64 hex digits (a SHA-256 root hash). */
static bool has_hash(const char *cmdline, const char *name)
{
	const char *p = cmdline;

	while ((p = strstr(p, name)) != NULL) {
		bool word = p == cmdline || p[-1] == ' ';

		p += strlen(name);
		if (word && strspn(p, "0123456789abcdef") == 64)
			return true;
	}
	return false;
}

/*
 * The device below a file is dm-verity and the kernel was told its root hash. systemd names the
 * mapping of root "root" and that of /usr "usr" (systemd-veritysetup-generator(8)).
 */
static bool on_verity(dev_t dev, char why[128])
{
	cleanup_buf struct buf uuid = BUF_MAX(SMALL_MAX), name = BUF_MAX(SMALL_MAX),
			       cmdline = BUF_MAX(SMALL_MAX);
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
	    fs_read(&cmdline, "/proc/cmdline", SMALL_MAX - 1, &e) < 0) {
		(void)snprintf(why, 128, "%.100s", e.msg);
		return false;
	}
	if ((view_is(buf_view(&name), "root\n") && has_hash(buf_str(&cmdline), "roothash=")) ||
	    (view_is(buf_view(&name), "usr\n") && has_hash(buf_str(&cmdline), "usrhash=")))
		return true;
	(void)snprintf(why, 128, "the kernel command line has no roothash= or usrhash= for it");
	return false;
}

static int read_settings(struct image_settings *s, const struct settings *in, struct err *e)
{
	static const char *const known[] = {
		"platform.name", "tpm.device",    "tpm.ak_handle", "initdata.pcr",
		"permit.unbound", "permit.sample", "permit.swtpm",  "permit.allow_swap",
	};
	cleanup_free char *platform = NULL, *tpm = NULL;
	uint32_t pcr = s->initdata_pcr;
	struct image_settings t = *s;
	int r = settings_only(in, known, ARRAY_LEN(known), e);

	if (r < 0 || (r = settings_text(&platform, in, "platform.name", e)) < 0 ||
	    (r = settings_text(&tpm, in, "tpm.device", e)) < 0 ||
	    (r = settings_uint(&t.ak_handle, in, "tpm.ak_handle", UINT32_MAX, e)) < 0 ||
	    (r = settings_uint(&pcr, in, "initdata.pcr", 23, e)) < 0 ||
	    (r = settings_bool(&t.unbound, in, "permit.unbound", e)) < 0 ||
	    (r = settings_bool(&t.sample, in, "permit.sample", e)) < 0 ||
	    (r = settings_bool(&t.swtpm, in, "permit.swtpm", e)) < 0 ||
	    (r = settings_bool(&t.allow_swap, in, "permit.allow_swap", e)) < 0)
		return r;
	if ((platform && strlen(platform) >= sizeof t.platform) ||
	    (tpm && strlen(tpm) >= sizeof t.tpm))
		return err_code(e, CODE_CONFIG_VALUE, "%s: a name is too long", in->text_name);
	if (!s->measured && (t.unbound || t.sample || t.swtpm || t.allow_swap || pcr != 8))
		return err_code(e, CODE_CONFIG_UNMEASURED,
				"%s has a permit or another PCR, but %s", in->text_name, s->why_not);
	if (platform)
		(void)snprintf(t.platform, sizeof t.platform, "%s", platform);
	if (tpm)
		(void)snprintf(t.tpm, sizeof t.tpm, "%s", tpm);
	t.initdata_pcr = pcr;
	*s = t;
	return 0;
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
		r = read_settings(&s, &(struct settings){ path, toml }, e);
		if (r < 0)
			return r;
	} else {
		(void)snprintf(s.why_not, sizeof s.why_not, "%.100s is not there", SETTINGS_PATH);
	}
	if (version_is_dev)
		s.unbound = s.sample = s.swtpm = s.allow_swap = true;
	*out = s;
	return 0;
}
