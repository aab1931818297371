/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/attester.h"

extern const struct attester attester_az_snp_vtpm;
extern const struct attester attester_az_tdx_vtpm;
extern const struct attester attester_sample;
extern const struct attester attester_tpm;

/* In detection order: a bare TPM last, so that a confidential VM's vTPM is never taken for one. */
static const struct attester *const attesters[] = {
	&attester_az_tdx_vtpm,
	&attester_az_snp_vtpm,
	&attester_tpm,
	&attester_sample,
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

const char *const *attester_names(void)
{
	static const char *const names[] = { "az-tdx-vtpm", "az-snp-vtpm", "tpm", "sample", NULL };

	return names;
}
