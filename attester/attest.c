/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/attest.h"
#include "agent/crypto/digest.h"

enum {
	MAGIC = 0xff544347,
	ATTEST_QUOTE = 0x8018,
	ALG_SHA256 = 0x000b,
	ALG_RSASSA = 0x0014,
	MASK_MAX = 4,
	DIGEST_LEN_MAX = 64,
};

/*
 * Takes fields off the front. The first that is missing marks the reader; later ones give zeros,
 * so that a parser asks once at its end.
 */
struct reader {
	struct view in;
	size_t at;
	bool cut; /* the structure ended early */
};

static struct view take_bytes(struct reader *r, size_t n)
{
	struct view v = { r->in.p ? r->in.p + r->at : NULL, n };

	if (r->cut || n > r->in.len - r->at) {
		r->cut = true;
		return (struct view){ 0 };
	}
	r->at += n;
	return v;
}

static uint64_t take_uint(struct reader *r, size_t n)
{
	struct view v = take_bytes(r, n);
	uint64_t x = 0;

	for (size_t i = 0; i < v.len; i++)
		x = x << 8 | v.p[i];
	return x;
}

/* A TPM2B: a size and that many bytes. A size over max is an error of its own. */
static int take_sized(struct view *out, struct reader *r, size_t max, const char *what,
		      struct err *e)
{
	size_t n = (size_t)take_uint(r, 2);

	if (n > max)
		return err_set(e, ERR_LIMIT, "%s of %zu bytes, allowed 0..%zu", what, n, max);
	*out = take_bytes(r, n);
	return 0;
}

static int check_end(const struct reader *r, const char *what, struct err *e)
{
	if (r->cut)
		return err_set(e, ERR_FORMAT, "%s cut short after %zu bytes", what, r->in.len);
	if (r->at != r->in.len)
		return err_set(e, ERR_FORMAT, "%s of %zu bytes, %zu too many", what, r->in.len,
			       r->in.len - r->at);
	return 0;
}

static int take_selections(struct attest *a, struct reader *r, struct err *e)
{
	a->n_selections = (uint32_t)take_uint(r, 4);
	if (r->cut)
		return 0;
	if (a->n_selections == 0 || a->n_selections > ATTEST_SELECTIONS_MAX)
		return err_set(e, ERR_LIMIT, "quote of %u PCR selections, allowed 1..%d",
			       a->n_selections, ATTEST_SELECTIONS_MAX);
	for (uint32_t i = 0; i < a->n_selections; i++) {
		uint16_t hash = (uint16_t)take_uint(r, 2);
		size_t size = (size_t)take_uint(r, 1);
		struct view mask = take_bytes(r, size);

		if (!r->cut && (size == 0 || size > MASK_MAX))
			return err_set(e, ERR_LIMIT, "PCR mask of %zu bytes, allowed 1..%d", size,
				       MASK_MAX);
		if (i == 0) {
			a->pcr_hash = hash;
			a->pcr_mask = mask;
		}
	}
	return 0;
}

int attest_parse(struct attest *out, struct view raw, struct err *e)
{
	struct reader in = { .in = raw };
	struct attest a = { 0 };
	uint64_t magic = take_uint(&in, 4), type = take_uint(&in, 2), safe;
	int r;

	if (!in.cut && magic != MAGIC)
		return err_set(e, ERR_FORMAT, "quote with magic %08llx, want %08llx",
			       (unsigned long long)magic, (unsigned long long)MAGIC);
	if (!in.cut && type != ATTEST_QUOTE)
		return err_set(e, ERR_UNSUPPORTED,
			       "attestation of type %04llx, want a quote (%04x)",
			       (unsigned long long)type, ATTEST_QUOTE);
	r = take_sized(&a.signer, &in, ATTEST_NAME_MAX, "quote's signer", e);
	if (r < 0)
		return r;
	r = take_sized(&a.nonce, &in, ATTEST_NONCE_MAX, "quote's extraData", e);
	if (r < 0)
		return r;
	a.clock_ms = take_uint(&in, 8);
	a.resets = (uint32_t)take_uint(&in, 4);
	a.restarts = (uint32_t)take_uint(&in, 4);
	safe = take_uint(&in, 1);
	if (safe > 1)
		return err_set(e, ERR_FORMAT, "quote's clock flag is %u, want 0 or 1",
			       (unsigned)safe);
	a.safe = safe == 1;
	a.firmware = take_uint(&in, 8);
	r = take_selections(&a, &in, e);
	if (r < 0)
		return r;
	r = take_sized(&a.pcr_digest, &in, DIGEST_LEN_MAX, "quote's pcrDigest", e);
	if (r < 0)
		return r;
	r = check_end(&in, "quote", e);
	if (r < 0)
		return r;
	*out = a;
	return 0;
}

int attest_signature_parse(struct view *out, struct view raw, struct err *e)
{
	struct reader in = { .in = raw };
	uint64_t scheme = take_uint(&in, 2), hash = take_uint(&in, 2);
	struct view block;
	int r;

	if (!in.cut && (scheme != ALG_RSASSA || hash != ALG_SHA256))
		return err_set(e, ERR_UNSUPPORTED,
			       "signature of scheme %04llx with hash %04llx, want RSASSA (%04x) "
			       "with SHA-256 (%04x)",
			       (unsigned long long)scheme, (unsigned long long)hash, ALG_RSASSA,
			       ALG_SHA256);
	r = take_sized(&block, &in, ATTEST_RSA_MAX, "RSA signature", e);
	if (r < 0)
		return r;
	r = check_end(&in, "signature", e);
	if (r < 0)
		return r;
	if (block.len == 0)
		return err_set(e, ERR_FORMAT, "signature of 0 bytes");
	*out = block;
	return 0;
}

int attest_check(const struct attest *a, struct view nonce, struct err *e)
{
	static const uint8_t all[] = { 0xff, 0xff, 0xff };

	if (!view_eq(a->nonce, nonce))
		return err_code(e, CODE_TPM_REPLY,
				"the quote's extraData (%zu bytes) is not the nonce (%zu bytes)",
				a->nonce.len, nonce.len);
	if (a->n_selections != 1 || a->pcr_hash != ALG_SHA256 ||
	    !view_eq(a->pcr_mask, (struct view){ all, sizeof all }))
		return err_code(e, CODE_TPM_REPLY,
				"the quote covers %u selections (the first: bank %04x, mask of %zu "
				"bytes), want all 24 PCRs of the SHA-256 bank",
				a->n_selections, a->pcr_hash, a->pcr_mask.len);
	return 0;
}

int attest_covers(bool *covers, const struct attest *a, const uint8_t pcrs[ATTEST_PCRS][32],
		  struct err *e)
{
	struct digest d;
	int r = digest_of(&d, HASH_SHA256, (struct view){ pcrs[0], ATTEST_PCRS * 32 }, e);

	if (r < 0)
		return r;
	*covers = view_eq(a->pcr_digest, digest_view(&d));
	return 0;
}
