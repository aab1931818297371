/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERIFY_EVIDENCE_PARTS_H
#define VERIFY_EVIDENCE_PARTS_H

#include "agent/crypto/x509.h"
#include "agent/verify/evidence.h"

/* What evidence.c and evidence_json.c share; for nobody else. */

#define TPM_PART_MAX    1024 /* a quote, a signature, an AK; bytes */
#define SAMPLE_DATA_MAX 64   /* bytes */

int evidence_load_snp(struct evidence *ev, const struct json *v, struct err *e) MUST_CHECK;
int evidence_load_tdx(struct evidence *ev, const struct json *v, struct err *e) MUST_CHECK;
int evidence_load_tpm(struct evidence *ev, const struct json *v, struct err *e) MUST_CHECK;
int evidence_load_azure(struct evidence *ev, const struct json *v, struct err *e) MUST_CHECK;
int evidence_load_sample(struct evidence *ev, const struct json *v, struct err *e) MUST_CHECK;

#endif
