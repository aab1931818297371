/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/crypto/kdf.h"
#include "test/test.h"

#include <stdio.h>

static void check_hex(const uint8_t *p, size_t n, const char *want)
{
	char hex[2 * DIGEST_MAX + 1];

	enc_hex_str(hex, (struct view){ p, n });
	if (strcmp(hex, want) != 0)
		test_fail(__FILE__, __LINE__, "is %s, want %s", hex, want);
}

/* RFC 5869 A.1, the first 32 of its 42 bytes. Its info has NUL-free bytes f0..f9. */
TEST(kdf_hkdf__vector_of_the_rfc__same)
{
	uint8_t ikm[22], salt[13];
	struct key32 k;

	for (size_t i = 0; i < sizeof ikm; i++)
		ikm[i] = 0x0b;
	for (size_t i = 0; i < sizeof salt; i++)
		salt[i] = (uint8_t)i;
	CHECK_INT(kdf_hkdf(&k, (struct view){ ikm, sizeof ikm }, (struct view){ salt, sizeof salt },
			   "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", NULL), 0);
	check_hex(k.b, 32, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

TEST(kdf_hkdf__another_purpose_or_salt__another_key)
{
	struct view key = view_str("0123456789abcdef0123456789abcdef");
	struct key32 a, b, c;

	CHECK_INT(kdf_hkdf(&a, key, view_str("salt"), "one", NULL), 0);
	CHECK_INT(kdf_hkdf(&b, key, view_str("salt"), "two", NULL), 0);
	CHECK_INT(kdf_hkdf(&c, key, view_str("tlas"), "one", NULL), 0);
	CHECK(memcmp(a.b, b.b, 32) != 0);
	CHECK(memcmp(a.b, c.b, 32) != 0);
}

/* Value of python3's hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=65536, r=8, p=1). */
TEST(kdf_scrypt__value_of_another_implementation__same)
{
	struct key32 k;

	CHECK_INT(kdf_scrypt(&k, view_str("pleaseletmein"), view_str("SodiumChloride"), NULL), 0);
	check_hex(k.b, 32, "12b194c86d7bea77ce0c58f7b27974a6000a9f187df8bbc2a263c5fd22ce3c21");
}

/* RFC 4231 has no key of 32 bytes; this value is of python3's hmac module. */
TEST(hmac_sha256__parts__as_one_run)
{
	struct view parts[] = { view_str("what do ya "), { NULL, 0 }, view_str("want for nothing?") };
	struct view whole = view_str("what do ya want for nothing?");
	struct key32 k = { "0123456789abcdef0123456789abcde" };
	struct digest a, b;

	CHECK_INT(hmac_sha256(&a, &k, parts, 3, NULL), 0);
	CHECK_INT(hmac_sha256(&b, &k, &whole, 1, NULL), 0);
	CHECK(view_eq(digest_view(&a), digest_view(&b)));
	check_hex(a.b, a.len, "ce9cc0ca513786da8d853c163a5da0f767154874f890ae1036d36c4178069c90");
}
