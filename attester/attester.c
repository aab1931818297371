/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/attester.h"
#include "attester/le.h"

extern const struct attester attester_az_snp_vtpm;
extern const struct attester attester_az_tdx_vtpm;
extern const struct attester attester_sample;
extern const struct attester attester_snp;
extern const struct attester attester_tdx;
extern const struct attester attester_tpm;

/*
 * In detection order. Azure before bare SNP, where the hardware's report belongs to the paravisor;
 * a bare TPM last, so that a confidential VM's vTPM is never taken for one.
 */
static const struct attester *const attesters[] = {
	&attester_tdx, &attester_az_tdx_vtpm, &attester_az_snp_vtpm,
	&attester_snp, &attester_tpm,	      &attester_sample,
};

static const char *const not_built[] = {
	"sgx", "cca", "csv", "se", "nvidia", "hygondcu", "nvidia-dpu",
};

const struct attester *attester_detect(const struct attester_env *env)
{
	for (size_t i = 0; i < ARRAY_LEN(attesters); i++)
		if (attesters[i]->detect && attesters[i]->detect(env))
			return attesters[i];
	return NULL;
}

const struct attester *attester_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(attesters); i++)
		if (strcmp(attesters[i]->name, name) == 0)
			return attesters[i];
	return NULL;
}

int attester_unknown(const char *name, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(not_built); i++)
		if (strcmp(not_built[i], name) == 0)
			return err_code(e, CODE_PLATFORM_NOT_BUILT, "platform \"%s\"", name);
	return err_code(e, CODE_PLATFORM_UNKNOWN, "platform \"%.60s\"", name);
}

const char *const *attester_names(void)
{
	static const char *const names[] = { "tdx", "az-tdx-vtpm", "az-snp-vtpm", "snp",
					     "tpm", "sample",	   NULL };

	return names;
}

int attester_data(uint8_t out[REPORT_DATA_MAX], struct view report_data, struct err *e)
{
	const uint8_t zero[REPORT_DATA_MAX] = { 0 };

	if (report_data.len == 0 || report_data.len > REPORT_DATA_MAX)
		return err_set(e, ERR_USAGE, "report data of %zu bytes, allowed 1..%d",
			       report_data.len, REPORT_DATA_MAX);
	memcpy(out, zero, sizeof zero);
	memcpy(out, report_data.p, report_data.len);
	return 0;
}

int attester_give(char **json, struct buf *text, const char *what, struct err *e)
{
	char *given;
	int r = buf_check(text, what, e);

	if (r < 0)
		return r;
	given = buf_take(text);
	if (!given)
		return err_set(e, ERR_NOMEM, "no memory for %s", what);
	*json = given;
	return 0;
}

enum binding attester_compare(struct view reg, struct view digest)
{
	size_t n = digest.len < reg.len ? digest.len : reg.len;

	if (all_zero(reg))
		return BINDING_EMPTY;
	return view_eq(view_at(reg, 0, n), (struct view){ digest.p, n }) &&
			       all_zero(view_at(reg, n, reg.len - n)) ?
		       BINDING_MATCHES :
		       BINDING_OTHER;
}
