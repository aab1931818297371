/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "agent/cli/cli.h"
#include "agent/cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>

enum { DOCTOR_MS = 30 * 1000 };

static const char *const verdict_words[] = {
	[VERDICT_OK] = "ok",     [VERDICT_NOTE] = "note", [VERDICT_BAD] = "bad",
	[VERDICT_FAIL] = "fail", [VERDICT_SKIP] = "skip",
};

static struct finding *next(struct doctor *d, const char *check, enum verdict v)
{
	struct finding *f = &d->findings[d->n < DOCTOR_FINDINGS_MAX ? d->n++ : d->n - 1];

	*f = (struct finding){ .check = check, .verdict = v };
	return f;
}

/* Words of the host, of user-data and of Trustee come in here, and go to an operator's terminal. */
static void PRINTF(2, 0) set_text(struct finding *f, const char *fmt, va_list ap)
{
	cleanup_buf struct buf plain = BUF_MAX(sizeof f->text);
	char text[sizeof f->text];

	(void)vsnprintf(text, sizeof text, fmt, ap);
	buf_put_plain(&plain, view_str(text));
	(void)snprintf(f->text, sizeof f->text, "%s", buf_str(&plain));
}

void doctor_say(struct doctor *d, const char *check, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(next(d, check, v), fmt, ap);
	va_end(ap);
}

void doctor_advise(struct doctor *d, const char *check, const char *remedy, const char *fmt, ...)
{
	struct finding *f = next(d, check, VERDICT_NOTE);
	va_list ap;

	f->remedy = remedy;
	va_start(ap, fmt);
	set_text(f, fmt, ap);
	va_end(ap);
}

void doctor_fail(struct doctor *d, const char *check, const struct err *e)
{
	doctor_say(d, check, VERDICT_FAIL, "%s", e->msg);
	d->findings[d->n - 1].has_code = true;
	d->findings[d->n - 1].code = e->code;
}

static void print_text(struct buf *b, const struct doctor *d, bool colour)
{
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m", "\033[31;1m",
					       "\033[2m" };

	for (size_t i = 0; i < d->n; i++) {
		const struct finding *f = &d->findings[i];

		buf_printf(b, "%s%-4s%s  %-12s %s\n", colour ? colours[f->verdict] : "",
			   verdict_words[f->verdict], colour ? "\033[0m" : "", f->check, f->text);
		if (f->has_code)
			buf_printf(b, "      %-12s [%s, side: %s] %s\n", "",
				   err_entry(f->code)->name, err_side_name(err_entry(f->code)->side),
				   err_words(f->code)->remedy);
		else if (f->remedy)
			buf_printf(b, "      %-12s %s\n", "", f->remedy);
	}
}

static void print_json(struct buf *b, const struct doctor *d, bool healthy)
{
	buf_printf(b, "{\"healthy\":%s,\"findings\":[", healthy ? "true" : "false");
	for (size_t i = 0; i < d->n; i++) {
		const struct finding *f = &d->findings[i];

		buf_printf(b, "%s{\"check\":\"%s\",\"verdict\":\"%s\",\"text\":", i ? "," : "",
			   f->check, verdict_words[f->verdict]);
		json_put_string(b, view_str(f->text));
		if (f->has_code) {
			buf_printf(b, ",\"code\":\"%s\",\"side\":\"%s\",\"remedy\":",
				   err_entry(f->code)->name,
				   err_side_name(err_entry(f->code)->side));
			json_put_string(b, view_str(err_words(f->code)->remedy));
		} else if (f->remedy) {
			buf_puts(b, ",\"remedy\":");
			json_put_string(b, view_str(f->remedy));
		}
		buf_putc(b, '}');
	}
	buf_puts(b, "],");
	doctor_put_boot(b, d);
	buf_puts(b, "}\n");
}

int cmd_doctor(int argc, char **argv)
{
	bool json = false, offline = false;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print {healthy, findings: [{check, verdict, text, code?, …}], boot, verity}" },
		{ "--offline", &offline, NULL, "check only this guest, send nothing" },
	};
	const struct cli_syntax syntax = {
		.command = "doctor",
		.operands = "",
		.about = "Walk the path that a secret takes and say what is wrong on which side:\n"
			 "image, platform, TPM and AK, initdata against its register, dm-verity and measured\n"
			 "boot, what a hardened image has and this one lacks, what is measured, what\n"
			 "was delivered, sockets, units, the pod's network namespace, event log, clock, DNS,\n"
			 "TLS and Trustee's answer. Attests once, unless --offline.\n\n"
			 "Exit code 0 when it all works, 1 when something fails.\n\n"
			 "  vouchsafe doctor --json | jq '.findings[] | select(.verdict != \"ok\")'",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_free struct doctor *d = calloc(1, sizeof *d);
	cleanup_buf struct buf out = BUF_MAX(1u << 18);
	bool healthy = true;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (!d)
		return EXIT_SYSTEM;
	d->deadline = deadline_in(DOCTOR_MS);
	(void)snprintf(d->guest.root, sizeof d->guest.root, "%s", cli_root);
	doctor_check_guest(d);
	doctor_check_posture(d);
	doctor_check_services(d);
	if (!offline)
		doctor_check_trustee(d);
	guest_close(&d->guest);
	for (size_t i = 0; i < d->n; i++)
		healthy = healthy && d->findings[i].verdict != VERDICT_FAIL;
	if (json)
		print_json(&out, d, healthy);
	else
		print_text(&out, d, isatty(STDOUT_FILENO));
	r = cli_print(&out);
	return r ? r : healthy ? EXIT_OK : EXIT_FINDINGS;
}
