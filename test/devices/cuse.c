/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/sev-guest or /dev/tdx_guest as a true character device of the kernel's, by CUSE: reports of
 * report.c, asked for by the driver's ioctls, with the driver's nested pointers. The kernel copies
 * what the arguments point to; here it is told by "retry" which ranges those are. For guests of
 * test/vm, since a machine without the module cuse has devices.c only.
 *
 *   tee_cuse KEYS sev-guest|tdx_guest
 *
 * Writing "name value" to the device sets a knob; the hardware's own takes no write.
 */
#define FUSE_USE_VERSION 35
#include "test/devices/report.h"

#include <cuse_lowlevel.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum { PAGE = 4096, RESPONSE = 4000, REPORT_REQUEST = 96, EXT_REQUEST = 112, BLOBS = 4 };
enum { INVALID_LEN = 1, HOST_BUSY = 2, FIRMWARE_ERROR = 0x16 };

/* So many times; no_certs and no_ext: on or off. */
static struct {
	int throttle, firmware_error, busy, no_certs, no_ext;
} knobs;

static const struct {
	const char *name;
	int *value;
} names[] = {
	{ "throttle", &knobs.throttle }, { "firmware_error", &knobs.firmware_error },
	{ "busy", &knobs.busy },         { "no_certs", &knobs.no_certs },
	{ "no_ext", &knobs.no_ext },
};

static struct report_state state;

struct snp_call {
	uint8_t version, pad[7];
	uint64_t request, response;
	uint32_t firmware, host;
};

struct tdx_call {
	uint8_t data[64], report[1024];
};

#define SNP_GET_REPORT     _IOWR('S', 0, struct snp_call)
#define SNP_GET_EXT_REPORT _IOWR('S', 2, struct snp_call)
#define TDX_GET_REPORT0    _IOWR('T', 1, struct tdx_call)

/* --- what goes back: ranges of the caller's memory and their content
 * ------------------------------ */

struct answer {
	int result;
	size_t n;
	struct iovec there[BLOBS], here[BLOBS];
};

static void add(struct answer *a, uint64_t at, void *p, size_t n)
{
	a->there[a->n] = (struct iovec){ (void *)(uintptr_t)at, n };
	a->here[a->n++] = (struct iovec){ p, n };
}

/* One ioctl: what it asked for, and room for what it gets. */
struct work {
	struct snp_call call;
	uint8_t request[EXT_REQUEST], response[RESPONSE];
	uint64_t certs_at;
	uint32_t certs_room;
};

static int give_report(struct work *w)
{
	cleanup_buf struct buf report = BUF_MAX(1 << 20);
	uint32_t size;

	state.vmpl = w->request[64];
	if (!report_snp(&report, w->request, &state))
		return -EIO;
	size = (uint32_t)report.len;
	memcpy(w->response + 4, &size, sizeof size);
	memcpy(w->response + 32, report.p, report.len);
	return 0;
}

/* The host's refusals, which the driver tells with EIO and a number in the argument. */
static bool refuses(struct work *w, int *result)
{
	*result = -EIO;
	if (knobs.throttle > 0)
		w->call.host = HOST_BUSY;
	else if (knobs.firmware_error > 0)
		w->call.firmware = FIRMWARE_ERROR;
	else if (knobs.busy > 0)
		*result = -EBUSY;
	else
		return false;
	return true;
}

/* The same in both rounds of an ioctl: knobs are counted down behind the second. */
static void answer_snp(struct answer *a, struct work *w, bool ext, uint64_t arg, uint8_t *certs)
{
	const struct buf *table = report_certs();
	uint32_t need = (uint32_t)((table->len + PAGE - 1) / PAGE * PAGE);

	w->call.firmware = w->call.host = 0;
	add(a, arg, &w->call, sizeof w->call);
	if (refuses(w, &a->result))
		return;
	if (ext && !knobs.no_certs && w->certs_room < need) {
		w->call.host = INVALID_LEN;
		memcpy(w->request + 104, &need, sizeof need);
		add(a, w->call.request, w->request, EXT_REQUEST);
		a->result = -EIO;
		return;
	}
	a->result = give_report(w);
	add(a, w->call.response, w->response, RESPONSE);
	if (ext && !knobs.no_certs) {
		memcpy(certs, table->p, table->len);
		add(a, w->certs_at, certs, need);
	}
}

static void count_down(void)
{
	int *const counted[] = { &knobs.throttle, &knobs.firmware_error, &knobs.busy };

	for (size_t i = 0; i < ARRAY_LEN(counted); i++)
		if (*counted[i] > 0) {
			--*counted[i];
			return;
		}
}

/* --- ioctls
 * ----------------------------------------------------------------------------------------- */

static void snp(fuse_req_t req, unsigned command, void *arg, const uint8_t *in, size_t in_len,
		size_t room)
{
	static uint8_t certs[1 << 20];
	const bool ext = command == SNP_GET_EXT_REPORT;
	const size_t asked = ext ? EXT_REQUEST : REPORT_REQUEST;
	struct iovec from[2] = { { arg, sizeof(struct snp_call) } };
	struct answer a = { 0 };
	struct work w = { 0 };

	if ((!ext && command != SNP_GET_REPORT) || (ext && knobs.no_ext)) {
		(void)fuse_reply_err(req, ENOTTY);
		return;
	}
	if (in_len < sizeof w.call) {
		(void)fuse_reply_ioctl_retry(req, from, 1, NULL, 0);
		return;
	}
	memcpy(&w.call, in, sizeof w.call);
	if (w.call.version != 1) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	from[1] = (struct iovec){ (void *)(uintptr_t)w.call.request, asked };
	if (in_len < sizeof w.call + asked) {
		(void)fuse_reply_ioctl_retry(req, from, 2, NULL, 0);
		return;
	}
	memcpy(w.request, in + sizeof w.call, asked);
	if (ext) {
		memcpy(&w.certs_at, w.request + 96, sizeof w.certs_at);
		memcpy(&w.certs_room, w.request + 104, sizeof w.certs_room);
		if (w.certs_at % PAGE != 0 || w.certs_room % PAGE != 0) {
			(void)fuse_reply_err(req, EINVAL);
			return;
		}
	}
	answer_snp(&a, &w, ext, (uintptr_t)arg, certs);
	if (room == 0) {
		(void)fuse_reply_ioctl_retry(req, from, 2, a.there, a.n);
		return;
	}
	count_down();
	(void)fuse_reply_ioctl_iov(req, a.result, a.here, (int)a.n);
}

static void tdx(fuse_req_t req, unsigned command, void *arg, const uint8_t *in, size_t in_len,
		size_t room)
{
	struct iovec all = { arg, sizeof(struct tdx_call) };
	struct tdx_call c = { 0 };

	if (command != TDX_GET_REPORT0) {
		(void)fuse_reply_err(req, ENOTTY);
		return;
	}
	if (in_len < sizeof c || room < sizeof c) {
		(void)fuse_reply_ioctl_retry(req, &all, 1, &all, 1);
		return;
	}
	memcpy(&c, in, sizeof c);
	c.report[0] = 0x81;
	memcpy(c.report + 128, c.data, sizeof c.data);
	(void)fuse_reply_ioctl(req, 0, &c, sizeof c);
}

static bool is_tdx;

static void op_ioctl(fuse_req_t req, int command, void *arg, struct fuse_file_info *fi,
		     unsigned flags, const void *in, size_t in_len, size_t room)
{
	(void)fi;
	if (flags & FUSE_IOCTL_COMPAT)
		(void)fuse_reply_err(req, ENOSYS);
	else
		(is_tdx ? tdx : snp)(req, (unsigned)command, arg, in, in_len, room);
}

static void op_write(fuse_req_t req, const char *p, size_t n, off_t at, struct fuse_file_info *fi)
{
	char line[64], name[32] = "";
	int value = 0;

	(void)at;
	(void)fi;
	(void)snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), p);
	(void)sscanf(line, "%31s %d", name, &value);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i].name) == 0) {
			*names[i].value = value;
			(void)fuse_reply_write(req, n);
			return;
		}
	(void)fuse_reply_err(req, EINVAL);
}

static void op_open(fuse_req_t req, struct fuse_file_info *fi)
{
	(void)fuse_reply_open(req, fi);
}

int main(int argc, char **argv)
{
	static const struct cuse_lowlevel_ops operations = { .open = op_open,
							     .write = op_write,
							     .ioctl = op_ioctl };
	char device[64], foreground[] = "-f", one_thread[] = "-s";
	const char *about[] = { device };
	const struct cuse_info info = { .dev_info_argc = 1,
					.dev_info_argv = about,
					.flags = CUSE_UNRESTRICTED_IOCTL };
	char *options[] = { argv[0], foreground, one_thread, NULL };

	is_tdx = argc == 3 && strcmp(argv[2], "tdx_guest") == 0;
	if (argc != 3 || (!is_tdx && strcmp(argv[2], "sev-guest") != 0) || !report_load(argv[1])) {
		fprintf(stderr,
			"usage: tee_cuse KEYS sev-guest|tdx_guest; KEYS is what keys.py makes\n");
		return 64;
	}
	(void)snprintf(device, sizeof device, "DEVNAME=%s", argv[2]);
	return cuse_lowlevel_main(3, options, &info, &operations, NULL);
}
