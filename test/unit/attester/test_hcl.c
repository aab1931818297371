/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/digest.h"
#include "agent/crypto/pubkey.h"
#include "attester/hcl.h"
#include "test/unit/attester/vector.h"

/* --- the report ------------------------------------------------------------------------------ */

/* A small well-formed report: three bytes of var_data and four behind it, everything else zero. */
enum { VAR = 1236, RAW_LEN = VAR + 3 + 4 };

struct raw {
	uint8_t b[RAW_LEN];
};

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static struct raw small(enum hcl_kind kind)
{
	struct raw r = { 0 };

	memcpy(r.b, "HCLA", 4);
	put32(r.b + 4, 2);           /* version */
	put32(r.b + 8, 1239);        /* report_size */
	put32(r.b + 1216, 23);       /* data_size */
	put32(r.b + 1216 + 4, 1);    /* version */
	put32(r.b + 1216 + 8, kind); /* report_type */
	put32(r.b + 1216 + 12, 1);   /* hash_type, SHA-256 */
	put32(r.b + 1216 + 16, 3);   /* var_size */
	memcpy(r.b + VAR, "{ }", 3);
	return r;
}

static int parse(const struct raw *r, size_t len, struct hcl_report *out, struct err *e)
{
	return hcl_parse(out, (struct view){ r->b, len }, e);
}

TEST(hcl_parse__small_snp__cuts_the_documented_offsets)
{
	struct raw r = small(HCL_SNP);
	struct hcl_report h;

	CHECK_INT(parse(&r, sizeof r.b, &h, NULL), 0);
	CHECK_INT(h.kind, HCL_SNP);
	CHECK_INT(h.hw.p - r.b, 32);
	CHECK_INT(h.hw.len, 1184);
	CHECK_INT(h.report_data.p - r.b, 32 + 0x50);
	CHECK_INT(h.report_data.len, 64);
	CHECK_INT(h.var_data.p - r.b, VAR);
	CHECK_INT(h.var_data.len, 3);
}

TEST(hcl_parse__small_tdx__cuts_the_documented_offsets)
{
	struct raw r = small(HCL_TDX);
	struct hcl_report h;

	CHECK_INT(parse(&r, sizeof r.b, &h, NULL), 0);
	CHECK_INT(h.kind, HCL_TDX);
	CHECK_INT(h.hw.len, 1024);
	CHECK_INT(h.report_data.p - r.b, 32 + 128);
	CHECK_INT(h.report_data.len, 64);
}

/* What nobody verifies may be of tomorrow's paravisor; report_size has two readings. */
TEST(hcl_parse__fields_that_nobody_judges__are_taken)
{
	static const struct {
		size_t off;
		uint32_t val;
	} rows[] = { { 4, 3 }, { 8, 1184 }, { 12, 7 }, { 16, 1 }, { 20, 1 }, { 28, 1 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct raw r = small(HCL_SNP);
		struct hcl_report h;

		put32(r.b + rows[i].off, rows[i].val);
		CHECK_INT(parse(&r, sizeof r.b, &h, NULL), 0);
	}
}

TEST(hcl_parse__every_truncation__is_a_format_error)
{
	struct raw r = small(HCL_TDX);
	struct hcl_report h;
	struct err e;

	for (size_t n = 0; n < VAR + 3; n++) {
		CHECK_INT(parse(&r, n, &h, &e), -ERR_FORMAT);
		/* Nothing behind n is looked at: ASan sees the copy's end. */
		cleanup_free uint8_t *copy = malloc(n ? n : 1);

		CHECK(copy != NULL);
		memcpy(copy, r.b, n);
		CHECK_INT(hcl_parse(&h, (struct view){ copy, n }, &e), -ERR_FORMAT);
	}
	CHECK_INT(parse(&r, VAR + 3, &h, &e), 0);
}

/* One row a field: the report is well-formed but for these (offset, value) pairs. */
TEST(hcl_parse__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		struct {
			size_t off;
			uint32_t val;
		} set[3];
		enum hcl_kind kind;
		enum err_kind want;
		const char *words;
	} rows[] = {
		{ { { 0, 0x414c4349 } }, HCL_SNP, ERR_FORMAT, "magic" },
		{ { { 8, 1238 } }, HCL_SNP, ERR_FORMAT, "report 1238" },
		{ { { 8, 1240 } }, HCL_SNP, ERR_FORMAT, "report 1240" },
		{ { { 1216, 22 }, { 8, 1238 } }, HCL_SNP, ERR_FORMAT, "data 22" },
		{ { { 1216, UINT32_MAX } }, HCL_SNP, ERR_FORMAT, "data 4294967295" },
		{ { { 1216 + 4, 0 } }, HCL_SNP, ERR_UNSUPPORTED, "version 0, want 1" },
		{ { { 1216 + 4, 2 } }, HCL_SNP, ERR_UNSUPPORTED, "version 2, want 1" },
		{ { { 1216 + 8, 0 } }, HCL_SNP, ERR_UNSUPPORTED, "report type 0" },
		{ { { 1216 + 8, 1 } }, HCL_SNP, ERR_UNSUPPORTED, "report type 1" },
		{ { { 1216 + 8, 3 } }, HCL_SNP, ERR_UNSUPPORTED, "report type 3" },
		{ { { 1216 + 8, 5 } }, HCL_SNP, ERR_UNSUPPORTED, "report type 5" },
		{ { { 1216 + 12, 0 } }, HCL_SNP, ERR_UNSUPPORTED, "hash type 0" },
		{ { { 1216 + 12, 2 } }, HCL_SNP, ERR_UNSUPPORTED, "hash type 2" },
		{ { { 1216 + 16, 0 } }, HCL_SNP, ERR_LIMIT, "allowed 1..8192" },
		{ { { 1216 + 16, 8193 } }, HCL_SNP, ERR_LIMIT, "allowed 1..8192" },
		{ { { 1216 + 16, UINT32_MAX } }, HCL_SNP, ERR_LIMIT, "allowed 1..8192" },
		/* Three that agree with each other and reach one byte past the input. */
		{ { { 8, 1244 }, { 1216, 28 }, { 1216 + 16, 8 } }, HCL_SNP, ERR_FORMAT, "have 1243" },
		{ { { RAW_LEN - 4, 1u << 24 } }, HCL_SNP, ERR_FORMAT, "behind its var_data" },
		{ { { VAR + 3, 1 } }, HCL_SNP, ERR_FORMAT, "behind its var_data" },
		{ { { 32 + 1024, 1 } }, HCL_TDX, ERR_FORMAT, "behind its TDREPORT" },
		{ { { 1212, 1u << 24 } }, HCL_TDX, ERR_FORMAT, "behind its TDREPORT" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct raw r = small(rows[i].kind);
		struct hcl_report h = { .kind = 77 };
		struct err e;

		for (size_t k = 0; k < 3; k++)
			if (k == 0 || rows[i].set[k].off != 0)
				put32(r.b + rows[i].set[k].off, rows[i].set[k].val);
		CHECK_ERR(parse(&r, sizeof r.b, &h, &e), rows[i].want, e, rows[i].words);
		CHECK_INT(h.kind, 77);
	}
}

TEST(hcl_parse__more_than_an_index_holds__is_a_limit)
{
	cleanup_free uint8_t *big = calloc(1, HCL_REPORT_MAX + 1);
	struct raw r = small(HCL_SNP);
	struct hcl_report h;
	struct err e;

	CHECK(big != NULL);
	memcpy(big, r.b, sizeof r.b);
	CHECK_INT(hcl_parse(&h, (struct view){ big, HCL_REPORT_MAX }, &e), 0);
	CHECK_ERR(hcl_parse(&h, (struct view){ big, HCL_REPORT_MAX + 1 }, &e), ERR_LIMIT, e, "16385");
}

TEST(hcl_bound__digest_in_the_report_data__and_nothing_else)
{
	struct raw r = small(HCL_SNP);
	struct hcl_report h;
	struct digest d;
	struct err e;

	CHECK_INT(parse(&r, sizeof r.b, &h, NULL), 0);
	CHECK_ERR(hcl_bound(&h, &e), ERR_VERIFY, e, "does not carry");
	CHECK_INT(digest_of(&d, HASH_SHA256, h.var_data, NULL), 0);
	memcpy(r.b + 32 + 0x50, d.b, 32);
	CHECK_INT(hcl_bound(&h, NULL), 0);
	/* Each byte of the 64 and of var_data counts. */
	for (size_t i = 0; i < 64 + 3; i++) {
		uint8_t *p = i < 64 ? r.b + 32 + 0x50 + i : r.b + VAR + i - 64;

		*p ^= 0x80;
		CHECK_INT(hcl_bound(&h, &e), -ERR_VERIFY);
		*p ^= 0x80;
	}
}

/* --- var_data -------------------------------------------------------------------------------- */

#define N2048                                                                                      \
	"zwcxlxdgDI9UIULXsSlQHNrK1WjxwNasQPN6G6CKM2Aacy5VayryfJ940rjogHQH4EIxLTLa85e1KzCeqk5_aJYBE" \
	"Xw-FCFBuHVSWnLV1uUrugzHS0xk7a6YvbKTHNoiJi3-g0GDEJFPZMRivIeXf37jnSycHTzXgJLoiZ1VMimgscrXE9" \
	"mehASjePNlBzkcSYPVdPNsOnk0HHlzbGLziIKFrRo8EDJjmfc9lAHNQMXjg2a-QHt39YLCzrfQLZk0MjAZ5ENTlMw" \
	"siXV9-aTYdlA1wRnI1hY_GZZSelwJqAQS6VaBqPGvN5Z3FcWyWwYdIunc2fRmJcQVcjXTweqd7w"
#define KEY(kid) "{\"kid\":\"" kid "\",\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" N2048 "\"}"
#define HEX64                                                                                      \
	"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"                         \
	"0000000000000000000000000000000000000000000000000000000000000000"

static int load(struct hcl_runtime *rt, const char *text, struct err *e)
{
	return hcl_runtime_load(rt, view_str(text), e);
}

TEST(hcl_runtime_load__two_keys__takes_the_ak_and_the_user_data)
{
	cleanup_hcl_runtime struct hcl_runtime rt = { 0 };
	const uint8_t head[] = { 0x00, 0x11, 0x22, 0x33 };
	uint8_t all[32];

	CHECK_INT(load(&rt, "{\"keys\":[" KEY("HCLEkPub") "," KEY("HCLAkPub") "],\"later\":{},"
			    "\"user-data\":\"" HEX64 "\"}", NULL),
		  0);
	CHECK_INT(rt.ak.len, 294);
	CHECK(rt.has_user_data);
	CHECK_INT(enc_hex_decode(all, 32, (struct view){ (const uint8_t *)HEX64, 64 }, NULL), 0);
	CHECK(hcl_carries(&rt, (struct view){ all, 32 }));
	/* The rest has to be zero: else it carries other data that begin so. */
	CHECK(!hcl_carries(&rt, (struct view){ head, 4 }));
	CHECK(!hcl_carries(&rt, (struct view){ all, 31 }));
	CHECK(!hcl_carries(&rt, (struct view){ all, 0 }));
	all[31] ^= 1;
	CHECK(!hcl_carries(&rt, (struct view){ all, 32 }));
}

TEST(hcl_runtime_load__no_user_data__carries_nothing)
{
	cleanup_hcl_runtime struct hcl_runtime rt = { 0 };
	const uint8_t zero[32] = { 0 };

	CHECK_INT(load(&rt, "{\"keys\":[" KEY("HCLAkPub") "]}", NULL), 0);
	CHECK(!rt.has_user_data);
	CHECK(!hcl_carries(&rt, (struct view){ zero, 32 }));
}

TEST(hcl_runtime_load__one_thing_wrong__fails_and_leaves_out_untouched)
{
	static const struct {
		const char *text;
		enum err_kind want;
		const char *words;
	} rows[] = {
		{ "", ERR_FORMAT, "HCL var_data" },
		{ "{\"keys\":[]} x", ERR_FORMAT, "HCL var_data" },
		{ "{\"keys\":[],\"keys\":[]}", ERR_FORMAT, "HCL var_data" },
		{ "[]", ERR_FORMAT, "no array \"keys\"" },
		{ "{}", ERR_FORMAT, "no array \"keys\"" },
		{ "{\"keys\":{}}", ERR_FORMAT, "no array \"keys\"" },
		{ "{\"Keys\":[" KEY("HCLAkPub") "]}", ERR_FORMAT, "no array \"keys\"" },
		{ "{\"keys\":[]}", ERR_FORMAT, "no key HCLAkPub" },
		{ "{\"keys\":[1,null,\"HCLAkPub\"]}", ERR_FORMAT, "no key HCLAkPub" },
		{ "{\"keys\":[" KEY("HCLEkPub") "]}", ERR_FORMAT, "no key HCLAkPub" },
		{ "{\"keys\":[" KEY("hclakpub") "]}", ERR_FORMAT, "no key HCLAkPub" },
		{ "{\"keys\":[" KEY("HCLAkPub") "," KEY("HCLAkPub") "]}", ERR_FORMAT, "two keys" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\"}]}", ERR_FORMAT, "kty" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"EC\",\"e\":\"AQAB\",\"n\":\"" N2048
		  "\"}]}", ERR_FORMAT, "kty \"EC\"" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", ERR_FORMAT,
		  "HCLAkPub: n" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"n\":\"" N2048 "\"}]}", ERR_FORMAT,
		  "HCLAkPub: e" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"}]}",
		  ERR_FORMAT, "RSA modulus of 3 bytes" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" N2048
		  "==\"}]}", ERR_FORMAT, "HCLAkPub: n" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"\",\"n\":\"" N2048
		  "\"}]}", ERR_FORMAT, "exponent 0" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"AAAA\",\"n\":\"" N2048
		  "\"}]}", ERR_FORMAT, "exponent 0" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"AQAC\",\"n\":\"" N2048
		  "\"}]}", ERR_FORMAT, "exponent 65538" },
		{ "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"AQABAQE\",\"n\":\"" N2048
		  "\"}]}", ERR_LIMIT, "HCLAkPub: e" },
		{ "{\"keys\":[" KEY("HCLAkPub") "],\"user-data\":1}", ERR_FORMAT, "user-data" },
		{ "{\"keys\":[" KEY("HCLAkPub") "],\"user-data\":\"\"}", ERR_FORMAT, "user-data" },
		{ "{\"keys\":[" KEY("HCLAkPub") "],\"user-data\":\"00" HEX64 "\"}", ERR_FORMAT,
		  "user-data" },
		{ "{\"keys\":[" KEY("HCLAkPub") "],\"user-data\":\"0011\"}", ERR_FORMAT, "user-data" },
		{ "{\"keys\":[" KEY("HCLAkPub")
		  "],\"user-data\":\"xx112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
		  "0000000000000000000000000000000000000000000000000000000000000000\"}", ERR_FORMAT,
		  "user-data" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct hcl_runtime rt = { 0 };
		struct err e;

		CHECK_ERR(load(&rt, rows[i].text, &e), rows[i].want, e, rows[i].words);
		CHECK(rt.ak.p == NULL && !rt.has_user_data);
	}
}

/* --- what others made ------------------------------------------------------------------------ */

static void check_vector(const char *path, size_t size, enum hcl_kind kind, size_t var,
			 bool user_data)
{
	cleanup_buf struct buf raw = BUF_MAX(HCL_REPORT_MAX);
	cleanup_hcl_runtime struct hcl_runtime rt = { 0 };
	struct hcl_report h;
	struct err e;

	if (fs_read(&raw, test_shared(path), HCL_REPORT_MAX, &e) < 0 ||
	    hcl_parse(&h, buf_view(&raw), &e) < 0 || hcl_bound(&h, &e) < 0 ||
	    hcl_runtime_load(&rt, h.var_data, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, e.msg);
	CHECK_INT(raw.len, size);
	CHECK_INT(h.kind, kind);
	CHECK_INT(h.var_data.len, var);
	CHECK_INT(rt.has_user_data, user_data);
	CHECK_INT(rt.ak.len, 294);
}

#define VERIFIER "evidence/trustee/deps/verifier/test_data/"
#define TOOLING  "evidence/azure-cvm-tooling/az-cvm-vtpm/test/"

TEST(hcl__recorded_reports__parse_and_are_bound)
{
	check_vector(VERIFIER "az-snp-vtpm/hcl-report.bin", 2600, HCL_SNP, 1110, true);
	check_vector(VERIFIER "az-tdx-vtpm/hcl-report.bin", 2600, HCL_TDX, 1201, true);
	check_vector(TOOLING "hcl-report-snp.bin", 2048, HCL_SNP, 583, false);
	check_vector(TOOLING "hcl-report-tdx.bin", 2600, HCL_TDX, 1202, true);
}

TEST(hcl__synthetic_reports__carry_the_primary_report_data)
{
	static const char *const names[] = { "snp", "tdx" };
	cleanup_json struct json *want =
		vector_json(test_shared("evidence/derived/expected.json"));
	uint8_t rd[64], var[32];

	vector_hex(rd, sizeof rd, want, "report_data_padded64");
	vector_hex(var, sizeof var, want, "var_data_sha256");
	for (size_t i = 0; i < 2; i++) {
		cleanup_buf struct buf raw = BUF_MAX(HCL_REPORT_MAX), der = BUF_MAX(4096);
		cleanup_hcl_runtime struct hcl_runtime rt = { 0 };
		struct hcl_report h;
		char path[80];

		snprintf(path, sizeof path, "evidence/derived/synthetic-hcl-%s.bin", names[i]);
		CHECK_INT(fs_read(&raw, test_shared(path), HCL_REPORT_MAX, NULL), 0);
		CHECK_INT(raw.len, 2900);
		CHECK_INT(hcl_parse(&h, buf_view(&raw), NULL), 0);
		CHECK_INT(hcl_bound(&h, NULL), 0);
		CHECK_INT(hcl_runtime_load(&rt, h.var_data, NULL), 0);
		CHECK(hcl_carries(&rt, (struct view){ rd, 48 }));
		CHECK(memcmp(h.report_data.p, var, 32) == 0);
		CHECK_INT(fs_read(&der, test_shared("evidence/derived/tpm-ak.spki.der"), 4096, NULL), 0);
		CHECK(view_eq(buf_view(&der), buf_view(&rt.ak)));
	}
}
