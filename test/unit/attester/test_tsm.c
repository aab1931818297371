/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/attester/fake_tsm.h"

#include <sys/wait.h>

static const uint8_t data[TEE_DATA] = "sixty-four bytes that the report must carry, and not one more.";

static int quote(struct tee_quote *q, int64_t ms, struct err *e)
{
	return tsm_quote(fake.root_fd, data, q, deadline_in(ms), e);
}

TEST(tsm_quote__snp__report_and_certificates_and_the_folder_is_gone)
{
	cleanup_tee_quote struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	fake.certs = "a table";
	CHECK_INT(quote(&q, 1000, &e), 0);
	CHECK_INT(q.kind, TEE_SNP);
	CHECK_INT(q.report.len, SNP_REPORT_BYTES);
	CHECK(memcmp(q.report.p + SNP_REPORT_DATA_AT, data, TEE_DATA) == 0);
	CHECK(view_is(buf_view(&q.certs), "a table"));
	CHECK_INT(fake_left(), 0);
	fake_end();
}

TEST(tsm_quote__no_auxblob__no_certificates)
{
	cleanup_tee_quote struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	CHECK_INT(quote(&q, 1000, &e), 0);
	CHECK_INT(q.certs.len, 0);
	fake_end();
}

TEST(tsm_quote__tdx__report_and_no_certificates)
{
	cleanup_tee_quote struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	fake.provider = "tdx_guest\n";
	fake.kind = TEE_TDX;
	fake.certs = "of no use";
	CHECK_INT(quote(&q, 1000, &e), 0);
	CHECK_INT(q.kind, TEE_TDX);
	CHECK_INT(q.report.len, 48 + 584 + 4 + 100);
	CHECK_INT(q.certs.len, 0);
	fake_end();
}

TEST(tsm_quote__busy_then_ready__tried_again)
{
	static const struct {
		const char *at;
		int sys;
		int requests;
	} rows[] = {
		{ "mkdir", EBUSY, 1 },	 { "mkdir", EEXIST, 1 },  { "provider", EINTR, 4 },
		{ "inblob", EBUSY, 4 },	 { "outblob", EBUSY, 4 }, { "outblob", EINTR, 4 },
		{ "outblob", EAGAIN, 4 }, { "auxblob", EAGAIN, 4 }, { "generation", EBUSY, 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_tee_quote struct tee_quote q = { 0 };
		struct err e = { 0 };

		fake_begin();
		fake.certs = "t";
		fake.at = rows[i].at;
		fake.sys = rows[i].sys;
		fake.times = 3;
		fake.requests = 0;
		if (quote(&q, 5000, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		CHECK_INT(fake.requests, rows[i].requests);
		CHECK_INT(fake_left(), 0);
		fake_end();
	}
}

TEST(tsm_quote__one_fault__its_code_the_folder_gone_and_out_untouched)
{
	static const struct {
		const char *at;
		int sys;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ "mkdir", ENXIO, CODE_TEE_NONE, "ENXIO" },
		{ "mkdir", ENOENT, CODE_TEE_NONE, "new request" },
		{ "mkdir", EACCES, CODE_TEE_ACCESS, "EACCES" },
		{ "mkdir", EROFS, CODE_TEE_ACCESS, "EROFS" },
		{ "mkdir", ENOMEM, CODE_TEE_FAILED, "ENOMEM" },
		{ "provider", EIO, CODE_TEE_FAILED, "provider: EIO" },
		{ "inblob", EFBIG, CODE_TEE_REPLY, "inblob: EFBIG" },
		{ "inblob", EINVAL, CODE_TEE_FAILED, "inblob: EINVAL" },
		{ "outblob", ENXIO, CODE_TEE_NONE, "outblob: ENXIO" },
		{ "outblob", EFBIG, CODE_TEE_REPLY, "outblob: EFBIG" },
		{ "outblob", EIO, CODE_TEE_FAILED, "outblob: EIO" },
		{ "outblob", ETIMEDOUT, CODE_TEE_TIMEOUT, "outblob: ETIMEDOUT" },
		{ "outblob", EBUSY, CODE_TEE_BUSY, "outblob: EBUSY" },
		{ "outblob", EAGAIN, CODE_TEE_INTERFERED, "outblob: EAGAIN" },
		{ "auxblob", EIO, CODE_TEE_FAILED, "auxblob: EIO" },
		{ "generation", EACCES, CODE_TEE_ACCESS, "generation: EACCES" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tee_quote q = { 0 };
		struct err e = { 0 };

		fake_begin();
		fake.certs = "t";
		fake.at = rows[i].at;
		fake.sys = rows[i].sys;
		fake.times = -1;
		if (quote(&q, 300, &e) >= 0 || e.code != rows[i].code ||
		    !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %s %s", i, err_name(&e), e.msg);
		CHECK(!q.report.p && !q.certs.p);
		CHECK_INT(fake_left(), 0);
		fake_end();
	}
}

TEST(tsm_quote__generation__only_1_is_ours)
{
	static const struct {
		const char *generation;
		enum err_code code;
		int requests; /* at least */
	} rows[] = {
		{ "2\n", CODE_TEE_INTERFERED, TSM_TRIES }, { "11\n", CODE_TEE_INTERFERED, TSM_TRIES },
		{ "1", CODE_TEE_INTERFERED, TSM_TRIES },	   { "", CODE_TEE_INTERFERED, TSM_TRIES },
		{ "0\n", CODE_TEE_BUSY, 2 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tee_quote q = { 0 };
		struct err e = { 0 };

		fake_begin();
		fake.generation = rows[i].generation;
		fake.requests = 0;
		CHECK(quote(&q, 3000, &e) < 0);
		CHECK_INT(e.code, rows[i].code);
		CHECK(fake.requests >= rows[i].requests);
		CHECK(!q.report.p);
		CHECK_INT(fake_left(), 0);
		fake_end();
	}
}

TEST(tsm_quote__somebody_writes_while_the_report_is_read__interfered)
{
	struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	fake.meddles = true;
	CHECK_ERR(quote(&q, 3000, &e), ERR_DEVICE, e, "generation is 2, want 1");
	CHECK_INT(e.code, CODE_TEE_INTERFERED);
	CHECK_INT(fake.requests, TSM_TRIES);
	CHECK(!q.report.p);
	CHECK_INT(fake_left(), 0);
	fake_end();
}

TEST(tsm_quote__report__empty_or_over_its_cap__refused)
{
	struct tee_quote q = { 0 };
	cleanup_free char *big = malloc(TEE_CERTS_MAX + 2);
	struct err e;

	CHECK(big);
	for (size_t i = 0; i < TEE_CERTS_MAX + 1; i++)
		big[i] = 'c';
	big[TEE_CERTS_MAX + 1] = '\0';
	fake_begin();
	fake.certs = big;
	CHECK_ERR(quote(&q, 1000, &e), ERR_FORMAT, e, "auxblob: EFBIG");
	CHECK_INT(e.code, CODE_TEE_REPLY);
	fake.certs = big + 1;
	CHECK_INT(quote(&q, 1000, &e), 0);
	CHECK_INT(q.certs.len, TEE_CERTS_MAX);
	tee_quote_done(&q);
	q = (struct tee_quote){ 0 };
	fake.empty = true;
	CHECK_ERR(quote(&q, 1000, &e), ERR_FORMAT, e, "outblob is empty");
	fake_end();
}

TEST(tsm_quote__another_provider__not_built)
{
	static const char *const rows[] = { "arm_cca_guest\n", "sev_guest", "sev_guest\nx", "\n", "" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tee_quote q = { 0 };
		struct err e;

		fake_begin();
		fake.provider = rows[i];
		CHECK_ERR(quote(&q, 1000, &e), ERR_UNSUPPORTED, e, "provider \"");
		CHECK_INT(e.code, CODE_PLATFORM_NOT_BUILT);
		CHECK_INT(fake_left(), 0);
		fake_end();
	}
}

TEST(tsm_quote__no_configfs__tee_none)
{
	struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	CHECK_INT(rmdir(fake_path(TSM_REPORT_DIR)), 0);
	CHECK_ERR(quote(&q, 1000, &e), ERR_NOTFOUND, e, TSM_REPORT_DIR " is not there");
	CHECK_INT(e.code, CODE_TEE_NONE);
	fake_end();
}

TEST(tsm_quote__rmdir_busy_for_a_moment__the_folder_goes)
{
	cleanup_tee_quote struct tee_quote q = { 0 };
	struct err e;

	fake_begin();
	fake.at = "rmdir";
	fake.sys = EBUSY;
	fake.times = 4;
	CHECK_INT(quote(&q, 1000, &e), 0);
	CHECK_INT(fake_left(), 0);
	fake_end();
}

static void folder(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", TSM_REPORT_DIR, name);
	CHECK_INT(mkdir(fake_path(path), 0755), 0);
}

TEST(tsm_sweep__only_folders_of_ours_whose_process_is_gone)
{
	char mine[64], gone[64];
	pid_t pid = fork(), zombie;

	if (pid == 0)
		_exit(0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	fake_begin();
	/* Another that has ended, and that we have not waited for. */
	zombie = fork();
	if (zombie == 0)
		_exit(0);
	CHECK_INT(waitid(P_PID, (id_t)zombie, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	(void)snprintf(gone, sizeof gone, "vouchsafe-%d-0123456789abcdef", (int)zombie);
	folder(gone);
	(void)snprintf(gone, sizeof gone, "vouchsafe-%d-0123456789abcdef", (int)pid);
	(void)snprintf(mine, sizeof mine, "vouchsafe-%d-0123456789abcdef", (int)getpid());
	folder(gone);
	folder(mine);
	folder("vouchsafe-");
	folder("vouchsafe-x-1");
	folder("vouchsafe-99999999999999999999-1");
	folder("other-1-1");
	tsm_sweep(fake.root_fd);
	CHECK_INT(fake_left(), 5);
	(void)snprintf(gone, sizeof gone, "%s/vouchsafe-%d-0123456789abcdef", TSM_REPORT_DIR, (int)pid);
	CHECK(access(fake_path(gone), F_OK) < 0);
	for (int i = 0; i < 5; i++) {
		static const char *const rest[] = { "vouchsafe-", "vouchsafe-x-1",
						    "vouchsafe-99999999999999999999-1", "other-1-1" };
		char path[256];

		(void)snprintf(path, sizeof path, "%s/%s", TSM_REPORT_DIR, i < 4 ? rest[i] : mine);
		CHECK_INT(rmdir(fake_path(path)), 0);
	}
	fake_end();
}
