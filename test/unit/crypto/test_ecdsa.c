/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/crypto/ecdsa.h"
#include "test/test.h"

/*
 * RFC 6979 A.2.5 and A.2.6: the keys and signatures of "sample" with the curve's own digest.
 */
static const struct {
	enum ecdsa_curve curve;
	const char *x, *y, *r, *s;
} rfc[] = {
	{ ECDSA_P256, "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
	  "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
	  "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
	  "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8" },
	{ ECDSA_P384,
	  "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13",
	  "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
	  "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
	  "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8" },
};

struct sample {
	uint8_t point[96], r[72], s[72];
	size_t width;
};

static struct sample sample(size_t i)
{
	struct sample v = { .width = strlen(rfc[i].x) / 2 };

	CHECK_INT(enc_hex_decode(v.point, v.width, view_str(rfc[i].x), NULL), 0);
	CHECK_INT(enc_hex_decode(v.point + v.width, v.width, view_str(rfc[i].y), NULL), 0);
	CHECK_INT(enc_hex_decode(v.r, v.width, view_str(rfc[i].r), NULL), 0);
	CHECK_INT(enc_hex_decode(v.s, v.width, view_str(rfc[i].s), NULL), 0);
	return v;
}

static int verify(size_t i, const struct sample *v, struct err *e)
{
	struct ecdsa_signature sig = { { v->r, v->width }, { v->s, v->width }, false };

	return ecdsa_verify(rfc[i].curve, (struct view){ v->point, 2 * v->width },
			    view_str("sample"), sig, e);
}

static void reverse(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		uint8_t x = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = x;
	}
}

TEST(ecdsa_verify__rfc_6979__in_either_byte_order)
{
	for (size_t i = 0; i < 2; i++) {
		struct sample v = sample(i);
		struct ecdsa_signature sig = { { v.r, 72 }, { v.s, 72 }, true };

		CHECK_INT(verify(i, &v, NULL), 0);
		reverse(v.r, v.width);
		reverse(v.s, v.width);
		CHECK_INT(ecdsa_verify(rfc[i].curve, (struct view){ v.point, 2 * v.width },
				       view_str("sample"), sig, NULL),
			  0);
		/* Bytes beyond the curve's width count. */
		v.s[71] = 1;
		CHECK_INT(ecdsa_verify(rfc[i].curve, (struct view){ v.point, 2 * v.width },
				       view_str("sample"), sig, NULL),
			  -ERR_VERIFY);
	}
}

TEST(ecdsa_verify__each_byte_changed__does_not_match)
{
	struct err e;

	for (size_t i = 0; i < 2; i++) {
		struct sample v = sample(i);

		for (size_t k = 0; k < v.width; k++) {
			v.r[k] ^= 1;
			CHECK_ERR(verify(i, &v, &e), ERR_VERIFY, e, "does not match");
			v.r[k] ^= 1;
			v.s[k] ^= 1;
			CHECK_ERR(verify(i, &v, &e), ERR_VERIFY, e, "does not match");
			v.s[k] ^= 1;
		}
		v.point[0] ^= 1;
		CHECK_ERR(verify(i, &v, &e), ERR_FORMAT, e, "no point of P-");
	}
}

TEST(ecdsa_verify__zero_and_oversized__are_refused)
{
	struct sample v = sample(0);
	uint8_t long_one[73] = { 0 };
	struct ecdsa_signature sig = { { long_one, 73 }, { v.s, 32 }, false };
	struct view point = { v.point, 64 };
	struct err e;

	CHECK_ERR(ecdsa_verify(ECDSA_P256, point, view_str("sample"), sig, &e), ERR_LIMIT, e,
		  "allowed 72");
	sig.r.len = 32;
	CHECK_ERR(ecdsa_verify(ECDSA_P256, point, view_str("sample"), sig, &e), ERR_VERIFY, e, "");
	point.len = 63;
	CHECK_ERR(ecdsa_verify(ECDSA_P256, point, view_str("sample"), sig, &e), ERR_FORMAT, e,
		  "63 bytes, want 64");
	point.len = 64;
	memcpy(v.point, long_one, 64);
	CHECK_ERR(ecdsa_verify(ECDSA_P256, point, view_str("sample"), sig, &e), ERR_FORMAT, e,
		  "no point");
}
