/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/environment.h"
#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/cli/cli.h"
#include "agent/cli/cmd_initdata.h"
#include "agent/setup/guest.h"
#include "initdata/intake.h"
#include "initdata/provision.h"

#include <stdio.h>
#include <sys/stat.h>

/* Called when the initdata has been read: only then is the TPM opened. */
static int open_platform(struct provision_platform *p, struct err *e)
{
	struct guest *g = p->ctx;
	int r = guest_open_image(g, e);

	if (r == 0)
		r = guest_open_platform(g, e);
	if (r < 0)
		return r;
	guest_provision_platform(p, g);
	return 0;
}

/* --- where it comes from ---------------------------------------------------- */

struct arguments {
	const char *from, *source, *timeout;
	const char *probe, *pause; /* development builds */
};

/* What the arguments say, checked. */
struct plan {
	const char *from; /* a file, or NULL: */
	enum source_kind kind;
	struct source_env env;
	int64_t timeout_ms, pause_ms;
	struct https *https; /* made when first asked for: most sources need none */
};

/* Without a proxy, whatever the environment says: metadata services are on the link. */
static int round_trip(void *ctx, const struct http_request *request, struct http_reply *reply,
		      struct err *e)
{
	const struct https_config config = { .user_agent = "vouchsafe" };
	struct plan *plan = ctx;
	int r = plan->https ? 0 : https_new(&plan->https, &config, e);

	return r < 0 ? r : https_round_trip(plan->https, request, reply, e);
}

/* Whole numbers from least to most. Returns false after a word about it. */
static bool number(int64_t *out, const char *option, const char *text, long least, long most)
{
	char *end = NULL;
	long n = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;

	if (!end || *end != '\0' || n < least || n > most) {
		(void)cli_usage("initdata provision", "%s %s: want %ld to %ld", option, text, least,
				most);
		return false;
	}
	*out = n;
	return true;
}

/* "vendor=…,manufacturer=…" in the place of what this machine is; development builds only. */
static bool take_probe(struct source_probe *out, const char *text)
{
	const char *m = strstr(text, ",manufacturer=");
	size_t n = m ? (size_t)(m - text) : strlen(text);

	*out = (struct source_probe){ 0 };
	if (strncmp(text, "vendor=", 7) != 0 || n - 7 >= sizeof out->hypervisor)
		return false;
	memcpy(out->hypervisor, text + 7, n - 7);
	return !m || (size_t)snprintf(out->manufacturer, sizeof out->manufacturer, "%s", m + 14) <
			     sizeof out->manufacturer;
}

/* Returns -1 to go on. */
static int make_plan(struct plan *p, const struct arguments *a)
{
	int kind = source_by_name(a->source ? a->source : "auto");

	if (a->from && (a->source || a->timeout || a->probe))
		return cli_usage("initdata provision", "--from goes without the other options");
	if (kind < 0)
		return cli_usage("initdata provision",
				 "--source %s: want auto, cidata, block, azure, aws, gcp, alibaba "
				 "or none",
				 a->source);
	p->from = a->from;
	p->kind = (enum source_kind)kind;
	p->timeout_ms = INTAKE_TIMEOUT_MS;
	p->pause_ms = INTAKE_PAUSE_MS;
	if (a->timeout) {
		if (!number(&p->timeout_ms, "--timeout", a->timeout, 1, 3600))
			return EXIT_USAGE;
		p->timeout_ms *= 1000;
	}
	if (a->pause && !number(&p->pause_ms, "--pause", a->pause, 0, 60000))
		return EXIT_USAGE;
	p->env.root = cli_root;
	p->env.round_trip = round_trip;
	p->env.round_trip_ctx = p;
	p->env.plain_files = version_is_dev;
	source_probe(&p->env.probe, cli_root);
	if (a->probe && !take_probe(&p->env.probe, a->probe))
		return cli_usage("initdata provision",
				 "--probe: want vendor=TEXT or vendor=TEXT,manufacturer=TEXT");
	return -1;
}

/* What FILE holds. Errors: initdata.source, initdata.too-large; absent is not one. */
static int read_source(struct buf *out, bool *absent, const char *path, struct err *e)
{
	int r = cli_read(out, path, INITDATA_ENCODED_MAX, e);

	*absent = r == -ERR_NOTFOUND;
	if (r == 0 || *absent)
		return 0;
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	return err_wrap_code(e, CODE_INITDATA_SOURCE, "initdata");
}

static int intake_file(struct intake *out, const char *path, struct err *e)
{
	cleanup_buf struct buf delivered = BUF_MAX(INITDATA_ENCODED_MAX);
	struct isolated_input in = { .form = ISOLATED_INITDATA };
	bool absent = false;
	int r = read_source(&delivered, &absent, path, e);

	in.bytes = absent ? initdata_dummy() : buf_view(&delivered);
	return r < 0 ? r : isolated_load(&out->in, &in, e);
}

/* --- what came of it -------------------------------------------------------- */

/* One path a line. */
static void warn_skipped(struct view skipped)
{
	for (size_t i = 0, from = 0; i < skipped.len; i++) {
		struct view path = { skipped.p + from, i - from };
		bool config = view_is(path, "/run/peerpod/aa.toml") ||
			      view_is(path, "/run/peerpod/cdh.toml");

		if (skipped.p[i] != '\n')
			continue;
		log_warn("user-data: file skipped", "path=\"%.*s\" why=%s", VIEW_ARG(path),
			 config ? "only-the-initdata-may-set-it" : "not-in-the-list");
		from = i + 1;
	}
}

static void report(const char *root, const struct plan *plan, const struct intake *intake,
		   const struct provision_result *done, const struct err *why)
{
	const char *source = plan->from ? "file" : source_name(intake->source);
	struct err e;

	if (provision_report(root, source, done, why, intake->in.skipped, &e) < 0)
		log_warn("no report of provisioning", "code=%s", err_name(&e));
}

/*
 * The host reads this guest's console: it gets the codes and nothing else. The reason goes to a
 * file that `vouchsafe doctor` reads.
 */
static int refuse(const struct guest *g, const struct err *why)
{
	struct err e;

	fprintf(stderr, "vouchsafe: %s\n", err_name(why));
	if (provision_refuse(g->root, why, &e) < 0)
		fprintf(stderr, "vouchsafe: %s\n", err_name(&e));
	return cli_exit_of(why);
}

/* That nobody listens must not stop the boot. */
static int say(const struct provision_result *done, const struct guest *g, const struct plan *plan,
	       const struct intake *intake)
{
	static const char *const how[] = {
		[PROVISION_BOUND] = "bound",
		[PROVISION_ALREADY] = "already bound",
		[PROVISION_UNBOUND] = "NOT BOUND (permitted by the image)",
	};
	cleanup_buf struct buf out = BUF_MAX(1024);

	buf_printf(&out, "initdata%s %s, platform %s: %s ", done->dummy ? " (none: the dummy)" : "",
		   how[done->how], g->attester->name, hash_name(done->alg));
	enc_hex(&out, digest_view(&done->digest));
	if (!plan->from)
		buf_printf(&out, ", source %s", source_name(intake->source));
	buf_putc(&out, '\n');
	(void)cli_print(&out);
	return EXIT_OK;
}

static int provision(struct guest *g, struct plan *plan)
{
	cleanup_intake struct intake intake = { .source = plan->kind };
	struct provision_platform p = { .ctx = g, .open = open_platform };
	struct provision_result done;
	struct err e;
	int r;

	plan->env.deadline = deadline_in(plan->timeout_ms);
	if (plan->from)
		r = intake_file(&intake, plan->from, &e);
	else
		r = intake_run(&intake, plan->kind, &plan->env, plan->pause_ms, &e);
	if (r == 0)
		r = provision_deliver(&done, &intake.in, &p, g->root, &e);
	https_free(take(plan->https));
	if (r < 0) {
		r = refuse(g, &e);
		report(g->root, plan, &intake, NULL, &e);
		return r;
	}
	warn_skipped(intake.in.skipped);
	report(g->root, plan, &intake, &done, NULL);
	return say(&done, g, plan, &intake);
}

static const char about[] =
	"In the guest, once a boot and before vouchsafed: find the initdata, bind its digest to\n"
	"the hardware (PCR 8 is extended once; HOST_DATA and MRCONFIGID are compared) and deliver\n"
	"its files to /run/peerpod and /run/confidential-containers/initdata. Where it comes from\n"
	"need not be trusted: the register decides. Where there is none, and the register is\n"
	"empty, the usual dummy is bound. It may be run again, also after it was killed.\n\n"
	"Without --from the source is looked for: a drive labelled cidata, native kata's initdata\n"
	"disk, the metadata service of Azure, AWS, GCP or Alibaba, else what cloud-init left in\n"
	"/run/peerpod/initdata. Of user-data, apf.json, auth.json, initdata and\n"
	"scratch-space.marker of /run/peerpod are delivered and nothing else.\n\n"
	"When it fails, policy.rego is removed, nothing is delivered, and only the code is\n"
	"printed; `vouchsafe doctor` shows the reason. /run/vouchsafe/provision.json says what\n"
	"was done.\n\n"
	"  vouchsafe initdata provision\n"
	"  vouchsafe initdata provision --from /run/peerpod/initdata";

int initdata_provision(int argc, char **argv)
{
	struct arguments a = { 0 };
	const struct cli_option options[] = {
		{ "--from", NULL, &a.from,
		  "FILE  the initdata as delivered: base64 of gzip, or text; may be missing" },
		{ "--source", NULL, &a.source,
		  "NAME  auto (default), cidata, block, azure, aws, gcp, alibaba, none" },
		{ "--timeout", NULL, &a.timeout,
		  "S  seconds that finding and fetching may take; 180" },
		{ "--probe", NULL, &a.probe,
		  "TEXT  vendor=V,manufacturer=M: what this machine is (development builds)" },
		{ "--pause", NULL, &a.pause,
		  "MS  between two tries, 5000 (development builds)" },
	};
	const struct cli_syntax syntax = {
		.command = "initdata provision",
		.operands = "",
		.about = about,
		.options = options,
		.n_options = version_is_dev ? ARRAY_LEN(options) : ARRAY_LEN(options) - 2,
	};
	struct plan plan = { 0 };
	struct guest g = { 0 };
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if ((size_t)snprintf(g.root, sizeof g.root, "%s", cli_root) >= sizeof g.root)
		return cli_usage("", "--root is longer than %zu bytes", sizeof g.root - 1);
	r = make_plan(&plan, &a);
	if (r >= 0)
		return r;
	/* The files are for programs of other users. */
	(void)umask(022);
	/* As vouchsafed, which believes no environment: this is where trust begins. */
	if (environment_forget(&e) < 0)
		return refuse(&g, &e);
	r = provision(&g, &plan);
	guest_close(&g);
	return r;
}
