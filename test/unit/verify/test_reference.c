/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/reference.h"
#include "test/unit/verify/vector.h"

/* The names and forms that Trustee's CPU policy asks for; exact texts. */

static void collect(struct buf *out, const struct reference_source *src)
{
	cleanup_references struct references r = { 0 };

	CHECK_INT(references_of(&r, src, NULL), 0);
	references_json(out, &r);
	CHECK(!out->failed);
}

static void check_text(const struct reference_source *src, const char *want)
{
	cleanup_buf struct buf out = BUF_MAX(ROOM);

	collect(&out, src);
	if (strcmp(buf_str(&out), want) != 0)
		test_fail(__FILE__, __LINE__, "%s\nwant %s", buf_str(&out), want);
}

TEST(references_of__sample__as_its_verifier_claims)
{
	cleanup_evidence_file struct evidence_file f = { 0 };

	CHECK_INT(evidence_file_load(&f, view_str("{\"svn\":\"1\",\"report_data\":\"\"}"), NULL, NULL), 0);
	check_text(&(struct reference_source){ .ev = f.item[0] },
		   "{\"launch_digest\":[\"abcde\"],\"svn\":[\"1\"],\"major_version\":1,"
		   "\"minimum_minor_version\":4}");
}

#define ZERO16 "0000000000000000"
#define SHA    "d15bce9ef7f6be26af365c5a0d4f025ee555b64d7b874c930b97aa0ddd82d2ae"
#define PCR8   "d5958e1a5c45ca630e823e9a5e42eb447b211fdaf65682bd239994d087714dce"

/* Digest and PCR 8 from spec/evidence.md 4.2, which a TPM confirmed. */
TEST(references_of__initdata_and_uki_alone__for_every_platform)
{
	struct digest d = { .len = 32 };
	uint8_t pcr11[32] = { 0xab };

	CHECK_INT(enc_hex_decode(d.b, 32, view_str(SHA), NULL), 0);
	check_text(&(struct reference_source){ .initdata = &d },
		   "{\"tpm_pcr8\":[\"" PCR8 "\"],\"snp_pcr8\":[\"" PCR8 "\"],\"tdx_pcr8\":[\"" PCR8
		   "\"],\"snp_host_data\":[\"" SHA "\"],\"mr_config_id\":[\"" SHA ZERO16 ZERO16 "\"]}");
	check_text(&(struct reference_source){ .pcr11 = pcr11 },
		   "{\"tpm_pcr11\":[\"ab" ZERO16 ZERO16 ZERO16 "00000000000000\"],"
		   "\"snp_pcr11\":[\"ab" ZERO16 ZERO16 ZERO16 "00000000000000\"],"
		   "\"tdx_pcr11\":[\"ab" ZERO16 ZERO16 ZERO16 "00000000000000\"]}");
	check_text(&(struct reference_source){ 0 }, "{}");
}

TEST(references_of__given_initdata_and_uki__stand_instead_of_the_evidences)
{
	cleanup_evidence struct evidence *ev =
		shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	cleanup_buf struct buf out = BUF_MAX(ROOM);
	struct digest d = { .len = 32 };
	uint8_t pcr11[32] = { 0xab };

	CHECK_INT(enc_hex_decode(d.b, 32, view_str(SHA), NULL), 0);
	collect(&out, &(struct reference_source){ ev, &d, pcr11 });
	CHECK(strstr(buf_str(&out), "\"snp_pcr11\":[\"ab00") != NULL);
	CHECK(strstr(buf_str(&out), "\"snp_pcr8\":[\"" PCR8 "\"]") != NULL);
}

/* Beyond 53 bits nothing may pass through a double: the policy word of a report has 64. */
TEST(verify_references__forms_of_the_file__only_the_policys)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	static const struct {
		const char *file;
		enum finding_state state;
		const char *words;
	} rows[] = {
		{ "{\"snp_bootloader\":[9,10]}", FINDING_OK, "snp_bootloader: 10 is registered" },
		{ "{\"snp_bootloader\":[9,11]}", FINDING_BAD, "snp_bootloader: 10 is not what" },
		{ "{\"snp_bootloader\":[\"10\"]}", FINDING_BAD, "snp_bootloader" },
		{ "{\"snp_smt_enabled\":true}", FINDING_OK, "snp_smt_enabled: true" },
		{ "{\"snp_smt_enabled\":[true]}", FINDING_BAD, "snp_smt_enabled" },
		{ "{\"snp_smt_enabled\":\"true\"}", FINDING_BAD, "snp_smt_enabled" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct findings f = { 0 };
		bool found = false;

		CHECK(verify_references(&f, ev, view_str(rows[i].file)));
		for (size_t k = 0; k < f.n; k++)
			if (f.list[k].state == rows[i].state && strstr(f.list[k].text, rows[i].words))
				found = true;
		if (!found || findings_bad(&f) != (rows[i].state == FINDING_BAD))
			test_fail(__FILE__, __LINE__, "row %zu", i);
	}
}

TEST(verify_references__no_values__is_bad_or_left_to_the_caller)
{
	static const char *const files[] = { "", "{", "[]", "{\"type\":\"sample\",\"payload\":\"?\"}",
					     "{}", "{\"mr_td\":[\"00\"]}",
					     "{\"type\":\"sample\",\"payload\":\"e30=\"}" };
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct findings f = { 0 };

		CHECK_INT(verify_references(&f, ev, view_str(files[i])), i < 4);
		CHECK_INT(findings_bad(&f), i < 4);
	}
}

/* Nothing is refused for what nobody registered. */
TEST(verify_references__some_names__only_what_is_registered)
{
	static const struct {
		const char *file;
		bool compared, bad;
		enum finding_state state;
	} rows[] = {
		{ "{}", false, false, FINDING_UNKNOWN },
		{ "{\"mr_td\":[\"00\"]}", false, false, FINDING_UNKNOWN },
		{ "{\"tpm_pcr11\":[\"00\"]}", true, true, FINDING_BAD },
		{ "{\"trusted_aks\":[]}", true, true, FINDING_UNKNOWN },
		{ "[]", true, true, FINDING_BAD },
	};
	cleanup_evidence struct evidence *ev = shared_evidence("evidence/derived/tpm-evidence.json");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct findings f = { 0 };

		CHECK_INT(verify_references(&f, ev, view_str(rows[i].file)), rows[i].compared);
		CHECK_INT(findings_bad(&f), rows[i].bad);
		check_finding(&f, "reference", rows[i].state, "");
	}
}

TEST(verify_references__names_of_no_value__are_named)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct findings f = { 0 };

	CHECK(verify_references(&f, ev,
				view_str("{\"snp_bootloader\":[10],\"snp_lunch\":[1],\"a\\n\":2}")));
	check_finding(&f, "reference.other", FINDING_WARN, "no such values: snp_lunch, a?");
	check_all_hold(&f, NULL);
	f = (struct findings){ 0 };
	CHECK(verify_references(&f, ev, view_str("{\"snp_bootloader\":[10]}")));
	CHECK(finding_get(&f, "reference.other") == NULL);
}
