/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/snp_report.h"
#include "test/unit/attester/fake_tee.h"

/* The platform snp over a device of our own: what it makes of each answer. */
enum {
	AT_VERSION = 0x00,
	AT_POLICY_DEBUG = 0x0a, /* byte with bit 19 */
	AT_VMPL = 0x30,
	AT_ALGO = 0x34,
	AT_KEY_INFO = 0x48,
	AT_HOST_DATA = 0xc0,
	AT_FAMILY = 0x188,
	AT_MODEL = 0x189,
	AT_CHIP_ID = 0x1a0,
	CAP = 1u << 20,
};

static const struct attester *snp(void)
{
	const struct attester *a = attester_by_name("snp");

	CHECK(a != NULL);
	return a;
}

static struct fake_tee *device(const char *report, const char *table)
{
	static struct fake_tee f;
	cleanup_json struct json *doc = vector_json(test_vector("attester/snp-reports.json"));
	bool found = false;

	f = (struct fake_tee){ .kind = TEE_SNP, .len = SNP_REPORT_LEN, .data_at = SNP_AT_REPORT_DATA };
	for (const struct json *v = json_first(json_get(doc, "reports")); v; v = json_next(v))
		if (strcmp(vector_text(v, "name"), report) == 0) {
			vector_hex(f.report, SNP_REPORT_LEN, v, "raw");
			found = true;
		}
	CHECK(found);
	for (const struct json *v = json_first(json_get(doc, "tables")); v; v = json_next(v))
		if (strcmp(vector_text(v, "name"), table) == 0) {
			f.certs_len = strlen(vector_text(v, "raw")) / 2;
			vector_hex(f.certs, f.certs_len, v, "raw");
		}
	return &f;
}

static int ask(struct fake_tee *f, size_t data_len, bool permit, char **json, struct err *e)
{
	struct attester_env env = fake_env_of(f, -1);
	uint8_t data[TEE_DATA + 1];

	env.permit_debug = permit;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(0xd0 + i);
	return snp()->evidence(&env, (struct view){ data, data_len }, json, e);
}

TEST(snp_evidence__report_and_table__is_trustees_object)
{
	struct fake_tee *f = device("v3-genoa", "vcek");
	cleanup_json struct json *doc = NULL;
	cleanup_free char *json = NULL;
	const struct json *report, *data, *chain;
	uint8_t raw[SNP_REPORT_LEN];
	uint64_t n;
	struct err e;

	CHECK_INT(ask(f, 48, false, &json, &e), 0);
	CHECK_INT(f->quotes, 1);
	for (size_t i = 0; i < TEE_DATA; i++)
		CHECK_INT(f->data[i], i < 48 ? (uint8_t)(0xd0 + i) : 0);
	CHECK_INT(json_parse(&doc, view_str(json), CAP, NULL), 0);
	CHECK_INT(json_count(doc), 2);
	report = json_get(doc, "attestation_report");
	CHECK_INT(snp_report_from_json(raw, report, &e), 0);
	CHECK(memcmp(raw, f->report, sizeof raw) == 0);
	data = json_first(json_get(report, "report_data"));
	CHECK(json_u64(&n, data) && n == 0xd0);
	chain = json_get(doc, "cert_chain");
	CHECK_INT(json_count(chain), 1);
	CHECK(strcmp(vector_text(json_first(chain), "cert_type"), "VCEK") == 0);
	CHECK_INT(json_count(json_get(json_first(chain), "data")), 40);
}

static void check_chain(struct fake_tee *f, const char *want)
{
	cleanup_free char *json = NULL;
	struct err e = { 0 };

	if (ask(f, 32, false, &json, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	if (!strstr(json, want))
		test_fail(__FILE__, __LINE__, "evidence lacks %s", want);
}

TEST(snp_evidence__each_chain__is_as_the_host_gave_it_or_null_but_never_empty)
{
	struct fake_tee *f = device("v5-turin", "whole");

	check_chain(f, "\"cert_chain\":[{\"cert_type\":\"ARK\"");
	f = device("v3-milan", "none");
	check_chain(f, "\"cert_chain\":null}");
	f->certs_len = 0;
	check_chain(f, "\"cert_chain\":null}");
	/* Certificates, but not the one that signed: Trustee refuses such a list and fetches for none. */
	f = device("v4-turin", "vcek");
	f->certs[0] ^= 1;
	check_chain(f, "\"cert_chain\":null}");
	/* A VLEK with its certificate. */
	f = device("v3-vlek-masked", "whole");
	check_chain(f, "\"cert_type\":\"VLEK\"");
}

/* One answer of the device wrong: a code each, and no evidence. */
TEST(snp_evidence__one_wrong_field_of_the_report__fails_with_its_code)
{
	static const struct {
		const char *report;
		size_t at;
		uint8_t v;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ "v2-milan", 0, 2, CODE_SNP_OLD_FIRMWARE, "version 2" },
		{ "v3-genoa", AT_VERSION, 1, CODE_SNP_UNSUPPORTED, "version 1" },
		{ "v3-genoa", AT_VERSION, 6, CODE_SNP_UNSUPPORTED, "version 6" },
		{ "v3-genoa", AT_VERSION + 3, 1, CODE_SNP_UNSUPPORTED, "version 16777219" },
		{ "v3-genoa", AT_POLICY_DEBUG, 0x0b, CODE_EVIDENCE_DEBUG, "debug bit" },
		{ "v3-genoa", AT_VMPL, 1, CODE_EVIDENCE_VMPL, "VMPL 1" },
		{ "v3-genoa", AT_VMPL, 3, CODE_EVIDENCE_VMPL, "VMPL 3" },
		{ "v3-genoa", AT_VMPL + 3, 1, CODE_EVIDENCE_VMPL, "VMPL 16777216" },
		{ "v5-genoa-debug", 0, 5, CODE_EVIDENCE_VMPL, "VMPL 3" },
		{ "v3-genoa", AT_ALGO, 0, CODE_SNP_UNSUPPORTED, "algorithm 0" },
		{ "v3-genoa", AT_ALGO, 2, CODE_SNP_UNSUPPORTED, "algorithm 2" },
		{ "v3-genoa", AT_KEY_INFO, 7 << 2, CODE_SNP_UNSUPPORTED, "key 7" },
		{ "v3-genoa", AT_KEY_INFO, 2 << 2, CODE_SNP_UNSUPPORTED, "key 2" },
		{ "v3-genoa", AT_KEY_INFO, 1 << 2, CODE_SNP_CERTS, "gives none" },
		{ "v3-genoa", AT_FAMILY, 0x18, CODE_SNP_UNSUPPORTED, "family 0x18" },
		{ "v3-genoa", AT_MODEL, 0x20, CODE_SNP_UNSUPPORTED, "model 0x20" },
		{ "v3-genoa", 0x4c, 1, CODE_SNP_UNSUPPORTED, "byte set at 0x04c" },
		{ "v3-genoa", 0x1f8, 1, CODE_SNP_UNSUPPORTED, "byte set at 0x1f8" },
		{ "v5-turin", 0x208, 1, CODE_SNP_UNSUPPORTED, "byte set at 0x208" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tee *f = device(rows[i].report, "vcek");
		char *json = NULL;
		struct err e;

		f->report[rows[i].at] = rows[i].v;
		CHECK_ERR(ask(f, 48, false, &json, &e), err_entry(rows[i].code)->kind, e,
			  rows[i].words);
		CHECK_INT(e.code, rows[i].code);
		CHECK(json == NULL);
	}
}

TEST(snp_evidence__debug_policy__only_with_the_permit)
{
	struct fake_tee *f = device("v3-genoa", "vcek");
	cleanup_free char *json = NULL;
	struct err e;

	f->report[AT_POLICY_DEBUG] = 0x0b;
	CHECK_INT(ask(f, 48, true, &json, &e), 0);
	CHECK(strstr(json, "\"policy\":720896") != NULL);
}

TEST(snp_evidence__device_at_fault__fails_with_its_code)
{
	struct fake_tee *f = device("v3-genoa", "vcek");
	struct attester_env env = fake_env_of(f, -1);
	char *json = NULL;
	struct err e;

	f->len = SNP_REPORT_LEN - 1;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "1183 bytes");
	CHECK_INT(e.code, CODE_TEE_REPLY);
	f->len = SNP_REPORT_LEN + 1;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "1185 bytes");
	f->len = 0;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "0 bytes");
	f->len = SNP_REPORT_LEN;
	f->data_at = SIZE_MAX; /* an old report */
	f->report[SNP_AT_REPORT_DATA + 63] ^= 1;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "does not carry the data");
	CHECK_INT(e.code, CODE_TEE_REPLY);
	f->data_at = SNP_AT_REPORT_DATA;
	f->kind = TEE_TDX;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "another report than SNP's");
	f->kind = TEE_SNP;
	f->fails = CODE_TEE_BUSY;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_DEVICE, e, "SNP report: the device said no");
	CHECK_INT(e.code, CODE_TEE_BUSY);
	env.tee.quote = NULL;
	CHECK_ERR(snp()->evidence(&env, view_str("data"), &json, &e), ERR_NOTFOUND, e, "nobody");
	CHECK_INT(e.code, CODE_TEE_NONE);
	CHECK(json == NULL);
}

TEST(snp_evidence__certificates_at_fault__fail_and_are_not_hidden)
{
	struct fake_tee *f = device("v3-genoa", "vcek");
	char *json = NULL;
	struct err e;

	f->certs[20]++; /* one byte longer than the table */
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "certificate 0");
	CHECK_INT(e.code, CODE_SNP_CERTS);
	f = device("v3-genoa", "vcek");
	f->certs_len = 24;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "SNP certificates");
	f = device("v3-genoa", "vcek");
	f->certs_len = TEE_CERTS_MAX + 1;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "65537 bytes");
	CHECK_INT(e.code, CODE_SNP_CERTS);
	f = device("v3-vlek-masked", "vcek");
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "VLEK, which only the host");
	/* Masked id and no VCEK: Trustee has no way to it. */
	f = device("v3-genoa", "none");
	for (size_t i = 0; i < 64; i++)
		f->report[AT_CHIP_ID + i] = 0;
	CHECK_ERR(ask(f, 48, false, &json, &e), ERR_FORMAT, e, "hides the chip's id");
	CHECK_INT(e.code, CODE_SNP_CERTS);
	CHECK(json == NULL);
}

TEST(snp_evidence__length_of_report_data__1_to_64)
{
	struct fake_tee *f = device("v3-genoa", "vcek");
	char *json = NULL;
	struct err e;

	CHECK_ERR(ask(f, 0, false, &json, &e), ERR_USAGE, e, "0 bytes, allowed 1..64");
	CHECK_ERR(ask(f, 65, false, &json, &e), ERR_USAGE, e, "65 bytes");
	CHECK_INT(f->quotes, 0);
	CHECK_INT(ask(f, 64, false, &json, &e), 0);
	CHECK_INT(f->data[63], (uint8_t)(0xd0 + 63));
	free(json);
	CHECK_INT(ask(f, 1, false, &json, &e), 0);
	free(json);
}

TEST(snp_evidence__largest__fits_its_cap)
{
	struct fake_tee *f = device("v5-turin", "none");
	cleanup_free char *json = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < TEE_CERTS_MAX; i++)
		f->certs[i] = i >= 24 && i < 48 ? 0 : 0xff;
	memcpy(f->certs, (const uint8_t[]){ 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad,
					     0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd, 48, 0, 0, 0,
					     0xd0, 0xff, 0, 0 },
	       24);
	f->certs_len = TEE_CERTS_MAX;
	CHECK_INT(ask(f, 64, false, &json, &e), 0);
	CHECK(strlen(json) > 4 * 65000 && strlen(json) < EVIDENCE_MAX / 2);
}

TEST(snp_binding__host_data__is_the_digest_padded_or_cut_to_32)
{
	static const struct {
		size_t digest, set; /* bytes of the digest, and of those in HOST_DATA */
		enum binding want;
	} rows[] = {
		{ 32, 32, BINDING_MATCHES }, { 48, 32, BINDING_MATCHES }, { 64, 32, BINDING_MATCHES },
		{ 20, 20, BINDING_MATCHES }, { 32, 31, BINDING_OTHER },	  { 20, 21, BINDING_OTHER },
		{ 32, 0, BINDING_EMPTY },    { 0, 1, BINDING_OTHER },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tee *f = device("v3-genoa", "none");
		struct attester_env env = fake_env_of(f, -1);
		enum binding b = 77;
		uint8_t digest[64];
		struct err e;

		for (size_t j = 0; j < sizeof digest; j++)
			digest[j] = (uint8_t)(j + 1);
		for (size_t j = 0; j < 32; j++)
			f->report[AT_HOST_DATA + j] = j < rows[i].set ? digest[j] : 0;
		CHECK_INT(snp()->binding(&env, (struct view){ digest, rows[i].digest }, &b, &e), 0);
		CHECK_INT(b, rows[i].want);
	}
}

/* What a guest that could be debugged says of its own register is worth nothing. */
TEST(snp_binding__report_at_fault__says_nothing)
{
	struct fake_tee *f = device("v3-genoa", "none");
	struct attester_env env = fake_env_of(f, -1);
	enum binding b = 77;
	struct err e;

	f->report[AT_POLICY_DEBUG] = 0x0b;
	CHECK_ERR(snp()->binding(&env, view_str("x"), &b, &e), ERR_DENIED, e, "debug bit");
	f->fails = CODE_TEE_TIMEOUT;
	CHECK_ERR(snp()->binding(&env, view_str("x"), &b, &e), ERR_TIMEOUT, e, "said no");
	CHECK_INT(b, 77);
	CHECK(!snp()->bind && !snp()->extend && !snp()->read_register && !snp()->text_needs_sha256);
}

TEST(snp_detect__sev_guest_in_sysfs)
{
	char root[PATH_MAX];
	cleanup_close int fd = fake_root(root);
	struct attester_env env = { .root_fd = fd };

	CHECK(!snp()->detect(&env));
	fake_file(root, "/sys/devices/platform/sev-guest/uevent", "", 0);
	CHECK(snp()->detect(&env));
	CHECK(attester_detect(&env) == snp());
}
