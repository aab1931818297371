/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/cli/doctor_console.h"
#include "agent/setup/cmdline.h"
#include "attester/cc_eventlog.h"
#include "attester/tdx_guest.h"
#include "mounts/swap.h"

#include <stdio.h>

enum { SMALL_MAX = 4096 };

/* One EFI variable: four bytes of attributes, then its value. */
#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* A small file of the guest, without its newline. */
static bool read_small(struct buf *out, const struct doctor *d, const char *path)
{
	cleanup_free char *full = fs_join(d->guest.root, path);

	if (!full || fs_read(out, full, SMALL_MAX, NULL) < 0)
		return false;
	while (out->len > 0 && out->p[out->len - 1] == '\n')
		out->p[--out->len] = '\0';
	return true;
}

static bool is_there(const struct doctor *d, const char *path)
{
	cleanup_free char *full = fs_join(d->guest.root, path);

	return full && access(full, F_OK) == 0;
}

/* --- how it booted ------------------------------------------------------------------------------- */

static void check_boot(struct doctor *d)
{
	const struct bootfacts *f = &d->boot;
	const char *phases = f->phases[0] ? f->phases : "none";

	if (f->cmdline_measured)
		doctor_say(d, "boot", VERDICT_OK,
			   "the registers hold what the boot log says, and the kernel command line is "
			   "the measured one (%s; boot phases: %s)",
			   f->boot.is_uki ? "unified kernel image" : "measured by the kernel", phases);
	else if (!d->have_platform)
		doctor_say(d, "boot", VERDICT_SKIP, "no platform whose registers could be compared");
	else
		doctor_advise(d, "boot",
			      "Boot a unified kernel image under UEFI with a TPM or as a TDX guest; "
			      "run doctor as root, with securityfs mounted, so that it may read the log.",
			      "the kernel command line is not known to be measured: %s", f->why);
}

/* TDX evidence carries the log, or goes without it: then a policy that asks for events denies. */
static void check_cc_log(struct doctor *d)
{
	cleanup_buf struct buf log = BUF_MAX(CC_EVENTLOG_MAX);
	uint8_t rtmr[TEE_RTMRS][TEE_DIGEST];
	char why[CC_WHY_MAX] = "";
	struct err e;
	int r = 0;

	if (!d->have_platform || strcmp(d->guest.attester->name, "tdx") != 0)
		return;
	for (unsigned i = 0; r == 0 && i < TEE_RTMRS; i++)
		r = tdx_rtmr_read(d->guest.env.root_fd, i, rtmr[i], &e);
	if (r == 0)
		r = cc_eventlog_why(&log, &d->guest.env, rtmr, why, &e);
	if (r < 0)
		doctor_say(d, "cc-eventlog", VERDICT_NOTE, "not known whether it fits: %s", e.msg);
	else if (log.len > 0)
		doctor_say(d, "cc-eventlog", VERDICT_OK,
			   "%zu bytes go with the evidence, and the RTMRs hold what they say", log.len);
	else
		doctor_advise(d, "cc-eventlog",
			      "A log that differs from the RTMRs is firmware's or the host's fault, or "
			      "something extended an RTMR without writing it down.",
			      "evidence goes without an event log, so a policy sees no events: %s", why);
}

static void check_verity(struct doctor *d, struct verity_mount *m, const char *path)
{
	static const char remedy[] =
		"Build the image with a read-only root on dm-verity and its root hash (roothash=, "
		"usrhash=) in the command line of a unified kernel image.";

	verity_look(m, d->guest.root, path, &d->boot);
	if (!m->known)
		doctor_say(d, "verity", VERDICT_SKIP, "%s: %s", path, m->why);
	else if (strcmp(path, "/usr") == 0 && !m->own)
		return; /* it is a folder of the other */
	else if (!m->verity)
		doctor_advise(d, "verity", remedy, "%s: %s", path, m->why);
	else if (!m->measured)
		doctor_advise(d, "verity", remedy, "%s is on dm-verity %s, root hash %s%s, not measured: %s",
			      path, m->name, m->hash[0] ? m->hash : "unknown",
			      m->from == VERITY_HASH_CMDLINE ? " (by the command line)" : "", m->why);
	else
		doctor_say(d, "verity", VERDICT_OK,
			   "%s is on dm-verity %s, root hash %s%s, the measured one", path, m->name,
			   m->hash,
			   m->from == VERITY_HASH_CMDLINE ? " (by the command line; the mapping's "
							    "table is for root)" :
							    "");
}

static void check_read_only(struct doctor *d)
{
	const struct verity_mount *m = &d->verity[0];

	if (!m->known)
		return;
	if (m->read_only)
		doctor_say(d, "read-only", VERDICT_OK, "/ (%s) is mounted read-only", m->type);
	else
		doctor_advise(d, "read-only",
			      "Boot with ro on the kernel command line and a file system that is never "
			      "written (erofs, squashfs); keep what changes on tmpfs.",
			      "/ (%s) is writable%s", m->type,
			      m->lower_only ? ": an overlay over a read-only layer" : "");
}

/* 1 on, 0 off, -1 unknown. */
static int secure_boot(const struct doctor *d)
{
	cleanup_buf struct buf b = BUF_MAX(SMALL_MAX);

	if (read_small(&b, d, SECURE_BOOT) && b.len == 5)
		return b.p[4] == 1;
	return d->boot.replays ? d->boot.boot.secure_boot : -1;
}

static void check_secure_boot(struct doctor *d)
{
	static const char remedy[] = "Sign the image (sbsign) and enrol the key in the VM's firmware. "
				     "Where PCR 4 and 11, or the RTMRs, are in Trustee's policy, they "
				     "say more than Secure Boot does.";
	int on = secure_boot(d);
	bool agree = d->boot.replays && d->boot.boot.secure_boot == on;

	if (on == 1)
		doctor_say(d, "secure-boot", VERDICT_OK, "on%s",
			   agree ? ", and measured (PCR 7)" : "");
	else
		doctor_advise(d, "secure-boot", remedy, "%s",
			      on == 0 ? "off" : "not known: firmware shows no variable SecureBoot");
}

/* --- what the image leaves open ------------------------------------------------------------------ */

/* NAME=value on the kernel command line is one of those words. */
static bool given(const struct cmdline *line, const char *name, const char *const *words)
{
	const char *value = NULL;

	if (cmdline_get(&value, line, name, NULL) != 1)
		return false;
	for (; *words; words++)
		if (strcmp(value, *words) == 0)
			return true;
	return false;
}

static void check_cmdline(struct doctor *d)
{
	static const char *const no[] = { "no", "n", "false", "f", "off", "0", NULL };
	static const char *const yes[] = { "1", "y", "Y", "on", NULL };
	cleanup_cmdline struct cmdline line = { 0 };
	struct err e;

	if (cmdline_read(&line, d->guest.root, &e) < 0) {
		doctor_say(d, "cmdline", VERDICT_SKIP, "%s", e.msg);
		return;
	}
	if (given(&line, "systemd.import_credentials", no))
		doctor_say(d, "credentials", VERDICT_OK, "systemd takes no credentials from the host");
	else
		doctor_advise(d, "credentials",
			      "Add systemd.import_credentials=no to the image's kernel command line.",
			      "the host may hand systemd credentials (SMBIOS, fw_cfg): they can add units, "
			      "users and files");
	if (given(&line, "init_on_free", yes))
		doctor_say(d, "init-on-free", VERDICT_OK, "freed memory is erased by the kernel");
	else
		doctor_advise(d, "init-on-free",
			      "Add init_on_free=1 to the image's kernel command line.",
			      "freed pages keep what ended containers left in them (no init_on_free=1 on "
			      "the kernel command line)");
}

static void check_swap(struct doctor *d)
{
	char name[256] = "";
	bool clear = false;
	struct err e;

	if (!is_there(d, "/proc/swaps"))
		doctor_say(d, "swap", VERDICT_SKIP, "/proc/swaps is not there");
	else if (swap_in_clear(d->guest.root, &clear, name, &e) < 0)
		doctor_say(d, "swap", VERDICT_SKIP, "%s", e.msg);
	else if (clear)
		doctor_say(d, "swap", VERDICT_BAD,
			   "swap is on (%s): containers' memory can reach it in clear", name);
	else
		doctor_say(d, "swap", VERDICT_OK, "off, or encrypted");
}

static void check_core(struct doctor *d)
{
	static const char *const harmless[] = { "", "|/bin/false", "|/usr/bin/false", "|/bin/true",
						"|/usr/bin/true", "/dev/null", NULL };
	static const char remedy[] = "Set kernel.core_pattern = |/bin/false in a file of "
				     "/usr/lib/sysctl.d, and leave systemd-coredump out of the image.";
	cleanup_buf struct buf b = BUF_MAX(SMALL_MAX);

	if (!read_small(&b, d, "/proc/sys/kernel/core_pattern")) {
		doctor_say(d, "core-dumps", VERDICT_SKIP, "/proc/sys/kernel/core_pattern is not there");
		return;
	}
	for (size_t i = 0; harmless[i]; i++)
		if (view_is(buf_view(&b), harmless[i])) {
			doctor_say(d, "core-dumps", VERDICT_OK, "none are kept");
			return;
		}
	if (b.p[0] == '|')
		doctor_advise(d, "core-dumps", remedy,
			      "the memory of a program that crashes goes to %.200s", buf_str(&b) + 1);
	else
		doctor_advise(d, "core-dumps", remedy,
			      "the memory of a program that crashes may be written to a file (%.200s)",
			      buf_str(&b));
}

static void check_cloud_init(struct doctor *d)
{
	static const char *const places[] = { "/usr/bin/cloud-init", "/run/cloud-init",
					      "/usr/lib/cloud-init", NULL };

	for (size_t i = 0; places[i]; i++)
		if (is_there(d, places[i])) {
			doctor_advise(d, "cloud-init",
				      "Leave cloud-init out of the image: vouchsafe takes what it needs "
				      "from user-data itself.",
				      "%s is there: user-data, which the host writes, runs as root", places[i]);
			return;
		}
	doctor_say(d, "cloud-init", VERDICT_OK, "not installed");
}

void doctor_check_posture(struct doctor *d)
{
	bootfacts_look(&d->boot, d->guest.root, &d->guest.env);
	check_boot(d);
	check_cc_log(d);
	check_verity(d, &d->verity[0], "/");
	check_verity(d, &d->verity[1], "/usr");
	check_read_only(d);
	check_secure_boot(d);
	check_cmdline(d);
	check_swap(d);
	check_core(d);
	check_cloud_init(d);
	doctor_check_console(d);
}

/* --- --json -------------------------------------------------------------------------------------- */

static void put_bool(struct buf *out, const char *name, bool value)
{
	buf_printf(out, "\"%s\":%s,", name, value ? "true" : "false");
}

void doctor_put_boot(struct buf *out, const struct doctor *d)
{
	static const char *const sources[] = { "unknown", "table", "cmdline" };
	const struct bootfacts *f = &d->boot;
	int secure = secure_boot(d);

	buf_puts(out, "\"boot\":{");
	put_bool(out, "log", f->log);
	put_bool(out, "log_replays", f->replays);
	put_bool(out, "uki", f->replays && f->boot.is_uki);
	put_bool(out, "cmdline_measured", f->cmdline_measured);
	buf_printf(out, "\"secure_boot\":%s,\"why_not\":",
		   secure < 0 ? "null" : secure ? "true" : "false");
	json_put_string(out, view_str(f->why));
	buf_puts(out, "},\"verity\":[");
	for (size_t i = 0; i < ARRAY_LEN(d->verity); i++) {
		const struct verity_mount *m = &d->verity[i];

		buf_printf(out, "%s{\"path\":\"%s\",", i ? "," : "", i ? "/usr" : "/");
		put_bool(out, "known", m->known);
		put_bool(out, "own_mount", m->own);
		put_bool(out, "verity", m->verity);
		put_bool(out, "read_only", m->read_only);
		buf_printf(out, "\"root_hash\":%s%s%s,\"root_hash_from\":\"%s\",",
			   m->hash[0] ? "\"" : "", m->hash[0] ? m->hash : "null",
			   m->hash[0] ? "\"" : "", sources[m->from]);
		put_bool(out, "measured", m->measured);
		buf_puts(out, "\"why_not\":");
		json_put_string(out, view_str(m->why));
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}
