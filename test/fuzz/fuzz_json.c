/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where both readers take a number they agree. */
static void check_numbers(const struct json *v)
{
	uint64_t u;
	int64_t i;

	if (json_u64(&u, v) && json_integer(&i, v) && i < (int64_t)1 << 53)
		assert(i >= 0 && (uint64_t)i == u);
	for (const struct json *m = json_first(v); m; m = json_next(m))
		check_numbers(m);
}

/* What parses has a canonical form that parses to the same canonical form. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json struct json *a = NULL, *b = NULL;
	cleanup_buf struct buf first = BUF_MAX(1u << 20), second = BUF_MAX(1u << 20);
	struct err e;

	if (json_parse(&a, (struct view){ data, size }, 1u << 16, &e) < 0)
		return 0;
	check_numbers(a);
	if (json_canonical(&first, a, &e) < 0)
		return 0;
	assert(json_parse(&b, buf_view(&first), 1u << 20, &e) == 0);
	assert(json_canonical(&second, b, &e) == 0);
	assert(view_eq(buf_view(&first), buf_view(&second)));
	return 0;
}
