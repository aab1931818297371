/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/aead.h"
#include "test/unit/crypto/vector.h"

static void load(struct key32 *key, struct buf *iv, struct buf *aad, struct buf *sealed,
		 struct buf *plain, const char *which)
{
	cleanup_json struct json *doc = vector_json(test_vector("crypto/aead.json"));
	const struct json *v = json_get(doc, which);
	cleanup_buf struct buf k = BUF_MAX(32);

	*iv = *aad = *sealed = *plain = BUF_MAX(4096);
	vector_unhex(&k, vector_str(doc, "key_hex"));
	memcpy(key->b, k.p, 32);
	vector_unhex(iv, vector_str(v, "iv_hex"));
	vector_unhex(sealed, vector_str(v, "sealed_hex"));
	vector_unhex(plain, vector_str(v, "plaintext_hex"));
	if (json_get(v, "aad_hex"))
		vector_unhex(aad, vector_str(v, "aad_hex"));
}

TEST(aead_gcm_open_appended__own_vector__gives_plaintext_and_refuses_every_changed_part)
{
	cleanup_buf struct buf iv = { 0 }, aad = { 0 }, sealed = { 0 }, plain = { 0 };
	cleanup_secret struct secret out = { 0 };
	struct key32 key;
	struct buf *const parts[] = { &iv, &aad, &sealed };
	struct err e;

	load(&key, &iv, &aad, &sealed, &plain, "gcm");
	CHECK_INT(aead_gcm_open_appended(&out, &key, buf_view(&iv), buf_view(&aad),
					 buf_view(&sealed), &e),
		  0);
	CHECK(secret_eq(&out, plain.p, plain.len));
	secret_done(&out);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		for (size_t at = 0; at < parts[i]->len; at++) {
			parts[i]->p[at] ^= 0x80;
			CHECK_ERR(aead_gcm_open_appended(&out, &key, buf_view(&iv), buf_view(&aad),
							 buf_view(&sealed), &e),
				  ERR_VERIFY, e, "tag");
			parts[i]->p[at] ^= 0x80;
		}
	}
	key.b[31] ^= 1;
	CHECK_ERR(aead_gcm_open_appended(&out, &key, buf_view(&iv), buf_view(&aad),
					 buf_view(&sealed), &e),
		  ERR_VERIFY, e, "tag");
	CHECK(!secret_bytes(&out));
}

/* NIST GCM, test case 13 of McGrew and Viega: zero key and iv, empty text. */
TEST(aead_gcm_open__empty_text__is_authenticated_and_empty)
{
	static const uint8_t tag[16] = { 0x53, 0x0f, 0x8a, 0xfb, 0xc7, 0x45, 0x36, 0xb9,
					 0xa9, 0x63, 0xb4, 0xf1, 0xc4, 0xcb, 0x73, 0x8b };
	const struct key32 key = { 0 };
	const uint8_t iv[12] = { 0 };
	uint8_t wrong[16] = { 0 };
	cleanup_secret struct secret out = { 0 };
	struct view none = { NULL, 0 };
	struct err e;

	CHECK_INT(secret_alloc(&out, 8, &e), 0);
	CHECK_INT(aead_gcm_open(&out, &key, (struct view){ iv, 12 }, none, none,
				(struct view){ tag, 16 }, &e),
		  0);
	CHECK(!secret_bytes(&out));
	CHECK_INT(out.len, 0);
	CHECK_ERR(aead_gcm_open(&out, &key, (struct view){ iv, 12 }, none, none,
				(struct view){ wrong, 16 }, &e),
		  ERR_VERIFY, e, "tag");
}

TEST(aead_ctr__own_vector__counts_through_the_whole_block)
{
	cleanup_buf struct buf iv = { 0 }, aad = { 0 }, sealed = { 0 }, plain = { 0 };
	cleanup_secret struct secret out = { 0 };
	struct key32 key;
	struct err e;

	load(&key, &iv, &aad, &sealed, &plain, "ctr");
	CHECK_INT(aead_ctr(&out, &key, buf_view(&iv), buf_view(&sealed), &e), 0);
	CHECK(secret_eq(&out, plain.p, plain.len));
}

TEST(aead__wrong_sizes__fail_and_leave_out_untouched)
{
	const struct key32 key = { 0 };
	const uint8_t b[32] = { 0 };
	cleanup_secret struct secret out = { 0 };
	struct view none = { NULL, 0 }, iv = { b, 12 }, tag = { b, 16 }, text = { b, 8 };
	struct view huge = { b, (size_t)SECRET_MAX + 1 };
	struct err e;

	CHECK_INT(secret_alloc(&out, 4, &e), 0);
	CHECK_INT(secret_append(&out, "keep", 4, &e), 0);
	CHECK_ERR(aead_gcm_open(&out, &key, (struct view){ b, 16 }, none, text, tag, &e),
		  ERR_FORMAT, e, "iv of 16 bytes");
	CHECK_ERR(aead_gcm_open(&out, &key, iv, none, text, (struct view){ b, 12 }, &e), ERR_FORMAT,
		  e, "tag of 12 bytes");
	CHECK_ERR(aead_gcm_open(&out, &key, iv, none, huge, tag, &e), ERR_LIMIT, e, "allowed 1..");
	CHECK_ERR(aead_gcm_open_appended(&out, &key, iv, none, (struct view){ b, 15 }, &e),
		  ERR_FORMAT, e, "15 bytes");
	CHECK_ERR(aead_ctr(&out, &key, iv, text, &e), ERR_FORMAT, e, "iv of 12 bytes");
	CHECK_ERR(aead_ctr(&out, &key, (struct view){ b, 16 }, huge, &e), ERR_LIMIT, e, "allowed");
	CHECK(secret_is(&out, "keep"));
}

static void open_packet(struct secret *out, const char *key_b64, const struct json *packet)
{
	cleanup_buf struct buf iv = BUF_MAX(16), data = BUF_MAX(4096);
	struct key32 key;
	size_t n = sizeof key.b;
	struct err e;

	CHECK_INT(enc_base64_decode_into(key.b, &n, ENC_B64, view_str(key_b64), &e), 0);
	CHECK_INT(enc_base64_decode(&iv, ENC_B64, view_str(vector_str(packet, "iv")), &e), 0);
	CHECK_INT(
		enc_base64_decode(&data, ENC_B64, view_str(vector_str(packet, "wrapped_data")), &e),
		0);
	if (strcmp(vector_str(packet, "wrap_type"), "A256CTR") == 0)
		CHECK_INT(aead_ctr(out, &key, buf_view(&iv), buf_view(&data), &e), 0);
	else
		CHECK_INT(aead_gcm_open_appended(out, &key, buf_view(&iv), (struct view){ NULL, 0 },
						 buf_view(&data), &e),
			  0);
}

TEST(aead__annotation_packets__match_trustee_vectors)
{
	cleanup_json struct json *doc =
		vector_json(test_shared("trustee/derived/annotation-packets.json"));
	const char *key = vector_str(json_get(doc, "resource"), "kbs:///default/key/1");
	cleanup_buf struct buf want = BUF_MAX(4096);
	int n = 0;
	struct err e;

	CHECK_INT(enc_base64_decode(&want, ENC_B64, view_str(vector_str(doc, "plaintext_b64")), &e),
		  0);
	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c)) {
		cleanup_secret struct secret out = { 0 };

		open_packet(&out, key, json_get(c, "packet"));
		CHECK(secret_eq(&out, want.p, want.len));
		n++;
	}
	CHECK_INT(n, 3);
}

/* The KEK is in vectors/trustee/MANIFEST.md. */
TEST(aead__upstream_sample_annotation__decrypts)
{
	cleanup_json struct json *doc = vector_json(test_shared(
		"trustee/guest-components/ocicrypt-rs/data/sample_kbc_annotation.json"));
	cleanup_secret struct secret out = { 0 };
	static const char want[] =
		"{\"symkey\":\"1jL2jJV0Oyz2nmPkLtqulW6cKcpIUN5FpILcVnP5Uqs=\",\"digest\":"
		"\"sha256:18be1897f9402f27c8c0eba7c86e0c00f5656db62961b5949d55f9565c42c6e7\","
		"\"cipheroptions\":{\"nonce\":\"r10F9oaCu+nWFXfod3l83g==\"}}";

	open_packet(&out, "2Zt3BbC6ehaClbOjNnJwsN2bNxv1FMqLm6fwozcR2uo=", doc);
	CHECK(secret_is(&out, want));
}
