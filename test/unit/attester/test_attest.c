/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "attester/attest.h"
#include "test/unit/attester/vector.h"

/* A well-formed quote: name of 34, nonce of 32, one selection, digest of 32; 145 bytes. */
enum {
	TYPE = 4,
	NAME = 6,
	NONCE = NAME + 2 + 34,
	CLOCK = NONCE + 2 + 32,
	SAFE = CLOCK + 16,
	FIRMWARE = SAFE + 1,
	SELECTIONS = FIRMWARE + 8,
	HASH = SELECTIONS + 4,
	MASK = HASH + 2,
	DIGEST = MASK + 4,
	QUOTE_LEN = DIGEST + 2 + 32,
	ROOM = 512,
};

struct raw {
	uint8_t b[ROOM];
	size_t len;
};

static struct raw quote(void)
{
	struct raw r = { { 0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 34, 0, 0x0b }, QUOTE_LEN };

	r.b[NONCE + 1] = 32;
	for (int i = 0; i < 32; i++)
		r.b[NONCE + 2 + i] = (uint8_t)i;
	r.b[CLOCK + 7] = 9;
	r.b[CLOCK + 11] = 2;
	r.b[CLOCK + 15] = 3;
	r.b[SAFE] = 1;
	r.b[FIRMWARE + 7] = 5;
	r.b[SELECTIONS + 3] = 1;
	r.b[HASH + 1] = 0x0b;
	r.b[MASK] = 3;
	r.b[MASK + 1] = r.b[MASK + 2] = r.b[MASK + 3] = 0xff;
	r.b[DIGEST + 1] = 32;
	r.b[DIGEST + 2] = 0xdd;
	return r;
}

static struct raw signature(void)
{
	struct raw r = { { 0x00, 0x14, 0x00, 0x0b, 0x01, 0x00, 0xaa }, 6 + 256 };

	return r;
}

static int parse(struct attest *a, const struct raw *r, struct err *e)
{
	return attest_parse(a, (struct view){ r->b, r->len }, e);
}

TEST(attest_parse__quote__cuts_every_field)
{
	struct raw r = quote();
	struct attest a;

	CHECK_INT(parse(&a, &r, NULL), 0);
	CHECK_INT(a.signer.len, 34);
	CHECK_INT(a.signer.p - r.b, NAME + 2);
	CHECK_INT(a.nonce.len, 32);
	CHECK_INT(a.nonce.p - r.b, NONCE + 2);
	CHECK_INT(a.clock_ms, 9);
	CHECK_INT(a.resets, 2);
	CHECK_INT(a.restarts, 3);
	CHECK(a.safe);
	CHECK_INT(a.firmware, 5);
	CHECK_INT(a.n_selections, 1);
	CHECK_INT(a.pcr_hash, 0x0b);
	CHECK_INT(a.pcr_mask.len, 3);
	CHECK_INT(a.pcr_mask.p - r.b, MASK + 1);
	CHECK_INT(a.pcr_digest.len, 32);
	CHECK_INT(a.pcr_digest.p - r.b, DIGEST + 2);
}

TEST(attest_parse__every_truncation__is_a_format_error_and_leaves_out_untouched)
{
	struct raw r = quote();

	for (size_t n = 0; n < QUOTE_LEN; n++) {
		/* At the end of a heap block of that size, so that ASan sees a read past it. */
		cleanup_free uint8_t *exact = malloc(n ? n : 1);
		struct attest a = { .clock_ms = 77 };
		struct err e;

		CHECK(exact != NULL);
		memcpy(exact, r.b, n);
		CHECK_ERR(attest_parse(&a, (struct view){ exact, n }, &e), ERR_FORMAT, e,
			  "cut short");
		CHECK_INT(a.clock_ms, 77);
	}
}

TEST(attest_parse__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		size_t off;
		uint8_t val;
		size_t off2;
		uint8_t val2;
		enum err_kind want;
		const char *words;
	} rows[] = {
		{ 0, 0xfe, 0, 0xfe, ERR_FORMAT, "magic fe544347" },
		{ 3, 0x48, 3, 0x48, ERR_FORMAT, "magic ff544348" },
		{ TYPE + 1, 0x17, TYPE, 0x80, ERR_UNSUPPORTED, "type 8017" },
		{ TYPE, 0x00, TYPE, 0x00, ERR_UNSUPPORTED, "type 0018" },
		{ NAME + 1, 67, NAME, 0, ERR_LIMIT, "signer of 67 bytes, allowed 0..66" },
		{ NAME, 0xff, NAME + 1, 0xff, ERR_LIMIT, "signer of 65535" },
		{ NONCE + 1, 65, NONCE, 0, ERR_LIMIT, "extraData of 65 bytes, allowed 0..64" },
		{ NONCE, 1, NONCE + 1, 0, ERR_LIMIT, "extraData of 256" },
		{ SAFE, 2, SAFE, 2, ERR_FORMAT, "clock flag is 2" },
		{ SELECTIONS + 3, 0, 0, 0xff, ERR_LIMIT, "0 PCR selections" },
		{ SELECTIONS + 3, 17, 0, 0xff, ERR_LIMIT, "17 PCR selections" },
		{ SELECTIONS, 0xff, 0, 0xff, ERR_LIMIT, "PCR selections" },
		{ MASK, 0, 0, 0xff, ERR_LIMIT, "mask of 0 bytes" },
		{ MASK, 5, 0, 0xff, ERR_LIMIT, "mask of 5 bytes" },
		{ MASK, 0xff, 0, 0xff, ERR_FORMAT, "cut short" },
		{ DIGEST + 1, 65, 0, 0xff, ERR_LIMIT, "pcrDigest of 65" },
		{ DIGEST + 1, 33, 0, 0xff, ERR_FORMAT, "cut short" },
		{ DIGEST + 1, 31, 0, 0xff, ERR_FORMAT, "1 too many" },
		/* The nonce grows by one, what follows moves and the end is missing. */
		{ NONCE + 1, 33, 0, 0xff, ERR_FORMAT, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct raw r = quote();
		struct attest a = { .clock_ms = 77 };
		struct err e = { 0 };

		r.b[rows[i].off2] = rows[i].val2;
		r.b[rows[i].off] = rows[i].val;
		if (rows[i].words[0] == '\0') {
			CHECK(parse(&a, &r, &e) < 0);
		} else {
			CHECK_ERR(parse(&a, &r, &e), rows[i].want, e, rows[i].words);
		}
		CHECK_INT(a.clock_ms, 77);
	}
}

TEST(attest_parse__trailing_byte__is_refused)
{
	struct raw r = quote();
	struct attest a;
	struct err e;

	r.len++;
	CHECK_ERR(parse(&a, &r, &e), ERR_FORMAT, e, "quote of 146 bytes, 1 too many");
}

TEST(attest_parse__largest_sizes__are_accepted)
{
	struct attest a;
	struct raw r = { { 0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 66 }, 0 };
	size_t at = NAME + 2 + 66;

	r.b[at + 1] = 64;
	at += 2 + 64 + 8 + 4 + 4 + 1 + 8;
	r.b[at + 3] = 16;
	at += 4;
	for (int i = 0; i < 16; i++, at += 3 + 4)
		r.b[at + 2] = 4;
	r.b[at + 1] = 64;
	r.len = at + 2 + 64;
	CHECK_INT(parse(&a, &r, NULL), 0);
	CHECK_INT(a.signer.len, 66);
	CHECK_INT(a.nonce.len, 64);
	CHECK_INT(a.n_selections, 16);
	CHECK_INT(a.pcr_mask.len, 4);
	CHECK_INT(a.pcr_digest.len, 64);
}

TEST(attest_signature_parse__rsassa_sha256__is_cut)
{
	struct raw r = signature();
	struct view v;

	CHECK_INT(attest_signature_parse(&v, (struct view){ r.b, r.len }, NULL), 0);
	CHECK_INT(v.len, 256);
	CHECK_INT(v.p - r.b, 6);
}

TEST(attest_signature_parse__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		size_t off;
		uint8_t val;
		size_t len;
		enum err_kind want;
		const char *words;
	} rows[] = {
		{ 1, 0x16, 262, ERR_UNSUPPORTED, "scheme 0016" }, /* RSAPSS */
		{ 1, 0x18, 262, ERR_UNSUPPORTED, "scheme 0018" }, /* ECDSA */
		{ 0, 0x01, 262, ERR_UNSUPPORTED, "scheme 0114" },
		{ 3, 0x0c, 262, ERR_UNSUPPORTED, "hash 000c" }, /* SHA-384 */
		{ 5, 0x01, 262, ERR_FORMAT, "cut short" },      /* 257 */
		{ 4, 0x02, 262, ERR_FORMAT, "cut short" },      /* 512 */
		{ 4, 0x03, 262, ERR_LIMIT, "768 bytes, allowed 0..512" },
		{ 4, 0x00, 262, ERR_FORMAT, "256 too many" },
		{ 4, 0x00, 6, ERR_FORMAT, "signature of 0 bytes" },
		{ 0, 0x00, 263, ERR_FORMAT, "1 too many" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct raw r = signature();
		struct view v = { NULL, 77 };
		struct err e;

		r.b[rows[i].off] = rows[i].val;
		CHECK_ERR(attest_signature_parse(&v, (struct view){ r.b, rows[i].len }, &e),
			  rows[i].want, e, rows[i].words);
		CHECK_INT(v.len, 77);
	}
}

TEST(attest_signature_parse__every_truncation__is_a_format_error)
{
	struct raw r = signature();
	struct view v;
	struct err e;

	for (size_t n = 0; n < r.len; n++)
		CHECK_ERR(attest_signature_parse(&v, (struct view){ r.b, n }, &e), ERR_FORMAT, e,
			  "cut short");
}

TEST(attest_check__nonce_or_selection_differs__is_a_bad_reply)
{
	static const struct {
		size_t off;
		uint8_t val;
		const char *words;
	} rows[] = {
		{ NONCE + 2, 0xee, "not the nonce" }, { NONCE + 2 + 31, 0xee, "not the nonce" },
		{ HASH + 1, 0x0c, "bank 000c" },      { MASK + 1, 0xfe, "all 24 PCRs" },
		{ MASK + 3, 0x7f, "all 24 PCRs" },
	};
	uint8_t nonce[33] = { 0 };
	struct raw r = quote();
	struct attest a;
	struct err e;

	for (int i = 0; i < 32; i++)
		nonce[i] = (uint8_t)i;
	CHECK_INT(parse(&a, &r, NULL), 0);
	CHECK_INT(attest_check(&a, (struct view){ nonce, 32 }, NULL), 0);
	CHECK_ERR(attest_check(&a, (struct view){ nonce, 31 }, &e), ERR_FORMAT, e, "not the nonce");
	CHECK_ERR(attest_check(&a, (struct view){ nonce, 33 }, &e), ERR_FORMAT, e, "not the nonce");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		r = quote();
		r.b[rows[i].off] = rows[i].val;
		CHECK_INT(parse(&a, &r, NULL), 0);
		CHECK_ERR(attest_check(&a, (struct view){ nonce, 32 }, &e), ERR_FORMAT, e,
			  rows[i].words);
		CHECK_INT(e.code, CODE_TPM_REPLY);
	}
	/* A second selection beside the right one: the digest then covers more than we know. */
	r = quote();
	CHECK_INT(parse(&a, &r, NULL), 0);
	a.n_selections = 2;
	CHECK_ERR(attest_check(&a, (struct view){ nonce, 32 }, &e), ERR_FORMAT, e,
		  "covers 2 selections");
}

/* Everything that holds among the parts of one piece of evidence. */
static void check_whole(const struct tpm_quote *q, struct view nonce)
{
	struct tpm_quote other = *q;
	struct attest a;
	struct view block;
	bool covers = false;

	CHECK_INT(attest_parse(&a, buf_view(&q->message), NULL), 0);
	CHECK_INT(attest_signature_parse(&block, buf_view(&q->signature), NULL), 0);
	CHECK_INT(attest_check(&a, nonce, NULL), 0);
	CHECK_INT(attest_covers(&covers, &a, q->pcrs, NULL), 0);
	CHECK(covers);
	CHECK_INT(pubkey_rsa_verify_sha256(buf_view(&q->ak), buf_view(&q->message), block, NULL),
		  0);
	other.pcrs[23][31] ^= 1;
	CHECK_INT(attest_covers(&covers, &a, other.pcrs, NULL), 0);
	CHECK(!covers);
}

TEST(attest__recorded_quote__holds_together)
{
	cleanup_recorded struct recorded r = recorded_quote();

	check_whole(&r.quote, (struct view){ r.report_data, 32 });
}

TEST(attest__shared_tpm_evidence__holds_together)
{
	cleanup_json struct json *expected =
		vector_json(test_shared("evidence/derived/expected.json"));
	cleanup_json struct json *evidence =
		vector_json(test_shared("evidence/derived/tpm-evidence.json"));
	cleanup_tpm_quote struct tpm_quote q = vector_quote(evidence);
	uint8_t nonce[32], pcr8[32], pcr23[32];

	vector_hex(nonce, 32, expected, "tpm_nonce32");
	vector_hex(pcr8, 32, expected, "pcr8_after_initdata");
	vector_hex(pcr23, 32, expected, "pcr23_after_event");
	check_whole(&q, (struct view){ nonce, 32 });
	CHECK(memcmp(q.pcrs[8], pcr8, 32) == 0);
	CHECK(memcmp(q.pcrs[23], pcr23, 32) == 0);
}

TEST(attest__shared_upstream_evidence__holds_together)
{
	cleanup_json struct json *evidence = vector_json(
		test_shared("evidence/trustee/deps/verifier/test_data/tpm_evidence.json"));
	cleanup_tpm_quote struct tpm_quote q = vector_quote(evidence);
	struct attest a;

	CHECK_INT(attest_parse(&a, buf_view(&q.message), NULL), 0);
	/* Of the time before nonces were cut to 32 bytes. */
	CHECK_INT(a.nonce.len, 64);
	check_whole(&q, a.nonce);
}
