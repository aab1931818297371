/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "test/unit/crypto/vector.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

struct signed_vector {
	struct buf n, spki, message, signature;
};

static void load(struct signed_vector *v)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/rsa-sha256.json"));

	v->n = v->spki = v->message = v->signature = BUF_MAX(4096);
	vector_unhex(&v->n, vector_str(doc, "n_hex"));
	vector_unhex(&v->spki, vector_str(doc, "spki_hex"));
	vector_unhex(&v->message, vector_str(doc, "message_hex"));
	vector_unhex(&v->signature, vector_str(doc, "signature_hex"));
}

static void done(struct signed_vector *v)
{
	buf_done(&v->n);
	buf_done(&v->spki);
	buf_done(&v->message);
	buf_done(&v->signature);
}

TEST(pubkey_rsa_spki__own_vector__is_the_same_der)
{
	struct signed_vector v;
	cleanup_buf struct buf der = BUF_MAX(1024);
	cleanup_buf struct buf zero = BUF_MAX(1024);
	struct err e;

	load(&v);
	CHECK_INT(pubkey_rsa_spki(&der, buf_view(&v.n), 65537, &e), 0);
	CHECK(view_eq(buf_view(&der), buf_view(&v.spki)));
	/* As a TPM writes the usual exponent. */
	CHECK_INT(pubkey_rsa_spki(&zero, buf_view(&v.n), 0, &e), 0);
	CHECK(view_eq(buf_view(&zero), buf_view(&v.spki)));
	done(&v);
}

/* libcrypto's own encoding of the same numbers. */
static void by_libcrypto(struct buf *der, struct view n, uint32_t e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn = BN_bin2bn(n.p, (int)n.len, NULL);
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM *params;
	uint8_t *p = NULL;
	int len;

	CHECK(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) == 1);
	CHECK(OSSL_PARAM_BLD_push_uint(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1);
	params = OSSL_PARAM_BLD_to_param(bld);
	CHECK(EVP_PKEY_fromdata_init(ctx) == 1);
	CHECK(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1);
	len = i2d_PUBKEY(pkey, &p);
	CHECK(len > 0);
	buf_put(der, p, (size_t)len);
	OPENSSL_free(p);
	EVP_PKEY_free(pkey);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(bn);
	EVP_PKEY_CTX_free(ctx);
}

TEST(pubkey_rsa_spki__every_length_and_sign__is_what_libcrypto_writes)
{
	static const size_t sizes[] = { 256, 257, 383, 384, 512, 1023, 1024 };
	static const uint8_t first[] = { 0x01, 0x7f, 0x80, 0xff };
	static const uint32_t exponents[] = { 3, 17, 127, 129, 255, 257, 32769, 65535, 65537, 0x800001,
					      0x7fffffff, 0x80000001, 0xffffffff };
	static uint8_t n[1024];

	for (size_t i = 0; i < sizeof n; i++)
		n[i] = (uint8_t)(i * 31 + 1) | 1;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < ARRAY_LEN(first); k++)
			for (size_t m = 0; m < ARRAY_LEN(exponents); m++) {
				cleanup_buf struct buf ours = BUF_MAX(4096), theirs = BUF_MAX(4096);
				const struct view modulus = { n, sizes[i] };

				n[0] = first[k];
				CHECK_INT(pubkey_rsa_spki(&ours, modulus, exponents[m], NULL), 0);
				by_libcrypto(&theirs, modulus, exponents[m]);
				CHECK(view_eq(buf_view(&ours), buf_view(&theirs)));
			}
}

TEST(pubkey_rsa_spki__no_room__is_a_limit)
{
	struct signed_vector v;
	struct err e;

	load(&v);
	for (size_t room = 0; room < 294; room += 7) {
		cleanup_buf struct buf der = BUF_MAX(room);

		CHECK_INT(pubkey_rsa_spki(&der, buf_view(&v.n), 0, &e), -ERR_LIMIT);
	}
	done(&v);
}

/* Every byte of the key decides (libcrypto overlooks some of the algorithm's); none makes the reader
 * go behind the end. */
TEST(pubkey_rsa_verify_sha256__spki_with_one_byte_wrong__never_holds)
{
	struct signed_vector v;
	struct err e;

	load(&v);
	for (size_t i = 19; i < v.spki.len; i++)
		for (unsigned x = 0; x < 3; x++) {
			static const uint8_t masks[] = { 0x01, 0x80, 0xff };
			cleanup_free uint8_t *copy = malloc(v.spki.len);

			CHECK(copy != NULL);
			memcpy(copy, v.spki.p, v.spki.len);
			copy[i] ^= masks[x];
			CHECK(pubkey_rsa_verify_sha256((struct view){ copy, v.spki.len },
						       buf_view(&v.message), buf_view(&v.signature),
						       &e) < 0);
		}
	for (size_t n = 0; n < v.spki.len; n++) {
		cleanup_free uint8_t *copy = malloc(n ? n : 1);

		CHECK(copy != NULL);
		memcpy(copy, v.spki.p, n);
		CHECK(pubkey_rsa_verify_sha256((struct view){ copy, n }, buf_view(&v.message),
					       buf_view(&v.signature), &e) < 0);
	}
	done(&v);
}

TEST(pubkey_rsa_spki__bad_number__fails)
{
	struct signed_vector v;
	cleanup_buf struct buf der = BUF_MAX(1024);
	struct view n;
	struct err e;

	load(&v);
	n = buf_view(&v.n);
	CHECK_ERR(pubkey_rsa_spki(&der, (struct view){ n.p, 255 }, 0, &e), ERR_FORMAT, e,
		  "255 bytes");
	CHECK_ERR(pubkey_rsa_spki(&der, (struct view){ NULL, 0 }, 0, &e), ERR_FORMAT, e, "0 bytes");
	CHECK_ERR(pubkey_rsa_spki(&der, n, 1, &e), ERR_FORMAT, e, "exponent 1");
	CHECK_ERR(pubkey_rsa_spki(&der, n, 65536, &e), ERR_FORMAT, e, "exponent 65536");
	v.n.p[0] = 0;
	CHECK_ERR(pubkey_rsa_spki(&der, n, 0, &e), ERR_FORMAT, e, "leading zeros");
	CHECK_INT(der.len, 0);
	done(&v);
}

TEST(pubkey_rsa_verify_sha256__own_vector__holds_and_no_bit_of_it_may_change)
{
	struct signed_vector v;
	struct buf *const parts[] = { &v.message, &v.signature };
	struct err e;

	load(&v);
	CHECK_INT(pubkey_rsa_verify_sha256(buf_view(&v.spki), buf_view(&v.message),
					   buf_view(&v.signature), &e),
		  0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		parts[i]->p[parts[i]->len - 1] ^= 1;
		CHECK_ERR(pubkey_rsa_verify_sha256(buf_view(&v.spki), buf_view(&v.message),
						   buf_view(&v.signature), &e),
			  ERR_VERIFY, e, "does not match");
		parts[i]->p[parts[i]->len - 1] ^= 1;
	}
	v.signature.len--;
	CHECK_ERR(pubkey_rsa_verify_sha256(buf_view(&v.spki), buf_view(&v.message),
					   buf_view(&v.signature), &e),
		  ERR_VERIFY, e, "does not match");
	done(&v);
}

TEST(pubkey_rsa_verify_sha256__bad_spki__fails)
{
	/* A P-256 key: RFC 5480 algorithm, point of RFC 6979 A.2.5. */
	static const char ec[] =
		"3059301306072a8648ce3d020106082a8648ce3d030107034200"
		"0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
		"7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
	struct signed_vector v;
	cleanup_buf struct buf der = BUF_MAX(4096);
	struct view m, s;
	struct err e;

	load(&v);
	m = buf_view(&v.message);
	s = buf_view(&v.signature);
	vector_unhex(&der, ec);
	CHECK_ERR(pubkey_rsa_verify_sha256(buf_view(&der), m, s, &e), ERR_UNSUPPORTED, e,
		  "want RSA");
	CHECK_ERR(pubkey_rsa_verify_sha256((struct view){ NULL, 0 }, m, s, &e), ERR_FORMAT, e,
		  "0 bytes");
	buf_putc(&v.spki, 0);
	CHECK_ERR(pubkey_rsa_verify_sha256(buf_view(&v.spki), m, s, &e), ERR_FORMAT, e,
		  "not the DER");
	v.spki.len -= 2;
	CHECK_ERR(pubkey_rsa_verify_sha256(buf_view(&v.spki), m, s, &e), ERR_FORMAT, e,
		  "not the DER");
	done(&v);
}

/* A quote of a software TPM: TPMT_SIGNATURE is algorithm, hash, size (6 bytes), then the bytes. */
TEST(pubkey_rsa_verify_sha256__tpm_quote__matches_vector)
{
	cleanup_buf struct buf spki = BUF_MAX(4096), message = BUF_MAX(4096), sig = BUF_MAX(4096);
	struct err e;

	CHECK_INT(fs_read(&spki, test_shared("evidence/derived/tpm-ak.spki.der"), 4096, &e), 0);
	CHECK_INT(
		fs_read(&message, test_shared("evidence/derived/tpm-quote32.attest.bin"), 4096, &e),
		0);
	CHECK_INT(fs_read(&sig, test_shared("evidence/derived/tpm-quote32.tpmt-signature.bin"),
			  4096, &e),
		  0);
	CHECK_INT(sig.len, 6 + 256);
	CHECK_INT(pubkey_rsa_verify_sha256(buf_view(&spki), buf_view(&message),
					   (struct view){ sig.p + 6, 256 }, &e),
		  0);
}
