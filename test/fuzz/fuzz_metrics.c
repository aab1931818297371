/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics.h"
#include "agent/api/metrics_request.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken for a request for the text begins as one, and a longer head asks for the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char head[METRICS_HEAD_MAX + 8];
	size_t n = size < METRICS_HEAD_MAX ? size : METRICS_HEAD_MAX - 1;
	enum metrics_request r;

	memcpy(head, data, n);
	head[n] = '\0';
	r = metrics_request(head);
	if (r == METRICS_TEXT)
		assert(strncmp(head, "GET /", 5) == 0);
	if (r != METRICS_PARTIAL) {
		n = strlen(head);
		memcpy(head + n, "X: y\r\n", 7);
		assert(metrics_request(head) == r);
	}
	return 0;
}
