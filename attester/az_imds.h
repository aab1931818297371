/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_AZ_IMDS_H
#define ATTESTER_AZ_IMDS_H

#include "attester/attester.h"

/*
 * Azure's instance metadata service, as far as evidence needs it: the VCEK certificate of the
 * processor, and a quote for a TDREPORT. Source: spec/evidence.md 3.4.
 *
 *   GET  /metadata/THIM/amd/certification   {"vcekCert": PEM, "certificateChain": PEM, …}
 *   POST /acc/tdquote {"report": base64}    {"quote": base64}
 *
 * The host answers: an answer is a claim, which the caller holds to the hardware report.
 * Asked again after 429, 5xx and what the network does, with a pause that doubles.
 */
#define AZ_IMDS_URL       "http://169.254.169.254"
#define AZ_IMDS_MS        15000        /* all tries together */
#define AZ_IMDS_TRY_MS    5000         /* one */
#define AZ_IMDS_PAUSE_MS  200          /* before the second; doubled to AZ_IMDS_PAUSE_MAX */
#define AZ_IMDS_PAUSE_MAX 2000
#define AZ_IMDS_REPLY_MAX (64u << 10)  /* body, bytes */
#define AZ_VCEK_MAX       (8u << 10)   /* DER, bytes */

/*
 * Append the DER of the VCEK.
 * Errors: azure.metadata (also where env has no metadata service), azure.metadata-reply, ERR_NOMEM.
 */
int az_imds_vcek(struct buf *der, const struct attester_env *env, struct err *e) MUST_CHECK;

/* Append the TD quote for a TDREPORT, without judging it. Errors: as above. */
int az_imds_quote(struct buf *quote, const struct attester_env *env, struct view tdreport,
		  struct err *e) MUST_CHECK;

/* The bodies of the two replies, for the above and for fuzzing. Errors: azure.metadata-reply, … */
int az_imds_read_vcek(struct buf *der, struct view body, struct err *e) MUST_CHECK;
int az_imds_read_quote(struct buf *quote, struct view body, struct err *e) MUST_CHECK;

#endif
