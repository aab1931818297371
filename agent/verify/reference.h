/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERIFY_REFERENCE_H
#define VERIFY_REFERENCE_H

#include "agent/verify/verify.h"

/*
 * Reference values: what an owner registers at Trustee's RVPS, by the names and in the forms that
 * its shipped CPU policy asks for, and what the same policy would compare. The policy asks of most
 * names whether a list has the claim, of some whether a single value is it.
 * Source: spec/evidence.md 6.4; Trustee's ear_default_policy_cpu.rego and verifiers' claims; its
 * RVPS's "sample" extractor takes one JSON object of name to value.
 *
 * Besides, under names of our own, the register that carries the initdata (the shipped policy has
 * no rule for it; with the initdata sent, Trustee compares it by itself): snp_host_data,
 * mr_config_id, tpm_pcr8, snp_pcr8, tdx_pcr8.
 */
#define REFERENCES_MAX      48
#define REFERENCE_FILE_MAX  (1u << 20) /* a file of reference values, bytes */
#define REFERENCE_VALUE_MAX (4u << 10) /* one value as JSON, bytes */

struct reference {
	const char *name; /* static */
	bool single;      /* the policy compares with ==, so that it is registered bare, not in a list */
	char *value;      /* JSON of the claim: "\"ab…\"", "3", "true"; owned */
};

struct references {
	size_t n;
	struct reference list[REFERENCES_MAX];
};

#define cleanup_references __attribute__((cleanup(references_done)))

/* What to register for a guest; parts that are absent are left out. */
struct reference_source {
	const struct evidence *ev;     /* or NULL: then for every platform what the others give */
	const struct digest *initdata; /* its register, instead of the evidence's; or NULL */
	const uint8_t *pcr11;          /* 32 bytes, predicted from a UKI, instead; or NULL */
};

/*
 * Append to *out, which the caller zeroed first; release with references_done(), on an error too.
 * sampledevice has none: the shipped policy of devices asks the RVPS for nothing.
 * Errors: ERR_NOMEM, ERR_CRYPTO, ERR_LIMIT, ERR_FORMAT (a name that is there already).
 */
int references_of(struct references *out, const struct reference_source *src,
		  struct err *e) MUST_CHECK;
void references_done(struct references *r);

/* Append the object that the RVPS takes: {"name":[value],"single":value}. */
void references_json(struct buf *out, const struct references *r);

/* Append the message to POST to /kbs/v0/reference-value: version, type "sample", payload. */
void references_message(struct buf *out, const struct references *r);

/*
 * Compare evidence with registered values: one finding "reference" for each of its names. A name
 * that is not registered is unknown.
 * Names in the file that this evidence has no value of are a warning, "reference.other": one
 * misspelt would else be compared with nothing.
 * file  the object above, or such a message
 * Returns false when nothing was compared and that is not said yet: none of its names is in the file.
 * Of one item of several that may be right; where it is of all, nothing was verified.
 */
bool verify_references(struct findings *f, const struct evidence *ev, struct view file);

#endif
