/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/jwe.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte that is handed out is read into this. */
static volatile uint8_t sink;

/* The test key of the case p256-* in test/vectors/crypto/jwe.json, to which the seeds are
 * encrypted. */
static const char pem[] = "-----BEGIN PRIV"
			  "ATE KEY-----\n"
			  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVPwf+FA7BQUzizey\n"
			  "gdu38hL5EvQmLDGGHKKmXbMvs7KhRANCAATh1tkVunjucMQTpdd4F3hXiXCYGhiq\n"
			  "F6pGUNv5VWe+mJjiaVJlMzDMDoX+rCN0kz6/ghK/1cfBpvMl/ogKT3Os\n"
			  "-----END PRIV"
			  "ATE KEY-----\n";

/* One key of each kind: a reply is meant for one of them and foreign to the others. */
static const struct teekey *const *keys(void)
{
	static struct teekey *k[3];
	struct err e;

	if (!k[0]) {
		assert(teekey_from_pem(&k[0], view_str(pem), &e) == 0);
		assert(teekey_new(&k[1], TEEKEY_P521, &e) == 0);
		assert(teekey_new(&k[2], TEEKEY_RSA, &e) == 0);
	}
	return (const struct teekey *const *)k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int i = 0; i < 3; i++) {
		cleanup_secret struct secret out = { 0 };
		struct err e = { 0 };
		int r = jwe_decrypt(&out, keys()[i], (struct view){ data, size }, &e);

		if (r < 0) {
			assert(r == -(int)e.kind && e.kind == err_entry(e.code)->kind);
			assert(!secret_bytes(&out));
			continue;
		}
		for (size_t at = 0; at < out.len; at++)
			sink ^= secret_bytes(&out)[at];
	}
	return 0;
}
