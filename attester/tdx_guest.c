/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_guest.h"
#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* Debian 12's kernel headers have no linux/tdx-guest.h. */
struct tdx_report_call {
	uint8_t data[TEE_DATA];
	uint8_t report[TDX_TDREPORT_BYTES];
};

_Static_assert(sizeof(struct tdx_report_call) == 1088, "TDX ioctl argument");

#define TDX_CMD_GET_REPORT0 _IOWR('T', 1, struct tdx_report_call)

enum { REPORT_TYPE_TDX = 0x81, REPORT_DATA_AT = 128, NAME_ROOM = 128 };

bool tdx_guest_present(int root_fd)
{
	cleanup_close int fd = fs_open_beneath(root_fd, TDX_GUEST_DEVICE, O_PATH, 0, NULL);

	return fd >= 0;
}

int tdx_guest_report(int root_fd, const uint8_t data[TEE_DATA], uint8_t out[TDX_TDREPORT_BYTES],
		     struct err *e)
{
	cleanup_close int fd = fs_open_beneath(root_fd, TDX_GUEST_DEVICE, O_RDWR | O_NOCTTY, 0, e);
	struct tdx_report_call call = { 0 };
	int r;

	if (fd == -ERR_NOTFOUND)
		return err_code(e, CODE_TEE_NONE, "%s is not there", TDX_GUEST_DEVICE);
	if (fd < 0)
		return err_wrap_code(e, CODE_TEE_ACCESS, "TDX device");
	memcpy(call.data, data, TEE_DATA);
	do
		r = ioctl(fd, TDX_CMD_GET_REPORT0, &call);
	while (r < 0 && errno == EINTR);
	if (r < 0) {
		int sys = errno;

		r = err_code(e, CODE_TEE_FAILED, "%s: TDX_CMD_GET_REPORT0: %s", TDX_GUEST_DEVICE,
			     strerrorname_np(sys));
		if (e)
			e->sys = sys;
		return r;
	}
	if (call.report[0] != REPORT_TYPE_TDX ||
	    memcmp(call.report + REPORT_DATA_AT, data, TEE_DATA) != 0)
		return err_code(e, CODE_TEE_REPLY,
				"%s: the TDREPORT is of another type or carries other data",
				TDX_GUEST_DEVICE);
	memcpy(out, call.report, sizeof call.report);
	return 0;
}

static int open_rtmr(int root_fd, unsigned reg, int flags, struct err *e)
{
	char path[NAME_ROOM];
	int fd;

	if (reg >= TEE_RTMRS)
		return err_code(e, CODE_EVENTLOG_REGISTER, "RTMR%u; there are 0 to %d", reg,
				TEE_RTMRS - 1);
	(void)snprintf(path, sizeof path, "%s/rtmr%u:sha384", TDX_MEASUREMENTS_DIR, reg);
	fd = fs_open_beneath(root_fd, path, flags | O_NOCTTY, 0, e);
	if (fd == -ERR_NOTFOUND)
		return err_code(e, CODE_EVENTLOG_REGISTER,
				"%s is not there: runtime measurement on TDX needs Linux 6.16",
				path);
	return fd < 0 ? err_wrap_code(e, CODE_TEE_ACCESS, "RTMR%u", reg) : fd;
}

int tdx_rtmr_extend(int root_fd, unsigned reg, const uint8_t digest[TEE_DIGEST], struct err *e)
{
	cleanup_close int fd = open_rtmr(root_fd, reg, O_WRONLY, e);
	ssize_t n;
	int r, sys;

	if (fd < 0)
		return fd;
	/* All of it in one call, and never a second one: that would extend twice. */
	n = write(fd, digest, TEE_DIGEST);
	if (n == TEE_DIGEST)
		return 0;
	sys = n < 0 ? errno : EIO;
	r = err_code(e, CODE_TEE_FAILED, "extend RTMR%u: %s", reg, strerrorname_np(sys));
	if (e)
		e->sys = sys;
	return r;
}

/* Exactly TEE_DIGEST bytes. */
static int read_digest(uint8_t out[TEE_DIGEST], int fd, const char *what, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(TEE_DIGEST);
	int r = fs_read_fd(&b, fd, TEE_DIGEST, what, e);

	if (r == -ERR_SYSTEM)
		return err_wrap_code(e, CODE_TEE_FAILED, "TDX measurement");
	if (r < 0 && r != -ERR_LIMIT)
		return r;
	if (r < 0 || b.len != TEE_DIGEST)
		return err_code(e, CODE_TEE_REPLY, "%s has not %d bytes", what, TEE_DIGEST);
	memcpy(out, b.p, TEE_DIGEST);
	return 0;
}

int tdx_rtmr_read(int root_fd, unsigned reg, uint8_t out[TEE_DIGEST], struct err *e)
{
	cleanup_close int fd = open_rtmr(root_fd, reg, O_RDONLY, e);

	return fd < 0 ? fd : read_digest(out, fd, "an RTMR", e);
}

int tdx_mrconfigid_read(int root_fd, uint8_t out[TEE_DIGEST], struct err *e)
{
	cleanup_close int fd = fs_open_beneath(root_fd, TDX_MEASUREMENTS_DIR "/mrconfigid",
					       O_RDONLY | O_NOCTTY, 0, e);

	if (fd == -ERR_NOTFOUND)
		return err_code(e, CODE_TEE_NONE, "%s/mrconfigid is not there",
				TDX_MEASUREMENTS_DIR);
	if (fd < 0)
		return err_wrap_code(e, CODE_TEE_ACCESS, "MRCONFIGID");
	return read_digest(out, fd, "MRCONFIGID", e);
}
