/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERIFY_ROOTS_H
#define VERIFY_ROOTS_H

#include "agent/crypto/x509.h"
#include "attester/snp_report.h"

/*
 * The trust anchors: the hardware makers' own certificates, in this program as roots/ has them
 * (its README says where they come from and their fingerprints). Nothing else is trusted; the
 * command line's --root-cert replaces them for tests and says so.
 */
enum roots_amd {
	ROOTS_ARK,  /* root key, self-signed */
	ROOTS_ASK,  /* signs VCEKs */
	ROOTS_ASVK, /* signs VLEKs */
};

/*
 * A certificate of AMD for that generation of processors.
 * out  set on success only; owned by the caller
 * Errors: ERR_UNSUPPORTED (SNP_UNKNOWN), those of x509_load().
 */
int roots_amd(struct x509_cert **out, enum snp_generation generation, enum roots_amd which,
	      struct err *e) MUST_CHECK;

/* The Intel SGX Root CA. */
int roots_intel(struct x509_cert **out, struct err *e) MUST_CHECK;

#endif
