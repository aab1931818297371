/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_report.h"
#include "test/unit/attester/vector.h"

static void read_own(uint8_t raw[TDX_REPORT_LEN], struct json **doc)
{
	*doc = vector_json(test_vector("attester/tdx.json"));
	vector_hex(raw, TDX_REPORT_LEN, json_get(*doc, "report"), "raw");
}

static struct view whole(const uint8_t raw[TDX_REPORT_LEN])
{
	return (struct view){ raw, TDX_REPORT_LEN };
}

static void check_field(struct view got, const struct json *fields, const char *name)
{
	cleanup_buf struct buf hex = BUF_MAX(1024);

	enc_hex(&hex, got);
	if (strcmp(buf_str(&hex), vector_text(fields, name)) != 0)
		test_fail(__FILE__, __LINE__, "%s is %s", name, buf_str(&hex));
}

TEST(tdx_report_parse__report__cuts_every_field_and_its_hashes_hold)
{
	static const char *const rtmr[] = { "rtmr_0", "rtmr_1", "rtmr_2", "rtmr_3" };
	cleanup_json struct json *doc = NULL;
	const struct json *f;
	uint8_t raw[TDX_REPORT_LEN];
	struct tdx_report r;

	read_own(raw, &doc);
	f = json_get(json_get(doc, "report"), "fields");
	CHECK_INT(tdx_report_parse(&r, whole(raw), NULL), 0);
	CHECK(r.type == 0x81 && r.subtype == 0 && r.version == 1);
	check_field(r.cpusvn, f, "cpusvn");
	check_field(r.report_data, f, "report_data");
	CHECK(r.td.attributes == 1u << 28 && r.td.xfam == 0x61ae7);
	check_field(r.td.mr_td, f, "mr_td");
	check_field(r.td.mr_config_id, f, "mr_config_id");
	check_field(r.td.mr_owner, f, "mr_owner");
	check_field(r.td.mr_owner_config, f, "mr_owner_config");
	for (size_t i = 0; i < TDX_RTMRS; i++)
		check_field(r.td.rtmr[i], f, rtmr[i]);
	CHECK(r.tcb_info_hash.p == raw + 0x20 && r.td_info_hash.p == raw + 0x50);
	CHECK(r.mac.p == raw + 0xe0 && r.mac.len == 32);
	CHECK(r.tcb_info.p == raw + 0x100 && r.tcb_info.len == 239);
	CHECK(r.td_info.p == raw + 0x200 && r.td_info.len == 512);
	CHECK_INT(tdx_report_check(&r, NULL), 0);
}

TEST(tdx_report_parse__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		size_t at;
		uint8_t v;
		size_t len;
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ 0, 0x81, 0, ERR_FORMAT, "0 bytes, want 1024" },
		{ 0, 0x81, 1023, ERR_FORMAT, "1023 bytes" },
		{ 0, 0x81, 1025, ERR_FORMAT, "1025 bytes" },
		{ 0, 0x00, 1024, ERR_UNSUPPORTED, "type 00" },
		{ 0, 0x80, 1024, ERR_UNSUPPORTED, "type 80" },
		{ 3, 1, 1024, ERR_FORMAT, "reserved 13 from 3" },
		{ 15, 1, 1024, ERR_FORMAT, "reserved 13 from 3" },
		{ 0xc0, 1, 1024, ERR_FORMAT, "reserved 32 from 192" },
		{ 0xdf, 1, 1024, ERR_FORMAT, "reserved 32 from 192" },
		{ 0x1ef, 1, 1024, ERR_FORMAT, "reserved 17 from 495" },
		{ 0x1ff, 1, 1024, ERR_FORMAT, "reserved 17 from 495" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_json struct json *doc = NULL;
		uint8_t raw[TDX_REPORT_LEN + 1] = { 0 };
		struct tdx_report r = { .type = 77 };
		struct err e;

		read_own(raw, &doc);
		raw[rows[i].at] = rows[i].v;
		CHECK_ERR(tdx_report_parse(&r, (struct view){ raw, rows[i].len }, &e), rows[i].kind,
			  e, rows[i].words);
		CHECK_INT(r.type, 77);
	}
}

/* Every byte of both hashed parts, and of the hashes. */
TEST(tdx_report_check__one_byte_changed__is_refused)
{
	static const struct {
		size_t at, n;
		const char *words;
	} rows[] = {
		{ 0x020, 48, "TCB information" },
		{ 0x050, 48, "TD information" },
		{ 0x100, 239, "TCB information" },
		{ 0x200, 512, "TD information" },
	};
	cleanup_json struct json *doc = NULL;
	uint8_t raw[TDX_REPORT_LEN];

	read_own(raw, &doc);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t at = rows[i].at; at < rows[i].at + rows[i].n; at++) {
			struct tdx_report r;
			struct err e;

			raw[at] ^= 1;
			CHECK_INT(tdx_report_parse(&r, whole(raw), NULL), 0);
			CHECK_ERR(tdx_report_check(&r, &e), ERR_VERIFY, e, rows[i].words);
			raw[at] ^= 1;
		}
}

TEST(tdx_report_parse__recorded_reports__parse_and_their_hashes_hold)
{
	static const struct {
		const char *path;
		size_t offset;
		uint8_t version;
	} rows[] = {
		{ "evidence/guest-components/attestation-agent/attester/test/tdx_report_1.bin", 0, 1 },
		{ "evidence/trustee/deps/verifier/test_data/az-tdx-vtpm/hcl-report.bin", 32, 0 },
		{ "evidence/azure-cvm-tooling/az-cvm-vtpm/test/hcl-report-tdx.bin", 32, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(8192);
		struct tdx_report r;
		struct err e;

		CHECK_INT(fs_read(&b, test_shared(rows[i].path), 8192, NULL), 0);
		CHECK(b.len >= rows[i].offset + TDX_REPORT_LEN);
		CHECK_INT(tdx_report_parse(&r, whole(b.p + rows[i].offset), &e), 0);
		CHECK(r.version <= rows[i].version);
		CHECK_INT(tdx_report_check(&r, &e), 0);
	}
}
