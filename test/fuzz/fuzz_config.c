/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/config_parts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(void *ctx, const struct config_item *item)
{
	size_t *n = ctx;

	*n += strlen(item->key) + strlen(item->value) + strlen(item->source) + item->line;
}

/* The first byte chooses which text the rest is: a aa.toml, c cdh.toml, v vouchsafe.toml. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_config c = { .log_level = LOG_LEVEL_INFO };
	enum config_from what;
	size_t n = 0;
	struct err e = { 0 };

	if (size == 0 || size > 65536)
		return 0;
	what = data[0] == 'a' ? FROM_AA : data[0] == 'c' ? FROM_CDH : FROM_OWN;
	if (config_read_text(&c, what, (struct view){ data + 1, size - 1 }, &e) == 0 &&
	    config_settle(&c, &e) == 0) {
		config_explain(&c, true, touch, &n);
		assert(n > 0);
		assert(what != FROM_OWN || c.unknown.n == 0);
		assert(!c.kbs_url || c.plain_http == (strncasecmp(c.kbs_url, "http://", 7) == 0));
	} else {
		assert(e.code != CODE_OK && e.msg[0]);
	}
	guest_config_done(&c);
	return 0;
}
