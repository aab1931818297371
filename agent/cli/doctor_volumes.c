/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/mountd.h"
#include "agent/api/teed.h"
#include "agent/base/fs.h"
#include "agent/cli/doctor.h"
#include "agent/cli/doctor_units.h"
#include "agent/cli/volumes.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

enum { MODULES_MAX = 16u << 20, ASK_MS = 5000 };

/* Asking would start the program behind it: looked at, not connected to. */
static void check_socket(struct doctor *d, const char *check, const char *where, const char *lacks)
{
	cleanup_free char *path = fs_join(d->guest.root, where);
	struct stat st;

	if (!path)
		return;
	if (stat(path, &st) < 0)
		doctor_say(d, check, VERDICT_NOTE, "no %s: %s", path, lacks);
	else if (!S_ISSOCK(st.st_mode) || (st.st_mode & 0007) != 0)
		doctor_say(d, check, VERDICT_BAD, "%s has mode %o; it should be a socket of mode 660",
			   path, st.st_mode & 07777);
	else
		doctor_say(d, check, VERDICT_OK, "%s is there, for its group only", path);
}

/* In this kernel, loaded or to be loaded. */
static bool has_module(const char *name, const char *file)
{
	static const char *const lists[] = { "modules.dep", "modules.builtin" };
	struct utsname u;
	char path[400];
	struct err e;

	(void)snprintf(path, sizeof path, "/sys/module/%s", name);
	if (access(path, F_OK) == 0)
		return true;
	if (uname(&u) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		cleanup_buf struct buf text = BUF_MAX(MODULES_MAX);

		(void)snprintf(path, sizeof path, "/lib/modules/%.65s/%s", u.release, lists[i]);
		if (fs_read(&text, path, MODULES_MAX, &e) == 0 && strstr(buf_str(&text), file))
			return true;
	}
	return false;
}

static bool has_program(const char *name)
{
	static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin" };
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", folders[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void check_kernel(struct doctor *d)
{
	static const struct {
		const char *name, *file, *lacks;
	} rows[] = {
		{ "dm_mod", "/dm-mod.ko", "encrypted volumes" },
		{ "dm_crypt", "/dm-crypt.ko", "encrypted volumes" },
		{ "dm_integrity", "/dm-integrity.ko", "volumes with dataIntegrity" },
	};
	unsigned missing = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (has_module(rows[i].name, rows[i].file))
			continue;
		missing++;
		doctor_say(d, "volumes", VERDICT_NOTE, "the kernel has no %s: no %s (volume.kernel)",
			   rows[i].name, rows[i].lacks);
	}
	if (!has_program("mkfs.ext4")) {
		missing++;
		doctor_say(d, "volumes", VERDICT_NOTE,
			   "no mkfs.ext4 (e2fsprogs): empty volumes cannot be formatted (volume.mkfs)");
	}
	if (missing == 0)
		doctor_say(d, "volumes", VERDICT_OK, "device mapper, dm-crypt, dm-integrity, mkfs.ext4");
}

/* What was believed without a tag, which an operator should have meant. */
static void check_open(struct doctor *d)
{
	cleanup_buf struct buf text = BUF_MAX(VOLUMES_MAX);
	cleanup_json struct json *list = NULL;
	struct err e;

	if (volumes_any() <= 0)
		return;
	if (volumes_ask(&text, &list, deadline_min(d->deadline, deadline_in(ASK_MS)), &e) < 0) {
		doctor_fail(d, "volumes", &e);
		return;
	}
	for (const struct json *v = json_first(list); v; v = json_next(v))
		if (volumes_untagged(v))
			doctor_advise(d, "volumes",
				      "If vouchsafe should have made it, somebody replaced it; tagged_only of "
				      "mountd.toml refuses such volumes.",
				      "the header of %s on %s has no tag: only its form was judged",
				      json_string(json_get(v, "mapper")) ?: "-",
				      json_string(json_get(v, "device")) ?: "-");
}

void doctor_check_volumes(struct doctor *d)
{
	const char *platform = d->have_platform ? d->guest.attester->name : "";

	/* Others have their evidence of the TPM. */
	if (strcmp(platform, "snp") == 0 || strcmp(platform, "tdx") == 0)
		check_socket(d, "tee", TEED_SOCKET, "vouchsafed gets no report (vouchsafe-teed.socket)");
	check_socket(d, "volumes", MOUNTD_SOCKET,
		     "SecureMount answers volume.mountd-unreachable (vouchsafe-mountd.socket)");
	check_kernel(d);
	check_open(d);
}
