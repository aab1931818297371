/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/* How long things took, counted in fixed classes of milliseconds. Thread-safe; zeroed is empty. */
#define HISTOGRAM_CLASSES 12

/* Upper bounds, inclusive; what took longer is only in count. */
extern const uint32_t histogram_bounds_ms[HISTOGRAM_CLASSES];

struct histogram {
	_Atomic uint64_t in[HISTOGRAM_CLASSES]; /* each value in one class */
	_Atomic uint64_t count, sum_ms;
};

/* Add one value; a negative one counts as 0. */
void histogram_add(struct histogram *h, int64_t ms);

#endif
