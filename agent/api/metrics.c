/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics.h"
#include "agent/base/enc.h"

#include <inttypes.h>

static const char *const types[] = {
	[METRICS_COUNTER] = "counter",
	[METRICS_GAUGE] = "gauge",
	[METRICS_HISTOGRAM] = "histogram",
};

void metrics_begin(struct buf *out, const char *name, enum metrics_type type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

static void put_value(struct buf *out, const char *value)
{
	bool utf8 = enc_is_utf8(view_str(value));

	for (const char *p = value; *p; p++) {
		uint8_t c = (uint8_t)*p;

		if (c == '\n')
			buf_puts(out, "\\n");
		else if (c < ' ' || c == 0x7f || (c > 0x7f && !utf8))
			buf_putc(out, '?');
		else if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else
			buf_putc(out, c);
	}
}

static void put_name(struct buf *out, const char *name, const struct metrics_label *labels)
{
	char before = '{';

	buf_puts(out, name);
	for (; labels && labels->name; labels++, before = ',') {
		buf_printf(out, "%c%s=\"", before, labels->name);
		put_value(out, labels->value);
		buf_putc(out, '"');
	}
	buf_puts(out, before == ',' ? "} " : " ");
}

void metrics_put(struct buf *out, const char *name, const struct metrics_label *labels,
		 uint64_t value)
{
	put_name(out, name, labels);
	buf_printf(out, "%" PRIu64 "\n", value);
}

void metrics_put_ms(struct buf *out, const char *name, const struct metrics_label *labels,
		    int64_t ms)
{
	uint64_t v = ms > 0 ? (uint64_t)ms : 0;

	put_name(out, name, labels);
	buf_printf(out, "%" PRIu64 ".%03u\n", v / 1000, (unsigned)(v % 1000));
}

void metrics_one(struct buf *out, const char *name, enum metrics_type type, const char *help,
		 uint64_t value)
{
	metrics_begin(out, name, type, help);
	metrics_put(out, name, NULL, value);
}

void metrics_histogram(struct buf *out, const char *name, const char *help,
		       const struct histogram *h)
{
	/* Read last, so that no class is above it while others add. */
	uint64_t in[HISTOGRAM_CLASSES], sum_ms, count, below = 0;

	for (int i = 0; i < HISTOGRAM_CLASSES; i++)
		in[i] = atomic_load(&h->in[i]);
	sum_ms = atomic_load(&h->sum_ms);
	count = atomic_load(&h->count);
	metrics_begin(out, name, METRICS_HISTOGRAM, help);
	for (int i = 0; i < HISTOGRAM_CLASSES; i++) {
		uint32_t ms = histogram_bounds_ms[i];

		below += in[i];
		buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, ms / 1000.0, below);
	}
	count = count > below ? count : below;
	buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
	buf_printf(out, "%s_sum %" PRIu64 ".%03u\n", name, sum_ms / 1000,
		   (unsigned)(sum_ms % 1000));
	buf_printf(out, "%s_count %" PRIu64 "\n", name, count);
}
