/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/roots.h"

/* The files as bytes of this program; the compiler runs at the tree's root. */
#define ANCHOR(name)                                                                               \
	extern const uint8_t anchor_##name[], anchor_##name##_end[];                               \
	__asm__(".pushsection .rodata\n"                                                           \
		".hidden anchor_" #name "\n"                                                       \
		".hidden anchor_" #name "_end\n"                                                   \
		".global anchor_" #name "\n"                                                       \
		".global anchor_" #name "_end\n"                                                   \
		"anchor_" #name ": .incbin \"agent/verify/roots/" #name ".der\"\n"                 \
		"anchor_" #name "_end:\n"                                                          \
		".popsection\n")

ANCHOR(amd_milan_ark);
ANCHOR(amd_milan_ask);
ANCHOR(amd_milan_asvk);
ANCHOR(amd_genoa_ark);
ANCHOR(amd_genoa_ask);
ANCHOR(amd_genoa_asvk);
ANCHOR(amd_turin_ark);
ANCHOR(amd_turin_ask);
ANCHOR(amd_turin_asvk);
ANCHOR(intel_sgx_root);

struct anchor {
	const uint8_t *p, *end;
};

#define ROW(name)                                                                                  \
	{                                                                                          \
		anchor_##name, anchor_##name##_end                                                 \
	}

static const struct anchor amd[][3] = {
	[SNP_MILAN] = { ROW(amd_milan_ark), ROW(amd_milan_ask), ROW(amd_milan_asvk) },
	[SNP_GENOA] = { ROW(amd_genoa_ark), ROW(amd_genoa_ask), ROW(amd_genoa_asvk) },
	[SNP_TURIN] = { ROW(amd_turin_ark), ROW(amd_turin_ask), ROW(amd_turin_asvk) },
};

static int load(struct x509_cert **out, struct anchor a, struct err *e)
{
	return x509_load(out, (struct view){ a.p, (size_t)(a.end - a.p) }, e);
}

int roots_amd(struct x509_cert **out, enum snp_generation generation, enum roots_amd which,
	      struct err *e)
{
	if (generation == SNP_UNKNOWN || (size_t)generation >= ARRAY_LEN(amd))
		return err_set(e, ERR_UNSUPPORTED, "no root of AMD for this processor");
	return load(out, amd[generation][which], e);
}

int roots_intel(struct x509_cert **out, struct err *e)
{
	static const struct anchor intel = ROW(intel_sgx_root);

	return load(out, intel, e);
}
