/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jws.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte that is handed out is read into this. */
static volatile uint8_t sink;

/* public_jwk and compact of test/vectors/crypto/jws.json. */
static const char jwk[] =
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"_mxPGTCe-6YE7UgMZf6evlEuEN20keWImgzK2eqjs5Q\""
	",\"y\":\"GQPnC7lz0nzZhtycyLsb7VEbGcBVslv9-EDm37CG_XM\"}";
static const char compact[] =
	"eyJhbGciOiJFUzI1NiIsImtpZCI6ImticzovLy90ZXN0L2tleS8xIn0.eyJhIjoxfQ.oedPh8CL6TKmz"
	"iJCfFUmc0pcwL2tirH28VxLSADQwfrhIAewX2UyRYb9CXQ5ZRpMcNODOKE-TJehKkcMXnN1wg";

/* The input as a token, as claims, and as the key of a good token. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_jws struct jws j = { 0 }, good = { 0 };
	cleanup_buf struct buf claims = BUF_MAX(JWS_TEXT_MAX);
	struct view in = { data, size };
	struct err e;

	if (jws_parse(&j, in, &e) == 0) {
		assert(j.signing_input.p == data && j.signing_input.len < size);
		assert(strlen(j.alg) < sizeof j.alg && strlen(j.kid) < sizeof j.kid);
		for (size_t i = 0; i < j.payload.len; i++)
			sink ^= j.payload.p[i];
		if (jws_verify_es256(&j, view_str(jwk), &e) == 0)
			assert(j.has_signature && strcmp(j.alg, "ES256") == 0);
		/* Who reads a token's payload by either way reads the same. */
		assert(jws_claims(&claims, in, &e) == 0);
		assert(view_eq(buf_view(&claims), buf_view(&j.payload)));
	} else {
		(void)!jws_claims(&claims, in, &e);
	}
	assert(jws_parse(&good, view_str(compact), &e) == 0);
	(void)!jws_verify_es256(&good, in, &e);
	return 0;
}
