/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_SEV_GUEST_H
#define ATTESTER_SEV_GUEST_H

#include "agent/base/clock.h"
#include "attester/tee.h"

/*
 * The SNP driver's own device, for kernels without configfs-tsm.
 * Source: Documentation/virt/coco/sev-guest.rst; spec/evidence.md 7.2.
 */
#define SEV_GUEST_DEVICE   "/dev/sev-guest"
#define SEV_GUEST_SYSFS    "/sys/devices/platform/sev-guest"
#define SNP_REPORT_BYTES   1184 /* an attestation report with its signature */
#define SNP_REPORT_DATA_AT 0x50

/*
 * Ask for a report of VMPL 0 and the host's certificates: SNP_GET_EXT_REPORT, first without room,
 * then with as much as the host said. A kernel without it is asked for SNP_GET_REPORT.
 *
 * root_fd  where SEV_GUEST_DEVICE is looked for
 * out      zeroed by the caller, set on success only; the report has SNP_REPORT_BYTES and is
 *          unchecked otherwise; certs is the host's table as it came, or empty
 *
 * A busy or throttling host is tried again, with growing pauses, until the deadline. A call of
 * the driver ends when the driver says so: kernels of 6.3 and newer wait up to 60 s by themselves.
 *
 * Errors: tee.none (no such device), tee.access, tee.busy, tee.timeout, tee.reply (status, sizes),
 * tee.failed (with errno, the firmware's and the host's code).
 */
int sev_guest_quote(int root_fd, const uint8_t data[TEE_DATA], struct tee_quote *out,
		    struct deadline d, struct err *e) MUST_CHECK;

/* Does the kernel say that this is an SNP guest, whether or not the driver is loaded? */
bool sev_guest_is_snp(int root_fd);

/* Is the device there? */
bool sev_guest_present(int root_fd);

#endif
