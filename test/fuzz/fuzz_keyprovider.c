/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/keyprovider.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int key(void *ctx, struct secret *out, const struct uri *uri, struct deadline d, struct err *e)
{
	static const uint8_t kek[32] = { 1, 2, 3 };
	int r = secret_alloc(out, sizeof kek, e);

	(void)ctx;
	(void)uri;
	(void)d;
	return r < 0 ? r : secret_append(out, kek, sizeof kek, e);
}

/* What is answered is the reply object. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_secret struct secret out = { 0 };
	struct err e;

	if (keyprovider_unwrap(&out, (struct view){ data, size }, key, NULL, deadline_in(1000), &e) == 0 &&
	    (out.len == 0 || secret_bytes(&out)[0] != '{'))
		abort();
	return 0;
}
