/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/verify/vector.h"

static int load(struct evidence_file *f, const char *text, const char *tee, struct err *e)
{
	return evidence_file_load(f, view_str(text), tee, e);
}

TEST(evidence_file_load__sample_in_every_wrapping__is_found)
{
	static const struct {
		const char *text;
		size_t n;
		bool primary;
	} rows[] = {
		{ "{\"svn\":\"1\",\"report_data\":\"AAEC\"}", 1, true },
		{ " \n{\"tee\":\"sample\",\"evidence\":{\"svn\":\"1\",\"report_data\":\"AAEC\"}}\n", 1, true },
		{ "{\"primary_evidence\":{\"svn\":\"1\",\"report_data\":\"AAEC\"},\"additional_evidence\":\"\"}", 1, true },
		{ "{\"primary_evidence\":{\"svn\":\"1\",\"report_data\":\"AAEC\"},\"additional_evidence\":"
		  "\"{\\\"sampledevice\\\":{\\\"svn\\\":\\\"2\\\",\\\"report_data\\\":\\\"AA==\\\"}}\"}", 2, true },
		{ "{\"sampledevice\":{\"svn\":\"2\",\"report_data\":\"AAEC\"}}", 1, false },
		{ "{\"tee\":\"tpm\",\"evidence\":{\"sampledevice\":{\"svn\":\"2\",\"report_data\":\"AAEC\"}}}", 1, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_evidence_file struct evidence_file f = { 0 };
		struct verify_want want = want_at(JUNE_2025);
		struct findings found = { 0 };
		struct err e = { 0 };

		if (load(&f, rows[i].text, NULL, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		CHECK_INT(f.n, rows[i].n);
		CHECK_INT(f.has_primary, rows[i].primary);
		CHECK_INT(f.item[0]->report_data.len, 3);
		want.has_report_data = true;
		want.report_data = (struct view){ (const uint8_t *)"\0\1\2", 3 };
		verify_evidence(&found, f.item[0], &want);
		check_finding(&found, "proof", FINDING_BAD, "proves nothing");
		check_finding(&found, "report-data", FINDING_OK, "");
		want.report_data.len = 2;
		want.has_initdata = true;
		found = (struct findings){ 0 };
		verify_evidence(&found, f.item[0], &want);
		check_finding(&found, "report-data", FINDING_BAD, "");
		check_finding(&found, "initdata", FINDING_BAD, "no register");
	}
}

#define TPM_PCRS_OF(x) "\"pcrs\":[" x "]"
#define Z32	       "\"0000000000000000000000000000000000000000000000000000000000000000\""
#define Z4	       Z32 "," Z32 "," Z32 "," Z32
#define Z23	       Z4 "," Z4 "," Z4 "," Z4 "," Z4 "," Z32 "," Z32 "," Z32

TEST(evidence_file_load__malformed__is_refused_by_its_member)
{
	static const struct {
		const char *text, *tee;
		enum err_kind want;
		const char *words;
	} rows[] = {
		{ "", NULL, ERR_FORMAT, "read as a TD quote" },
		{ "x", NULL, ERR_FORMAT, "read as a TD quote" },
		{ "{", NULL, ERR_FORMAT, "JSON at offset 1" },
		{ "{}", NULL, ERR_FORMAT, "not those of any platform's evidence" },
		{ "{\"svn\":\"1\",\"svn\":\"2\"}", NULL, ERR_FORMAT, "twice" },
		{ "{\"svn\":\"1\",\"report_data\":\"AA\"}", NULL, ERR_FORMAT, "report_data: " },
		{ "{\"svn\":1,\"report_data\":\"AA==\"}", NULL, ERR_FORMAT, "svn is no short string" },
		{ "{\"svn\":\"0123456789abcdef\",\"report_data\":\"\"}", NULL, ERR_FORMAT, "svn is no short string" },
		{ "{\"svn\":\"1\",\"report_data\":\"AA==\"}", "tpm", ERR_FORMAT, "tpm evidence: TPM quote: message: no string" },
		{ "{\"svn\":\"1\",\"report_data\":\"AA==\"}", "frob", ERR_UNSUPPORTED, "\"frob\"" },
		{ "{\"tee\":\"tpm\",\"evidence\":{}}", "sample", ERR_FORMAT, "calls itself \"tpm\", want sample" },
		{ "{\"sampledevice\":{\"svn\":\"2\",\"report_data\":\"AAEC\"}}", "sample", ERR_FORMAT, "devices alone, want sample" },
		{ "{\"tee\":\"tpm\",\"evidence\":{\"sampledevice\":{\"svn\":\"2\",\"report_data\":\"AAEC\"}}}", "tpm", ERR_FORMAT, "devices alone, want tpm" },
		{ "{\"tee\":\"nvidia\",\"evidence\":{}}", NULL, ERR_UNSUPPORTED, "\"nvidia\"" },
		{ "{\"primary_evidence\":{\"svn\":\"1\",\"report_data\":\"\"},\"additional_evidence\":{}}", NULL, ERR_FORMAT, "additional_evidence is no string" },
		{ "{\"primary_evidence\":{\"svn\":\"1\",\"report_data\":\"\"},\"additional_evidence\":\"[1]\"}", NULL, ERR_FORMAT, "no JSON object" },
		{ "{\"primary_evidence\":{\"svn\":\"1\",\"report_data\":\"\"},\"additional_evidence\":\"{\\\"nvidia\\\":{}}\"}", NULL, ERR_UNSUPPORTED, "additional_evidence: " },
		{ "{\"quote\":\"AAA=\"}", NULL, ERR_FORMAT, "tdx evidence: quote" },
		{ "{\"quote\":7}", NULL, ERR_FORMAT, "tdx evidence: quote: no string" },
		{ "{\"attestation_report\":{},\"cert_chain\":null}", NULL, ERR_FORMAT, "snp evidence: attestation_report" },
		{ "{\"tpm_quote\":{\"message\":\"\",\"signature\":\"\"},\"ak_public\":\"\"}", NULL, ERR_FORMAT, "pcrs is no array of 24" },
		{ "{\"tpm_quote\":{\"message\":\"\",\"signature\":\"\"," TPM_PCRS_OF(Z23) "},\"ak_public\":\"\"}", NULL, ERR_FORMAT, "pcrs is no array of 24" },
		{ "{\"tpm_quote\":{\"message\":\"\",\"signature\":\"\"," TPM_PCRS_OF(Z23 ",\"00\"") "},\"ak_public\":\"\"}", NULL, ERR_FORMAT, "PCR 23: not 32 bytes" },
		{ "{\"tpm_quote\":{\"message\":\"\",\"signature\":\"\"," TPM_PCRS_OF(Z23 ",\"0\"") "},\"ak_public\":\"\"}", NULL, ERR_FORMAT, "PCR 23: hex of an odd number" },
		{ "{\"tpm_quote\":{\"message\":\"\",\"signature\":\"\"," TPM_PCRS_OF(Z23 "," Z32) "},\"ak_public\":\"\"}", NULL, ERR_FORMAT, "cut short" },
		{ "{\"tpm_quote\":{\"message\":\"\",\"signature\":\"\"," TPM_PCRS_OF(Z23 "," Z32 "," Z32) "},\"ak_public\":\"\"}", NULL, ERR_FORMAT, "pcrs is no array of 24" },
		{ "{\"version\":3,\"hcl_report\":\"\",\"vcek\":\"\"}", NULL, ERR_UNSUPPORTED, "a version other than 1 and 2" },
		{ "{\"version\":\"1\",\"hcl_report\":\"\",\"vcek\":\"\"}", NULL, ERR_UNSUPPORTED, "a version other than 1 and 2" },
		{ "{\"version\":2,\"hcl_report\":\"\",\"vcek\":\"\"}", NULL, ERR_FORMAT, "message" },
		{ "{\"quote\":{\"message\":[256],\"signature\":[]},\"report\":[],\"vcek\":\"\"}", NULL, ERR_FORMAT, "no integer of 0..255" },
		{ "{\"quote\":{\"message\":[\"1\"],\"signature\":[]},\"report\":[],\"vcek\":\"\"}", NULL, ERR_FORMAT, "no integer of 0..255" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct evidence_file f = { .n = 77 };
		struct err e = { 0 };
		int r = load(&f, rows[i].text, rows[i].tee, &e);

		if (r != -(int)rows[i].want || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d \"%s\", want \"%s\"", i, r, e.msg,
				  rows[i].words);
		CHECK_INT(f.n, 77);
	}
}

TEST(evidence_recognise__each_platform__by_its_members)
{
	static const struct {
		const char *path;
		enum evidence_tee tee;
		unsigned version;
	} rows[] = {
		{ TEST_DATA "az-snp-vtpm/evidence-v0.json", EVIDENCE_AZ_SNP, 0 },
		{ TEST_DATA "az-snp-vtpm/evidence-v1.json", EVIDENCE_AZ_SNP, 1 },
		{ TEST_DATA "az-snp-vtpm/evidence-v2.json", EVIDENCE_AZ_SNP, 2 },
		{ TEST_DATA "az-tdx-vtpm/evidence-v0.json", EVIDENCE_AZ_TDX, 0 },
		{ TEST_DATA "az-tdx-vtpm/evidence-v1.json", EVIDENCE_AZ_TDX, 1 },
		{ E2E_SNP, EVIDENCE_SNP, 0 },
		{ TEST_DATA "tdx_quote_4.dat", EVIDENCE_TDX, 0 },
		{ TEST_DATA "snp/test-report.bin", EVIDENCE_SNP, 0 },
		{ TEST_DATA "tpm_evidence.json", EVIDENCE_TPM, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_evidence struct evidence *ev = shared_evidence(rows[i].path);

		CHECK_INT(ev->tee, rows[i].tee);
		CHECK_INT(ev->version, rows[i].version);
		CHECK_INT(ev->has_snp, rows[i].tee == EVIDENCE_AZ_SNP || rows[i].tee == EVIDENCE_SNP);
		CHECK_INT(ev->has_tdx, rows[i].tee == EVIDENCE_AZ_TDX || rows[i].tee == EVIDENCE_TDX);
	}
}

TEST(evidence_load__report_of_the_other_hardware__is_refused)
{
	cleanup_buf struct buf text = shared_bytes(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	cleanup_evidence_file struct evidence_file f = { 0 };
	struct err e;

	CHECK_ERR(evidence_file_load(&f, buf_view(&text), "az-tdx-vtpm", &e), ERR_FORMAT, e,
		  "hcl_report: the paravisor's report is of another kind of hardware");
}

/* One machine, two recordings: the certificate once as PEM and once as DER. */
TEST(evidence_load__vcek_in_either_form__is_the_same)
{
	cleanup_evidence struct evidence *a = shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v0.json");
	cleanup_evidence struct evidence *b = shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v1.json");
	cleanup_x509 struct x509_cert *pem = NULL, *der = NULL;

	CHECK(a->vcek.p[0] == '-' && b->vcek.p[0] == 0x30);
	CHECK_INT(x509_load_any(&pem, buf_view(&a->vcek), NULL), 0);
	CHECK_INT(x509_load_any(&der, buf_view(&b->vcek), NULL), 0);
	CHECK(x509_eq(pem, der));
}

/* Hardware's report in there is made up and signed by nobody; all around it is sound. */
TEST(verify__synthetic_paravisor_report__is_refused_by_the_hardwares_signature)
{
	cleanup_buf struct buf quote = shared_bytes("evidence/derived/az-tpm-quote.json");
	cleanup_buf struct buf hcl = shared_bytes("evidence/derived/synthetic-hcl-snp.bin");
	cleanup_evidence struct evidence *real =
		shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	cleanup_evidence_file struct evidence_file f = { 0 };
	cleanup_buf struct buf text = BUF_MAX(ROOM), b64 = BUF_MAX(ROOM);
	struct verify_want want = want_at(JUNE_2025);
	struct findings found = { 0 };
	struct err e = { 0 };

	buf_puts(&text, "{\"version\":2,\"tpm_quote\":");
	buf_putv(&text, buf_view(&quote));
	enc_base64(&b64, ENC_B64U, buf_view(&hcl));
	buf_printf(&text, ",\"hcl_report\":\"%s\",\"vcek\":\"", buf_str(&b64));
	enc_base64(&text, ENC_B64U, buf_view(&real->vcek));
	buf_puts(&text, "\"}");
	if (load(&f, buf_str(&text), "az-snp-vtpm", &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	verify_evidence(&found, f.item[0], &want);
	check_finding(&found, "az.binding", FINDING_OK, "");
	check_finding(&found, "tpm.signature", FINDING_OK, "");
	check_finding(&found, "tpm.pcrs", FINDING_OK, "");
	check_finding(&found, "snp.signature", FINDING_BAD, "");
}
