/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics.h"
#include "agent/base/json.h"
#include "agent/cli/service.h"

/* name="value",… as members of an object. What is escaped in a value is so in JSON too. */
static void put_labels(struct buf *out, struct view labels)
{
	bool quoted = false, name = true;

	buf_putc(out, '{');
	for (size_t i = 0; i < labels.len; i++) {
		uint8_t c = labels.p[i];

		if (name)
			buf_putc(out, '"');
		name = false;
		if (quoted && c == '\\' && i + 1 < labels.len) {
			buf_putc(out, c);
			c = labels.p[++i];
		} else if (c == '"') {
			quoted = !quoted;
		} else if (c == '=' && !quoted) {
			buf_puts(out, "\":");
			continue;
		} else if (c == ',' && !quoted) {
			name = i + 1 < labels.len;
		}
		buf_putc(out, c);
	}
	buf_putc(out, '}');
}

static void put_json(struct buf *out, struct view text)
{
	struct cli_sample s;
	bool any = false;

	buf_putc(out, '[');
	for (; cli_next_sample(&s, &text); any = true) {
		buf_puts(out, any ? ",{\"name\":" : "{\"name\":");
		json_put_string(out, s.name);
		buf_puts(out, ",\"labels\":");
		put_labels(out, s.labels);
		buf_puts(out, ",\"value\":");
		buf_putv(out, s.value);
		buf_putc(out, '}');
	}
	buf_puts(out, "]\n");
}

int cmd_metrics(int argc, char **argv)
{
	bool json = false;
	const char *timeout = NULL;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print [{\"name\", \"labels\", \"value\"}, …]" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "metrics",
		.operands = "",
		.about = "In the guest: print what the running vouchsafed has counted, in Prometheus' text\n"
			 "format, as its socket /run/vouchsafe/metrics/metrics.sock gives it to a collector.\n"
			 "The names are in doc/metrics.md.\n\n"
			 "Exit code 75 when vouchsafed cannot be reached.\n\n"
			 "  vouchsafe metrics | grep failures",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_buf struct buf text = BUF_MAX(METRICS_TEXT_MAX), out = BUF_MAX(8 * METRICS_TEXT_MAX);
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (cli_deadline(&d, timeout, &e) < 0 || cli_metrics(&text, d, &e) < 0)
		return cli_fail(&e, json);
	if (!json)
		return cli_print(&text);
	put_json(&out, buf_view(&text));
	if (buf_check(&out, "the metrics", &e) < 0)
		return cli_fail(&e, json);
	return cli_print(&out);
}
