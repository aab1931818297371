/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/sev_guest.h"
#include "agent/base/fs.h"
#include "attester/tee_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* The kernel's own header came with 5.19 and has changed since; the numbers have not. */
struct snp_report_request {
	uint8_t data[TEE_DATA];
	uint32_t vmpl;
	uint8_t reserved[28];
};

struct snp_ext_request {
	struct snp_report_request report;
	uint64_t certs_address;
	uint32_t certs_len;
	uint32_t pad;
};

struct snp_response {
	uint32_t status;
	uint32_t report_size;
	uint8_t reserved[24];
	uint8_t report[SNP_REPORT_BYTES];
	uint8_t rest[4000 - 32 - SNP_REPORT_BYTES];
};

struct snp_call {
	uint8_t version;
	uint8_t pad[7];
	uint64_t request, response; /* addresses */
	uint32_t firmware_error, host_error;
};

_Static_assert(sizeof(struct snp_call) == 32, "SNP ioctl argument");
_Static_assert(sizeof(struct snp_report_request) == 96, "SNP report request");
_Static_assert(sizeof(struct snp_ext_request) == 112, "SNP extended request");
_Static_assert(sizeof(struct snp_response) == 4000, "SNP response");

#define SNP_GET_REPORT     _IOWR('S', 0x0, struct snp_call)
#define SNP_GET_EXT_REPORT _IOWR('S', 0x2, struct snp_call)

enum { HOST_INVALID_LEN = 1, HOST_BUSY = 2 };
enum { PAGE = 4096, LENGTH_TRIES = 4 };

/* The device, one request and what came back. */
struct session {
	int fd;
	const uint8_t *data;
	struct snp_response response;
	struct snp_call call;
};

/* errno of the call, 0 when the driver says that it went well; the host's error is beside it. */
static int submit(struct session *s, unsigned long command, const void *request)
{
	s->response = (struct snp_response){ .status = UINT32_MAX };
	s->call = (struct snp_call){ .version = 1,
				     .request = (uintptr_t)request,
				     .response = (uintptr_t)&s->response };
	return ioctl(s->fd, command, &s->call) < 0 ? errno : 0;
}

static bool is_busy(const struct session *s, int sys)
{
	return s->call.host_error == HOST_BUSY || sys == EBUSY || sys == EAGAIN || sys == EINTR;
}

/* The same until it is not busy. */
static int submit_patiently(struct session *s, unsigned long command, const void *request,
			    struct deadline d)
{
	int64_t pause = TEE_PAUSE_FIRST_MS;
	int sys;

	do
		sys = submit(s, command, request);
	while (is_busy(s, sys) && tee_wait(&pause, d));
	return sys;
}

static int fail(const struct session *s, int sys, struct err *e)
{
	enum err_code code = CODE_TEE_FAILED;
	int r;

	if (is_busy(s, sys))
		code = CODE_TEE_BUSY;
	else if (sys == ETIMEDOUT)
		code = CODE_TEE_TIMEOUT;
	r = err_code(e, code, "%s: %s, firmware error 0x%x, host error %u%s", SEV_GUEST_DEVICE,
		     sys ? strerrorname_np(sys) : "no errno", s->call.firmware_error,
		     s->call.host_error,
		     sys == ENOTTY ? "; the guest's message key may be used up: start the VM anew"
				   : "");
	if (e)
		e->sys = sys;
	return r;
}

static bool went_well(const struct session *s, int sys)
{
	return sys == 0 && s->call.firmware_error == 0 && s->call.host_error == 0;
}

static int take_report(const struct session *s, struct buf *report, struct err *e)
{
	if (s->response.status != 0)
		return err_code(e, CODE_TEE_REPLY, "%s: status 0x%x of the report",
				SEV_GUEST_DEVICE, s->response.status);
	if (s->response.report_size != SNP_REPORT_BYTES)
		return err_code(e, CODE_TEE_REPLY, "%s: report of %u bytes, want %d",
				SEV_GUEST_DEVICE, s->response.report_size, SNP_REPORT_BYTES);
	buf_put(report, s->response.report, SNP_REPORT_BYTES);
	return buf_check(report, "SNP report", e);
}

/* The one without certificates. */
static int plain(struct session *s, struct tee_quote *q, struct deadline d, struct err *e)
{
	struct snp_report_request request = { 0 };
	int sys;

	memcpy(request.data, s->data, TEE_DATA);
	sys = submit_patiently(s, SNP_GET_REPORT, &request, d);
	return went_well(s, sys) ? take_report(s, &q->report, e) : fail(s, sys, e);
}

struct pages {
	void *p;
	size_t len;
};

static void pages_done(struct pages *m)
{
	if (m->p)
		(void)munmap(m->p, m->len);
	*m = (struct pages){ 0 };
}

/* Page-aligned, which is what the driver wants. */
static int pages_alloc(struct pages *m, size_t len, struct err *e)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_set(e, ERR_NOMEM, "no memory for a certificate table");
	pages_done(m);
	*m = (struct pages){ p, len };
	return 0;
}

/* Neither the driver nor the host knows the call. */
static bool is_unsupported(const struct session *s, int sys)
{
	return s->call.host_error == 0 && s->call.firmware_error == 0 &&
	       (sys == ENOTTY || sys == EINVAL || sys == EOPNOTSUPP || sys == ENOSYS);
}

static int extended(struct session *s, struct tee_quote *q, struct deadline d, struct err *e)
{
	__attribute__((cleanup(pages_done))) struct pages certs = { 0 };
	int r;

	for (int i = 0; i < LENGTH_TRIES; i++) {
		struct snp_ext_request request = { .certs_address = (uintptr_t)certs.p,
						   .certs_len = (uint32_t)certs.len };
		int sys;

		memcpy(request.report.data, s->data, TEE_DATA);
		sys = submit_patiently(s, SNP_GET_EXT_REPORT, &request, d);
		if (went_well(s, sys)) {
			buf_put(&q->certs, certs.p, certs.len);
			r = buf_check(&q->certs, "certificate table", e);
			return r < 0 ? r : take_report(s, &q->report, e);
		}
		if (is_unsupported(s, sys))
			return plain(s, q, d, e);
		/* Older drivers say EIO with it, newer none; a length is there either way. */
		if (s->call.host_error != HOST_INVALID_LEN)
			return fail(s, sys, e);
		if (request.certs_len == 0)
			return plain(s, q, d, e);
		if (request.certs_len > TEE_CERTS_MAX)
			return err_code(e, CODE_TEE_REPLY,
					"%s: certificate table of %u bytes, allowed %u",
					SEV_GUEST_DEVICE, request.certs_len, TEE_CERTS_MAX);
		r = pages_alloc(&certs, ((size_t)request.certs_len + PAGE - 1) / PAGE * PAGE, e);
		if (r < 0)
			return r;
	}
	return err_code(e, CODE_TEE_REPLY, "%s: the length of the certificate table kept changing",
			SEV_GUEST_DEVICE);
}

bool sev_guest_is_snp(int root_fd)
{
	cleanup_close int fd = fs_open_beneath(root_fd, SEV_GUEST_SYSFS, O_PATH, 0, NULL);

	return fd >= 0;
}

bool sev_guest_present(int root_fd)
{
	cleanup_close int fd = fs_open_beneath(root_fd, SEV_GUEST_DEVICE, O_PATH, 0, NULL);

	return fd >= 0;
}

int sev_guest_quote(int root_fd, const uint8_t data[TEE_DATA], struct tee_quote *out,
		    struct deadline d, struct err *e)
{
	cleanup_close int fd = fs_open_beneath(root_fd, SEV_GUEST_DEVICE, O_RDWR | O_NOCTTY, 0, e);
	cleanup_tee_quote struct tee_quote q = { .kind = TEE_SNP,
						 .report = BUF_MAX(TEE_REPORT_MAX),
						 .certs = BUF_MAX(TEE_CERTS_MAX) };
	cleanup_free struct session *s = calloc(1, sizeof *s);
	int r;

	if (fd == -ERR_NOTFOUND || (fd < 0 && e && (e->sys == ENXIO || e->sys == ENODEV)))
		return err_code(e, CODE_TEE_NONE, "%s is not there", SEV_GUEST_DEVICE);
	if (fd < 0)
		return err_wrap_code(e, CODE_TEE_ACCESS, "SNP device");
	if (!s)
		return err_set(e, ERR_NOMEM, "no memory for an SNP request");
	s->fd = fd;
	s->data = data;
	r = extended(s, &q, d, e);
	if (r < 0)
		return r;
	*out = q;
	q = (struct tee_quote){ 0 };
	return 0;
}
