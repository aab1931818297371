/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/roots.h"
#include "test/unit/verify/vector.h"

/* The README's table is what a person compares with the makers' sites: file, name, fingerprint. */
TEST(roots__readme__has_the_fingerprints_of_the_files)
{
	static const char *const files[] = { "amd_milan_ark",  "amd_milan_ask",	 "amd_milan_asvk",
					     "amd_genoa_ark",  "amd_genoa_ask",	 "amd_genoa_asvk",
					     "amd_turin_ark",  "amd_turin_ask",	 "amd_turin_asvk",
					     "intel_sgx_root" };
	cleanup_buf struct buf readme = vector_bytes("agent/verify/roots/README.md");

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[128], hex[65], row[256];
		cleanup_x509 struct x509_cert *c = NULL;
		struct digest d;

		snprintf(path, sizeof path, "agent/verify/roots/%s.der", files[i]);
		cleanup_buf struct buf der = vector_bytes(path);
		CHECK_INT(x509_load(&c, buf_view(&der), NULL), 0);
		CHECK_INT(digest_of(&d, HASH_SHA256, buf_view(&der), NULL), 0);
		enc_hex_str(hex, digest_view(&d));
		snprintf(row, sizeof row, "| %s.der | %s | %s |", files[i], x509_name(c), hex);
		if (!strstr(buf_str(&readme), row))
			test_fail(__FILE__, __LINE__, "no row %s", row);
	}
}

TEST(roots_amd__each_generation__issued_its_subordinates)
{
	static const char *const names[] = { [SNP_MILAN] = "Milan", [SNP_GENOA] = "Genoa",
					     [SNP_TURIN] = "Turin" };

	for (int g = SNP_MILAN; g <= SNP_TURIN; g++) {
		cleanup_x509 struct x509_cert *ark = NULL, *ask = NULL, *asvk = NULL;
		char want[64];

		CHECK_INT(roots_amd(&ark, (enum snp_generation)g, ROOTS_ARK, NULL), 0);
		CHECK_INT(roots_amd(&ask, (enum snp_generation)g, ROOTS_ASK, NULL), 0);
		CHECK_INT(roots_amd(&asvk, (enum snp_generation)g, ROOTS_ASVK, NULL), 0);
		snprintf(want, sizeof want, "ARK-%s", names[g]);
		CHECK(strcmp(x509_name(ark), want) == 0);
		snprintf(want, sizeof want, "SEV-%s", names[g]);
		CHECK(strcmp(x509_name(ask), want) == 0);
		snprintf(want, sizeof want, "SEV-VLEK-%s", names[g]);
		CHECK(strcmp(x509_name(asvk), want) == 0);
		CHECK_INT(x509_issued(ark, ark, X509_AMD, NULL), 0);
		CHECK_INT(x509_issued(ask, ark, X509_AMD, NULL), 0);
		CHECK_INT(x509_issued(asvk, ark, X509_AMD, NULL), 0);
	}
}

TEST(roots_amd__unknown_processor__has_none)
{
	struct x509_cert *c = NULL;
	struct err e;

	CHECK_ERR(roots_amd(&c, SNP_UNKNOWN, ROOTS_ARK, &e), ERR_UNSUPPORTED, e, "no root of AMD");
	CHECK(c == NULL);
}

TEST(roots_intel__root__issued_itself)
{
	cleanup_x509 struct x509_cert *c = NULL;

	CHECK_INT(roots_intel(&c, NULL), 0);
	CHECK(strcmp(x509_name(c), "Intel SGX Root CA") == 0);
	CHECK_INT(x509_issued(c, c, X509_INTEL, NULL), 0);
}
