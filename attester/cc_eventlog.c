/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/cc_eventlog.h"
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/log.h"
#include "attester/eventlog.h"

#include <fcntl.h>
#include <stdio.h>

/* What Trustee's log parser is told where no firmware wrote a log: SHA-384 and SM3. */
static const uint8_t own_header[69] = {
	[4] = TCG2_EV_NO_ACTION, [28] = 0x25,		 /* size of the rest */
	[56] = 2,		 [60] = TCG2_SHA384, [62] = 48, [64] = TCG2_SM3, [66] = 32,
};

static const uint8_t terminator[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };

int cc_eventlog_replays(const struct tcg2_log *log, const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST],
			struct err *e)
{
	struct tcg2_registers regs;
	int r = tcg2_trustee_takes(log, e);

	if (r == 0)
		r = tcg2_replay(&regs, log, HASH_SHA384, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < TEE_RTMRS; i++) {
		char want[2 * TEE_DIGEST + 1], have[2 * TEE_DIGEST + 1];

		if (memcmp(regs.value[i + 1].b, rtmr[i], TEE_DIGEST) == 0)
			continue;
		enc_hex_str(have, digest_view(&regs.value[i + 1]));
		enc_hex_str(want, (struct view){ rtmr[i], TEE_DIGEST });
		return err_set(e, ERR_VERIFY, "RTMR%u holds %.16s..., the event log replays to %.16s...",
			       i, want, have);
	}
	return 0;
}

/* The log's bytes without its end mark. Returns 0 and appends, or says why not. */
static int take_firmware(struct buf *out, struct view ccel, struct err *e)
{
	struct tcg2_log log;
	int r;

	if (ccel.len == 0) {
		buf_put(out, own_header, sizeof own_header);
		return 0;
	}
	r = tcg2_open(&log, ccel, TCG2_CCEL, e);
	if (r == 0)
		buf_put(out, ccel.p, log.end);
	return r;
}

/* Not of the log but of this program or machine: reported, never taken for a reason. */
static bool is_ours(int r)
{
	return r == -ERR_NOMEM || r == -ERR_CRYPTO || r == -ERR_INTERNAL;
}

static int leave_out(int r, const struct err *cause, char *why, struct err *e)
{
	if (is_ours(r)) {
		if (e)
			*e = *cause;
		return r;
	}
	(void)snprintf(why, CC_WHY_MAX, "%.*s", CC_WHY_MAX - 1, cause->msg);
	log_debug("no event log in evidence", "why=%s", why);
	return 0;
}

int cc_eventlog_assemble(struct buf *log, struct view ccel, struct view aael,
			 const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST], char *why, struct err *e)
{
	cleanup_buf struct buf all = BUF_MAX(CC_EVENTLOG_MAX);
	struct tcg2_log whole;
	struct err cause = { 0 };
	int r;

	why[0] = '\0';
	if (ccel.len == 0 && aael.len == 0) {
		(void)snprintf(why, CC_WHY_MAX, "neither firmware nor agent kept a log");
		return 0;
	}
	r = take_firmware(&all, ccel, &cause);
	if (r == 0) {
		buf_putv(&all, aael);
		buf_put(&all, terminator, sizeof terminator);
		r = buf_check(&all, "event log", &cause);
	}
	if (r == 0)
		r = tcg2_open(&whole, buf_view(&all), TCG2_CCEL, &cause);
	/* An end mark within the agent's log would hide what stands behind it. */
	if (r == 0 && whole.end != all.len - sizeof terminator)
		r = err_set(&cause, ERR_FORMAT, "the agent's log has an end mark in its middle");
	if (r == 0)
		r = cc_eventlog_replays(&whole, rtmr, &cause);
	if (r < 0)
		return leave_out(r, &cause, why, e);
	buf_putv(log, buf_view(&all));
	return buf_check(log, "event log", e);
}

/* Append a file of the guest; nothing when it is not there. */
static int read_log(struct buf *out, const struct attester_env *env, const char *path, struct err *e)
{
	cleanup_free char *full = fs_join(env->files_root, path);
	cleanup_close int fd = -1;
	struct err cause;

	if (!full)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	fd = fs_open_beneath(env->root_fd, full, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, &cause);
	if (fd == -ERR_NOTFOUND)
		return 0;
	if (fd < 0) {
		if (e)
			*e = cause;
		return fd;
	}
	return fs_read_fd(out, fd, out->max, path, e);
}

int cc_eventlog_why(struct buf *log, const struct attester_env *env,
		    const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST], char *why, struct err *e)
{
	cleanup_buf struct buf ccel = BUF_MAX(TCG2_LOG_MAX), aael = BUF_MAX(EVENTLOG_MAX);
	struct err cause = { 0 };
	int r = read_log(&ccel, env, CC_EVENTLOG_PATH, &cause);

	if (r == 0)
		r = read_log(&aael, env, EVENTLOG_FILE, &cause);
	if (r < 0)
		return leave_out(r, &cause, why, e);
	return cc_eventlog_assemble(log, buf_view(&ccel), buf_view(&aael), rtmr, why, e);
}

int cc_eventlog(struct buf *log, const struct attester_env *env,
		const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST], struct err *e)
{
	char why[CC_WHY_MAX];

	return cc_eventlog_why(log, env, rtmr, why, e);
}
