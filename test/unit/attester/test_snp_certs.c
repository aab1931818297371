/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/snp_certs.h"
#include "test/unit/attester/vector.h"

enum { ENTRY = 24, CAP = 1u << 20 };

/* Two certificates: entries at 0 and 24, the end at 48, data of 5 at 72 and of 7 at 77. */
struct table {
	uint8_t b[ENTRY * 3 + 12];
	size_t len;
};

static const uint8_t vcek_guid[SNP_GUID_LEN] = { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64,
						 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd };

static void put32(uint8_t *p, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static struct table table(void)
{
	struct table t = { .len = sizeof t.b };

	memcpy(t.b, vcek_guid, SNP_GUID_LEN);
	put32(t.b + 16, 72);
	put32(t.b + 20, 5);
	t.b[ENTRY] = 0xab; /* no known type */
	put32(t.b + ENTRY + 16, 77);
	put32(t.b + ENTRY + 20, 7);
	for (size_t i = 72; i < sizeof t.b; i++)
		t.b[i] = (uint8_t)i;
	return t;
}

TEST(snp_certs_parse__table__cuts_both)
{
	struct table t = table();
	struct snp_certs c;

	CHECK_INT(snp_certs_parse(&c, (struct view){ t.b, t.len }, NULL), 0);
	CHECK_INT(c.n, 2);
	CHECK_INT(c.cert[0].type, SNP_CERT_VCEK);
	CHECK(c.cert[0].data.p == t.b + 72 && c.cert[0].data.len == 5);
	CHECK_INT(c.cert[1].type, SNP_CERT_OTHER);
	CHECK_INT(c.cert[1].guid[0], 0xab);
	CHECK(c.cert[1].data.p == t.b + 77 && c.cert[1].data.len == 7);
	CHECK(snp_certs_find(&c, SNP_CERT_VCEK) == &c.cert[0]);
	CHECK(snp_certs_find(&c, SNP_CERT_VLEK) == NULL);
}

TEST(snp_certs_parse__nothing_or_only_an_end__is_no_certificate)
{
	static const uint8_t zeros[4096];
	struct snp_certs c = { .n = 7 };

	CHECK_INT(snp_certs_parse(&c, (struct view){ 0 }, NULL), 0);
	CHECK_INT(c.n, 0);
	c.n = 7;
	CHECK_INT(snp_certs_parse(&c, (struct view){ zeros, ENTRY }, NULL), 0);
	CHECK_INT(c.n, 0);
	c.n = 7;
	CHECK_INT(snp_certs_parse(&c, (struct view){ zeros, sizeof zeros }, NULL), 0);
	CHECK_INT(c.n, 0);
}

TEST(snp_certs_parse__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		struct {
			size_t at;
			uint32_t v;
		} set[2];
		size_t len; /* 0: whole */
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ { { 16, 85 } }, 0, ERR_FORMAT, "5 bytes at 85, the table has 84" },
		{ { { 16, 80 } }, 0, ERR_FORMAT, "5 bytes at 80" },
		{ { { 16, UINT32_MAX } }, 0, ERR_FORMAT, "certificate 0" },
		/* Their sum is small again. */
		{ { { 16, UINT32_MAX }, { 20, 2 } }, 0, ERR_FORMAT, "2 bytes at 4294967295" },
		{ { { 20, UINT32_MAX } }, 0, ERR_FORMAT, "certificate 0" },
		{ { { 20, 0 } }, 0, ERR_FORMAT, "certificate 0 of the host's table is empty" },
		{ { { 20, 13 } }, 0, ERR_FORMAT, "13 bytes at 72" },
		{ { { 20, 6 } }, 0, ERR_FORMAT, "0 and 1 of the host's table share" },
		{ { { ENTRY + 16, 76 } }, 0, ERR_FORMAT, "0 and 1 of the host's table share" },
		{ { { ENTRY + 16, 72 } }, 0, ERR_FORMAT, "0 and 1 of the host's table share" },
		{ { { 16, 78 }, { ENTRY + 16, 72 } }, 0, ERR_FORMAT, "0 and 1 of the host's table" },
		{ { { 16, 0 } }, 0, ERR_FORMAT, "certificate 0 of the host's table lies in" },
		{ { { 16, 67 } }, 0, ERR_FORMAT, "lies in" },
		{ { { 16, 71 } }, 0, ERR_FORMAT, "lies in" },
		{ { { ENTRY + 16, 60 } }, 0, ERR_FORMAT, "certificate 1 of the host's table lies in" },
		/* The end overwritten, cut off or never there. */
		{ { { 48, 1 } }, 0, ERR_FORMAT, "certificate 2 of the host's table" },
		{ { { 64, 1 } }, 0, ERR_FORMAT, "certificate 2" },
		{ { { 0, 0 } }, 71, ERR_FORMAT, "the table has 71" },
		{ { { 16, 48 }, { ENTRY + 16, 53 } }, 60, ERR_FORMAT, "no end" },
		{ { { 16, 0 }, { 20, 1 } }, 24, ERR_FORMAT, "no end" },
		{ { { 16, 0 }, { 20, 1 } }, 23, ERR_FORMAT, "no end" },
		{ { { 16, 0 } }, 1, ERR_FORMAT, "no end" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct table t = table();
		struct snp_certs c = { .n = 77 };
		struct err e;

		for (size_t j = 0; j < ARRAY_LEN(rows[i].set); j++)
			if (rows[i].set[j].at || rows[i].set[j].v)
				put32(t.b + rows[i].set[j].at, rows[i].set[j].v);
		CHECK_ERR(snp_certs_parse(&c, (struct view){ t.b, rows[i].len ? rows[i].len : t.len },
					  &e),
			  rows[i].kind, e, rows[i].words);
		CHECK_INT(c.n, 77);
	}
}

TEST(snp_certs_parse__type_of_zeros_with_data__is_refused)
{
	struct table t = table();
	struct snp_certs c = { .n = 77 };
	struct err e;

	for (size_t i = 0; i < SNP_GUID_LEN; i++)
		t.b[i] = 0;
	CHECK_ERR(snp_certs_parse(&c, (struct view){ t.b, t.len }, &e), ERR_FORMAT, e, "no type");
	CHECK_INT(c.n, 77);
}

TEST(snp_certs_parse__caps__are_caps)
{
	static uint8_t big[SNP_CERTS_TABLE_MAX + 1];
	struct snp_certs c = { .n = 77 };
	struct err e;

	CHECK_ERR(snp_certs_parse(&c, (struct view){ big, sizeof big }, &e), ERR_LIMIT, e, "65537");
	for (unsigned n = SNP_CERTS_N_MAX; n <= SNP_CERTS_N_MAX + 1; n++) {
		for (unsigned i = 0; i < n; i++) {
			memcpy(big + i * ENTRY, vcek_guid, SNP_GUID_LEN);
			put32(big + i * ENTRY + 16, 1024 + i);
			put32(big + i * ENTRY + 20, 1);
		}
		if (n == SNP_CERTS_N_MAX) {
			CHECK_INT(snp_certs_parse(&c, (struct view){ big, 4096 }, &e), 0);
			CHECK_INT(c.n, SNP_CERTS_N_MAX);
			continue;
		}
		c.n = 77;
		CHECK_ERR(snp_certs_parse(&c, (struct view){ big, 4096 }, &e), ERR_LIMIT, e,
			  "over 16 certificates");
		CHECK_INT(c.n, 77);
	}
}

TEST(snp_certs_json__each_table__is_the_text_of_another_implementation_and_comes_back)
{
	cleanup_json struct json *doc = vector_json(test_vector("attester/snp-reports.json"));
	unsigned n = 0;

	for (const struct json *v = json_first(json_get(doc, "tables")); v; v = json_next(v), n++) {
		cleanup_buf struct buf raw = BUF_MAX(CAP), text = BUF_MAX(CAP),
					   store = BUF_MAX(SNP_CERTS_TABLE_MAX);
		cleanup_json struct json *list = NULL;
		const char *hex = vector_text(v, "raw"), *want = vector_text(v, "json");
		struct snp_certs c, back;
		uint8_t bytes[1024];

		CHECK(strlen(hex) / 2 <= sizeof bytes);
		vector_hex(bytes, strlen(hex) / 2, v, "raw");
		buf_put(&raw, bytes, strlen(hex) / 2);
		CHECK_INT(snp_certs_parse(&c, buf_view(&raw), NULL), 0);
		snp_certs_json(&text, &c);
		CHECK(strcmp(buf_str(&text), want) == 0);
		CHECK_INT(json_parse(&list, view_str(want), CAP, NULL), 0);
		CHECK_INT(snp_certs_from_json(&back, &store, list, NULL), 0);
		CHECK_INT(back.n, c.n);
		for (size_t i = 0; i < c.n; i++) {
			CHECK_INT(back.cert[i].type, c.cert[i].type);
			CHECK(memcmp(back.cert[i].guid, c.cert[i].guid, SNP_GUID_LEN) == 0);
			CHECK(view_eq(back.cert[i].data, c.cert[i].data));
		}
	}
	CHECK_INT(n, 3);
}

TEST(snp_certs_from_json__one_wrong_member__is_named)
{
	static const struct {
		const char *text;
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ "null", ERR_OK, "" },
		{ "[]", ERR_FORMAT, "neither null nor a list" },
		{ "{}", ERR_FORMAT, "neither null nor a list" },
		{ "\"VCEK\"", ERR_FORMAT, "neither null nor a list" },
		{ "[1]", ERR_FORMAT, "cert_chain[0]: cert_type" },
		{ "[{\"data\":[1]}]", ERR_FORMAT, "cert_chain[0]: cert_type" },
		{ "[{\"cert_type\":\"VCEK\"}]", ERR_FORMAT, "cert_chain[0]: data is no list" },
		{ "[{\"cert_type\":\"vcek\",\"data\":[1]}]", ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":\"OTHER\",\"data\":[1]}]", ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":null,\"data\":[1]}]", ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":{\"OTHER\":\"00112233-4455-6677-8899-aabbccddeef\"},\"data\":[1]}]",
		  ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":{\"OTHER\":\"00112233x4455-6677-8899-aabbccddeeff\"},\"data\":[1]}]",
		  ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":{\"OTHER\":\"0011223-34455-6677-8899-aabbccddeeff\"},\"data\":[1]}]",
		  ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":{\"OTHER\":\"0011223g-4455-6677-8899-aabbccddeeff\"},\"data\":[1]}]",
		  ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":{\"OTHER\":\"00112233-4455-6677-8899-aabbccddeeff\",\"x\":1},"
		  "\"data\":[1]}]",
		  ERR_FORMAT, "cert_type" },
		{ "[{\"cert_type\":{\"OTHER\":\"00112233-4455-6677-8899-AABBCCDDEEFF\"},\"data\":[1]}]",
		  ERR_OK, "" },
		{ "[{\"cert_type\":\"Empty\",\"data\":[]}]", ERR_OK, "" },
		{ "[{\"cert_type\":\"CRL\",\"data\":[0,255],\"more\":1}]", ERR_OK, "" },
		{ "[{\"cert_type\":\"ARK\",\"data\":[256]}]", ERR_FORMAT, "list of bytes" },
		{ "[{\"cert_type\":\"ARK\",\"data\":[-1]}]", ERR_FORMAT, "list of bytes" },
		{ "[{\"cert_type\":\"ARK\",\"data\":[1.0]}]", ERR_FORMAT, "list of bytes" },
		{ "[{\"cert_type\":\"ARK\",\"data\":\"MIIB\"}]", ERR_FORMAT, "data is no list" },
		{ "[{\"cert_type\":\"ARK\",\"data\":[1]},{\"cert_type\":\"ASK\",\"data\":[\"1\"]}]",
		  ERR_FORMAT, "cert_chain[1]: data" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf store = BUF_MAX(SNP_CERTS_TABLE_MAX);
		cleanup_json struct json *list = NULL;
		struct snp_certs c = { .n = 77 };
		struct err e = { 0 };

		CHECK_INT(json_parse(&list, view_str(rows[i].text), CAP, NULL), 0);
		CHECK_INT(snp_certs_from_json(&c, &store, list, &e), -(int)rows[i].kind);
		CHECK(strstr(e.msg, rows[i].words) != NULL);
		CHECK_INT(c.n == 77, rows[i].kind != ERR_OK);
	}
	CHECK_INT(snp_certs_from_json(&(struct snp_certs){ 0 }, &BUF_MAX(1), NULL, NULL), 0);
}

TEST(snp_certs_from_json__too_much__is_a_limit)
{
	cleanup_buf struct buf text = BUF_MAX(CAP), store = BUF_MAX(8);
	cleanup_json struct json *list = NULL, *many = NULL;
	struct snp_certs c = { .n = 77 };
	struct err e;

	CHECK_INT(json_parse(&list,
			     view_str("[{\"cert_type\":\"ARK\",\"data\":[1,2,3,4,5,6,7,8,9]}]"), CAP,
			     NULL),
		  0);
	CHECK_ERR(snp_certs_from_json(&c, &store, list, &e), ERR_LIMIT, e, "cert_chain");
	for (unsigned i = 0; i <= SNP_CERTS_N_MAX; i++)
		buf_printf(&text, "%s{\"cert_type\":\"ARK\",\"data\":[]}", i ? "," : "[");
	buf_putc(&text, ']');
	buf_done(&store);
	store = BUF_MAX(8);
	CHECK_INT(json_parse(&many, buf_view(&text), CAP, NULL), 0);
	CHECK_ERR(snp_certs_from_json(&c, &store, many, &e), ERR_LIMIT, e, "over 16");
	CHECK_INT(c.n, 77);
}

/* The largest that can come out fits where it is put. */
TEST(snp_certs_json__largest_table__fits)
{
	cleanup_buf struct buf text = BUF_MAX(SNP_CERTS_JSON_MAX);
	static uint8_t big[SNP_CERTS_TABLE_MAX];
	struct snp_certs c;

	for (size_t i = 0; i < sizeof big; i++)
		big[i] = 0xff;
	for (size_t i = 0; i < ENTRY; i++)
		big[ENTRY + i] = 0;
	put32(big + 16, 2 * ENTRY);
	put32(big + 20, sizeof big - 2 * ENTRY);
	CHECK_INT(snp_certs_parse(&c, (struct view){ big, sizeof big }, NULL), 0);
	CHECK_INT(c.n, 1);
	snp_certs_json(&text, &c);
	CHECK_INT(buf_check(&text, "JSON", NULL), 0);
	CHECK(text.len > 4 * 65000);
}

TEST(snp_certs_from_json__recorded_evidence__has_its_vcek)
{
	cleanup_json struct json *doc = vector_json(
		test_shared("evidence/trustee/attestation-service/tests/e2e/evidence.json"));
	cleanup_buf struct buf store = BUF_MAX(SNP_CERTS_TABLE_MAX), ours = BUF_MAX(CAP),
				   recorded = BUF_MAX(CAP);
	cleanup_json struct json *list = NULL;
	struct snp_certs c;

	CHECK_INT(snp_certs_from_json(&c, &store, json_get(doc, "cert_chain"), NULL), 0);
	CHECK_INT(c.n, 1);
	CHECK_INT(snp_certs_find(&c, SNP_CERT_VCEK)->data.len, 1347);
	snp_certs_json(&ours, &c);
	CHECK_INT(json_parse(&list, buf_view(&ours), CAP, NULL), 0);
	buf_reset(&ours);
	CHECK_INT(json_canonical(&ours, list, NULL), 0);
	CHECK_INT(json_canonical(&recorded, json_get(doc, "cert_chain"), NULL), 0);
	CHECK(view_eq(buf_view(&ours), buf_view(&recorded)));
}
