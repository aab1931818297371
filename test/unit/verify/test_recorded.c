/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/verify/vector.h"

/* Recorded genuine evidence, judged as MANIFEST.md of the vectors says of each file. */

static const char v2_data[] = "982f5c6e45df0ed3f10b6f60b02f0c8390e281300f3805e2279c16168cd6ae9a"
			      "a398f647caa2338748cd0fd9f5f819ef";

static void judge(struct findings *f, const char *path, const struct verify_want *want)
{
	cleanup_evidence struct evidence *ev = shared_evidence(path);

	*f = (struct findings){ 0 };
	verify_evidence(f, ev, want);
}

TEST(verify__azure_evidence_of_every_version__holds)
{
	static const struct {
		const char *path, *user_data;
		enum finding_state state;
	} rows[] = {
		{ TEST_DATA "az-snp-vtpm/evidence-v0.json", "version 0", FINDING_WARN },
		{ TEST_DATA "az-snp-vtpm/evidence-v1.json", "version 1", FINDING_WARN },
		{ TEST_DATA "az-snp-vtpm/evidence-v2.json", "same nonce", FINDING_OK },
		{ TEST_DATA "az-tdx-vtpm/evidence-v0.json", "version 0", FINDING_WARN },
		{ TEST_DATA "az-tdx-vtpm/evidence-v1.json", "version 1", FINDING_WARN },
	};
	struct verify_want want = want_at(JUNE_2025);
	uint8_t data[48];
	struct findings f;

	CHECK_INT(enc_hex_decode(data, sizeof data, view_str(v2_data), NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		want.has_report_data = true;
		want.report_data = view_str("challenge");
		if (rows[i].state == FINDING_OK)
			want.report_data = (struct view){ data, sizeof data };
		judge(&f, rows[i].path, &want);
		check_all_hold(&f, NULL);
		check_finding(&f, "az.binding", FINDING_OK, "attestation key");
		check_finding(&f, "az.user-data", rows[i].state, rows[i].user_data);
		check_finding(&f, "tpm.signature", FINDING_OK, "");
		check_finding(&f, "tpm.pcrs", FINDING_OK, "");
		check_finding(&f, "report-data", FINDING_OK, "");
		check_finding(&f, strstr(rows[i].path, "snp") ? "snp.signature" : "tdx.signature",
			      FINDING_OK, "");
		check_finding(&f, strstr(rows[i].path, "snp") ? "snp.chain" : "tdx.chain",
			      FINDING_OK, "root \"");
		/* The rule is exact: a longer or shorter expectation is another one. */
		want.report_data.len--;
		judge(&f, rows[i].path, &want);
		check_finding(&f, "report-data", FINDING_BAD, "not what was expected");
		check_all_hold(&f, "report-data");
	}
}

TEST(verify__snp_with_its_vcek__holds_with_the_chip)
{
	struct verify_want want = want_at(JUNE_2025);
	struct findings f;

	judge(&f, E2E_SNP, &want);
	check_all_hold(&f, NULL);
	check_finding(&f, "snp.version", FINDING_OK, "version 3, processor Genoa");
	check_finding(&f, "snp.chain", FINDING_OK, "issued by \"SEV-Genoa\", issued by AMD's root \"ARK-Genoa\"");
	check_finding(&f, "snp.tcb", FINDING_OK, "boot loader 10, tee 0, snp 23, microcode 25");
	check_finding(&f, "snp.chip-id", FINDING_OK, "this chip's");
	check_finding(&f, "report-data", FINDING_UNKNOWN, "7e732088");
	check_finding(&f, "initdata", FINDING_UNKNOWN, "HOST_DATA is 0000");
}

TEST(verify__snp_report_of_version_2__is_too_old_but_signed)
{
	cleanup_buf struct buf vcek = shared_bytes(TEST_DATA "snp/test-vcek.der");
	struct verify_want want = want_at(JUNE_2025);
	struct findings f;

	want.vek = buf_view(&vcek);
	judge(&f, TEST_DATA "snp/test-report.bin", &want);
	check_finding(&f, "snp.version", FINDING_BAD, "version 2: Trustee takes 3 to 5");
	check_all_hold(&f, "snp.version");
	check_finding(&f, "snp.chain", FINDING_OK, "ARK-Milan");
	check_finding(&f, "snp.signature", FINDING_OK, "");
}

TEST(verify__vlek_after_its_time__is_called_expired_and_not_badly_signed)
{
	cleanup_buf struct buf vlek = shared_bytes(TEST_DATA "snp/test-vlek.der");
	struct verify_want want = want_at(JUNE_2025);
	struct findings f;

	want.vek = buf_view(&vlek);
	judge(&f, TEST_DATA "snp/test-vlek-report.bin", &want);
	check_finding(&f, "snp.vmpl", FINDING_BAD, "VMPL 1, want 0");
	check_all_hold(&f, "snp.vmpl");
	check_finding(&f, "snp.chain", FINDING_OK, "\"SEV-VLEK\" of Milan, issued by \"SEV-VLEK-Milan\"");
	check_finding(&f, "snp.tcb", FINDING_OK, "microcode 217"); /* 02 02 00 d9 */
	check_finding(&f, "snp.chip-id", FINDING_OK, "not to a chip: CN=cc-us-east-2.amazonaws.com");
	check_finding(&f, "snp.dates", FINDING_OK, "the first expires 2025-12-10 22:14:21 UTC");

	want.at = 1765404861; /* that second */
	judge(&f, TEST_DATA "snp/test-vlek-report.bin", &want);
	check_finding(&f, "snp.dates", FINDING_OK, "");
	want.at++;
	judge(&f, TEST_DATA "snp/test-vlek-report.bin", &want);
	check_finding(&f, "snp.dates", FINDING_BAD, "\"SEV-VLEK\" has expired");
	check_finding(&f, "snp.chain", FINDING_OK, "");
	check_finding(&f, "snp.signature", FINDING_OK, "");
	want.at = 1700000000;
	judge(&f, TEST_DATA "snp/test-vlek-report.bin", &want);
	check_finding(&f, "snp.dates", FINDING_BAD, "is not yet valid");
}

TEST(verify__vceks_with_broken_signatures__are_refused_by_the_chain)
{
	static const char *const names[] = { TEST_DATA "snp/test-vcek-invalid-legacy.der",
					     TEST_DATA "snp/test-vcek-invalid-new.der" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cleanup_buf struct buf vcek = shared_bytes(names[i]);
		struct verify_want want = want_at(JUNE_2025);
		struct findings f;

		want.vek = buf_view(&vcek);
		judge(&f, TEST_DATA "snp/test-report.bin", &want);
		check_finding(&f, "snp.chain", FINDING_BAD,
			      "the signature of the certificate \"SEV-VCEK\" is not \"SEV-Milan\"'s");
		check_finding(&f, "snp.signature", FINDING_BAD, "does not match");
		/* Both forms of the hardware id are read. */
		check_finding(&f, "snp.chip-id", FINDING_BAD, "another chip");
	}
}

TEST(verify__td_quotes__hold_and_the_debugged_one_is_called_so)
{
	static const struct {
		const char *path, *version, *but;
	} rows[] = {
		{ TEST_DATA "tdx_quote_4.dat", "version 4, TD 1.0", "tdx.debug" },
		{ TEST_DATA "tdx_quote_5.dat", "version 5, TD 1.5", NULL },
		{ TEST_DATA "az-tdx-vtpm/td-quote.bin", "version 4, TD 1.0", NULL },
	};
	struct verify_want want = want_at(JUNE_2025);
	struct findings f;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		judge(&f, rows[i].path, &want);
		check_finding(&f, "tdx.version", FINDING_OK, rows[i].version);
		check_finding(&f, "tdx.debug", rows[i].but ? FINDING_BAD : FINDING_OK, "debugged");
		check_all_hold(&f, rows[i].but);
		check_finding(&f, "tdx.chain", FINDING_OK, "Intel's root \"Intel SGX Root CA\"");
		check_finding(&f, "tdx.signature", FINDING_OK, "");
		check_finding(&f, "tdx.key-bound", FINDING_OK, "");
		check_finding(&f, "tdx.qe-signature", FINDING_OK, "");
		check_finding(&f, "tdx.qe-identity", FINDING_OK, "Intel's for TDs");
		check_finding(&f, "tdx.tcb-status", FINDING_UNKNOWN, "Intel's collateral");
	}
	want.at = 2000000000; /* 2033-05-18, three days before the CA's end */
	judge(&f, TEST_DATA "tdx_quote_5.dat", &want);
	check_finding(&f, "tdx.dates", FINDING_BAD, "\"Intel SGX PCK Certificate\" has expired");
	check_all_hold(&f, "tdx.dates");
}

TEST(verify__sgx_quote__is_not_a_guests)
{
	cleanup_buf struct buf quote = shared_bytes(TEST_DATA "occlum_quote.dat");
	cleanup_evidence struct evidence *ev = NULL;
	struct err e;

	CHECK_ERR(evidence_load_bare(&ev, buf_view(&quote), &e), ERR_UNSUPPORTED, e, "SGX");
}

TEST(verify__tpm_evidence_of_before_the_rule_of_32_bytes__is_refused_by_its_nonce)
{
	struct verify_want want = want_at(JUNE_2025);
	struct findings f;

	judge(&f, TEST_DATA "tpm_evidence.json", &want);
	check_finding(&f, "report-data", FINDING_BAD, "64 bytes, Trustee wants 32");
	check_all_hold(&f, "report-data");
	check_finding(&f, "tpm.signature", FINDING_OK, "");
	check_finding(&f, "tpm.ak", FINDING_UNKNOWN, "trusted_aks");
}

TEST(verify__tpm_evidence_with_initdata__holds)
{
	cleanup_buf struct buf initdata = shared_bytes("evidence/derived/initdata-sha256.toml");
	cleanup_buf struct buf primary = shared_bytes("evidence/derived/runtime-data-primary.json");
	struct verify_want want = want_at(JUNE_2025);
	struct digest data;
	struct findings f;

	CHECK_INT(digest_of(&data, HASH_SHA384, buf_view(&primary), NULL), 0);
	CHECK_INT(digest_of(&want.initdata, HASH_SHA256, buf_view(&initdata), NULL), 0);
	want.has_report_data = want.has_initdata = true;
	want.report_data = digest_view(&data); /* 48 bytes, of which the quote has 32 */
	judge(&f, "evidence/derived/tpm-evidence.json", &want);
	check_all_hold(&f, NULL);
	check_finding(&f, "report-data", FINDING_OK, "first 32 bytes");
	check_finding(&f, "initdata", FINDING_OK, "PCR 8");
	want.initdata.b[0] ^= 1;
	data.b[31] ^= 1;
	want.report_data = digest_view(&data);
	judge(&f, "evidence/derived/tpm-evidence.json", &want);
	check_finding(&f, "report-data", FINDING_BAD, "");
	check_finding(&f, "initdata", FINDING_BAD, "not this initdata's");
}

TEST(verify__azure_without_initdata__says_that_none_was_bound)
{
	struct verify_want want = want_at(JUNE_2025);
	struct findings f;

	want.has_initdata = true;
	want.initdata.len = 32;
	judge(&f, TEST_DATA "az-snp-vtpm/evidence-v2.json", &want);
	check_finding(&f, "initdata", FINDING_BAD, "PCR 8 is zero");
	check_all_hold(&f, "initdata");
}
