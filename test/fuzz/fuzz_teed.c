/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/teed.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned touch(struct view v)
{
	unsigned sum = 0;

	for (size_t i = 0; i < v.len; i++)
		sum += v.p[i];
	return sum;
}

/* What was accepted is what its parts encode to. */
static void check_request(struct view v)
{
	cleanup_buf struct buf b = BUF_MAX(TEED_REQUEST_MAX);
	struct teed_request q;

	if (teed_request_parse(&q, v, NULL) < 0)
		return;
	assert(q.id != 0 && q.reg < TEED_RTMRS);
	teed_request_encode(&b, &q);
	assert(view_eq(buf_view(&b), v));
}

static void check_reply(struct view v)
{
	cleanup_buf struct buf b = BUF_MAX(TEED_REPLY_MAX);
	struct teed_reply r;
	struct err e;

	if (teed_reply_parse(&r, v, NULL) < 0)
		return;
	(void)(touch(r.report) + touch(r.certs) + touch(r.code) + touch(r.reason));
	if (r.failed) {
		assert(teed_reply_error(&r, &e) < 0);
		return;
	}
	teed_reply_encode(&b, r.id, r.kind, r.report, r.certs);
	assert(view_eq(buf_view(&b), v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free uint8_t *copy = malloc(size + 1);

	assert(copy);
	if (size > 0)
		memcpy(copy, data, size);
	check_request((struct view){ copy, size });
	check_reply((struct view){ copy, size });
	return 0;
}
