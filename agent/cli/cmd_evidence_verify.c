/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/cli/cmd_evidence.h"
#include "agent/cli/cmd_initdata.h"
#include "agent/verify/reference.h"

#include <stdio.h>
#include <time.h>

enum { OUT_MAX = 1 << 20, LOG_MAX = 4 << 20 };

/* The arguments as they were given, and what they stand for. */
struct verify_args {
	const char *file, *tee, *report_data, *report_data_base64, *runtime_data, *device_data;
	const char *initdata;
	const char *reference, *log, *vek, *root, *at;
	bool json;
	struct buf data, of_device, reference_text, log_bytes, vek_bytes;
	struct x509_chain roots;
	struct verify_want want;
	struct evidence_file evidence;
};

#define cleanup_args __attribute__((cleanup(args_done)))

static void args_done(struct verify_args *a)
{
	buf_done(&a->data);
	buf_done(&a->of_device);
	buf_done(&a->reference_text);
	buf_done(&a->log_bytes);
	buf_done(&a->vek_bytes);
	x509_chain_done(&a->roots);
	evidence_file_done(&a->evidence);
}

int cli_load_evidence(struct evidence_file *out, const char *path, const char *tee, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(EVIDENCE_TEXT_MAX);
	int r = cli_read(&text, path, EVIDENCE_TEXT_MAX, e);

	if (r == 0)
		r = evidence_file_load(out, buf_view(&text), tee, e);
	return r < 0 ? err_wrap(e, r, "%s", path) : 0;
}

size_t cli_booted(const struct evidence_file *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->item[i]->has_tpm || f->item[i]->tee == EVIDENCE_TDX)
			return i;
	return 0;
}

int cli_time(int64_t *out, const char *text, struct err *e)
{
	static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ" };
	struct view digits = view_str(text);
	int64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);

		if (end && *end == '\0') {
			*out = (int64_t)timegm(&tm);
			return 0;
		}
	}
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9' || digits.len > 12) {
			n = -1;
			break;
		}
		n = n * 10 + (digits.p[i] - '0');
	}
	if (n < 0 || digits.len == 0)
		return err_set(e, ERR_USAGE,
			       "--at %.40s: want 2025-06-01, 2025-06-01T12:00:00Z or seconds since 1970",
			       text);
	*out = n;
	return 0;
}

/* --- arguments ------------------------------------------------------------------------------ */

static int from_hex(struct buf *out, const char *option, const char *text, struct err *e)
{
	size_t digits = strlen(text);
	uint8_t bytes[REPORT_DATA_MAX];
	int r;

	if (digits == 0 || digits % 2 != 0 || digits / 2 > sizeof bytes)
		return err_set(e, ERR_USAGE, "%s: want 2..%zu hexadecimal digits", option,
			       2 * sizeof bytes);
	r = enc_hex_decode(bytes, digits / 2, view_str(text), e);
	if (r < 0)
		return err_wrap(e, r, "%s", option);
	buf_put(out, bytes, digits / 2);
	return 0;
}

static int take_report_data(struct verify_args *a, struct err *e)
{
	int r = 0;

	a->want.has_report_data = a->report_data || a->report_data_base64 || a->runtime_data;
	if (a->report_data)
		r = from_hex(&a->data, "--report-data", a->report_data, e);
	else if (a->report_data_base64)
		r = enc_base64_decode(&a->data, ENC_B64, view_str(a->report_data_base64), e);
	else
		buf_putv(&a->data, view_str(a->runtime_data));
	if (r == 0 && a->device_data)
		r = from_hex(&a->of_device, "--device-report-data", a->device_data, e);
	if (r == 0)
		r = buf_check(&a->data, "the report data", e);
	if (r < 0)
		return err_wrap_code(e, CODE_GENERAL_USAGE, "the report data");
	a->want.report_data = buf_view(&a->data);
	return 0;
}

static int take_initdata(struct verify_args *a, struct err *e)
{
	cleanup_initdata struct initdata d = { 0 };
	int r = cli_load_initdata(&d, a->initdata, e);

	if (r < 0)
		return r;
	a->want.has_initdata = true;
	a->want.initdata = d.digest;
	return 0;
}

static int take_roots(struct verify_args *a, struct err *e)
{
	cleanup_buf struct buf pem = BUF_MAX(X509_PEM_MAX);
	int r = cli_read(&pem, a->root, X509_PEM_MAX, e);

	if (r == 0)
		r = x509_chain_pem(&a->roots, buf_view(&pem), e);
	if (r < 0)
		return err_wrap(e, r, "--root-cert %s", a->root);
	a->want.test_roots = &a->roots;
	fprintf(stderr, "vouchsafe: TEST ROOT: %s is trusted instead of the hardware makers' roots; "
			"nothing below says anything about real hardware\n", a->root);
	return 0;
}

static int take_file(struct buf *out, struct view *as, const char *path, struct err *e)
{
	int r = path ? cli_read(out, path, out->max, e) : 0;

	*as = buf_view(out);
	return r < 0 ? err_wrap(e, r, "%s", path) : 0;
}

static int take_all(struct verify_args *a, struct err *e)
{
	struct view unused;
	int r = take_report_data(a, e);

	a->want.at = (int64_t)time(NULL);
	if (r == 0 && a->at)
		r = cli_time(&a->want.at, a->at, e);
	if (r == 0 && a->initdata)
		r = take_initdata(a, e);
	if (r == 0 && a->root)
		r = take_roots(a, e);
	if (r == 0)
		r = take_file(&a->vek_bytes, &a->want.vek, a->vek, e);
	if (r == 0)
		r = take_file(&a->log_bytes, &a->want.log, a->log, e);
	if (r == 0)
		r = take_file(&a->reference_text, &unused, a->reference, e);
	if (r == 0)
		r = cli_load_evidence(&a->evidence, a->file, a->tee, e);
	if (r == 0 && a->device_data && a->evidence.n == a->evidence.has_primary)
		r = err_set(e, ERR_FORMAT, "--device-report-data: %s has no additional device", a->file);
	return r;
}

/* --- the judgement -------------------------------------------------------------------------- */

/*
 * Values may be those of devices alone; but of a primary some must be registered, and of devices without
 * one, of any of them. *compared: whether one was, of the items so far.
 */
static void judge_references(struct findings *f, const struct verify_args *a, size_t i, bool *compared)
{
	const struct evidence *ev = a->evidence.item[i];
	bool any = verify_references(f, ev, buf_view(&a->reference_text));

	*compared = *compared || any;
	if (a->evidence.has_primary ? i == 0 && !any : i + 1 == a->evidence.n && !*compared)
		finding_add(f, "reference", FINDING_BAD,
			    "none of the names is one that %s evidence is compared by",
			    evidence_tee_name(ev->tee));
}

/*
 * Initdata belongs to the primary, the log to whose registers it leads to. Beside a primary, devices
 * bind another digest than it; alone, they bind what was asked.
 */
static void judge(struct findings *f, const struct verify_args *a, size_t i, bool *compared)
{
	struct verify_want want = a->want;
	const struct evidence *ev = a->evidence.item[i];
	bool device = i > 0 || !a->evidence.has_primary;

	want.has_initdata = want.has_initdata && i == 0;
	want.has_log = a->log && i == cli_booted(&a->evidence);
	if (device && (a->device_data || a->evidence.has_primary)) {
		want.has_report_data = a->device_data;
		want.report_data = buf_view(&a->of_device);
	}
	verify_evidence(f, ev, &want);
	if (a->reference)
		judge_references(f, a, i, compared);
}

static void put(struct buf *out, const struct verify_args *a, size_t i, const struct findings *f)
{
	const char *tee = evidence_tee_name(a->evidence.item[i]->tee);
	bool device = i > 0 || !a->evidence.has_primary;

	if (!a->json) {
		buf_printf(out, "%s%s%s\n", i ? "\n" : "", tee, device ? " (additional device)" : "");
		findings_text(out, f);
		return;
	}
	buf_printf(out, "%s{\"tee\":\"%s\",\"device\":%s,\"holds\":%s,\"findings\":", i ? "," : "",
		   tee, device ? "true" : "false", findings_bad(f) ? "false" : "true");
	findings_json(out, f);
	buf_putc(out, '}');
}

static size_t unknown(const struct findings *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->list[i].state == FINDING_UNKNOWN;
	return n;
}

static int run(const struct verify_args *a)
{
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	size_t undecided = 0;
	bool good = true, compared = false;
	struct err e;

	if (a->json)
		buf_printf(&out, "{\"test_root\":%s,\"evidence\":[", a->root ? "true" : "false");
	for (size_t i = 0; i < a->evidence.n; i++) {
		struct findings f = { 0 };

		judge(&f, a, i, &compared);
		put(&out, a, i, &f);
		good = good && !findings_bad(&f);
		undecided += unknown(&f);
	}
	if (a->json)
		buf_printf(&out, "],\"undecided\":%zu,\"holds\":%s}\n", undecided,
			   good ? "true" : "false");
	else
		buf_printf(&out, "\n%s%s\n",
			   good ? "Everything that was checked holds" :
				  "It does not hold: see the lines with \"bad\"",
			   a->root ? ", under a TEST ROOT." : ".");
	if (!a->json && good && undecided > 0)
		buf_printf(&out, "Not decided here: %zu, see the lines with \"unknown\".\n", undecided);
	if (buf_check(&out, "the findings", &e) < 0)
		return cli_fail(&e, a->json);
	return cli_print(&out) != 0 ? EXIT_SYSTEM : good ? EXIT_OK : EXIT_VERIFY;
}

int evidence_verify(int argc, char **argv)
{
	cleanup_args struct verify_args a = {
		.data = BUF_MAX(REPORT_DATA_MAX),
		.of_device = BUF_MAX(REPORT_DATA_MAX),
		.reference_text = BUF_MAX(REFERENCE_FILE_MAX),
		.log_bytes = BUF_MAX(LOG_MAX),
		.vek_bytes = BUF_MAX(X509_PEM_MAX),
	};
	const struct cli_option options[] = {
		{ "--report-data", NULL, &a.report_data, "HEX  what the evidence must bind, at most 64 bytes" },
		{ "--report-data-base64", NULL, &a.report_data_base64, "BASE64  the same" },
		{ "--runtime-data", NULL, &a.runtime_data, "TEXT  the same, as given to `vouchsafe evidence`" },
		{ "--device-report-data", NULL, &a.device_data, "HEX  what the additional devices must bind" },
		{ "--initdata", NULL, &a.initdata, "FILE  the initdata that the guest must be bound to" },
		{ "--reference", NULL, &a.reference, "FILE  registered values, as reference-values prints them" },
		{ "--tee", NULL, &a.tee, "NAME  what it must be: az-snp-vtpm, az-tdx-vtpm, snp, tdx, tpm, sample" },
		{ "--event-log", NULL, &a.log, "FILE  a boot log that the registers must follow from" },
		{ "--vek", NULL, &a.vek, "FILE  VCEK or VLEK for SNP evidence that carries none" },
		{ "--at", NULL, &a.at, "TIME  judge certificates as of then: 2025-06-01 (now)" },
		{ "--root-cert", NULL, &a.root, "FILE  PEM; for tests only: trusted instead of the makers' roots" },
		{ "--json", &a.json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "evidence verify",
		.operands = "FILE",
		.about = "Check evidence as Trustee's verifiers would, without Trustee and without a network:\n"
			 "signatures to the hardware makers' roots, debug and migration, what was bound.\n"
			 CLI_EVIDENCE_FILE "\n"
			 "One line each: ok, bad, unknown (nothing here decides it), warn. Exits 0 when nothing\n"
			 "is bad, 76 when something is, 65 when the file is no evidence.\n\n"
			 "  vouchsafe evidence verify evidence.json --initdata initdata.toml",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &a.file);

	if (r >= 0)
		return r;
	if (!!a.report_data + !!a.report_data_base64 + !!a.runtime_data > 1)
		return cli_usage("evidence verify", "one of --report-data, --report-data-base64, "
						    "--runtime-data");
	if (take_all(&a, &e) < 0)
		return cli_fail(&e, a.json);
	return run(&a);
}
