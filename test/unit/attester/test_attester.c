/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "attester/attester.h"
#include "test/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

TEST(attester_names__each__is_found_by_it_in_order)
{
	static const char *const want[] = { "tdx", "az-tdx-vtpm", "az-snp-vtpm", "snp", "tpm", "sample" };
	const char *const *names = attester_names();

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		CHECK(names[i] && strcmp(names[i], want[i]) == 0);
		CHECK(strcmp(attester_by_name(names[i])->name, names[i]) == 0);
	}
	CHECK(names[ARRAY_LEN(want)] == NULL);
	CHECK(attester_by_name("") == NULL);
	CHECK(attester_by_name("TPM") == NULL);
}

TEST(attester_unknown__platforms_of_trustee_s__are_said_to_be_not_built)
{
	static const char *const names[] = { "sgx",    "cca",	   "csv",	"se",
					     "nvidia", "hygondcu", "nvidia-dpu" };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CHECK(attester_by_name(names[i]) == NULL);
		CHECK_ERR(attester_unknown(names[i], &e), ERR_UNSUPPORTED, e, names[i]);
		CHECK_INT(e.code, CODE_PLATFORM_NOT_BUILT);
	}
	CHECK_ERR(attester_unknown("tdxx", &e), ERR_UNSUPPORTED, e, "platform \"tdxx\"");
	CHECK_INT(e.code, CODE_PLATFORM_UNKNOWN);
}

TEST(attester_detect__devices__the_first_of_the_order)
{
	static const struct {
		const char *path, *name;
	} rows[] = {
		{ "/sys/devices/platform/sev-guest", "snp" },
		/* Both cannot be; the order is upstream's all the same. */
		{ "/sys/devices/virtual/misc/tdx_guest", "tdx" },
	};
	char root[] = "/tmp/test_attester.XXXXXX", path[128];
	struct attester_env env = { .initdata_pcr = 8 };

	CHECK(mkdtemp(root));
	env.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(attester_detect(&env) == NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(path, sizeof path, "%s%s", root, rows[i].path);
		CHECK_INT(fs_mkdirs(path, 0755, NULL), 0);
		CHECK(attester_detect(&env));
		CHECK(strcmp(attester_detect(&env)->name, rows[i].name) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(path, sizeof path, "%s%s", root, rows[i].path);
		while (strlen(path) >= strlen(root) && rmdir(path) == 0)
			*strrchr(path, '/') = '\0';
	}
	CHECK(access(root, F_OK) < 0);
}

/* The driver may come later than we: a TPM beside it must not be taken for the platform. */
TEST(attester_detect__cpu_says_tdx__is_tdx_without_a_driver)
{
	static const struct {
		const char *text;
		bool is;
	} rows[] = {
		{ "processor\t: 0\nflags\t\t: fpu tdx_guest sse\n", true },
		{ "processor\t: 0\nflags\t\t: fpu tdx_guest\n", true },
		{ "processor\t: 0\nflags\t\t: fpu tdx_guests\n", false },
		{ "processor\t: 0\nflags\t\t: fpu sse\n", false },
		{ "", false },
	};
	char root[] = "/tmp/test_attester.XXXXXX", path[128];
	struct attester_env env = { .initdata_pcr = 8 };

	CHECK(mkdtemp(root));
	env.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof path, "%s/proc", root);
	CHECK_INT(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct attester *a;

		CHECK_INT(fs_write(path, view_str(rows[i].text), 0644, NULL), 0);
		a = attester_detect(&env);
		CHECK((a && strcmp(a->name, "tdx") == 0) == rows[i].is);
	}
	CHECK_INT(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	CHECK_INT(rmdir(path), 0);
	CHECK_INT(rmdir(root), 0);
	(void)close(env.root_fd);
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
			ERR_USAGE, e, "65 bytes, allowed 1..");
		CHECK_ERR(attester_by_name(*n)->evidence(&env, (struct view){ data, 0 }, &json, &e),
			  ERR_USAGE, e, "0 bytes");
		CHECK(json == NULL);
	}
}

TEST(attester_data__each_length__is_padded_or_refused)
{
	uint8_t in[65], out[REPORT_DATA_MAX];
	struct err e;

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)(i + 1);
	for (size_t n = 0; n <= sizeof in; n++) {
		for (size_t i = 0; i < sizeof out; i++)
			out[i] = 0xee;
		if (n == 0 || n == 65) {
			CHECK_ERR(attester_data(out, (struct view){ in, n }, &e), ERR_USAGE, e,
				  "allowed 1..64");
			CHECK_INT(out[0], 0xee);
			continue;
		}
		CHECK_INT(attester_data(out, (struct view){ in, n }, &e), 0);
		for (size_t i = 0; i < sizeof out; i++)
			CHECK_INT(out[i], i < n ? i + 1 : 0);
	}
}

TEST(attester_give__text__is_the_callers_or_an_error)
{
	struct buf text = BUF_MAX(4);
	char *json = NULL;
	struct err e;

	buf_puts(&text, "text");
	CHECK_INT(attester_give(&json, &text, "x", &e), 0);
	CHECK(strcmp(json, "text") == 0 && text.p == NULL);
	free(take(json));
	buf_puts(&text, "longer");
	CHECK_ERR(attester_give(&json, &text, "some evidence", &e), ERR_LIMIT, e, "some evidence");
	CHECK(json == NULL);
	buf_done(&text);
}

TEST(attester_compare__register__holds_the_digest_cut_or_padded)
{
	uint8_t digest[64], reg[48];

	for (size_t i = 0; i < sizeof digest; i++)
		digest[i] = (uint8_t)(i + 1);
	for (size_t size = 32; size <= 48; size += 16) {
		for (size_t n = 0; n <= sizeof digest; n++) {
			const struct view r = { reg, size }, d = { n ? digest : NULL, n };

			for (size_t i = 0; i < size; i++)
				reg[i] = i < n ? digest[i] : 0;
			CHECK_INT(attester_compare(r, d), n ? BINDING_MATCHES : BINDING_EMPTY);
			/* Each byte of it counts, also behind a short digest. */
			for (size_t i = 0; i < size; i++) {
				reg[i] ^= 0x80;
				CHECK_INT(attester_compare(r, d), BINDING_OTHER);
				reg[i] ^= 0x80;
			}
		}
	}
}
