/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tpm_evidence.h"
#include "test/unit/attester/vector.h"

TEST(tpm_cut32__short_and_long__is_padded_and_cut)
{
	uint8_t in[48], out[32];

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)(i + 1);
	tpm_cut32(out, (struct view){ in, 48 });
	CHECK(memcmp(out, in, 32) == 0);
	tpm_cut32(out, (struct view){ in, 3 });
	CHECK(memcmp(out, in, 3) == 0);
	for (size_t i = 3; i < 32; i++)
		CHECK_INT(out[i], 0);
	tpm_cut32(out, (struct view){ NULL, 0 });
	CHECK_INT(out[0], 0);
}

static enum binding binding_of(const char *pcr_hex, const uint8_t *digest, size_t n)
{
	enum binding b = BINDING_OTHER;
	uint8_t pcr[32];

	CHECK_INT(enc_hex_decode(pcr, 32, view_str(pcr_hex), NULL), 0);
	CHECK_INT(tpm_pcr_binding(&b, pcr, (struct view){ digest, n }, NULL), 0);
	return b;
}

/* Source: spec/evidence.md 4.2 [tpm] and 4.3. */
TEST(tpm_pcr_binding__published_values__are_told_apart)
{
	static const char bound[] =
		"d5958e1a5c45ca630e823e9a5e42eb447b211fdaf65682bd239994d087714dce";
	static const char digest_hex[] =
		"d15bce9ef7f6be26af365c5a0d4f025ee555b64d7b874c930b97aa0ddd82d2ae";
	static const char dummy[] =
		"adb48cc14fea9403d3d51f3b5f5068fd4d80445a14e94f1b3d5dbabaad66478d";
	static const char dummy_bound[] =
		"4b58b30becd30d16f7f60d56b32661d921ae0d3310c6a89f5d552f9bfee921a9";
	static const char zero[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	uint8_t digest[64] = { 0 };

	CHECK_INT(enc_hex_decode(digest, 32, view_str(digest_hex), NULL), 0);
	CHECK_INT(binding_of(bound, digest, 32), BINDING_MATCHES);
	CHECK_INT(binding_of(zero, digest, 32), BINDING_EMPTY);
	CHECK_INT(binding_of(dummy_bound, digest, 32), BINDING_OTHER);
	/* The digest itself, and a value one bit away. */
	CHECK_INT(binding_of(digest_hex, digest, 32), BINDING_OTHER);
	CHECK_INT(binding_of("d5958e1a5c45ca630e823e9a5e42eb447b211fdaf65682bd239994d087714dcf",
			     digest, 32),
		  BINDING_OTHER);
	CHECK_INT(binding_of("0000000000000000000000000000000000000000000000000000000000000001",
			     digest, 32),
		  BINDING_OTHER);
	/* sha384 and sha512: the first 32 bytes count. */
	digest[32] = digest[63] = 0xee;
	CHECK_INT(binding_of(bound, digest, 48), BINDING_MATCHES);
	CHECK_INT(binding_of(bound, digest, 64), BINDING_MATCHES);
	CHECK_INT(enc_hex_decode(digest, 32, view_str(dummy), NULL), 0);
	CHECK_INT(binding_of(dummy_bound, digest, 32), BINDING_MATCHES);
}

TEST(tpm_pcr_binding__recorded_quote__matches)
{
	cleanup_recorded struct recorded r = recorded_quote();
	uint8_t digest[32];
	enum binding b = BINDING_OTHER;

	vector_hex(digest, 32, r.doc, "initdata_digest");
	CHECK_INT(tpm_pcr_binding(&b, r.quote.pcrs[8], (struct view){ digest, 32 }, NULL), 0);
	CHECK_INT(b, BINDING_MATCHES);
	CHECK_INT(tpm_pcr_binding(&b, r.quote.pcrs[7], (struct view){ digest, 32 }, NULL), 0);
	CHECK_INT(b, BINDING_EMPTY);
}

TEST(tpm_evidence_json__recorded_quote__is_the_exact_text)
{
	cleanup_recorded struct recorded r = recorded_quote();
	cleanup_buf struct buf out = BUF_MAX(EVIDENCE_MAX);

	tpm_evidence_json(&out, &r.quote);
	CHECK_INT(buf_check(&out, "evidence", NULL), 0);
	CHECK(strcmp(buf_str(&out), r.text) == 0);
}

/* Other programs' evidence, taken apart and put together, is the same JSON value. */
static void check_round_trip(const char *path)
{
	cleanup_json struct json *theirs = vector_json(path), *ours = NULL;
	cleanup_tpm_quote struct tpm_quote q = vector_quote(theirs);
	cleanup_buf struct buf out = BUF_MAX(EVIDENCE_MAX), a = BUF_MAX(EVIDENCE_MAX),
			       b = BUF_MAX(EVIDENCE_MAX);

	tpm_evidence_json(&out, &q);
	CHECK_INT(json_parse(&ours, buf_view(&out), EVIDENCE_MAX, NULL), 0);
	CHECK_INT(json_canonical(&a, theirs, NULL), 0);
	CHECK_INT(json_canonical(&b, ours, NULL), 0);
	CHECK(view_eq(buf_view(&a), buf_view(&b)));
}

TEST(tpm_evidence_json__shared_derived__is_equal_as_json)
{
	check_round_trip(test_shared("evidence/derived/tpm-evidence.json"));
}

TEST(tpm_evidence_json__shared_upstream__is_equal_as_json)
{
	check_round_trip(test_shared("evidence/trustee/deps/verifier/test_data/tpm_evidence.json"));
}
