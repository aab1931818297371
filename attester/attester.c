/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/attester.h"

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
