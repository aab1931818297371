/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "attester/attester.h"
#include "attester/cc_eventlog.h"
#include "attester/eventlog.h"
#include "attester/tdx_guest.h"
#include "attester/tdx_quote.h"

#include <fcntl.h>

extern const struct attester attester_tdx;

#define TDX_GUEST_SYSFS "/sys/devices/virtual/misc/tdx_guest"

enum {
	EVENT_PCR = 17, /* upstream's default: RTMR 3, which is there for what runs in the guest */
	CPUINFO_LEN = 8192,
	QUOTES = 3, /* for one evidence, while events are being measured */
};

static bool present(const struct attester_env *env, const char *path)
{
	cleanup_close int fd = fs_open_beneath(env->root_fd, path, O_PATH, 0, NULL);

	return fd >= 0;
}

/* The kernel says so of itself, with or without the driver. */
static bool cpu_is_tdx(const struct attester_env *env)
{
	static const char flag[] = " tdx_guest";
	cleanup_close int fd = fs_open_beneath(env->root_fd, "/proc/cpuinfo", O_RDONLY, 0, NULL);
	char first[CPUINFO_LEN];
	const char *p;
	size_t n = 0;
	ssize_t got;

	/* The first processor is enough. */
	while (fd >= 0 && n < sizeof first - 1 &&
	       (got = read(fd, first + n, sizeof first - 1 - n)) > 0)
		n += (size_t)got;
	first[n] = '\0';
	p = strstr(first, flag);
	return p && (p[sizeof flag - 1] == ' ' || p[sizeof flag - 1] == '\n');
}

/*
 * The driver's device belongs to root, its folder in sysfs may be seen where /dev is private. A
 * driver that is not loaded yet must not leave the guest to a TPM that the host has put in.
 */
static bool detect(const struct attester_env *env)
{
	return tdx_guest_present(env->root_fd) || present(env, TDX_GUEST_SYSFS) || cpu_is_tdx(env);
}

/* A quote of this TD, held to what Trustee will hold it to. */
struct quote {
	struct tee_quote tee;
	struct tdx_quote tdx; /* borrows from tee */
};

#define cleanup_quote __attribute__((cleanup(quote_done)))

static void quote_done(struct quote *q)
{
	tee_quote_done(&q->tee);
}

static int get_quote(const struct attester_env *env, const uint8_t data[TEE_DATA],
		     struct quote *out, struct err *e)
{
	const struct tdx_quote *q = &out->tdx;
	int r;

	if (!env->tee.quote)
		return err_code(e, CODE_TEE_NONE, "nobody serves the TDX device");
	r = env->tee.quote(env->tee.ctx, data, &out->tee, e);
	if (r < 0)
		return err_wrap(e, r, "TD quote");
	if (out->tee.kind != TEE_TDX)
		return err_code(e, CODE_TEE_REPLY, "the device gave another report than a TD quote");
	r = tdx_quote_parse(&out->tdx, buf_view(&out->tee.report), e);
	if (r < 0)
		return err_wrap_code(e, CODE_TDX_QUOTE, "the device's quote");
	if (!view_eq(q->report_data, (struct view){ data, TEE_DATA }))
		return err_code(e, CODE_TEE_REPLY,
				"the TD quote does not carry the data that was asked for");
	if (bit_is_set(q->td.attributes, TDX_ATTR_DEBUG) && !env->permit_debug)
		return err_code(e, CODE_EVIDENCE_DEBUG, "the TD's attributes 0x%llx have the debug bit",
				(unsigned long long)q->td.attributes);
	return 0;
}

/* The log that belongs to the quote's registers, or none: Trustee takes evidence without. */
static int get_log(const struct attester_env *env, const struct tdx_quote *q, struct buf *log,
		   struct err *e)
{
	uint8_t rtmr[TEE_RTMRS][TEE_DIGEST];

	for (size_t i = 0; i < TEE_RTMRS; i++)
		memcpy(rtmr[i], q->td.rtmr[i].p, TEE_DIGEST);
	buf_reset(log);
	return cc_eventlog(log, env, rtmr, e);
}

static bool event_is_under_way(const struct attester_env *env)
{
	cleanup_free char *wal = fs_join(env->files_root, EVENTLOG_WAL);

	return wal && present(env, wal);
}

/* An event came between the quote and the log, or is on its way: both will fit a moment later. */
static bool events_moved(const struct attester_env *env, const struct tdx_quote *q)
{
	uint8_t now[TEE_DIGEST];

	for (unsigned i = 0; i < TEE_RTMRS; i++)
		if (tdx_rtmr_read(env->root_fd, i, now, NULL) == 0 &&
		    memcmp(now, q->td.rtmr[i].p, TEE_DIGEST) != 0)
			return true;
	return event_is_under_way(env);
}

static int get_quote_and_log(const struct attester_env *env, const uint8_t data[TEE_DATA],
			     struct quote *q, struct buf *log, struct err *e)
{
	int r;

	for (unsigned tries = QUOTES; tries > 0; tries--) {
		quote_done(q);
		*q = (struct quote){ 0 };
		r = get_quote(env, data, q, e);
		if (r < 0 || (r = get_log(env, &q->tdx, log, e)) < 0)
			return r;
		if (log->len > 0 || !events_moved(env, &q->tdx))
			break;
	}
	return 0;
}

static int evidence(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	cleanup_quote struct quote q = { 0 };
	cleanup_buf struct buf text = BUF_MAX(EVIDENCE_MAX), log = BUF_MAX(CC_EVENTLOG_MAX);
	uint8_t data[TEE_DATA];
	int r = attester_data(data, report_data, e);

	if (r == 0)
		r = get_quote_and_log(env, data, &q, &log, e);
	if (r < 0)
		return r;
	buf_puts(&text, "{\"cc_eventlog\":");
	if (log.len > 0) {
		buf_putc(&text, '"');
		enc_base64(&text, ENC_B64, buf_view(&log));
		buf_puts(&text, "\",\"quote\":\"");
	} else {
		buf_puts(&text, "null,\"quote\":\"");
	}
	/* Without the zeros that a device's buffer has behind it. */
	enc_base64(&text, ENC_B64, q.tdx.raw);
	buf_puts(&text, "\"}");
	return attester_give(json, &text, "tdx evidence", e);
}

/*
 * From the kernel's files where it has them: a quote takes seconds. A quote's is as good, since it was
 * held to the TDREPORT (tee_local.c).
 */
static int read_config_id(const struct attester_env *env, uint8_t out[TEE_DIGEST], struct err *e)
{
	cleanup_quote struct quote q = { 0 };
	const uint8_t none[TEE_DATA] = { 0 };
	struct err why;
	int r = tdx_mrconfigid_read(env->root_fd, out, &why);

	if (r == 0)
		return 0;
	if (why.code != CODE_TEE_NONE) {
		if (e)
			*e = why;
		return r;
	}
	r = get_quote(env, none, &q, e);
	if (r == 0)
		memcpy(out, q.tdx.td.mr_config_id.p, TEE_DIGEST);
	return r;
}

/* MRCONFIGID, set by the host at launch and measured then: the digest padded or cut to 48 bytes. */
static int binding(const struct attester_env *env, struct view digest, enum binding *out,
		   struct err *e)
{
	uint8_t have[TEE_DIGEST];
	int r = read_config_id(env, have, e);

	if (r == 0)
		*out = attester_compare((struct view){ have, sizeof have }, digest);
	return r;
}

/* --- runtime measurements ------------------------------------------------------------------- */

/* As firmware maps PCRs to the log's registers (UEFI, CC measurement); RTMR n has index n + 1. */
static unsigned log_index(unsigned reg)
{
	if (reg == 1 || reg == 7)
		return 1;
	if (reg >= 2 && reg <= 6)
		return 2;
	if (reg >= 8 && reg <= 15)
		return 3;
	return 4;
}

static int extend(const struct attester_env *env, unsigned reg, struct view digest, struct err *e)
{
	if (digest.len != TEE_DIGEST)
		return err_set(e, ERR_INTERNAL, "a digest of %zu bytes for an RTMR", digest.len);
	if (!env->tee.extend)
		return err_code(e, CODE_TEE_NONE, "nobody serves the TDX device");
	return env->tee.extend(env->tee.ctx, log_index(reg) - 1, digest.p, e);
}

static int read_register(const struct attester_env *env, unsigned reg, struct digest *out,
			 struct err *e)
{
	struct digest d = { .len = TEE_DIGEST };
	int r = tdx_rtmr_read(env->root_fd, log_index(reg) - 1, d.b, e);

	if (r == 0)
		*out = d;
	return r;
}

const struct attester attester_tdx = {
	.name = "tdx",
	.detect = detect,
	.evidence = evidence,
	.binding = binding,
	.extend = extend,
	.read_register = read_register,
	.log_index = log_index,
	.log_hash = HASH_SHA384,
	.log_register = EVENT_PCR,
};
