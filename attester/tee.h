/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TEE_H
#define ATTESTER_TEE_H

#include "agent/base/buf.h"
#include "agent/base/err.h"

/*
 * The TEE's own device (configfs-tsm, /dev/sev-guest, /dev/tdx_guest, the TDX measurement files),
 * which belongs to root. Two requests; the attesters make them through these callbacks. Root's
 * programs fill them with tee_local(); the others with a client of vouchsafe-teed
 * (agent/api/teed.h).
 */
#define TEE_DATA       64           /* bytes of report data that every device binds */
#define TEE_REPORT_MAX (32u << 10)  /* SNP report or TD quote, bytes */
#define TEE_CERTS_MAX  (64u << 10)  /* SNP certificate table, bytes */
#define TEE_DIGEST     48           /* an RTMR, bytes */
#define TEE_RTMRS      4

/* What made a report. */
enum tee_kind {
	TEE_SNP, /* report: the bare 1184-byte attestation report; certs: the table, or empty */
	TEE_TDX, /* report: a TD quote; certs: empty */
};

struct tee_quote {
	enum tee_kind kind;
	struct buf report;
	struct buf certs;
};

#define cleanup_tee_quote __attribute__((cleanup(tee_quote_done)))

struct tee {
	/*
	 * A report that binds data. *out is zeroed by the caller and filled on success only; release
	 * with tee_quote_done(). May block up to 60 s (a TD quote is made outside the guest; that it is
	 * of this TD has been seen, its signatures have not).
	 * Errors: tee.* and evidence.failed.
	 */
	int (*quote)(void *ctx, const uint8_t data[TEE_DATA], struct tee_quote *out,
		     struct err *e);
	/* Extend RTMR reg (0..3) with digest. Errors: tee.*, eventlog.register. */
	int (*extend)(void *ctx, unsigned reg, const uint8_t digest[TEE_DIGEST], struct err *e);
	void *ctx;
};

static inline void tee_quote_done(struct tee_quote *q)
{
	buf_done(&q->report);
	buf_done(&q->certs);
}

#endif
