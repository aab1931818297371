/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/uri.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What parses is plain ASCII, its canonical text is a fixed point, and its URL has no dot segment. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf url = BUF_MAX(4 * URI_MAX), again_url = BUF_MAX(4 * URI_MAX);
	struct uri u, again;
	struct err e;

	if (uri_parse(&u, (struct view){ data, size }, &e) < 0) {
		for (const char *p = e.msg; *p; p++)
			assert(*p >= ' ' && *p < 0x7f);
		return 0;
	}
	for (const char *p = u.text; *p; p++)
		assert(*p > ' ' && *p < 0x7f);
	/* kbs://x is shorter than kbs+resource://x, never longer. */
	assert(strlen(u.text) <= size);
	assert(uri_parse(&again, view_str(u.text), &e) == 0);
	assert(strcmp(again.text, u.text) == 0 && strcmp(again.host, u.host) == 0);
	uri_request_url(&url, "http://h", &u);
	uri_request_url(&again_url, "http://h", &again);
	assert(buf_check(&url, "url", &e) == 0);
	assert(view_eq(buf_view(&url), buf_view(&again_url)));
	assert(view_starts(buf_view(&url), "http://h/kbs/v0/"));
	buf_done(&url);
	url = BUF_MAX(4 * URI_MAX);
	buf_printf(&url, "/%s/%s/", u.plugin, u.path);
	assert(!strstr(buf_str(&url), "/../") && !strstr(buf_str(&url), "/./"));
	return 0;
}
