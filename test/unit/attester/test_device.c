/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/device.h"
#include "test/test.h"

static enum err_code first_fails;

static int good(const struct attester_env *env, struct view rd, char **json, struct err *e)
{
	(void)env;
	if (first_fails != CODE_OK)
		return err_code(e, first_fails, "as the test wants");
	CHECK_INT(rd.len, 48);
	*json = strdup("{\"a\":\"b\"}");
	return *json ? 0 : -(int)ERR_NOMEM;
}

static const struct attester fake = { .name = "tpm", .evidence = good };
static const struct attester_env env = { .root_fd = -1 };
static const uint8_t rd[48] = { 1, 2, 3 };

static const struct attester *find(const char *name, const char *primary, struct err *e)
{
	const struct attester *out = NULL;
	const struct attester beside = { .name = primary };
	int r = device_by_name(&out, view_str(name), &beside, e);

	CHECK((r == 0) == (out != NULL));
	return out;
}

TEST(device_by_name__beside_what__is_decided_by_the_primary)
{
	static const struct {
		const char *name, *primary;
		bool ok;
		const char *words;
	} rows[] = {
		{ "tpm", "snp", true, "" },
		{ "tpm", "sample", true, "" },
		{ "tpm", "tpm", false, "not beside tpm" },
		{ "tpm", "az-snp-vtpm", false, "not beside az-snp-vtpm" },
		{ "tpm", "az-tdx-vtpm", false, "not beside az-tdx-vtpm" },
		{ "tpm", "tdx", false, "not beside tdx" },
		{ "sampledevice", "az-tdx-vtpm", true, "" },
		{ "sampledevice", "tpm", true, "" },
		{ "nvidia", "snp", false, "\"nvidia\", allowed tpm, sampledevice" },
		{ "", "snp", false, "allowed" },
		{ "sample", "snp", false, "allowed" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		const struct attester *d = find(rows[i].name, rows[i].primary, &e);

		CHECK((d != NULL) == rows[i].ok);
		if (d)
			CHECK(strcmp(d->name, rows[i].name) == 0);
		else if (e.code != CODE_CONFIG_VALUE || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "%s", e.msg);
	}
	/* A device is no platform. */
	CHECK(attester_by_name("sampledevice") == NULL);
}

TEST(devices_evidence__each__stands_under_its_name)
{
	struct err e;
	const struct attester *both[2] = { &fake, find("sampledevice", "sample", &e) };
	char *text = NULL;

	CHECK_INT(devices_evidence(&text, both, 2, &env, (struct view){ rd, 48 }, NULL), 0);
	CHECK(strcmp(text, "{\"tpm\":{\"a\":\"b\"},\"sampledevice\":{\"svn\":\"2\",\"report_data\":"
			   "\"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}") == 0);
	free(text);
	CHECK_INT(devices_evidence(&text, both, 1, &env, (struct view){ rd, 48 }, NULL), 0);
	CHECK(strcmp(text, "{\"tpm\":{\"a\":\"b\"}}") == 0);
	free(text);
	CHECK_INT(devices_evidence(&text, both, 0, &env, (struct view){ rd, 48 }, NULL), 0);
	CHECK(strcmp(text, "") == 0);
	free(text);
}

TEST(devices_evidence__one_fails__none_is_given)
{
	struct err e = { 0 };
	const struct attester *both[2] = { find("sampledevice", "sample", &e), &fake };
	char *text = NULL;

	first_fails = CODE_TPM_NO_AK;
	CHECK_ERR(devices_evidence(&text, both, 2, &env, (struct view){ rd, 48 }, &e), ERR_NOTFOUND, e,
		  "additional evidence of tpm");
	CHECK_INT(e.code, CODE_TPM_NO_AK);
	first_fails = CODE_GENERAL_CRYPTO;
	CHECK_ERR(devices_evidence(&text, both, 2, &env, (struct view){ rd, 48 }, &e), ERR_DEVICE, e,
		  "additional evidence of tpm");
	CHECK_INT(e.code, CODE_EVIDENCE_ADDITIONAL);
	CHECK_INT(devices_evidence(&text, both, 2, &env, (struct view){ rd, 48 }, NULL), -ERR_DEVICE);
	/* What it may bind. */
	CHECK_ERR(devices_evidence(&text, both, 1, &env, (struct view){ rd, 0 }, &e), ERR_DEVICE, e,
		  "allowed 1..64");
	CHECK(text == NULL);
}
