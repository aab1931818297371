/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TDX_GUEST_H
#define ATTESTER_TDX_GUEST_H

#include "attester/tee.h"

/*
 * The TDX driver's device and its measurement files (Linux 6.16).
 * Source: Documentation/virt/coco/tdx-guest.rst; Documentation/ABI/testing/sysfs-devices-virtual-
 * misc-tdx_guest; spec/evidence.md 5.4, 7.4.
 *
 *   TDX_GUEST_DEVICE             ioctl TDX_CMD_GET_REPORT0: 64 bytes in, a TDREPORT out
 *   rtmr0:sha384 … rtmr3:sha384  48 bytes; one write of 48 bytes extends
 *   mrtd:sha384, mrconfigid, mrowner, mrownerconfig   48 bytes, read only
 *
 * The device and writing belong to root; the files may be read by everybody.
 */
#define TDX_GUEST_DEVICE     "/dev/tdx_guest"
#define TDX_MEASUREMENTS_DIR "/sys/devices/virtual/misc/tdx_guest/measurements"
#define TDX_TDREPORT_BYTES   1024

/*
 * A TDREPORT that binds data. It is no quote: only this machine can check it.
 * Errors: tee.none, tee.access, tee.failed, tee.reply (it does not carry data).
 */
int tdx_guest_report(int root_fd, const uint8_t data[TEE_DATA], uint8_t out[TDX_TDREPORT_BYTES],
		     struct err *e) MUST_CHECK;

/* Is the device there? */
bool tdx_guest_present(int root_fd);

/*
 * Extend RTMR reg with digest. Errors: eventlog.register (reg over 3, or the kernel has no such
 * files), tee.access, tee.failed: the register may have been extended all the same.
 */
int tdx_rtmr_extend(int root_fd, unsigned reg, const uint8_t digest[TEE_DIGEST], struct err *e)
	MUST_CHECK;

/* Read RTMR reg. out is set on success only. Errors: as tdx_rtmr_extend(), tee.reply (size). */
int tdx_rtmr_read(int root_fd, unsigned reg, uint8_t out[TEE_DIGEST], struct err *e) MUST_CHECK;

/* Read MRCONFIGID. out is set on success only. Errors: tee.none (no such file), tee.access,
 * tee.reply. */
int tdx_mrconfigid_read(int root_fd, uint8_t out[TEE_DIGEST], struct err *e) MUST_CHECK;

#endif
