/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics.h"
#include "agent/base/json.h"
#include "agent/base/version.h"
#include "agent/cli/cli.h"
#include "agent/cli/service.h"

#include <stdio.h>

/* What the metrics say, by what it is called here. A label's value in the place of the number. */
struct row {
	const char *name, *metric, *label; /* label NULL: the sum of the metric's samples */
	enum { COUNT, SECONDS, YES_NO, TEXT } form;
	const char *words;
};

static const struct row rows[] = {
	{ "version", "vouchsafe_info", "version", TEXT, "version" },
	{ "platform", "vouchsafe_info", "platform", TEXT, "platform" },
	{ "trustee", "vouchsafe_info", "trustee", TEXT, "Trustee" },
	{ "uptime_seconds", "vouchsafe_uptime_seconds", NULL, SECONDS, "serving for" },
	{ "development_build", "vouchsafe_development_build", NULL, YES_NO, "DEVELOPMENT build" },
	{ "bound", "vouchsafe_bound", NULL, YES_NO, "initdata bound" },
	{ "image_measured", "vouchsafe_image_measured", NULL, YES_NO, "image measured" },
	{ "trustee_pinned", "vouchsafe_trustee_pinned", NULL, YES_NO, "Trustee pinned" },
	{ "plain_http", "vouchsafe_plain_http", NULL, YES_NO, "plain http" },
	{ "skip_sealed_verification", "vouchsafe_skip_sealed_verification", NULL, YES_NO,
	  "signatures not checked" },
	{ "event_log", "vouchsafe_event_log", NULL, YES_NO, "event log" },
	{ "attestations", "vouchsafe_attestations_total", NULL, COUNT, "attestations" },
	{ "attestations_failed", "vouchsafe_attestations_failed_total", NULL, COUNT,
	  "attestations failed" },
	{ "denials", "vouchsafe_denials_total", NULL, COUNT, "policy denials" },
	{ "token_left_seconds", "vouchsafe_token_left_seconds", NULL, SECONDS, "token lasts" },
	{ "unseals", "vouchsafe_unseals_total", NULL, COUNT, "secrets unsealed" },
	{ "resources", "vouchsafe_resources_total", NULL, COUNT, "resources given" },
	{ "volumes", "vouchsafe_volumes_opened_total", NULL, COUNT, "volumes opened" },
	{ "cached", "vouchsafe_cache_entries", NULL, COUNT, "plaintexts cached" },
	{ "connections", "vouchsafe_connections", NULL, COUNT, "connections" },
	{ "calls", "vouchsafe_calls", NULL, COUNT, "calls in flight" },
	{ "failures", "vouchsafe_failures_total", NULL, COUNT, "calls failed" },
};

/* The value of a label, still escaped; "" when it is not there. */
static struct view label_of(struct view labels, const char *name)
{
	size_t n = strlen(name);
	const uint8_t *p = labels.p, *end = labels.p + labels.len;

	while (p && (size_t)(end - p) > n + 2) {
		bool this_one = memcmp(p, name, n) == 0 && p[n] == '=';
		const uint8_t *from = memchr(p, '"', (size_t)(end - p)), *to;

		if (!from)
			break;
		for (to = ++from; to < end && *to != '"'; to++)
			to += *to == '\\' && to + 1 < end;
		if (this_one)
			return (struct view){ from, (size_t)(to - from) };
		p = to + 2 <= end ? to + 2 : end;
	}
	return (struct view){ NULL, 0 };
}

/* Sum of a metric's samples, or the text of one's label. False when there is none. */
static bool find(const struct row *r, struct view text, double *sum, struct view *label)
{
	struct cli_sample s;
	bool any = false;

	*sum = 0;
	while (cli_next_sample(&s, &text)) {
		char number[40];

		if (!view_is(s.name, r->metric) || s.value.len >= sizeof number)
			continue;
		memcpy(number, s.value.p, s.value.len);
		number[s.value.len] = '\0';
		*sum += strtod(number, NULL);
		if (r->label)
			*label = label_of(s.labels, r->label);
		any = true;
	}
	return any;
}

static void put_failures(struct buf *out, struct view text, bool json)
{
	struct cli_sample s;
	bool any = false;

	for (; cli_next_sample(&s, &text);) {
		if (!view_is(s.name, "vouchsafe_failures_total"))
			continue;
		if (json)
			buf_puts(out, any ? ",\"" : "\"");
		else
			buf_puts(out, "  ");
		buf_putv(out, label_of(s.labels, "code"));
		buf_puts(out, json ? "\":" : " ");
		buf_putv(out, s.value);
		buf_puts(out, json ? "" : "\n");
		any = true;
	}
}

static void put_json(struct buf *out, struct view text)
{
	buf_puts(out, "{\"serving\":true");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view label = { 0 };
		double sum;

		if (!find(&rows[i], text, &sum, &label) && rows[i].form != COUNT)
			continue;
		buf_printf(out, ",\"%s\":", rows[i].name);
		if (rows[i].form == TEXT) {
			/* Escaped as JSON wants it too. */
			buf_putc(out, '"');
			buf_putv(out, label);
			buf_putc(out, '"');
		} else if (rows[i].form == YES_NO) {
			buf_puts(out, sum != 0 ? "true" : "false");
		} else {
			buf_printf(out, rows[i].form == SECONDS ? "%.3f" : "%.0f", sum);
		}
	}
	buf_puts(out, ",\"failures_by_code\":{");
	put_failures(out, text, true);
	buf_puts(out, "}}\n");
}

static void put_text(struct buf *out, struct view text)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view label = { 0 };
		double sum;

		if (!find(&rows[i], text, &sum, &label) && rows[i].form != COUNT)
			continue;
		buf_printf(out, "%-23s", rows[i].words);
		if (rows[i].form == TEXT && label.len == 0)
			buf_puts(out, "none");
		else if (rows[i].form == TEXT)
			buf_put_plain(out, label);
		else if (rows[i].form == YES_NO)
			buf_puts(out, sum != 0 ? "yes" : "no");
		else
			buf_printf(out, rows[i].form == SECONDS ? "%.0f s" : "%.0f", sum);
		buf_putc(out, '\n');
	}
	put_failures(out, text, false);
}

/* The daemon's own socket first: whether it serves does not depend on metrics. */
static int check_serving(struct deadline d, struct err *e)
{
	cleanup_free char *path = NULL;
	struct aa_tee tee;
	int r = cli_socket(&path, AA_SOCKET, e);

	if (r < 0)
		return r;
	cleanup_rpc struct rpc_link link = RPC_LINK(path);
	r = rpc_ready(&link, d, e);
	return r < 0 ? r : aa_get_tee(&link, d, &tee, e);
}

int cmd_status(int argc, char **argv)
{
	bool json = false;
	const char *timeout = NULL;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print {\"serving\", \"platform\", \"attestations\", …}" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "status",
		.operands = "",
		.about = "In the guest: ask the running vouchsafed what it is and what it has done since it\n"
			 "started. For what is wrong, and why: vouchsafe doctor.\n\n"
			 "Exit code 0 when it serves, 75 when it cannot be reached.\n\n"
			 "  vouchsafe status --json | jq .token_left_seconds",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_buf struct buf text = BUF_MAX(METRICS_TEXT_MAX), out = BUF_MAX(65536);
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (cli_deadline(&d, timeout, &e) < 0 || check_serving(d, &e) < 0)
		return cli_fail(&e, json);
	r = cli_metrics(&text, d, &e);
	if (r < 0) {
		(void)err_wrap(&e, r, "it serves, but what it did is not to be had");
		return cli_fail(&e, json);
	}
	if (json)
		put_json(&out, buf_view(&text));
	else
		put_text(&out, buf_view(&text));
	if (buf_check(&out, "the status", &e) < 0)
		return cli_fail(&e, json);
	return cli_print(&out);
}
