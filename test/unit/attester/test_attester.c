/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/attester.h"
#include "test/test.h"

TEST(attester_names__each__is_found_by_it_in_order)
{
	const char *const *names = attester_names();

	CHECK(strcmp(names[0], "tpm") == 0);
	CHECK(strcmp(names[1], "sample") == 0);
	CHECK(names[2] == NULL);
	for (size_t i = 0; names[i]; i++)
		CHECK(strcmp(attester_by_name(names[i])->name, names[i]) == 0);
	CHECK(attester_by_name("az-snp-vtpm") == NULL);
	CHECK(attester_by_name("") == NULL);
	CHECK(attester_by_name("TPM") == NULL);
}

TEST(attester_detect__no_tpm__is_nothing_and_never_sample)
{
	struct attester_env env = { .root_fd = -1, .initdata_pcr = 8 };

	CHECK(attester_detect(&env) == NULL);
}

TEST(attester__platforms__say_what_they_can_bind)
{
	const struct attester *tpm = attester_by_name("tpm"), *sample = attester_by_name("sample");

	CHECK(tpm->binding && tpm->bind && tpm->text_needs_sha256);
	CHECK(!sample->binding && !sample->bind && !sample->detect);
}

TEST(attester__platforms__say_what_they_can_measure)
{
	const struct attester *tpm = attester_by_name("tpm"), *sample = attester_by_name("sample");
	struct attester_env env = { .root_fd = -1, .initdata_pcr = 8 };
	struct digest d = { .len = 32 }, out = { .len = 77 };
	struct err e;

	CHECK(tpm->extend && tpm->read_register && !tpm->log_index);
	CHECK_INT(tpm->log_hash, HASH_SHA256);
	CHECK_INT(tpm->log_register, 15);
	CHECK(!sample->extend && !sample->read_register);
	CHECK_ERR(tpm->extend(&env, 15, digest_view(&d), &e), ERR_NOTFOUND, e, "no TPM");
	CHECK_ERR(tpm->read_register(&env, 15, &out, &e), ERR_NOTFOUND, e, "no TPM");
	CHECK_INT(out.len, 77);
}

TEST(tpm__no_tpm_opened__says_so)
{
	const struct attester *tpm = attester_by_name("tpm");
	struct attester_env env = { .root_fd = -1, .initdata_pcr = 8 };
	struct view data = view_str("0123456789abcdef0123456789abcdef");
	enum binding b = BINDING_OTHER;
	char *json = NULL;
	struct err e;

	CHECK_ERR(tpm->evidence(&env, data, &json, &e), ERR_NOTFOUND, e, "no TPM");
	CHECK_INT(e.code, CODE_TPM_NONE);
	CHECK(json == NULL);
	CHECK_ERR(tpm->binding(&env, data, &b, &e), ERR_NOTFOUND, e, "no TPM");
	CHECK_ERR(tpm->bind(&env, data, &e), ERR_NOTFOUND, e, "no TPM");
}

/* Source: spec/evidence.md 2.6: standard base64 of the raw bytes, no padding of the bytes. */
TEST(sample__evidence__is_the_exact_text)
{
	struct attester_env env = { .root_fd = -1 };
	uint8_t data[64];
	char *json = NULL;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(0xfb + i);
	CHECK_INT(attester_by_name("sample")->evidence(&env, (struct view){ data, 1 }, &json, NULL),
		  0);
	CHECK(strcmp(json, "{\"svn\":\"1\",\"report_data\":\"+w==\"}") == 0);
	free(json);
	CHECK_INT(
		attester_by_name("sample")->evidence(&env, (struct view){ data, 64 }, &json, NULL),
		0);
	CHECK(strcmp(json,
		     "{\"svn\":\"1\",\"report_data\":\"+/z9/v8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRob"
		     "HB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Og==\"}") == 0);
	free(json);
}

TEST(evidence__report_data_of_wrong_size__is_refused_by_each)
{
	struct attester_env env = { .root_fd = -1 };
	uint8_t data[65] = { 0 };
	struct err e;

	for (const char *const *n = attester_names(); *n; n++) {
		char *json = NULL;

		CHECK_ERR(
			attester_by_name(*n)->evidence(&env, (struct view){ data, 65 }, &json, &e),
			ERR_USAGE, e, "65 bytes, allowed 1..64");
		CHECK_ERR(attester_by_name(*n)->evidence(&env, (struct view){ data, 0 }, &json, &e),
			  ERR_USAGE, e, "0 bytes");
		CHECK(json == NULL);
	}
}
