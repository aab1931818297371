/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/digest.h"
#include "test/unit/crypto/vector.h"

static void check_hex(const struct digest *d, const char *want)
{
	char hex[2 * DIGEST_MAX + 1];

	enc_hex_str(hex, digest_view(d));
	if (strcmp(hex, want) != 0)
		test_fail(__FILE__, __LINE__, "digest is %s, want %s", hex, want);
}

/* FIPS 180-4, examples for "abc". */
TEST(digest_of__abc__matches_fips_180)
{
	static const char *const want[] = {
		[HASH_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		[HASH_SHA384] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
				"8086072ba1e7cc2358baeca134c825a7",
		[HASH_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
				"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	};
	struct digest d;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		CHECK_INT(digest_of(&d, (enum hash_alg)i, view_str("abc"), &e), 0);
		CHECK_INT(d.len, hash_len((enum hash_alg)i));
		check_hex(&d, want[i]);
	}
}

TEST(digest_parts__cut_anywhere__same_as_whole)
{
	struct view parts[] = { view_str("a"), { NULL, 0 }, view_str("bc") };
	struct digest whole, cut;
	struct err e;

	CHECK_INT(digest_of(&whole, HASH_SHA256, view_str("abc"), &e), 0);
	CHECK_INT(digest_parts(&cut, HASH_SHA256, parts, ARRAY_LEN(parts), &e), 0);
	CHECK(view_eq(digest_view(&whole), digest_view(&cut)));
	CHECK_INT(digest_parts(&cut, HASH_SHA256, NULL, 0, &e), 0);
	check_hex(&cut, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(hash_by_name__exact_names_only)
{
	enum hash_alg a = HASH_SHA512;
	struct err e;

	CHECK_INT(hash_by_name(&a, view_str("sha256"), &e), 0);
	CHECK_INT(a, HASH_SHA256);
	CHECK_INT(hash_by_name(&a, view_str(hash_name(HASH_SHA384)), &e), 0);
	CHECK_INT(a, HASH_SHA384);
	CHECK_ERR(hash_by_name(&a, view_str("SHA256"), &e), ERR_UNSUPPORTED, e, "\"SHA256\"");
	CHECK_ERR(hash_by_name(&a, view_str("sha-256"), &e), ERR_UNSUPPORTED, e, "sha384");
	CHECK_ERR(hash_by_name(&a, view_str("sm4"), &e), ERR_UNSUPPORTED, e, "sm4");
	CHECK_ERR(hash_by_name(&a, (struct view){ NULL, 0 }, &e), ERR_UNSUPPORTED, e, "want");
	CHECK_INT(a, HASH_SHA384);
}

TEST(random_bytes__two_runs__differ)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };
	struct err e;

	CHECK_INT(random_bytes(a, sizeof a, &e), 0);
	CHECK_INT(random_bytes(b, sizeof b, &e), 0);
	CHECK(memcmp(a, b, sizeof a) != 0);
	CHECK_INT(random_bytes(a, 0, &e), 0);
	CHECK_ERR(random_bytes(a, SIZE_MAX, &e), ERR_CRYPTO, e, "allowed");
}

/* Source: vectors/trustee/derived/report-data.json. */
TEST(digest_of__trustee_report_data__matches_vectors)
{
	struct json *doc = vector_json(test_shared("trustee/derived/report-data.json"));
	int checked = 0;

	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c)) {
		const struct json *all = json_get(c, "digests");

		for (const struct json *d = json_first(all); d; d = json_next(d)) {
			enum hash_alg a;
			struct digest got;
			struct err e;

			if (hash_by_name(&a, view_str(json_key(d)), &e) < 0)
				continue;
			CHECK_INT(digest_of(&got, a, view_str(vector_str(c, "device_bytes")), &e),
				  0);
			check_hex(&got, vector_str(d, "device"));
			CHECK_INT(digest_of(&got, a, view_str(vector_str(c, "primary_bytes")), &e),
				  0);
			check_hex(&got, vector_str(d, "primary"));
			checked++;
		}
	}
	CHECK(checked >= 9);
	json_free(doc);
}

TEST(digest_of__sm3__is_the_standards_example)
{
	/* GB/T 32905-2016, appendix A.1. */
	static const char want[] = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";
	enum hash_alg alg = HASH_SHA256;
	struct digest d;
	char hex[2 * DIGEST_MAX + 1];

	CHECK_INT(hash_by_name(&alg, view_str("sm3"), NULL), 0);
	CHECK_INT(alg, HASH_SM3);
	CHECK_INT(digest_of(&d, alg, view_str("abc"), NULL), 0);
	CHECK_INT(d.len, 32);
	enc_hex_str(hex, digest_view(&d));
	CHECK(strcmp(hex, want) == 0);
}
