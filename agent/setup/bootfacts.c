/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/bootfacts.h"
#include "agent/base/fs.h"
#include "attester/cc_eventlog.h"
#include "attester/sev_guest.h"
#include "attester/tdx_guest.h"
#include "attester/tpm.h"

#include <stdarg.h>
#include <stdio.h>

/* systemd-pcrphase's words up to a running system. */
static const char *const phase_words[] = { "enter-initrd", "leave-initrd", "sysinit", "ready" };

/* PCRs that the facts rest on: boot loader, Secure Boot, kernel's own, stub, its configuration. */
static const unsigned pcrs[] = { 4, 7, 9, 11, 12 };

static void say(struct bootfacts *f, const char *fmt, ...) PRINTF(2, 3);

static void say(struct bootfacts *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(f->why, sizeof f->why, fmt, ap);
	va_end(ap);
}

int bootfacts_pcr11(bool *is, char *words, const struct digest *replayed, struct view value,
		    struct err *e)
{
	enum hash_alg alg = replayed->len == 48 ? HASH_SHA384 : HASH_SHA256;

	for (unsigned set = 0; set < 1u << ARRAY_LEN(phase_words); set++) {
		struct digest pcr = *replayed;
		char found[64] = "";

		for (size_t i = 0; i < ARRAY_LEN(phase_words); i++) {
			size_t n = strlen(found);
			int r;

			if (!(set >> i & 1))
				continue;
			r = uki_pcr11_phase(&pcr, alg, phase_words[i], e);
			if (r < 0)
				return r;
			(void)snprintf(found + n, sizeof found - n, "%s%s", n ? " " : "",
				       phase_words[i]);
		}
		if (view_eq(digest_view(&pcr), value)) {
			memcpy(words, found, sizeof found);
			*is = true;
			return 0;
		}
	}
	*is = false;
	return 0;
}

static int read_log(struct buf *out, const char *root, const char *path, struct err *e)
{
	cleanup_free char *full = fs_join(root, path);

	return full ? fs_read(out, full, TCG2_LOG_MAX, e) :
		      err_set(e, ERR_NOMEM, "no memory for a path");
}

/* Compare the PCRs that matter. 0 and *is, or an error. */
static int compare_pcrs(struct bootfacts *f, const struct tcg2_registers *regs, struct tpm *tpm,
			struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(pcrs); i++) {
		const struct digest *want = &regs->value[pcrs[i]];
		uint8_t have[32];
		bool same;
		int r = tpm_pcr_read(tpm, pcrs[i], have, e);

		if (r < 0)
			return r;
		same = view_eq(digest_view(want), (struct view){ have, sizeof have });
		if (!same && pcrs[i] == 11)
			r = bootfacts_pcr11(&same, f->phases, want,
					    (struct view){ have, sizeof have }, e);
		if (r < 0)
			return r;
		if (!same)
			return err_set(e, ERR_VERIFY,
				       "PCR %u does not hold what the boot log says: something else "
				       "extended it, or the log is not this boot's",
				       pcrs[i]);
	}
	return 0;
}

static int look_tpm(struct bootfacts *f, const char *root, struct tpm *tpm, struct err *e)
{
	cleanup_buf struct buf raw = BUF_MAX(TCG2_LOG_MAX);
	struct tcg2_registers regs;
	struct tcg2_log log;
	int r = read_log(&raw, root, BOOTFACTS_TPM_LOG, e);

	if (r < 0)
		return r;
	f->log = true;
	r = tcg2_open(&log, buf_view(&raw), TCG2_TPM, e);
	if (r == 0)
		r = tcg2_replay(&regs, &log, HASH_SHA256, e);
	if (r == 0)
		r = compare_pcrs(f, &regs, tpm, e);
	return r < 0 ? r : uki_from_log(&f->boot, &log, HASH_SHA256, e);
}

/* RTMR0..2 are firmware's, stub's and kernel's; RTMR3 is the agent's. */
static int look_tdx(struct bootfacts *f, const char *root, int root_fd, struct err *e)
{
	cleanup_buf struct buf raw = BUF_MAX(TCG2_LOG_MAX);
	struct tcg2_registers regs;
	struct tcg2_log log;
	int r = read_log(&raw, root, CC_EVENTLOG_PATH, e);

	if (r < 0)
		return r;
	f->log = true;
	r = tcg2_open(&log, buf_view(&raw), TCG2_CCEL, e);
	if (r == 0)
		r = tcg2_replay(&regs, &log, HASH_SHA384, e);
	for (unsigned i = 0; r == 0 && i < 3; i++) {
		uint8_t have[TEE_DIGEST];

		r = tdx_rtmr_read(root_fd, i, have, e);
		if (r == 0 && memcmp(have, regs.value[i + 1].b, TEE_DIGEST) != 0)
			r = err_set(e, ERR_VERIFY, "RTMR%u does not hold what the boot log says", i);
	}
	return r < 0 ? r : uki_from_log(&f->boot, &log, HASH_SHA384, e);
}

static int read_cmdline(struct bootfacts *f, const char *root, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(CMDLINE_TEXT_MAX);
	int r = read_log(&b, root, "/proc/cmdline", e);

	if (r < 0)
		return r;
	while (b.len > 0 && b.p[b.len - 1] == '\n')
		b.len--;
	if (b.len > 0 && memchr(b.p, 0, b.len))
		return err_set(e, ERR_FORMAT, "the kernel command line has a NUL");
	(void)snprintf(f->cmdline, sizeof f->cmdline, "%.*s", (int)b.len, b.len ? (char *)b.p : "");
	return 0;
}

/* The log is true; is what the kernel shows what the log has? */
static int compare_cmdline(struct bootfacts *f, struct err *e)
{
	int r = uki_cmdline_is(&f->cmdline_measured, &f->boot, view_str(f->cmdline), e);

	if (r < 0 || f->cmdline_measured)
		return r;
	if (!f->boot.is_uki && f->boot.load_options.len == 0)
		say(f, "no kernel command line was measured: this guest did not boot a unified kernel "
		       "image");
	else if (f->boot.overridden)
		say(f, "the kernel command line is another than the image's: it was given or extended "
		       "from outside");
	else
		say(f, "the kernel command line is not the measured one");
	return 0;
}

/* Whose registers: the hardware's own before a TPM's, which the host may have put in. */
static int look(struct bootfacts *f, const char *root, const struct attester_env *env,
		struct err *e)
{
	if (attester_by_name("tdx")->detect(env))
		return look_tdx(f, root, env->root_fd, e);
	if (sev_guest_is_snp(env->root_fd))
		return err_set(e, ERR_UNSUPPORTED,
			       "SNP has no registers for a boot log, and a TPM beside it is the host's; "
			       "the launch measurement has what was measured");
	if (env->tpm)
		return look_tpm(f, root, env->tpm, e);
	return look_tdx(f, root, env->root_fd, e);
}

void bootfacts_look(struct bootfacts *out, const char *root, const struct attester_env *env)
{
	struct bootfacts f = { .boot.secure_boot = -1 };
	struct err e;
	int r = read_cmdline(&f, root, &e);

	if (r == 0)
		r = look(&f, root, env, &e);
	f.replays = r == 0;
	if (r == 0)
		r = compare_cmdline(&f, &e);
	if (r < 0)
		say(&f, "%.*s", BOOTFACTS_WHY - 1, e.msg);
	*out = f;
}
