/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/cli/cmd_evidence.h"
#include "agent/cli/cmd_evidence_show.h"
#include "agent/crypto/x509.h"

#include <stdio.h>
#include <time.h>

enum { OUT_MAX = 16 << 20, LOG_MAX = 4 << 20, CMDLINE_MAX = 64 << 10 };

/* --- certificates --------------------------------------------------------------------------- */

static void show_date(struct facts *f, const char *name, int64_t at)
{
	char text[32] = "";
	time_t t = (time_t)at;
	struct tm tm;

	if (gmtime_r(&t, &tm))
		(void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	facts_text(f, name, "%s", text);
}

static void open_cert(struct facts *f, const char *type)
{
	facts_open(f, NULL, type);
	if (f->json)
		facts_text(f, "type", "%s", type);
}

static void show_cert(struct facts *f, const char *type, const struct x509_cert *c)
{
	struct digest d;
	int64_t from, until;

	open_cert(f, type);
	facts_text(f, "name", "%s", x509_name(c));
	x509_validity(c, &from, &until);
	show_date(f, "valid_from", from);
	show_date(f, "valid_until", until);
	if (digest_of(&d, HASH_SHA256, x509_der(c), NULL) == 0)
		facts_hex(f, "sha256", digest_view(&d));
	facts_close(f);
}

static void show_cert_bytes(struct facts *f, const char *type, struct view bytes)
{
	cleanup_x509 struct x509_cert *c = NULL;
	struct err e;

	if (x509_load_any(&c, bytes, &e) == 0) {
		show_cert(f, type, c);
		return;
	}
	open_cert(f, type);
	facts_text(f, "problem", "%s", e.msg);
	facts_close(f);
}

/* --- SNP ------------------------------------------------------------------------------------ */

static void show_tcb(struct facts *f, const char *name, const struct snp_tcb *t)
{
	char fmc[16] = "";

	if (!f->json) {
		if (t->has_fmc)
			(void)snprintf(fmc, sizeof fmc, "fmc %u, ", t->fmc);
		facts_text(f, name, "%sboot loader %u, tee %u, snp %u, microcode %u", fmc,
			   t->bootloader, t->tee, t->snp, t->microcode);
		return;
	}
	facts_open(f, name, NULL);
	if (t->has_fmc)
		facts_number(f, "fmc", t->fmc);
	facts_number(f, "bootloader", t->bootloader);
	facts_number(f, "tee", t->tee);
	facts_number(f, "snp", t->snp);
	facts_number(f, "microcode", t->microcode);
	facts_close(f);
}

static void show_key(struct facts *f, const struct snp_report *r)
{
	enum snp_key key = snp_report_key(r);

	facts_text(f, "signing_key", "%s",
		   key == SNP_KEY_VCEK ? "VCEK" :
		   key == SNP_KEY_VLEK ? "VLEK" :
		   key == SNP_KEY_NONE ? "none" :
					 "unknown");
	facts_bool(f, "author_key", bit_is_set(r->key_info, 0));
	facts_bool(f, "chip_masked", bit_is_set(r->key_info, SNP_KEY_CHIP_MASKED));
}

static void show_snp(struct facts *f, const struct snp_report *r)
{
	facts_open(f, "snp", "SEV-SNP report");
	facts_number(f, "version", r->version);
	facts_text(f, "processor", "%s", snp_generation_name(r->generation));
	if (r->has_cpuid)
		facts_text(f, "cpuid", "family %02x model %02x stepping %02x", r->family, r->model,
			   r->stepping);
	facts_number(f, "vmpl", r->vmpl);
	facts_number(f, "guest_svn", r->guest_svn);
	facts_hex(f, "measurement", r->measurement);
	facts_hex(f, f->json ? "host_data" : "host data (initdata)", r->host_data);
	facts_hex(f, "report_data", r->report_data);
	facts_text(f, "policy_abi", "%u.%u", (unsigned)(r->policy >> 8 & 0xff),
		   (unsigned)(r->policy & 0xff));
	facts_bits(f, "policy", "guest policy", snp_policy_bits(), r->policy & ~0xffffull);
	facts_bits(f, "platform", "platform", snp_platform_bits(), r->plat_info);
	show_key(f, r);
	show_tcb(f, "reported_tcb", &r->reported_tcb);
	show_tcb(f, "current_tcb", &r->current_tcb);
	show_tcb(f, "committed_tcb", &r->committed_tcb);
	show_tcb(f, "launch_tcb", &r->launch_tcb);
	facts_text(f, "firmware", "%u.%u.%u", r->current.major, r->current.minor, r->current.build);
	facts_text(f, "firmware_committed", "%u.%u.%u", r->committed.major, r->committed.minor,
		   r->committed.build);
	if (r->has_mit) {
		facts_text(f, "launch_mitigations", "%016llx",
			   (unsigned long long)r->launch_mit_vector);
		facts_text(f, "current_mitigations", "%016llx",
			   (unsigned long long)r->current_mit_vector);
	}
	facts_hex(f, "family_id", r->family_id);
	facts_hex(f, "image_id", r->image_id);
	facts_hex(f, "id_key_digest", r->id_key_digest);
	facts_hex(f, "author_key_digest", r->author_key_digest);
	facts_hex(f, "report_id", r->report_id);
	facts_hex(f, "report_id_ma", r->report_id_ma);
	facts_hex(f, "chip_id", r->chip_id);
	facts_close(f);
}

static void show_snp_certs(struct facts *f, const struct evidence *ev)
{
	facts_open_list(f, "certificates");
	for (size_t i = 0; i < ev->certs.n; i++)
		show_cert_bytes(f, snp_cert_name(ev->certs.cert[i].type), ev->certs.cert[i].data);
	if (ev->vcek.len > 0)
		show_cert_bytes(f, "VCEK", buf_view(&ev->vcek));
	facts_close_list(f);
}

/* --- TDX ------------------------------------------------------------------------------------ */

static void show_pck_chain(struct facts *f, struct view pem)
{
	static const char *const types[] = { "PCK", "PCK CA", "root" };
	cleanup_x509_chain struct x509_chain chain = { 0 };
	struct err e;

	facts_open_list(f, "certificates");
	if (x509_chain_pem(&chain, pem, &e) < 0) {
		facts_open(f, NULL, "PCK chain");
		facts_text(f, "problem", "%s", e.msg);
		facts_close(f);
	}
	for (size_t i = 0; i < chain.n; i++)
		show_cert(f, i < ARRAY_LEN(types) ? types[i] : "more", chain.cert[i]);
	facts_close_list(f);
}

static void show_tdx(struct facts *f, const struct tdx_quote *q)
{
	static const char *const rtmr[] = { "rtmr_0", "rtmr_1", "rtmr_2", "rtmr_3" };

	facts_open(f, "tdx", "TD quote");
	facts_number(f, "version", q->version);
	facts_text(f, "td", "%s", q->body_type == TDX_BODY_15 ? "1.5" : "1.0");
	facts_hex(f, "tee_tcb_svn", q->tee_tcb_svn);
	facts_bits(f, "td_attributes", "TD attributes", tdx_attribute_bits(), q->td.attributes);
	facts_hex(f, "xfam", tdx_xfam(q));
	facts_hex(f, "mr_td", q->td.mr_td);
	for (size_t i = 0; i < ARRAY_LEN(rtmr); i++)
		facts_hex(f, rtmr[i], q->td.rtmr[i]);
	facts_hex(f, f->json ? "mr_config_id" : "mr config id (initdata)", q->td.mr_config_id);
	facts_hex(f, "mr_owner", q->td.mr_owner);
	facts_hex(f, "mr_owner_config", q->td.mr_owner_config);
	facts_hex(f, "report_data", q->report_data);
	facts_hex(f, "mr_seam", q->mr_seam);
	facts_hex(f, "mrsigner_seam", q->mrsigner_seam);
	facts_text(f, "seam_attributes", "%016llx", (unsigned long long)q->seam_attributes);
	if (q->body_type == TDX_BODY_15) {
		facts_hex(f, "tee_tcb_svn2", q->tee_tcb_svn2);
		facts_hex(f, "mr_servicetd", q->mr_servicetd);
	}
	facts_hex(f, "qe_vendor", q->qe_vendor);
	show_pck_chain(f, q->sig.pem);
	facts_close(f);
}

/* --- TPM and paravisor ---------------------------------------------------------------------- */

static void show_tpm(struct facts *f, const struct evidence *ev)
{
	const struct attest *a = &ev->tpm.attest;
	struct view ak = ev->has_hcl ? buf_view(&ev->runtime.ak) : buf_view(&ev->tpm.ak);
	cleanup_buf struct buf key = BUF_MAX(4096);
	struct digest d;

	facts_open(f, "tpm", "TPM quote");
	facts_hex(f, "nonce", a->nonce);
	facts_number(f, "clock_ms", a->clock_ms);
	facts_number(f, "resets", a->resets);
	facts_number(f, "restarts", a->restarts);
	facts_text(f, "firmware", "%016llx", (unsigned long long)a->firmware);
	if (digest_of(&d, HASH_SHA256, ak, NULL) == 0)
		facts_hex(f, "ak_sha256", digest_view(&d));
	if (enc_base64(&key, ENC_B64, ak), !key.failed)
		facts_view(f, "ak", buf_view(&key));
	facts_open_list(f, f->json ? "pcrs" : "PCRs (SHA-256)");
	for (unsigned i = 0; i < ATTEST_PCRS; i++) {
		struct view pcr = { ev->tpm.pcrs[i], sizeof ev->tpm.pcrs[i] };
		char name[32];

		(void)snprintf(name, sizeof name, "%2u %s", i, show_pcr_words(i));
		facts_hex(f, f->json ? NULL : name, pcr);
	}
	facts_close_list(f);
	facts_close(f);
}

static void show_hcl(struct facts *f, const struct evidence *ev)
{
	facts_open(f, "paravisor", "Azure's paravisor");
	facts_number(f, "evidence_version", ev->version);
	if (ev->runtime.has_user_data)
		facts_hex(f, "user_data", (struct view){ ev->runtime.user_data, HCL_USER_DATA });
	if (enc_is_utf8(ev->hcl.var_data))
		facts_view(f, "runtime_data", ev->hcl.var_data);
	facts_close(f);
}

/* --- all ------------------------------------------------------------------------------------ */

static void show_one(struct facts *f, const struct evidence *ev, bool device,
		     const struct show_log *with)
{
	char heading[64];

	(void)snprintf(heading, sizeof heading, "%s%s", evidence_tee_name(ev->tee),
		       device ? " (additional device)" : "");
	facts_open(f, NULL, heading);
	if (f->json) {
		facts_text(f, "tee", "%s", evidence_tee_name(ev->tee));
		facts_bool(f, "device", device);
	}
	if (ev->has_hcl)
		show_hcl(f, ev);
	if (ev->has_snp) {
		show_snp(f, &ev->snp);
		show_snp_certs(f, ev);
	}
	if (ev->has_tdx)
		show_tdx(f, &ev->tdx);
	if (ev->has_tpm)
		show_tpm(f, ev);
	if (ev->tee == EVIDENCE_SAMPLE || ev->tee == EVIDENCE_SAMPLEDEVICE) {
		facts_text(f, "svn", "%s", ev->svn);
		facts_hex(f, "report_data", buf_view(&ev->report_data));
	}
	show_boot(f, ev, with);
	facts_close(f);
}

struct show_args {
	const char *file, *tee, *log, *cmdline, *uki;
	bool json;
	struct evidence_file evidence;
	struct buf log_bytes, line, image_file;
	struct uki image;
	struct show_log with;
};

#define cleanup_show_args __attribute__((cleanup(show_args_done)))

static void show_args_done(struct show_args *a)
{
	evidence_file_done(&a->evidence);
	buf_done(&a->log_bytes);
	buf_done(&a->line);
	buf_done(&a->image_file);
}

/* This guest's own log counts for evidence that this guest's TPM may have made; show_boot() says. */
static int take_log(struct show_args *a, const struct evidence *ev, struct err *e)
{
	int r = 0;

	if (a->log) {
		r = cli_read(&a->log_bytes, a->log, LOG_MAX, e);
		if (r < 0)
			return err_wrap(e, r, "--event-log %s", a->log);
	} else if (ev->has_tpm && access(SHOW_TPM_LOG, R_OK) == 0 &&
		   fs_read(&a->log_bytes, SHOW_TPM_LOG, LOG_MAX, NULL) == 0) {
		a->with.own = true;
	}
	a->with.has_log = a->log || a->with.own;
	a->with.log = buf_view(&a->log_bytes);
	return r;
}

static int take_image(struct show_args *a, struct err *e)
{
	int r = fs_read(&a->image_file, a->uki, UKI_FILE_MAX, e);

	if (r == 0)
		r = uki_parse(&a->image, buf_view(&a->image_file), e);
	if (r < 0)
		return err_wrap(e, r, "--uki %s", a->uki);
	a->with.uki = &a->image;
	a->with.cmdline = show_line_of(&a->image);
	return 0;
}

static int take_all(struct show_args *a, struct err *e)
{
	const struct evidence *booted;
	int r = cli_load_evidence(&a->evidence, a->file, a->tee, e);

	if (r < 0)
		return r;
	booted = a->evidence.item[cli_booted(&a->evidence)];
	r = take_log(a, booted, e);
	if (r < 0 || a->uki)
		return r < 0 ? r : take_image(a, e);
	if (a->cmdline || a->with.own)
		r = fs_read(&a->line, a->cmdline ? a->cmdline : SHOW_CMDLINE, CMDLINE_MAX, e);
	a->with.own_cmdline = a->with.own && !a->cmdline;
	a->with.cmdline = buf_view(&a->line);
	return r;
}

static int run(const struct show_args *a)
{
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	struct facts f;
	struct err e;

	facts_begin(&f, &out, a->json);
	facts_open_list(&f, "evidence");
	for (size_t i = 0; i < a->evidence.n; i++) {
		const struct show_log none = { 0 };

		show_one(&f, a->evidence.item[i], i > 0 || !a->evidence.has_primary,
			 i == cli_booted(&a->evidence) ? &a->with : &none);
	}
	facts_close_list(&f);
	facts_end(&f);
	if (buf_check(&out, "what is shown", &e) < 0)
		return cli_fail(&e, a->json);
	return cli_print(&out) != 0 ? EXIT_SYSTEM : EXIT_OK;
}

int evidence_show(int argc, char **argv)
{
	cleanup_show_args struct show_args a = {
		.log_bytes = BUF_MAX(LOG_MAX),
		.line = BUF_MAX(CMDLINE_MAX),
		.image_file = BUF_MAX(UKI_FILE_MAX),
	};
	const struct cli_option options[] = {
		{ "--tee", NULL, &a.tee, "NAME  what it must be: az-snp-vtpm, az-tdx-vtpm, snp, tdx, tpm, sample" },
		{ "--event-log", NULL, &a.log, "FILE  boot log (TCG2), to say what set each register" },
		{ "--cmdline", NULL, &a.cmdline, "FILE  kernel command line, to hold against the measured one" },
		{ "--uki", NULL, &a.uki, "FILE  unified kernel image, to hold against PCR 11; its command line, against the log" },
		{ "--json", &a.json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "evidence show",
		.operands = "FILE",
		.about = "Say what evidence holds: measurements, firmware versions, policy, PCRs, what was\n"
			 "bound. Nothing is verified: see evidence verify.\n"
			 CLI_EVIDENCE_FILE "\n"
			 "With a boot log (of TDX evidence its own; of a TPM " SHOW_TPM_LOG "\n"
			 "where that is this guest's) also the events of each register and what the unified\n"
			 "kernel image measured. Exits 65 when the file is no evidence.\n\n"
			 "  vouchsafe evidence show evidence.json",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &a.file);

	if (r >= 0)
		return r;
	if (a.cmdline && a.uki)
		return cli_usage("evidence show", "--cmdline or --uki, not both");
	if (take_all(&a, &e) < 0)
		return cli_fail(&e, a.json);
	return run(&a);
}
