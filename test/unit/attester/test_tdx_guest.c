/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "attester/tdx_guest.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static char root[64], path[256];
static int root_fd;

static const char *at(const char *name)
{
	(void)snprintf(path, sizeof path, "%s%s/%s", root, TDX_MEASUREMENTS_DIR, name);
	return path;
}

static void begin(void)
{
	(void)snprintf(root, sizeof root, "/tmp/test_tdx.XXXXXX");
	CHECK(mkdtemp(root));
	CHECK_INT(fs_mkdirs(at(""), 0755, NULL), 0);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(root_fd >= 0);
}

static void put(const char *name, size_t n)
{
	uint8_t bytes[64] = "the value of a register, which has forty-eight bytes in it.";

	CHECK_INT(fs_write(at(name), (struct view){ bytes, n }, 0600, NULL), 0);
}

/* Everything below the root, by its known names. */
static void end(void)
{
	static const char *const names[] = { "rtmr0:sha384", "rtmr1:sha384", "rtmr2:sha384",
					     "rtmr3:sha384", "mrconfigid" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(at(names[i]));
	(void)at("");
	while (strlen(path) > strlen(root)) {
		*strrchr(path, '/') = '\0';
		CHECK_INT(rmdir(path), 0);
	}
	(void)close(root_fd);
}

TEST(tdx_rtmr_read__forty_eight_bytes__and_no_other_number)
{
	static const struct {
		size_t n;
		int r;
	} rows[] = { { 48, 0 }, { 47, -ERR_FORMAT }, { 49, -ERR_FORMAT }, { 0, -ERR_FORMAT } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t out[TEE_DIGEST] = { 7 };
		struct err e;

		begin();
		put("rtmr3:sha384", rows[i].n);
		put("mrconfigid", rows[i].n);
		CHECK_INT(tdx_rtmr_read(root_fd, 3, out, &e), rows[i].r);
		CHECK_INT(out[0], rows[i].r == 0 ? 't' : 7);
		out[0] = 7;
		CHECK_INT(tdx_mrconfigid_read(root_fd, out, &e), rows[i].r);
		CHECK_INT(out[0], rows[i].r == 0 ? 't' : 7);
		if (rows[i].r < 0)
			CHECK_INT(e.code, CODE_TEE_REPLY);
		end();
	}
}

TEST(tdx_rtmr_extend__the_digest_whole_into_its_register)
{
	uint8_t digest[TEE_DIGEST], got[TEE_DIGEST];
	struct err e;

	for (size_t i = 0; i < sizeof digest; i++)
		digest[i] = (uint8_t)(200 - i);
	begin();
	for (int i = 0; i < TEE_RTMRS; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "rtmr%d:sha384", i);
		put(name, 48);
	}
	CHECK_INT(tdx_rtmr_extend(root_fd, 2, digest, &e), 0);
	CHECK_INT(tdx_rtmr_read(root_fd, 2, got, &e), 0);
	CHECK(memcmp(digest, got, sizeof got) == 0);
	CHECK_INT(tdx_rtmr_read(root_fd, 3, got, &e), 0);
	CHECK(memcmp(digest, got, sizeof got) != 0);
	end();
}

TEST(tdx_rtmr__no_such_register_or_kernel__says_so)
{
	uint8_t digest[TEE_DIGEST] = { 0 };
	struct err e;

	begin();
	CHECK_ERR(tdx_rtmr_extend(root_fd, 4, digest, &e), ERR_UNSUPPORTED, e, "RTMR4; there are 0 to 3");
	CHECK_ERR(tdx_rtmr_read(root_fd, 99, digest, &e), ERR_UNSUPPORTED, e, "RTMR99");
	CHECK_ERR(tdx_rtmr_extend(root_fd, 3, digest, &e), ERR_UNSUPPORTED, e, "needs Linux 6.16");
	CHECK_ERR(tdx_mrconfigid_read(root_fd, digest, &e), ERR_NOTFOUND, e, "mrconfigid is not there");
	CHECK(!tdx_guest_present(root_fd));
	CHECK_ERR(tdx_guest_report(root_fd, (const uint8_t[TEE_DATA]){ 0 },
				   (uint8_t[TDX_TDREPORT_BYTES]){ 0 }, &e),
		  ERR_NOTFOUND, e, "/dev/tdx_guest is not there");
	end();
}
