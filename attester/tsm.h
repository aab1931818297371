/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TSM_H
#define ATTESTER_TSM_H

#include "agent/base/clock.h"
#include "attester/tee.h"

/*
 * configfs-tsm, the kernel's common way to a report (Linux 6.7): a folder made below
 * /sys/kernel/config/tsm/report is one request. Source: Documentation/ABI/testing/configfs-tsm;
 * spec/evidence.md 7.3; confirmed in a guest with the kernel's own module.
 *
 *   provider    text and newline: "sev_guest", "tdx_guest", "arm_cca_guest"
 *   inblob      64 bytes, in one write(2); takes effect when it is closed
 *   outblob     the report; making it may take seconds
 *   auxblob     SNP's certificate table; absent or empty where there is none
 *   generation  decimal: writes to the folder's attributes since it was made
 *
 * Our folders are called vouchsafe-PID-RANDOM, so that those of a process that was killed are
 * recognised: each request removes them first.
 */
#define TSM_REPORT_DIR   "/sys/kernel/config/tsm/report"
#define TSM_PREFIX       "vouchsafe-"
#define TSM_PROVIDER_MAX 64 /* bytes with its newline */
#define TSM_TRIES        5  /* requests that others may interfere with, before we give up */

/*
 * Make one request. Only providers sev_guest and tdx_guest are asked for a report.
 *
 * root_fd  where TSM_REPORT_DIR is looked for
 * out      zeroed by the caller, set on success only; report within TEE_REPORT_MAX, not empty,
 *          unchecked otherwise; certs within TEE_CERTS_MAX
 *
 * EBUSY, EINTR, EAGAIN are tried again, with growing pauses, until the deadline; a generation
 * that others moved TSM_TRIES times. The folder is gone when this returns, whatever it returns,
 * unless the kernel refuses to remove it.
 *
 * Errors: tee.none (no configfs-tsm, or nobody provides), tee.access, tee.busy, tee.interfered,
 * tee.timeout, tee.reply (a blob over its cap, or empty), tee.failed (any other errno: err.sys),
 * platform.not-built (another provider).
 */
int tsm_quote(int root_fd, const uint8_t data[TEE_DATA], struct tee_quote *out, struct deadline d,
	      struct err *e) MUST_CHECK;

/* Remove folders of ours whose process is gone. */
void tsm_sweep(int root_fd);

#endif
