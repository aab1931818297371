/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "test/unit/crypto/vector.h"

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
