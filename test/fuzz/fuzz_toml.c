/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml.h"

/*
 * The TOML reader. Touches every byte that it gives out; each string, written by
 * toml_put_string(), must read back the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_string(const char *text, size_t len)
{
	cleanup_buf struct buf b = BUF_MAX(TOML_TEXT_MAX);
	cleanup_toml struct toml *root = NULL;
	const char *back;
	size_t back_len = 0;

	buf_puts(&b, "a = ");
	toml_put_string(&b, (struct view){ (const uint8_t *)text, len });
	if (toml_parse(&root, buf_view(&b), NULL) < 0)
		abort();
	back = toml_string(toml_get(root, "a"), &back_len);
	if (!back || back_len != len || memcmp(back, text, len) != 0)
		abort();
}

static size_t walk(const struct toml *v, unsigned depth)
{
	size_t sum = 0, len = 0;
	const char *text = toml_string(v, &len);

	if (depth > TOML_DEPTH_MAX)
		abort();
	if (text)
		check_string(text, len);
	text = toml_datetime(v);
	sum += len + (text ? strlen(text) : 0) + toml_line(v);
	for (const struct toml *m = toml_first(v); m; m = toml_next(m)) {
		struct view key = toml_key_view(m);

		if (key.p && toml_type(v) != TOML_TABLE)
			abort();
		/* Keys are unique, so that the one found is the one at hand. */
		if (key.p && strlen(toml_key(m)) == key.len &&
		    memcmp(toml_key(m), key.p, key.len) == 0 && toml_get(v, toml_key(m)) != m)
			abort();
		sum += walk(m, depth + 1);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	cleanup_toml struct toml *root = NULL;
	struct err e;
	int r = toml_parse(&root, (struct view){ p, n }, &e);

	if ((r == 0) != (root != NULL))
		abort();
	if (r == 0)
		(void)walk(root, 0);
	else if (!strstr(e.msg, "line ") && r != -ERR_NOMEM)
		abort();
	return 0;
}
