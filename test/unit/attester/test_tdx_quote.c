/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_quote.h"
#include "attester/le.h"
#include "test/unit/attester/vector.h"

enum {
	ROOM = 8192,
	V4_BODY = 48,
	V5_TYPE = 48,
	V5_SIZE = 50,
	V5_BODY = 54,
	V4_SIG = V4_BODY + 584, /* size of the signature data */
	V4_CERT6 = V4_SIG + 4 + 128,
	V4_QE = V4_CERT6 + 6,
	V4_AUTH = V4_QE + 384 + 64,
	V4_CERT5 = V4_AUTH + 2 + 32,
	V4_PEM = V4_CERT5 + 6,
};

#define DATA_DIR "evidence/trustee/deps/verifier/test_data/"

struct raw {
	uint8_t b[ROOM];
	size_t len;
	struct json *doc;
	const struct json *fields;
};

#define cleanup_raw __attribute__((cleanup(raw_done)))

static void raw_done(struct raw *r)
{
	json_free(r->doc);
}

static void from_hex(struct raw *r, const char *hex)
{
	r->len = strlen(hex) / 2;
	CHECK(r->len <= sizeof r->b);
	CHECK_INT(enc_hex_decode(r->b, r->len, view_str(hex), NULL), 0);
}

static struct raw quote(const char *name)
{
	struct raw r = { .doc = vector_json(test_vector("attester/tdx.json")) };

	if (strcmp(name, "sgx") == 0) {
		from_hex(&r, vector_text(r.doc, "sgx"));
		return r;
	}
	for (const struct json *v = json_first(json_get(r.doc, "quotes")); v; v = json_next(v)) {
		if (strcmp(vector_text(v, "name"), name) != 0)
			continue;
		from_hex(&r, vector_text(v, "raw"));
		r.fields = json_get(v, "fields");
		return r;
	}
	test_fail(__FILE__, __LINE__, "no quote %s", name);
}

static struct view view_of(const struct raw *r)
{
	return (struct view){ r->b, r->len };
}

static void check_field(struct view got, const struct json *fields, const char *name)
{
	cleanup_buf struct buf hex = BUF_MAX(1024);

	enc_hex(&hex, got);
	if (strcmp(buf_str(&hex), vector_text(fields, name)) != 0)
		test_fail(__FILE__, __LINE__, "%s is %s, want %s", name, buf_str(&hex),
			  vector_text(fields, name));
}

static void check_number(uint64_t got, const struct json *fields, const char *name)
{
	uint8_t b[8];

	le_put(b, got, sizeof b);
	check_field((struct view){ b, sizeof b }, fields, name);
}

static void check_td(const struct tdx_td *td, const struct json *f)
{
	check_number(td->attributes, f, "td_attributes");
	check_number(td->xfam, f, "xfam");
	check_field(td->mr_td, f, "mr_td");
	check_field(td->mr_config_id, f, "mr_config_id");
	check_field(td->mr_owner, f, "mr_owner");
	check_field(td->mr_owner_config, f, "mr_owner_config");
	check_field(td->rtmr[0], f, "rtmr_0");
	check_field(td->rtmr[1], f, "rtmr_1");
	check_field(td->rtmr[2], f, "rtmr_2");
	check_field(td->rtmr[3], f, "rtmr_3");
}

TEST(tdx_quote_parse__each_version__cuts_every_field)
{
	static const struct {
		const char *name;
		unsigned version;
		enum tdx_body body;
		size_t signed_len, auth, padding;
	} rows[] = {
		{ "v4", 4, TDX_BODY_10, 632, 32, 0 },
		{ "v4-padded", 4, TDX_BODY_10, 632, 32, 70 },
		{ "v5-td10", 5, TDX_BODY_10, 638, 32, 0 },
		{ "v5-td15", 5, TDX_BODY_15, 702, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_raw struct raw r = quote(rows[i].name);
		size_t sig = rows[i].signed_len + 4;
		struct tdx_quote q;

		CHECK_INT(tdx_quote_parse(&q, view_of(&r), NULL), 0);
		CHECK_INT(q.version, rows[i].version);
		CHECK_INT(q.key_type, 2);
		CHECK_INT(q.tee_type, 0x81);
		CHECK(q.qe_vendor.p == r.b + 12 && q.qe_vendor.len == 16);
		CHECK(q.user_data.p == r.b + 28 && q.user_data.len == 20);
		CHECK_INT(q.body_type, rows[i].body);
		check_field(q.tee_tcb_svn, r.fields, "tee_tcb_svn");
		check_field(q.mr_seam, r.fields, "mr_seam");
		check_field(q.mrsigner_seam, r.fields, "mrsigner_seam");
		check_number(q.seam_attributes, r.fields, "seam_attributes");
		check_td(&q.td, r.fields);
		check_field(q.report_data, r.fields, "report_data");
		if (rows[i].body == TDX_BODY_15) {
			check_field(q.tee_tcb_svn2, r.fields, "tee_tcb_svn2");
			check_field(q.mr_servicetd, r.fields, "mr_servicetd");
		} else {
			CHECK(q.tee_tcb_svn2.len == 0 && q.mr_servicetd.len == 0);
		}
		CHECK(q.signed_part.p == r.b && q.signed_part.len == rows[i].signed_len);
		CHECK(q.sig.signature.p == r.b + sig && q.sig.signature.len == 64);
		CHECK(q.sig.key.p == r.b + sig + 64 && q.sig.key.len == 64);
		CHECK(q.sig.qe_report.p == r.b + sig + 134 && q.sig.qe_report.len == 384);
		CHECK(q.sig.qe_report_data.p == q.sig.qe_report.p + 320);
		CHECK_INT(q.sig.qe_report_data.len, 64);
		CHECK(q.sig.qe_signature.p == r.b + sig + 518 && q.sig.qe_signature.len == 64);
		CHECK(q.sig.auth.p == r.b + sig + 584 && q.sig.auth.len == rows[i].auth);
		CHECK(view_is(q.sig.pem, "-----BEGIN CERTIFICATE-----\n"));
		CHECK(q.raw.p == r.b && q.raw.len == r.len - rows[i].padding);
	}
}

TEST(tdx_quote_parse__cut_anywhere__fails_and_leaves_out_untouched)
{
	static const char *const names[] = { "v4", "v5-td15" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cleanup_raw struct raw r = quote(names[i]);

		for (size_t n = 0; n < r.len; n++) {
			struct tdx_quote q = { .version = 77 };
			struct err e = { 0 };
			/* Exactly so many bytes on the heap, so that ASan sees a read behind them. */
			cleanup_free uint8_t *cut = malloc(n + 1);

			memcpy(cut + 1, r.b, n);
			CHECK_ERR(tdx_quote_parse(&q, (struct view){ cut + 1, n }, &e), ERR_FORMAT, e,
				  n < 48 ? "header" : "cut short");
			CHECK_INT(q.version, 77);
		}
	}
}

struct change {
	size_t at, n;
	uint64_t v;
};

TEST(tdx_quote_parse__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		const char *name;
		struct change set;
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ "v4", { 0, 2, 3 }, ERR_UNSUPPORTED, "an SGX quote (version 3" },
		{ "v4", { 0, 2, 2 }, ERR_UNSUPPORTED, "version 2" },
		{ "v4", { 0, 2, 6 }, ERR_UNSUPPORTED, "version 6" },
		{ "v4", { 0, 2, 0x0104 }, ERR_UNSUPPORTED, "version 260" },
		{ "v4", { 2, 2, 3 }, ERR_UNSUPPORTED, "attestation key of type 3" },
		{ "v4", { 4, 4, 0 }, ERR_UNSUPPORTED, "an SGX quote (version 4" },
		{ "v4", { 4, 4, 0x82 }, ERR_UNSUPPORTED, "TEE type 82" },
		{ "v4", { 4, 4, 0x01000081 }, ERR_UNSUPPORTED, "TEE type 1000081" },
		{ "v4", { 11, 1, 1 }, ERR_FORMAT, "reserved 4 from 8" },
		{ "v4", { 0, 2, 5 }, ERR_UNSUPPORTED, "body of type" },
		{ "v5-td10", { 0, 2, 4 }, ERR_FORMAT, "cut short" },
		{ "v5-td10", { V5_TYPE, 2, 1 }, ERR_UNSUPPORTED, "body of type 1" },
		{ "v5-td10", { V5_TYPE, 2, 4 }, ERR_UNSUPPORTED, "body of type 4" },
		{ "v5-td10", { V5_TYPE, 2, 3 }, ERR_FORMAT, "type 3 and 584 bytes, want 648" },
		{ "v5-td15", { V5_TYPE, 2, 2 }, ERR_FORMAT, "type 2 and 648 bytes, want 584" },
		{ "v5-td10", { V5_SIZE, 4, 583 }, ERR_FORMAT, "583 bytes" },
		{ "v5-td10", { V5_SIZE, 4, UINT32_MAX }, ERR_FORMAT, "4294967295 bytes" },
		{ "v4", { V4_SIG, 4, 0 }, ERR_FORMAT, "behind the quote's end" },
		{ "v4", { V4_SIG, 4, UINT32_MAX }, ERR_FORMAT, "signature data of 4294967295" },
		{ "v4", { V4_CERT6, 2, 5 }, ERR_UNSUPPORTED, "type 5, want 6" },
		{ "v4", { V4_CERT6 + 2, 4, 0 }, ERR_FORMAT, "certification data of 0" },
		{ "v4", { V4_CERT6 + 2, 4, UINT32_MAX }, ERR_FORMAT, "certification data of 42949" },
		{ "v4", { V4_AUTH, 2, 1025 }, ERR_LIMIT, "1025 bytes, allowed 1024" },
		{ "v4", { V4_AUTH, 2, 1024 }, ERR_FORMAT, "authentication data of 1024" },
		{ "v4", { V4_AUTH, 2, 31 }, ERR_UNSUPPORTED, "want 5" },
		{ "v4", { V4_CERT5, 2, 1 }, ERR_UNSUPPORTED, "type 1, want 5" },
		{ "v4", { V4_CERT5, 2, 6 }, ERR_UNSUPPORTED, "type 6, want 5" },
		{ "v4", { V4_CERT5 + 2, 4, 27 }, ERR_FORMAT, "certification data of 27" },
		{ "v4", { V4_CERT5 + 2, 4, 29 }, ERR_FORMAT, "certification data of 29" },
		{ "v4", { V4_PEM + 3, 1, 0 }, ERR_FORMAT, "no text" },
		{ "v4-padded", { V4_PEM + 28, 1, 1 }, ERR_FORMAT, "behind the quote's end" },
		{ "v4-padded", { V4_PEM + 28 + 69, 1, 1 }, ERR_FORMAT, "behind the quote's end" },
		{ "sgx", { 0, 0, 0 }, ERR_UNSUPPORTED, "an SGX quote (version 3, TEE type 0)" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_raw struct raw r = quote(rows[i].name);
		struct tdx_quote q = { .version = 77 };
		struct err e;

		le_put(r.b + rows[i].set.at, rows[i].set.v, rows[i].set.n);
		CHECK_ERR(tdx_quote_parse(&q, view_of(&r), &e), rows[i].kind, e, rows[i].words);
		CHECK_INT(q.version, 77);
	}
}

/* One byte less of signature data, and all that is inside of it one less: no byte goes astray. */
TEST(tdx_quote_parse__chain_of_nothing_or_over_the_cap__is_refused)
{
	static uint8_t big[TDX_QUOTE_MAX + 1];
	cleanup_raw struct raw r = quote("v4");
	struct tdx_quote q;
	struct err e;

	le_put(r.b + V4_SIG, le32(r.b + V4_SIG) - 28, 4);
	le_put(r.b + V4_CERT6 + 2, le32(r.b + V4_CERT6 + 2) - 28, 4);
	le_put(r.b + V4_CERT5 + 2, 0, 4);
	r.len -= 28;
	CHECK_ERR(tdx_quote_parse(&q, view_of(&r), &e), ERR_FORMAT, e, "no text");
	CHECK_ERR(tdx_quote_parse(&q, (struct view){ big, sizeof big }, &e), ERR_LIMIT, e, "32769");
}

TEST(sgx_quote_parse__quote__is_cut_and_a_tds_is_refused)
{
	cleanup_raw struct raw r = quote("sgx"), td = quote("v4");
	struct sgx_quote q;
	struct err e;

	CHECK_INT(sgx_quote_parse(&q, view_of(&r), NULL), 0);
	CHECK(q.body.p == r.b + 48 && q.body.len == 384);
	CHECK(q.report_data.p == r.b + 48 + 320 && q.report_data.len == 64);
	CHECK(q.signed_part.p == r.b && q.signed_part.len == 432);
	CHECK(q.sig.key.p == r.b + 436 + 64);
	CHECK(q.sig.qe_report.p == r.b + 436 + 128);
	CHECK(view_is(q.sig.pem, "-----BEGIN CERTIFICATE-----\n"));
	CHECK_INT(q.raw.len, r.len);
	CHECK_ERR(sgx_quote_parse(&q, view_of(&td), &e), ERR_UNSUPPORTED, e, "SGX's have 3 and 0");
	for (size_t n = 0; n < r.len; n++)
		CHECK_INT(sgx_quote_parse(&q, (struct view){ r.b, n }, NULL), -ERR_FORMAT);
}

/* --- recorded by others ----------------------------------------------------------------------- */

static struct raw shared(const char *path)
{
	cleanup_buf struct buf b = BUF_MAX(ROOM);
	struct raw r = { .len = 0 };

	CHECK_INT(fs_read(&b, test_shared(path), ROOM, NULL), 0);
	memcpy(r.b, b.p, b.len);
	r.len = b.len;
	return r;
}

TEST(tdx_quote_parse__recorded_quotes__parse_or_are_refused_by_name)
{
	static const struct {
		const char *path;
		unsigned version;
		enum tdx_body body;
		size_t padding;
		bool debug;
	} rows[] = {
		{ DATA_DIR "tdx_quote_4.dat", 4, TDX_BODY_10, 0, true },
		{ DATA_DIR "tdx_quote_5.dat", 5, TDX_BODY_15, 0, false },
		{ DATA_DIR "az-tdx-vtpm/td-quote.bin", 4, TDX_BODY_10, 70, false },
	};
	cleanup_raw struct raw sgx = shared(DATA_DIR "occlum_quote.dat");
	struct sgx_quote s;
	struct tdx_quote q;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_raw struct raw r = shared(rows[i].path);

		CHECK_INT(tdx_quote_parse(&q, view_of(&r), &e), 0);
		CHECK_INT(q.version, rows[i].version);
		CHECK_INT(q.body_type, rows[i].body);
		CHECK_INT(r.len - q.raw.len, rows[i].padding);
		CHECK_INT(q.sig.auth.len, 32);
		CHECK(view_starts(q.sig.pem, "-----BEGIN CERTIFICATE-----"));
		CHECK_INT(bit_is_set(q.td.attributes, TDX_ATTR_DEBUG), rows[i].debug);
	}
	CHECK_ERR(tdx_quote_parse(&q, view_of(&sgx), &e), ERR_UNSUPPORTED, e, "an SGX quote");
	CHECK_INT(sgx_quote_parse(&s, view_of(&sgx), &e), 0);
	CHECK(view_starts(s.sig.pem, "-----BEGIN CERTIFICATE-----"));
	CHECK_INT(s.raw.len, sgx.len);
}

TEST(tdx_quote_parse__recorded_quote__has_the_values_that_trustee_claims)
{
	cleanup_json struct json *doc =
		vector_json(test_shared(DATA_DIR "parse_tdx_claims_expected.json"));
	const struct json *body = json_get(json_get(doc, "quote"), "body");
	const struct json *head = json_get(json_get(doc, "quote"), "header");
	const struct json *words = json_get(doc, "td_attributes");
	cleanup_raw struct raw r = shared(DATA_DIR "tdx_quote_4.dat");
	struct tdx_quote q;
	uint8_t b[4];

	CHECK_INT(tdx_quote_parse(&q, view_of(&r), NULL), 0);
	check_td(&q.td, body);
	check_field(q.mr_seam, body, "mr_seam");
	check_field(q.mrsigner_seam, body, "mrsigner_seam");
	check_number(q.seam_attributes, body, "seam_attributes");
	check_field(q.tee_tcb_svn, body, "tcb_svn");
	check_field(q.report_data, body, "report_data");
	le_put(b, q.version, 2);
	check_field((struct view){ b, 2 }, head, "version");
	le_put(b, q.key_type, 2);
	check_field((struct view){ b, 2 }, head, "att_key_type");
	le_put(b, q.tee_type, 4);
	check_field((struct view){ b, 4 }, head, "tee_type");
	check_field(q.qe_vendor, head, "vendor_id");
	check_field(q.user_data, head, "user_data");
	for (const struct json *m = json_first(words); m; m = json_next(m)) {
		const struct bit_table t = tdx_attribute_bits();
		bool found = false;

		for (size_t i = 0; i < t.n; i++) {
			if (strcmp(t.words[i].name, json_key(m)) != 0)
				continue;
			found = true;
			CHECK_INT(bit_is_set(q.td.attributes, t.words[i].bit), json_is_true(m));
		}
		CHECK(found);
	}
}
