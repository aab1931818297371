/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/attester/fake_tpm.h"

/* The same against swtpm and a paravisor is in test/integration/azure. */

enum { INDEX = 0x01400001, INPUT = 0x01400002, OWNERWRITE = 0x2, OWNERREAD = 0x20000 };

static struct tpm *open_fake(const struct fake_tpm *f)
{
	struct tpm *t = NULL;
	char where[64];
	struct err e;

	snprintf(where, sizeof where, "swtpm:127.0.0.1:%u", f->port);
	if (tpm_open(&t, where, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	tpm_set_wait(t, 3000);
	return t;
}

static void fill(struct fake_nv *nv, uint32_t index, size_t size)
{
	*nv = (struct fake_nv){ .index = index,
				.attributes = OWNERWRITE | OWNERREAD,
				.size = size,
				.bytes = BUF_MAX(1u << 16) };
	for (size_t i = 0; i < size; i++)
		buf_putc(&nv->bytes, (uint8_t)(i * 7 + i / 256));
}

TEST(tpm_nv_read__any_size__in_pieces_that_the_tpm_gives)
{
	static const struct {
		size_t size;
		unsigned chunk, pieces;
	} rows[] = { { 1, 1024, 1 },    { 1024, 1024, 1 }, { 1025, 1024, 2 }, { 2600, 1024, 3 },
		     { 2900, 512, 6 },  { 2900, 32, 91 },  { 16384, 2048, 8 },
		     /* libtss2 takes no more at once. */
		     { 4096, 8192, 2 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tpm *f = fake_tpm_start();
		cleanup_tpm struct tpm *t = open_fake(f);
		cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);
		struct err e = { 0 };

		f->nv_reads = f->nv_starts = 0;
		fill(&f->nv[0], INDEX, rows[i].size);
		f->chunk = rows[i].chunk;
		if (tpm_nv_read(t, INDEX, &out, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		CHECK(view_eq(buf_view(&out), buf_view(&f->nv[0].bytes)));
		CHECK_INT(f->nv_reads, rows[i].pieces);
		CHECK_INT(f->nv_starts, 1);
	}
}

TEST(tpm_nv_read__what_is_wrong__has_its_code_and_gives_nothing)
{
	static const struct {
		uint32_t command, answer;
		size_t claims;
		unsigned chunk;
		enum err_code want;
		const char *words;
	} rows[] = {
		{ CC_NV_READ_PUBLIC, 0x18b, 100, 0, CODE_TPM_NV_ABSENT, "NV 01400001" },
		{ CC_NV_READ, 0x14a, 100, 0, CODE_TPM_NV_UNWRITTEN, "TPM2_NV_Read" },
		{ CC_NV_READ, 0x148, 100, 0, CODE_TPM_NV_LOCKED, "0x148" },
		{ CC_NV_READ, 0x149, 100, 0, CODE_TPM_NV_DENIED, "0x149" },
		{ CC_NV_READ, 0x98e, 100, 0, CODE_TPM_NV_DENIED, "0x98e" },
		{ CC_NV_READ, 0x9a2, 100, 0, CODE_TPM_NV_DENIED, "0x9a2" },
		{ CC_NV_READ, 0x12f, 100, 0, CODE_TPM_NV_DENIED, "0x12f" },
		{ CC_NV_READ, 0x146, 100, 0, CODE_TPM_NV_SIZE, "0x146" },
		{ CC_NV_READ, 0x921, 100, 0, CODE_TPM_LOCKOUT, "0x921" },
		{ CC_NV_READ, 0x922, 100, 0, CODE_TPM_BUSY, "0x922" },
		{ CC_NV_READ, 0x101, 100, 0, CODE_TPM_FAILED, "NV 01400001" },
		{ CC_GET_CAPABILITY, 0x101, 100, 0, CODE_TPM_FAILED, "TPM2_GetCapability" },
		{ 0, 0, 0, 0, CODE_TPM_NV_SIZE, "0 bytes, allowed 1..16384" },
		{ 0, 0, 16385, 0, CODE_TPM_NV_SIZE, "16385 bytes" },
		{ 0, 0, 101, 0, CODE_TPM_REPLY, "gave 100 bytes at 0, want 101" },
		{ 0, 0, 100, 31, CODE_TPM_REPLY, "NV_BUFFER_MAX of 31" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tpm *f = fake_tpm_start();
		cleanup_tpm struct tpm *t = open_fake(f);
		cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);
		struct err e = { 0 };
		int r;

		fill(&f->nv[0], INDEX, 100);
		f->nv[0].size = rows[i].claims;
		f->chunk = rows[i].chunk;
		f->answer[rows[i].command & 511] = rows[i].answer;
		r = tpm_nv_read(t, INDEX, &out, &e);
		f->answer[rows[i].command & 511] = 0;
		CHECK_ERR(r, err_entry(rows[i].want)->kind, e, rows[i].words);
		CHECK_INT(e.code, rows[i].want);
		CHECK(out.len == 0);
		f->nv[0].size = 100;
		f->chunk = 0;
		CHECK_INT(tpm_nv_read(t, INDEX, &out, &e), 0);
	}
}

TEST(tpm_nv_read__retry_in_the_middle__does_not_begin_anew)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);

	fill(&f->nv[0], INDEX, 2600);
	f->answer[CC_NV_READ & 511] = 0x922;
	f->answer_times = 3;
	CHECK_INT(tpm_nv_read(t, INDEX, &out, NULL), 0);
	CHECK_INT(f->nv_starts, 1);
	CHECK_INT(out.len, 2600);
}

TEST(tpm_nv_read__index_of_its_own__is_read_with_its_password)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);

	fill(&f->nv[0], INDEX, 10);
	f->nv[0].attributes = 0x40004; /* AUTHREAD, AUTHWRITE */
	CHECK_INT(tpm_nv_read(t, INDEX, &out, NULL), 0);
}

TEST(tpm_nv_peek__some_bytes__or_what_is_wrong)
{
	static const struct {
		size_t offset, n;
		enum err_code want; /* CODE_OK: they are read */
	} rows[] = {
		{ 1, 3, CODE_OK },
		{ 96, 4, CODE_OK },
		{ 68, 32, CODE_OK },
		{ 97, 4, CODE_TPM_NV_SIZE },
		{ 100, 1, CODE_TPM_NV_SIZE },
		{ SIZE_MAX, 2, CODE_TPM_NV_SIZE },
		{ 65536 + 1, 3, CODE_TPM_NV_SIZE }, /* a TPM takes 16 bits of it */
		{ 0, 4, CODE_GENERAL_USAGE },
		{ 1, 0, CODE_GENERAL_USAGE },
		{ 1, 33, CODE_GENERAL_USAGE },
	};
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	uint8_t out[64] = { 0 };
	struct err e;

	f->nv_starts = 0;
	fill(&f->nv[0], INDEX, 100);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r;

		out[0] = 0xee;
		r = tpm_nv_peek(t, INDEX, rows[i].offset, out, rows[i].n, &e);
		if (rows[i].want == CODE_OK) {
			CHECK_INT(r, 0);
			CHECK(memcmp(out, f->nv[0].bytes.p + rows[i].offset, rows[i].n) == 0);
			continue;
		}
		CHECK(r < 0 && e.code == rows[i].want && out[0] == 0xee);
	}
	CHECK_INT(f->nv_starts, 0);
	CHECK(tpm_nv_peek(t, INDEX + 7, 1, out, 3, &e) < 0 && e.code == CODE_TPM_NV_ABSENT);
	f->nv[0].size = 200;
	CHECK(tpm_nv_peek(t, INDEX, 99, out, 4, &e) < 0 && e.code == CODE_TPM_REPLY);
}

TEST(tpm_nv_write__by_what_is_there__defines_uses_or_defines_anew)
{
	static const struct {
		size_t there; /* bytes of the index; 0: none */
		size_t data, pad;
		size_t after;
		unsigned defines;
	} rows[] = {
		{ 0, 48, 64, 48, 1 }, { 48, 48, 64, 48, 0 }, { 64, 48, 64, 64, 0 },
		{ 64, 64, 64, 64, 0 }, { 32, 48, 64, 48, 1 }, { 63, 48, 64, 48, 1 },
		{ 64, 48, 0, 48, 1 },  { 0, 1, 0, 1, 1 },
	};
	uint8_t data[64];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(0xa0 + i);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tpm *f = fake_tpm_start();
		cleanup_tpm struct tpm *t = open_fake(f);
		struct fake_nv *nv;
		struct err e = { 0 };

		f->nv_defines = 0;
		if (rows[i].there)
			fill(&f->nv[0], INPUT, rows[i].there);
		if (tpm_nv_write(t, INPUT, (struct view){ data, rows[i].data }, rows[i].pad, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		nv = fake_nv(f, INPUT);
		CHECK(nv != NULL);
		CHECK_INT(nv->bytes.len, rows[i].after);
		CHECK_INT(f->nv_defines, rows[i].defines);
		CHECK(memcmp(nv->bytes.p, data, rows[i].data) == 0);
		for (size_t k = rows[i].data; k < nv->bytes.len; k++)
			CHECK_INT(nv->bytes.p[k], 0);
		if (rows[i].defines)
			CHECK_INT(nv->attributes, OWNERWRITE | OWNERREAD);
	}
}

TEST(tpm_nv_write__what_is_wrong__has_its_code)
{
	static const struct {
		uint32_t command, answer;
		size_t there;
		enum err_code want;
	} rows[] = {
		{ CC_NV_READ_PUBLIC, 0x101, 48, CODE_TPM_FAILED },
		{ CC_NV_WRITE, 0x148, 48, CODE_TPM_NV_LOCKED },
		{ CC_NV_WRITE, 0x149, 48, CODE_TPM_NV_DENIED },
		{ CC_NV_WRITE, 0x921, 48, CODE_TPM_LOCKOUT },
		{ CC_NV_DEFINE, 0x9a2, 0, CODE_TPM_NV_DENIED },
		{ CC_NV_DEFINE, 0x185, 0, CODE_TPM_NV_DENIED }, /* owner hierarchy off */
		{ CC_NV_DEFINE, 0x14b, 0, CODE_TPM_NV_SIZE },
		{ CC_NV_UNDEFINE, 0x9a2, 32, CODE_TPM_NV_DENIED },
	};
	const uint8_t data[48] = { 1 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tpm *f = fake_tpm_start();
		cleanup_tpm struct tpm *t = open_fake(f);
		int r;

		if (rows[i].there)
			fill(&f->nv[0], INPUT, rows[i].there);
		f->answer[rows[i].command & 511] = rows[i].answer;
		r = tpm_nv_write(t, INPUT, (struct view){ data, 48 }, 64, &e);
		f->answer[rows[i].command & 511] = 0;
		CHECK_ERR(r, err_entry(rows[i].want)->kind, e, "NV 01400002");
		CHECK_INT(e.code, rows[i].want);
	}
}

TEST(tpm_nv_write__lengths_that_are_none__are_the_callers_fault)
{
	static const struct {
		size_t len, pad;
	} rows[] = { { 0, 64 }, { 65, 0 }, { 48, 65 }, { 48, 47 } };
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	const uint8_t data[65] = { 1 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_ERR(tpm_nv_write(t, INPUT, (struct view){ data, rows[i].len }, rows[i].pad, &e),
			  ERR_USAGE, e, "allowed 1..64");
	CHECK_INT(f->commands, 0);
}

/* What is written goes by the size that the TPM says: it must not be more than there is. */
TEST(tpm_nv_write__index_of_another_size_than_was_defined__is_a_bad_reply)
{
	static const size_t sizes[] = { 47, 49, 64, 3000, 65535 };
	const uint8_t data[48] = { 1 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct fake_tpm *f = fake_tpm_start();
		cleanup_tpm struct tpm *t = open_fake(f);
		int r;

		f->defined_size = sizes[i];
		f->nv_writes = 0;
		r = tpm_nv_write(t, INPUT, (struct view){ data, 48 }, 64, &e);
		f->defined_size = 0;
		CHECK_ERR(r, ERR_FORMAT, e, "defined with 48");
		CHECK_INT(e.code, CODE_TPM_REPLY);
		CHECK_INT(f->nv_writes, 0);
	}
}

/* NV_ReadPublic: a size that libtss2 does not mind, index, hash, attributes, policy, size of the data. */
TEST(tpm_nv_read__one_wrong_field_of_its_public_part__is_named)
{
	static const struct {
		unsigned at, change;
		enum err_code want;
	} rows[] = {
		{ 2, 0x01 ^ 0x81, CODE_TPM_REPLY }, /* another index */
		{ 5, 1, CODE_TPM_REPLY },
		{ 13, 1, CODE_TPM_REPLY },        /* a policy of one byte */
		{ 14, 0x40, CODE_TPM_NV_SIZE },   /* 16484 bytes of data */
		{ 15, 100 ^ 0, CODE_TPM_NV_SIZE }, /* none */
		{ 15, 100 ^ 101, CODE_TPM_NV_SIZE }, /* one more than there is */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tpm *f = fake_tpm_start();
		cleanup_tpm struct tpm *t = open_fake(f);
		cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);
		struct err e = { 0 };
		int r;

		fill(&f->nv[0], INDEX, 100);
		f->patch_cc = CC_NV_READ_PUBLIC;
		f->patch_at = rows[i].at;
		f->patch_xor = rows[i].change;
		r = tpm_nv_read(t, INDEX, &out, &e);
		f->patch_xor = 0;
		if (r >= 0 || e.code != rows[i].want)
			test_fail(__FILE__, __LINE__, "row %zu: %d %s: %s", i, r, err_name(&e), e.msg);
		CHECK_INT(out.len, 0);
	}
}

/* Another capability has another structure in the same place, and more of it. */
TEST(tpm__another_capability_in_the_answer__is_a_bad_reply)
{
	static const unsigned counts[] = { 1, 127, 254 };
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);
	struct err e;

	fill(&f->nv[0], INDEX, 100);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		int r;

		f->handles = counts[i];
		r = tpm_nv_read(t, INDEX, &out, &e);
		CHECK_ERR(r, ERR_FORMAT, e, "TPM2_GetCapability");
		CHECK_INT(e.code, CODE_TPM_REPLY);
		r = FAKE_SYNCED(tpm_describe(t, &out, &e));
		CHECK_ERR(r, ERR_FORMAT, e, "TPM2_GetCapability");
		CHECK_INT(e.code, CODE_TPM_REPLY);
		f->handles = 0;
		CHECK_INT(out.len, 0);
	}
}

/* --- a device that stays open: nothing is remembered of an index or a key -------------------------- */

static struct fake_tpm *device(struct tpm **t)
{
	char where[64];
	struct fake_tpm *f = fake_tpm_start_device(where);
	struct err e;

	if (tpm_open(t, where, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	tpm_set_wait(*t, 3000);
	return f;
}

TEST(tpm_nv__index_that_another_program_changed__is_looked_at_each_time)
{
	cleanup_tpm struct tpm *t = NULL;
	struct fake_tpm *f = device(&t);
	const uint8_t data[48] = { 0x5a };
	const struct view v = { data, 48 };
	struct err e = { 0 };

	CHECK_INT(tpm_nv_write(t, INPUT, v, 64, NULL), 0);
	CHECK_INT(f->nv_defines, 1);
	/* Defined anew with the size of the other SDK, then with one that fits nobody, then gone. */
	buf_done(&fake_nv(f, INPUT)->bytes);
	fill(fake_nv(f, INPUT), INPUT, 64);
	if (tpm_nv_write(t, INPUT, v, 64, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	CHECK_INT(f->nv_defines, 1);
	CHECK_INT(fake_nv(f, INPUT)->bytes.len, 64);
	buf_done(&fake_nv(f, INPUT)->bytes);
	fill(fake_nv(f, INPUT), INPUT, 20);
	CHECK_INT(tpm_nv_write(t, INPUT, v, 64, &e), 0);
	CHECK_INT(f->nv_defines, 2);
	CHECK_INT(fake_nv(f, INPUT)->bytes.len, 48);
	buf_done(&fake_nv(f, INPUT)->bytes);
	*fake_nv(f, INPUT) = (struct fake_nv){ 0 };
	CHECK_INT(tpm_nv_write(t, INPUT, v, 64, &e), 0);
	CHECK_INT(f->nv_defines, 3);
	CHECK_INT(f->clients, 0);
}

TEST(tpm_nv__index_that_comes_later__is_found_then)
{
	cleanup_tpm struct tpm *t = NULL;
	struct fake_tpm *f = device(&t);
	cleanup_buf struct buf out = BUF_MAX(TPM_NV_MAX);
	struct err e;

	CHECK_INT(tpm_nv_read(t, INDEX, &out, &e), -(int)ERR_NOTFOUND);
	fill(&f->nv[0], INDEX, 2600);
	CHECK_INT(tpm_nv_read(t, INDEX, &out, &e), 0);
	CHECK_INT(out.len, 2600);
	/* More handles than are kept in mind. */
	for (uint32_t i = 1; i <= 8; i++) {
		cleanup_buf struct buf more = BUF_MAX(TPM_NV_MAX);

		fill(&f->nv[1], 0x01500000 + i, 10);
		CHECK_INT(tpm_nv_read(t, 0x01500000 + i, &more, &e), 0);
		CHECK_INT(more.len, 10);
		buf_done(&f->nv[1].bytes);
	}
	buf_reset(&out);
	CHECK_INT(tpm_nv_read(t, INDEX, &out, &e), 0);
	CHECK_INT(out.len, 2600);
}

TEST(tpm_quote__key_that_was_replaced__is_looked_at_each_time)
{
	cleanup_tpm struct tpm *t = NULL;
	struct fake_tpm *f = device(&t);
	const struct view nonce = { f->vector.report_data, 32 };
	uint8_t bytes[512];
	size_t n = strlen(vector_text(f->vector.doc, "public")) / 2;
	struct err e = { 0 };

	for (int i = 0; i < 2; i++) {
		cleanup_tpm_quote struct tpm_quote q = { 0 };

		CHECK_INT(tpm_quote(t, &q, nonce, &e), 0);
		CHECK_INT(f->commands, i == 0 ? 5 : 10);
	}
	vector_hex(bytes, n, f->vector.doc, "public");
	bytes[n - 10] ^= 1;
	f->public = BUF_MAX(512);
	buf_put(&f->public, bytes + 2, n - 2);
	/* Another key: its quote is not the recorded one, and that is seen. */
	{
		cleanup_tpm_quote struct tpm_quote q = { 0 };

		CHECK_INT(tpm_quote(t, &q, nonce, &e), -(int)ERR_FORMAT);
		CHECK_INT(e.code, CODE_TPM_REPLY);
	}
	buf_done(&f->public);
	for (int i = 0; i < 2; i++) {
		cleanup_tpm_quote struct tpm_quote q = { 0 };

		if (tpm_quote(t, &q, nonce, &e) < 0 && i == 1)
			test_fail(__FILE__, __LINE__, "%s", e.msg);
	}
}
