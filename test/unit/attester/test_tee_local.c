/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_guest.h"
#include "attester/tee_local.h"
#include "test/unit/attester/fake_tsm.h"

#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>

static const uint8_t data[TEE_DATA] = "sixty-four bytes that the report must carry, and not one more.";

/* What /dev/tdx_guest answers; a device that never answers; a child that ends. */
static bool tdx_answers, hangs, crashes;
static size_t tdreport_byte; /* of the TDREPORT, that is not as in the quote; 0: none */

int ioctl(int fd, unsigned long command, ...)
{
	va_list v;
	uint8_t *p;

	va_start(v, command);
	p = va_arg(v, uint8_t *);
	va_end(v);
	(void)fd;
	while (hangs)
		(void)pause();
	if (crashes)
		_exit(3);
	if (!tdx_answers) {
		errno = EIO;
		return -1;
	}
	CHECK_INT(command, 0xC4405401);
	p[64] = 0x81;
	memcpy(p + 64 + 128, p, TEE_DATA);
	if (tdreport_byte)
		p[64 + tdreport_byte] ^= 0x10;
	return 0;
}

static int ask(struct tee_quote *q, int64_t wait_ms, struct err *e)
{
	struct tee_local l = { .root_fd = fake.root_fd, .wait_ms = wait_ms };
	struct tee t;

	tee_local(&t, &l);
	return t.quote(t.ctx, data, q, e);
}

static void device(const char *path)
{
	(void)mkdir(fake_path("/dev"), 0755);
	CHECK_INT(fs_write(fake_path(path), (struct view){ 0 }, 0600, NULL), 0);
}

TEST(tee_local__snp_through_configfs__checked_report_from_a_child)
{
	cleanup_tee_quote struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	fake.certs = "a table";
	CHECK_INT(ask(&q, 5000, &e), 0);
	CHECK_INT(q.kind, TEE_SNP);
	CHECK_INT(q.report.len, SNP_REPORT_BYTES);
	CHECK(view_is(buf_view(&q.certs), "a table"));
	CHECK_INT(fake_left(), 0);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	fake_end();
}

TEST(tee_local__a_report_with_other_data_or_size__refused)
{
	static const struct {
		enum tee_kind kind;
		bool wrong;
		size_t len;
		const char *words;
	} rows[] = {
		{ TEE_SNP, true, 0, "does not carry the data" },
		{ TEE_SNP, false, SNP_REPORT_BYTES - 1, "SNP report of 1183 bytes, want 1184" },
		{ TEE_SNP, false, SNP_REPORT_BYTES + 1, "SNP report of 1185 bytes, want 1184" },
		{ TEE_TDX, true, 0, "does not carry the data" },
		{ TEE_TDX, false, 48 + 584 + 4 + 99, "735 bytes that are no TD quote" },
		{ TEE_TDX, false, 48, "48 bytes that are no TD quote" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tee_quote q = { 0 };
		struct err e;

		fake_begin();
		fake.kind = rows[i].kind;
		fake.provider = fake.kind == TEE_SNP ? "sev_guest\n" : "tdx_guest\n";
		fake.wrong_data = rows[i].wrong;
		fake.report_len = rows[i].len;
		CHECK_ERR(ask(&q, 5000, &e), ERR_FORMAT, e, rows[i].words);
		CHECK_INT(e.code, CODE_TEE_REPLY);
		CHECK(!q.report.p);
		CHECK_INT(fake_left(), 0);
		fake_end();
	}
}

/* The host makes the quote: what it says of the TD must be what the processor says. */
TEST(tee_local__td_quote_of_another_td__refused)
{
	static const struct {
		size_t at;
		bool counts;
	} rows[] = {
		{ 0, false },
		{ 511, false },
		{ 512, true }, /* attributes */
		{ 519, true },
		{ 520, true }, /* XFAM */
		{ 528, true }, /* MRTD */
		{ 576, true }, /* MRCONFIGID */
		{ 623, true },
		{ 624, true }, /* MROWNER */
		{ 672, true }, /* MROWNERCONFIG */
		{ 719, true },
		{ 720, false }, /* RTMRs: an event may come in between */
	};

	tdx_answers = true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_tee_quote struct tee_quote q = { 0 };
		struct err e = { 0 };
		int r;

		fake_begin();
		fake.kind = TEE_TDX;
		fake.provider = "tdx_guest\n";
		device(TDX_GUEST_DEVICE);
		tdreport_byte = rows[i].at;
		r = ask(&q, 5000, &e);
		if (rows[i].counts) {
			CHECK_ERR(r, ERR_FORMAT, e, "of another TD");
			CHECK_INT(e.code, CODE_TEE_REPLY);
			CHECK(!q.report.p);
		} else if (r < 0) {
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		}
		CHECK_INT(fake_left(), 0);
		fake_end();
	}
}

TEST(tee_local__td_quote_that_nothing_can_be_held_to__refused)
{
	struct tee_quote q = { 0 };
	struct err e;

	for (int there = 0; there < 2; there++) {
		fake_begin();
		fake.kind = TEE_TDX;
		fake.provider = "tdx_guest\n";
		if (there)
			device(TDX_GUEST_DEVICE);
		tdx_answers = false;
		CHECK_ERR(ask(&q, 5000, &e), there ? ERR_DEVICE : ERR_NOTFOUND, e,
			  "hold the TD quote to this TD");
		CHECK_INT(e.code, there ? CODE_TEE_FAILED : CODE_TEE_NONE);
		CHECK(!q.report.p);
		fake_end();
	}
}

TEST(tee_local__nothing_there__tee_none)
{
	struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	CHECK_INT(rmdir(fake_path(TSM_REPORT_DIR)), 0);
	CHECK_ERR(ask(&q, 5000, &e), ERR_NOTFOUND, e, TSM_REPORT_DIR);
	CHECK_INT(e.code, CODE_TEE_NONE);
	fake_end();
}

TEST(tee_local__tdx_without_configfs__says_that_it_makes_no_quote)
{
	struct tee_quote q = { 0 };
	struct err e;

	for (int answers = 0; answers < 2; answers++) {
		fake_begin();
		CHECK_INT(rmdir(fake_path(TSM_REPORT_DIR)), 0);
		device(TDX_GUEST_DEVICE);
		tdx_answers = answers;
		CHECK_ERR(ask(&q, 5000, &e), ERR_UNSUPPORTED, e,
			  answers ? "answers, but makes no quote" : "TDX_CMD_GET_REPORT0: EIO");
		CHECK_INT(e.code, CODE_TEE_NO_QUOTE);
		fake_end();
	}
}

TEST(tee_local__a_device_that_never_answers__timeout_and_no_child_left)
{
	struct tee_quote q = { 0 };
	struct err e;
	int64_t began = clock_boot_ms();

	fake_begin();
	CHECK_INT(rmdir(fake_path(TSM_REPORT_DIR)), 0);
	device(SEV_GUEST_DEVICE);
	hangs = true;
	CHECK_ERR(ask(&q, 400, &e), ERR_TIMEOUT, e, "not answered in time");
	CHECK_INT(e.code, CODE_TEE_TIMEOUT);
	CHECK(clock_boot_ms() - began < 3000);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	hangs = false;
	crashes = true;
	CHECK_ERR(ask(&q, 4000, &e), ERR_DEVICE, e, "ended");
	fake_end();
}
