/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net/headers.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is kept goes back to the peer in a header: pairs of visible ASCII, within its room. */
static void check(const struct http_reply *r)
{
	size_t n = strnlen(r->set_cookie, sizeof r->set_cookie);

	assert(n < sizeof r->set_cookie);
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)r->set_cookie[i];

		assert(c > ' ' ? c < 0x7f : c == ' ' && i > 0 && r->set_cookie[i - 1] == ';');
	}
	assert(r->date >= 0);
	assert(r->retry_after_ms >= 0 && r->retry_after_ms <= HEADERS_RETRY_AFTER_MAX_S * 1000LL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_reply reply = { 0 };
	struct headers h = { 0 };

	(void)headers_date((struct view){ data, size });
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end - data) + 1 : size;
		/* A copy of its own size, so that one byte read past the line is seen. */
		cleanup_free uint8_t *line = malloc(n);

		assert(line);
		memcpy(line, data, n);
		if (!headers_take(&h, &reply, (struct view){ line, n }))
			break;
		check(&reply);
		data += n;
		size -= n;
	}
	return 0;
}
