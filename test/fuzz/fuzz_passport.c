/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/passport.h"
#include "agent/kbs/token.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_secret struct secret token = { 0 };
	cleanup_teekey struct teekey *key = NULL;
	int64_t life = 0;
	struct err e;

	if (passport_read(&token, &key, &life, (struct view){ data, size }, &e) < 0)
		return 0;
	/* Every byte of it, and what it promises. */
	if (!key || token.len < 2 || strlen((const char *)secret_bytes(&token)) != token.len - 1 ||
	    life <= 0 || life > 30000)
		abort();
	return 0;
}
