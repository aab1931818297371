/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/snp_report.h"
#include "test/unit/attester/vector.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

enum { JSON_CAP = 65536, SHARED_CAP = 1u << 20 };

#define SNP_DIR "evidence/trustee/deps/verifier/test_data/snp/"
#define E2E     "evidence/trustee/attestation-service/tests/e2e/evidence.json"

/* One of our own reports: bytes, and the text that another program wrote for it. */
struct sample {
	struct json *doc;
	uint8_t raw[SNP_REPORT_LEN];
	const char *text;
	struct json *object;
};

#define cleanup_sample __attribute__((cleanup(sample_done)))

static void sample_done(struct sample *s)
{
	json_free(s->object);
	json_free(s->doc);
}

static struct sample sample(const char *name)
{
	struct sample s = { .doc = vector_json(test_vector("attester/snp-reports.json")) };

	for (const struct json *v = json_first(json_get(s.doc, "reports")); v; v = json_next(v)) {
		if (strcmp(vector_text(v, "name"), name) != 0)
			continue;
		vector_hex(s.raw, sizeof s.raw, v, "raw");
		s.text = vector_text(v, "json");
		CHECK_INT(json_parse(&s.object, view_str(s.text), JSON_CAP, NULL), 0);
		return s;
	}
	test_fail(__FILE__, __LINE__, "no report %s", name);
}

static struct view whole(const uint8_t raw[SNP_REPORT_LEN])
{
	return (struct view){ raw, SNP_REPORT_LEN };
}

static const char *const names[] = {
	"v2-milan", "v3-milan", "v3-genoa", "v3-vlek-masked", "v4-turin", "v5-turin", "v5-genoa-debug",
};

TEST(snp_report_json__each_version__is_the_text_of_another_implementation)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cleanup_sample struct sample s = sample(names[i]);
		cleanup_buf struct buf text = BUF_MAX(SNP_REPORT_JSON_MAX);
		uint8_t back[SNP_REPORT_LEN] = { 0 };
		struct snp_report r;
		size_t at = 77;

		CHECK_INT(snp_report_parse(&r, whole(s.raw), NULL), 0);
		CHECK(!snp_report_reserved(&at, &r) && at == 77);
		snp_report_json(&text, &r);
		CHECK_INT(buf_check(&text, "JSON", NULL), 0);
		if (strcmp(buf_str(&text), s.text) != 0)
			test_fail(__FILE__, __LINE__, "%s: %s\nwant %s", names[i], buf_str(&text),
				  s.text);
		CHECK_INT(snp_report_from_json(back, s.object, NULL), 0);
		CHECK(memcmp(back, s.raw, sizeof back) == 0);
	}
}

static void check_view(struct view got, const struct json *object, const char *name)
{
	const struct json *list = json_get(object, name);
	size_t i = 0;

	CHECK_INT(got.len, json_count(list));
	for (const struct json *v = json_first(list); v; v = json_next(v)) {
		int64_t n = -1;

		CHECK(json_integer(&n, v));
		CHECK_INT(got.p[i++], n);
	}
}

static uint64_t number(const struct json *object, const char *name)
{
	uint64_t n = 0;

	if (!json_u64(&n, json_get(object, name)))
		test_fail(__FILE__, __LINE__, "no number %s", name);
	return n;
}

static void check_tcb(struct snp_tcb t, const struct json *object, const char *name)
{
	const struct json *o = json_get(object, name);

	CHECK_INT(t.has_fmc, !json_is_null(json_get(o, "fmc")));
	if (t.has_fmc)
		CHECK_INT(t.fmc, number(o, "fmc"));
	CHECK_INT(t.bootloader, number(o, "bootloader"));
	CHECK_INT(t.tee, number(o, "tee"));
	CHECK_INT(t.snp, number(o, "snp"));
	CHECK_INT(t.microcode, number(o, "microcode"));
}

static void check_version(struct snp_version v, const struct json *object, const char *name)
{
	const struct json *o = json_get(object, name);

	CHECK_INT(v.major, number(o, "major"));
	CHECK_INT(v.minor, number(o, "minor"));
	CHECK_INT(v.build, number(o, "build"));
}

TEST(snp_report_parse__each_version__cuts_every_field)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cleanup_sample struct sample s = sample(names[i]);
		const struct json *o = s.object;
		struct snp_report r;

		CHECK_INT(snp_report_parse(&r, whole(s.raw), NULL), 0);
		CHECK_INT(r.version, number(o, "version"));
		CHECK_INT(r.guest_svn, number(o, "guest_svn"));
		CHECK(r.policy == number(o, "policy"));
		CHECK_INT(r.vmpl, number(o, "vmpl"));
		CHECK_INT(r.sig_algo, number(o, "sig_algo"));
		CHECK(r.plat_info == number(o, "plat_info"));
		CHECK_INT(r.key_info, number(o, "key_info"));
		check_view(r.family_id, o, "family_id");
		check_view(r.image_id, o, "image_id");
		check_view(r.report_data, o, "report_data");
		check_view(r.measurement, o, "measurement");
		check_view(r.host_data, o, "host_data");
		check_view(r.id_key_digest, o, "id_key_digest");
		check_view(r.author_key_digest, o, "author_key_digest");
		check_view(r.report_id, o, "report_id");
		check_view(r.report_id_ma, o, "report_id_ma");
		check_view(r.chip_id, o, "chip_id");
		check_view(r.r, json_get(o, "signature"), "r");
		check_view(r.s, json_get(o, "signature"), "s");
		check_tcb(r.current_tcb, o, "current_tcb");
		check_tcb(r.reported_tcb, o, "reported_tcb");
		check_tcb(r.committed_tcb, o, "committed_tcb");
		check_tcb(r.launch_tcb, o, "launch_tcb");
		check_version(r.current, o, "current");
		check_version(r.committed, o, "committed");
		CHECK_INT(r.has_cpuid, r.version > 2);
		CHECK_INT(r.has_mit, r.version >= 5);
		if (r.has_cpuid) {
			CHECK_INT(r.family, number(o, "cpuid_fam_id"));
			CHECK_INT(r.model, number(o, "cpuid_mod_id"));
			CHECK_INT(r.stepping, number(o, "cpuid_step"));
		}
		if (r.has_mit) {
			CHECK(r.launch_mit_vector == number(o, "launch_mit_vector"));
			CHECK(r.current_mit_vector == number(o, "current_mit_vector"));
		}
		CHECK(r.signed_part.p == s.raw && r.signed_part.len == 0x2a0);
		CHECK(r.raw.p == s.raw && r.raw.len == SNP_REPORT_LEN);
	}
}

TEST(snp_report_parse__length_or_version_outside__fails_and_leaves_out_untouched)
{
	static const struct {
		size_t len;
		uint32_t version;
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ 0, 3, ERR_FORMAT, "0 bytes, want 1184" },
		{ 1183, 3, ERR_FORMAT, "1183 bytes" },
		{ 1185, 3, ERR_FORMAT, "1185 bytes" },
		{ 1184, 0, ERR_UNSUPPORTED, "version 0" },
		{ 1184, 1, ERR_UNSUPPORTED, "version 1" },
		{ 1184, 6, ERR_UNSUPPORTED, "version 6" },
		{ 1184, 0x03000000, ERR_UNSUPPORTED, "known are 2..5" },
	};
	cleanup_sample struct sample s = sample("v3-genoa");
	uint8_t raw[SNP_REPORT_LEN + 1] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct snp_report r = { .vmpl = 77 };
		struct err e;

		memcpy(raw, s.raw, sizeof s.raw);
		for (size_t b = 0; b < 4; b++)
			raw[b] = (uint8_t)(rows[i].version >> 8 * b);
		CHECK_ERR(snp_report_parse(&r, (struct view){ raw, rows[i].len }, &e), rows[i].kind,
			  e, rows[i].words);
		CHECK_INT(r.vmpl, 77);
	}
}

static bool is_turin(const uint8_t *raw)
{
	return raw[0] > 2 && raw[0x188] == 0x1a;
}

/*
 * The two sides of one promise, over every byte: what Trustee builds anew from the JSON is the
 * report itself, unless snp_report_reserved() says where it is not.
 */
TEST(snp_report_reserved__every_byte_changed__is_told_exactly_when_it_would_be_lost)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cleanup_sample struct sample s = sample(names[i]);
		size_t lost = 0;

		for (size_t at = 4; at < SNP_REPORT_LEN; at++) {
			cleanup_buf struct buf text = BUF_MAX(SNP_REPORT_JSON_MAX);
			cleanup_json struct json *object = NULL;
			uint8_t back[SNP_REPORT_LEN] = { 0 };
			struct snp_report r;
			size_t where = 0;
			bool is;

			if (s.raw[0] > 2 && (at == 0x188 || at == 0x189))
				continue; /* another processor */
			s.raw[at] ^= 0x5a;
			CHECK_INT(snp_report_parse(&r, whole(s.raw), NULL), 0);
			snp_report_json(&text, &r);
			CHECK_INT(json_parse(&object, buf_view(&text), JSON_CAP, NULL), 0);
			CHECK_INT(snp_report_from_json(back, object, NULL), 0);
			is = snp_report_reserved(&where, &r);
			CHECK_INT(is, memcmp(back, s.raw, sizeof back) != 0);
			if (is) {
				CHECK_INT(where, at);
				lost++;
			}
			s.raw[at] ^= 0x5a;
		}
		/* 4 behind key_info, TCBs, CPUID's, 2 of the versions, before R, behind S. */
		CHECK_INT(lost, 4 + (is_turin(s.raw) ? 4 * 3 : 4 * 4) + (s.raw[0] > 2 ? 21 : 24) + 2 +
					(s.raw[0] >= 5 ? 152 : 168) + 368);
	}
}

TEST(snp_generation__edges_of_each_row)
{
	static const struct {
		uint8_t family, model;
		enum snp_generation g;
	} rows[] = {
		{ 0x19, 0x00, SNP_MILAN }, { 0x19, 0x0f, SNP_MILAN },	{ 0x19, 0x10, SNP_GENOA },
		{ 0x19, 0x1f, SNP_GENOA }, { 0x19, 0x20, SNP_UNKNOWN }, { 0x19, 0x9f, SNP_UNKNOWN },
		{ 0x19, 0xa0, SNP_GENOA }, { 0x19, 0xaf, SNP_GENOA },	{ 0x19, 0xb0, SNP_UNKNOWN },
		{ 0x1a, 0x00, SNP_TURIN }, { 0x1a, 0x11, SNP_TURIN },	{ 0x1a, 0x12, SNP_UNKNOWN },
		{ 0x18, 0x00, SNP_UNKNOWN }, { 0x1b, 0x00, SNP_UNKNOWN },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_INT(snp_generation(rows[i].family, rows[i].model), rows[i].g);
	CHECK(strcmp(snp_generation_name(SNP_TURIN), "Turin") == 0);
	CHECK(strcmp(snp_generation_name(SNP_UNKNOWN), "unknown") == 0);
}

/* Version 2 tells Turin by a chip_id of 8 bytes; masked ones are taken for older. */
TEST(snp_report_parse__version_2__takes_the_layout_from_the_chip_id)
{
	cleanup_sample struct sample s = sample("v2-milan");
	struct snp_report r;

	for (size_t i = 8; i < 64; i++)
		s.raw[0x1a0 + i] = 0;
	CHECK_INT(snp_report_parse(&r, whole(s.raw), NULL), 0);
	CHECK(r.generation == SNP_TURIN && r.current_tcb.has_fmc);
	CHECK_INT(r.current_tcb.fmc, s.raw[0x38]);
	for (size_t i = 0; i < 8; i++)
		s.raw[0x1a0 + i] = 0;
	CHECK_INT(snp_report_parse(&r, whole(s.raw), NULL), 0);
	CHECK(r.generation == SNP_UNKNOWN && !r.current_tcb.has_fmc);
}

/* --- JSON back to bytes: one member wrong ----------------------------------------------------- */

/* The object with key replaced by value; value NULL leaves it out. Nested: "current_tcb.fmc". */
static void put_with(struct buf *out, const struct json *object, const char *key, const char *value)
{
	const char *dot = strchr(key, '.'), *between = "";
	size_t n = dot ? (size_t)(dot - key) : strlen(key);

	buf_putc(out, '{');
	for (const struct json *m = json_first(object); m; m = json_next(m)) {
		bool here = strlen(json_key(m)) == n && memcmp(json_key(m), key, n) == 0;

		if (here && !dot && !value)
			continue;
		buf_printf(out, "%s\"%s\":", between, json_key(m));
		between = ",";
		if (here && dot)
			put_with(out, m, dot + 1, value);
		else if (here)
			buf_puts(out, value);
		else
			CHECK_INT(json_canonical(out, m, NULL), 0);
	}
	buf_putc(out, '}');
}

/* What is accepted is something that Trustee's bytes have no place for. */
static int from_with(const struct sample *s, const char *key, const char *value, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(JSON_CAP);
	cleanup_json struct json *object = NULL;
	uint8_t out[SNP_REPORT_LEN];
	int r;

	for (size_t i = 0; i < sizeof out; i++)
		out[i] = 0xee;
	put_with(&text, s->object, key, value);
	CHECK_INT(json_parse(&object, buf_view(&text), JSON_CAP, NULL), 0);
	r = snp_report_from_json(out, object, e);
	for (size_t i = 0; i < sizeof out; i++)
		CHECK_INT(out[i], r < 0 ? 0xee : s->raw[i]);
	return r;
}

TEST(snp_report_from_json__one_wrong_number__is_named)
{
	static const struct {
		const char *key, *too_big;
	} rows[] = {
		{ "version", "4294967296" },
		{ "guest_svn", "4294967296" },
		{ "policy", "18446744073709551616" },
		{ "vmpl", "4294967296" },
		{ "sig_algo", "4294967296" },
		{ "plat_info", "18446744073709551616" },
		{ "key_info", "4294967296" },
		{ "cpuid_fam_id", "256" },
		{ "cpuid_mod_id", "256" },
		{ "cpuid_step", "256" },
	};
	static const struct {
		const char *object, *parts[4];
	} nested[] = {
		{ "current_tcb", { "bootloader", "tee", "snp", "microcode" } },
		{ "reported_tcb", { "bootloader", "tee", "snp", "microcode" } },
		{ "committed_tcb", { "bootloader", "tee", "snp", "microcode" } },
		{ "launch_tcb", { "bootloader", "tee", "snp", "microcode" } },
		{ "current", { "major", "minor", "build" } },
		{ "committed", { "major", "minor", "build" } },
	};
	static const char *const wrong[] = { NULL, "null", "\"1\"", "-1", "1.0", "1e0", "[1]", "{}",
					     "true" };
	cleanup_sample struct sample s = sample("v3-genoa");
	struct err e;

	CHECK_INT(from_with(&s, "none", NULL, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_ERR(from_with(&s, rows[i].key, rows[i].too_big, &e), ERR_FORMAT, e,
			  rows[i].key);
		for (size_t j = 0; j < ARRAY_LEN(wrong); j++)
			CHECK_ERR(from_with(&s, rows[i].key, wrong[j], &e), ERR_FORMAT, e,
				  rows[i].key);
	}
	for (size_t i = 0; i < ARRAY_LEN(nested); i++)
		for (size_t k = 0; k < ARRAY_LEN(nested[i].parts) && nested[i].parts[k]; k++) {
			char key[64];

			(void)snprintf(key, sizeof key, "%s.%s", nested[i].object, nested[i].parts[k]);
			CHECK_ERR(from_with(&s, key, "256", &e), ERR_FORMAT, e, key);
			for (size_t j = 0; j < ARRAY_LEN(wrong); j++)
				CHECK_ERR(from_with(&s, key, wrong[j], &e), ERR_FORMAT, e, key);
		}
}

TEST(snp_report_from_json__one_wrong_list_or_object__is_named)
{
	static const char *const lists[] = {
		"family_id",   "image_id",	   "report_data", "measurement",  "host_data", "chip_id",
		"id_key_digest", "author_key_digest", "report_id",	"report_id_ma", "signature.r",
		"signature.s",
	};
	static const char *const objects[] = { "current_tcb", "reported_tcb", "committed_tcb",
					       "launch_tcb",  "current",      "committed",
					       "signature" };
	static const char *const wrong[] = { NULL, "null", "\"AAAA\"", "[]", "[1]", "{}", "7" };
	cleanup_sample struct sample s = sample("v3-genoa");
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t j = 0; j < ARRAY_LEN(wrong); j++)
			CHECK_ERR(from_with(&s, lists[i], wrong[j], &e), ERR_FORMAT, e, lists[i]);
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		for (size_t j = 0; j < ARRAY_LEN(wrong); j++)
			CHECK_ERR(from_with(&s, objects[i], wrong[j], &e), ERR_FORMAT, e,
				  objects[i]);
	CHECK_ERR(from_with(&s, "image_id", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,256]", &e),
		  ERR_FORMAT, e, "image_id[15] is no byte");
	CHECK_ERR(from_with(&s, "image_id", "[-1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", &e),
		  ERR_FORMAT, e, "image_id[0] is no byte");
	CHECK_ERR(from_with(&s, "image_id", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", &e),
		  ERR_FORMAT, e, "no list of 16");
	CHECK_ERR(from_with(&s, "image_id", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,\"\"]", &e),
		  ERR_FORMAT, e, "image_id[16] is no byte");
}

TEST(snp_report_from_json__version_and_processor__decide_what_must_be_there)
{
	static const struct {
		const char *report, *key, *value;
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ "v3-genoa", "version", "1", ERR_UNSUPPORTED, "version 1" },
		{ "v3-genoa", "version", "6", ERR_UNSUPPORTED, "known are 2..5" },
		{ "v3-genoa", "cpuid_fam_id", "24", ERR_UNSUPPORTED, "family 0x18" },
		{ "v3-genoa", "cpuid_mod_id", "32", ERR_UNSUPPORTED, "model 0x20" },
		{ "v4-turin", "current_tcb.fmc", "null", ERR_FORMAT, "current_tcb.fmc" },
		{ "v4-turin", "launch_tcb.fmc", NULL, ERR_FORMAT, "launch_tcb.fmc" },
		{ "v3-genoa", "current_tcb.fmc", "256", ERR_FORMAT, "current_tcb.fmc" },
		/* As Trustee: absent is null, an older processor's fmc goes nowhere. */
		{ "v3-genoa", "current_tcb.fmc", NULL, ERR_OK, "" },
		{ "v3-genoa", "current_tcb.fmc", "5", ERR_OK, "" },
		{ "v3-genoa", "launch_mit_vector", NULL, ERR_OK, "" },
		{ "v3-genoa", "current_mit_vector", "18446744073709551615", ERR_OK, "" },
		{ "v3-genoa", "current_mit_vector", "-1", ERR_FORMAT, "current_mit_vector" },
		{ "v2-milan", "cpuid_fam_id", NULL, ERR_OK, "" },
		{ "v2-milan", "cpuid_fam_id", "1", ERR_OK, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_sample struct sample s = sample(rows[i].report);
		struct err e = { 0 };
		int r = from_with(&s, rows[i].key, rows[i].value, &e);

		CHECK_INT(r, -(int)rows[i].kind);
		CHECK(strstr(e.msg, rows[i].words) != NULL);
	}
}

TEST(snp_report_from_json__no_object__is_refused)
{
	uint8_t out[SNP_REPORT_LEN];
	struct err e;

	CHECK_ERR(snp_report_from_json(out, NULL, &e), ERR_FORMAT, e, "no object");
}

/* --- recorded by others ----------------------------------------------------------------------- */

static void read_raw(uint8_t raw[SNP_REPORT_LEN], const char *path, size_t offset)
{
	cleanup_buf struct buf b = BUF_MAX(SHARED_CAP);

	CHECK_INT(fs_read(&b, test_shared(path), SHARED_CAP, NULL), 0);
	CHECK(b.len >= offset + SNP_REPORT_LEN);
	memcpy(raw, b.p + offset, SNP_REPORT_LEN);
}

TEST(snp_report__recorded_reports__parse_and_come_back_byte_for_byte)
{
	static const struct {
		const char *path;
		size_t offset;
		uint32_t version, vmpl;
		enum snp_generation g;
		enum snp_key key;
	} rows[] = {
		{ SNP_DIR "test-report.bin", 0, 2, 0, SNP_UNKNOWN, SNP_KEY_VCEK },
		{ SNP_DIR "test-vlek-report.bin", 0, 3, 1, SNP_MILAN, SNP_KEY_VLEK },
		{ "evidence/trustee/deps/verifier/test_data/az-snp-vtpm/hcl-report.bin", 32, 2, 0,
		  SNP_UNKNOWN, SNP_KEY_VCEK },
		{ "evidence/azure-cvm-tooling/az-cvm-vtpm/test/hcl-report-snp.bin", 32, 2, 0,
		  SNP_UNKNOWN, SNP_KEY_VCEK },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf text = BUF_MAX(SNP_REPORT_JSON_MAX);
		cleanup_json struct json *object = NULL;
		uint8_t raw[SNP_REPORT_LEN], back[SNP_REPORT_LEN];
		struct snp_report r;
		size_t at;

		read_raw(raw, rows[i].path, rows[i].offset);
		CHECK_INT(snp_report_parse(&r, whole(raw), NULL), 0);
		CHECK_INT(r.version, rows[i].version);
		CHECK_INT(r.vmpl, rows[i].vmpl);
		CHECK_INT(r.generation, rows[i].g);
		CHECK_INT(snp_report_key(&r), rows[i].key);
		CHECK_INT(r.sig_algo, SNP_ALGO_P384);
		CHECK(!snp_report_reserved(&at, &r));
		snp_report_json(&text, &r);
		CHECK_INT(json_parse(&object, buf_view(&text), JSON_CAP, NULL), 0);
		CHECK_INT(snp_report_from_json(back, object, NULL), 0);
		CHECK(memcmp(back, raw, sizeof raw) == 0);
	}
}

/* What was recorded has all its members in ours, and ours only null besides. */
static void check_same(const struct json *recorded, const struct json *ours)
{
	for (const struct json *m = json_first(recorded); m; m = json_next(m)) {
		cleanup_buf struct buf a = BUF_MAX(JSON_CAP), b = BUF_MAX(JSON_CAP);

		CHECK(json_get(ours, json_key(m)) != NULL);
		CHECK_INT(json_canonical(&a, m, NULL), 0);
		CHECK_INT(json_canonical(&b, json_get(ours, json_key(m)), NULL), 0);
		CHECK(view_eq(buf_view(&a), buf_view(&b)));
	}
	for (const struct json *m = json_first(ours); m; m = json_next(m))
		CHECK(json_get(recorded, json_key(m)) || json_is_null(m));
}

static bool signature_holds(const struct snp_report *r, const struct json *certificate)
{
	cleanup_buf struct buf der = BUF_MAX(JSON_CAP);
	uint8_t be[2][48], sum[48];
	const unsigned char *p;
	unsigned n = 0;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	unsigned char *sig_der = NULL;
	int sig_len, ok;
	X509 *x;
	EVP_PKEY_CTX *ctx;

	for (const struct json *v = json_first(certificate); v; v = json_next(v)) {
		int64_t b = 0;

		CHECK(json_integer(&b, v));
		buf_putc(&der, (uint8_t)b);
	}
	p = der.p;
	x = d2i_X509(NULL, &p, (long)der.len);
	CHECK(x != NULL);
	for (size_t i = 0; i < 48; i++) {
		be[0][i] = r->r.p[47 - i];
		be[1][i] = r->s.p[47 - i];
	}
	CHECK(ECDSA_SIG_set0(sig, BN_bin2bn(be[0], 48, NULL), BN_bin2bn(be[1], 48, NULL)) == 1);
	sig_len = i2d_ECDSA_SIG(sig, &sig_der);
	CHECK(EVP_Digest(r->signed_part.p, r->signed_part.len, sum, &n, EVP_sha384(), NULL) == 1);
	ctx = EVP_PKEY_CTX_new(X509_get0_pubkey(x), NULL);
	CHECK(ctx && EVP_PKEY_verify_init(ctx) == 1);
	ok = EVP_PKEY_verify(ctx, sig_der, (size_t)sig_len, sum, n);
	EVP_PKEY_CTX_free(ctx);
	OPENSSL_free(sig_der);
	ECDSA_SIG_free(sig);
	X509_free(x);
	return ok == 1;
}

TEST(snp_report_from_json__recorded_evidence__is_the_signed_bytes)
{
	cleanup_json struct json *doc = vector_json(test_shared(E2E)), *ours = NULL;
	const struct json *recorded = json_get(doc, "attestation_report");
	cleanup_buf struct buf text = BUF_MAX(SNP_REPORT_JSON_MAX);
	uint8_t raw[SNP_REPORT_LEN];
	struct snp_report r;
	size_t at;

	CHECK_INT(snp_report_from_json(raw, recorded, NULL), 0);
	CHECK_INT(snp_report_parse(&r, whole(raw), NULL), 0);
	CHECK(r.generation == SNP_GENOA && r.version == 3 && r.vmpl == 0);
	CHECK(!snp_report_reserved(&at, &r));
	snp_report_json(&text, &r);
	CHECK_INT(json_parse(&ours, buf_view(&text), JSON_CAP, NULL), 0);
	check_same(recorded, ours);
	CHECK(signature_holds(&r, json_get(json_first(json_get(doc, "cert_chain")), "data")));
	raw[0x29f] ^= 1;
	CHECK(!signature_holds(&r, json_get(json_first(json_get(doc, "cert_chain")), "data")));
}

/* --- bits ------------------------------------------------------------------------------------ */

TEST(bits__words__each_bit_once_and_what_it_means)
{
	const struct bit_table tables[] = { snp_policy_bits(), snp_platform_bits() };

	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		uint64_t seen = 0;

		for (size_t i = 0; i < tables[t].n; i++) {
			const struct bit_word *w = &tables[t].words[i];

			CHECK(w->bit < 64 && !bit_is_set(seen, w->bit));
			CHECK(w->name[0] != '\0' && w->words[0] != '\0');
			seen |= 1ull << w->bit;
		}
	}
	CHECK(bit_is_set(1ull << 63, 63) && !bit_is_set(UINT64_MAX, 64));
	CHECK_INT(snp_platform_bits().n, 7);
}
