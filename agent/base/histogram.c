/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/histogram.h"

const uint32_t histogram_bounds_ms[HISTOGRAM_CLASSES] = {
	1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000, 30000,
};

void histogram_add(struct histogram *h, int64_t ms)
{
	uint64_t v = ms > 0 ? (uint64_t)ms : 0;

	for (int i = 0; i < HISTOGRAM_CLASSES; i++) {
		if (v <= histogram_bounds_ms[i]) {
			atomic_fetch_add(&h->in[i], 1);
			break;
		}
	}
	atomic_fetch_add(&h->sum_ms, v);
	atomic_fetch_add(&h->count, 1);
}
