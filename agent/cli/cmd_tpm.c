/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/cli/cli.h"
#include "agent/crypto/digest.h"
#include "agent/setup/measured.h"
#include "attester/attester.h"
#include "attester/tpm.h"

#include <stdio.h>

enum {
	HANDLE_FIRST = 0x81000000, /* persistent objects */
	HANDLE_LAST = 0x81ffffff,
	TEXT_MAX = 16384,
};

/* What every subcommand takes. */
struct where {
	const char *device; /* NULL: what the image's settings say */
	const char *handle;
	bool json;
	struct image_settings image;
};

static const char device_help[] =
	"WHERE  TPM device, or swtpm:HOST:PORT where permitted (default: the\n"
	"image's, usually /dev/tpmrm0)";
static const char handle_help[] =
	"HEX  persistent handle of the AK (default: the image's, usually 81010002)";
static const char json_help[] = "print JSON";

/* A command line of these options alone. Returns -1 to go on, else the exit code. */
static int parse(struct where *w, const char *command, const char *about, int argc, char **argv)
{
	const struct cli_option options[] = {
		{ "--device", NULL, &w->device, device_help },
		{ "--handle", NULL, &w->handle, handle_help },
		{ "--json", &w->json, NULL, json_help },
	};
	const struct cli_syntax syntax = {
		.command = command,
		.operands = "",
		.about = about,
		.options = options,
		.n_options = ARRAY_LEN(options),
	};

	return cli_parse(&syntax, argc, argv, NULL);
}

static int read_handle(uint32_t *out, const char *text, struct err *e)
{
	const char *digits = text[0] == '0' && text[1] == 'x' ? text + 2 : text;
	uint8_t b[4];
	uint32_t handle;

	if (enc_hex_decode(b, sizeof b, view_str(digits), NULL) < 0)
		return err_set(e, ERR_USAGE, "--handle \"%.20s\": want 8 hex digits", text);
	handle = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	if (handle < HANDLE_FIRST || handle > HANDLE_LAST)
		return err_set(e, ERR_USAGE, "--handle %08x, allowed %08x..%08x", handle,
			       HANDLE_FIRST, HANDLE_LAST);
	*out = handle;
	return 0;
}

/* The TPM and AK that options and image settings name. A socket needs a permit. */
static int open_tpm(struct tpm **out, struct where *w, struct err *e)
{
	cleanup_tpm struct tpm *t = NULL;
	uint32_t handle;
	int r = measured_load(&w->image, cli_root, e);

	if (r < 0)
		return r;
	if (!w->device)
		w->device = w->image.tpm;
	handle = w->image.ak_handle;
	r = w->handle ? read_handle(&handle, w->handle, e) : 0;
	if (r < 0)
		return r;
	if (tpm_is_socket(w->device) && !w->image.swtpm)
		return err_code(e, CODE_PLATFORM_NOT_PERMITTED, "%s is a TPM over a socket",
				w->device);
	r = tpm_open(&t, w->device, e);
	if (r < 0)
		return r;
	tpm_set_ak(t, handle);
	*out = take(t);
	return 0;
}

/* The AK as it is registered at Trustee, and a short name for people to compare. */
struct ak_text {
	struct buf base64;
	char sha256[2 * 32 + 1];
};

static int read_ak(struct ak_text *out, struct tpm *t, struct err *e)
{
	cleanup_buf struct buf der = BUF_MAX(TPM_SPKI_MAX);
	struct digest d;
	int r = tpm_ak_public(t, &der, e);

	if (r < 0)
		return r;
	r = digest_of(&d, HASH_SHA256, buf_view(&der), e);
	if (r < 0)
		return r;
	enc_hex_str(out->sha256, digest_view(&d));
	enc_base64(&out->base64, ENC_B64, buf_view(&der));
	return buf_check(&out->base64, "AK", e);
}

static void ak_text_done(struct ak_text *a)
{
	buf_done(&a->base64);
}

#define cleanup_ak_text __attribute__((cleanup(ak_text_done)))

/* --- provision-ak --------------------------------------------------------------------------- */

static const char provision_about[] =
	"Create the attestation key (AK): RSA 2048, restricted signing, RSASSA with\n"
	"SHA-256, no password, under the endorsement hierarchy, persistent at the\n"
	"handle. Nothing is overwritten. Owner and endorsement hierarchy must have no\n"
	"password. It takes seconds on a software TPM, up to a minute on a chip.\n\n"
	"Prints the AK's public part (base64 of its SubjectPublicKeyInfo), which is\n"
	"what Trustee wants in its reference value trusted_aks.\n\n"
	"A key made by tpm2_createek, tpm2_createak (rsa, sha256, rsassa) and\n"
	"tpm2_evictcontrol serves as well.";

static int provision_ak(int argc, char **argv)
{
	struct where w = { 0 };
	cleanup_tpm struct tpm *t = NULL;
	cleanup_ak_text struct ak_text ak = { .base64 = BUF_MAX(2 * TPM_SPKI_MAX) };
	cleanup_buf struct buf out = BUF_MAX(TEXT_MAX);
	struct err e;
	int r = parse(&w, "tpm provision-ak", provision_about, argc, argv);

	if (r >= 0)
		return r;
	r = open_tpm(&t, &w, &e);
	if (r == 0)
		r = tpm_provision_ak(t, &e);
	if (r == 0)
		r = read_ak(&ak, t, &e);
	if (r < 0)
		return cli_fail(&e, w.json);
	if (w.json)
		buf_printf(&out, "{\"handle\":\"0x%08x\",\"ak_public\":\"%s\",\"sha256\":\"%s\"}\n",
			   tpm_ak(t), buf_str(&ak.base64), ak.sha256);
	else
		buf_printf(&out, "%s\n", buf_str(&ak.base64));
	r = cli_print(&out);
	if (r == 0 && !w.json)
		fprintf(stderr,
			"AK made at 0x%08x. Add the line above to trusted_aks at Trustee.\n",
			tpm_ak(t));
	return r;
}

/* --- show ----------------------------------------------------------------------------------- */

static void put_show_json(struct buf *out, const struct where *w, struct tpm *t,
			  const struct buf *about, const struct ak_text *ak,
			  const struct err *no_ak, const uint8_t pcrs[TPM_PCRS][32])
{
	buf_puts(out, "{\"device\":");
	json_put_string(out, view_str(w->device));
	buf_puts(out, ",\"about\":");
	json_put_string(out, buf_view(about));
	buf_printf(out, ",\"ak\":{\"handle\":\"0x%08x\"", tpm_ak(t));
	if (no_ak) {
		buf_printf(out, ",\"error\":{\"code\":\"%s\",\"message\":", err_name(no_ak));
		json_put_string(out, view_str(no_ak->msg));
		buf_putc(out, '}');
	} else {
		buf_printf(out, ",\"public\":\"%s\",\"sha256\":\"%s\"", buf_str(&ak->base64),
			   ak->sha256);
	}
	buf_puts(out, "},\"pcrs\":[");
	for (unsigned i = 0; i < TPM_PCRS; i++) {
		buf_puts(out, i ? ",\"" : "\"");
		enc_hex(out, (struct view){ pcrs[i], 32 });
		buf_putc(out, '"');
	}
	buf_puts(out, "]}\n");
}

static void put_show_text(struct buf *out, const struct where *w, struct tpm *t,
			  const struct buf *about, const struct ak_text *ak,
			  const struct err *no_ak, const uint8_t pcrs[TPM_PCRS][32])
{
	buf_printf(out, "device:     %s\nabout:      %s\nAK handle:  0x%08x\n", w->device,
		   buf_str(about), tpm_ak(t));
	if (no_ak)
		buf_printf(out, "AK:         none: %s: %s\n            %s\n", err_name(no_ak),
			   no_ak->msg, err_words(no_ak->code)->remedy);
	else
		buf_printf(out, "AK public:  %s\nAK SHA-256: %s\n", buf_str(&ak->base64),
			   ak->sha256);
	for (unsigned i = 0; i < TPM_PCRS; i++) {
		buf_printf(out, "PCR %2u:     ", i);
		enc_hex(out, (struct view){ pcrs[i], 32 });
		buf_putc(out, '\n');
	}
}

static const char show_about[] =
	"Show the TPM: its maker, the attestation key's public part and fingerprint,\n"
	"and the PCRs of the SHA-256 bank. Exits 1 when there is no usable AK.";

static int show(int argc, char **argv)
{
	struct where w = { 0 };
	cleanup_tpm struct tpm *t = NULL;
	cleanup_ak_text struct ak_text ak = { .base64 = BUF_MAX(2 * TPM_SPKI_MAX) };
	cleanup_buf struct buf about = BUF_MAX(512), out = BUF_MAX(TEXT_MAX);
	uint8_t pcrs[TPM_PCRS][32];
	struct err e, no_ak = { 0 };
	bool usable;
	int r = parse(&w, "tpm show", show_about, argc, argv);

	if (r >= 0)
		return r;
	r = open_tpm(&t, &w, &e);
	if (r == 0)
		r = tpm_describe(t, &about, &e);
	if (r == 0)
		r = tpm_pcr_read_all(t, pcrs, &e);
	if (r < 0)
		return cli_fail(&e, w.json);
	usable = read_ak(&ak, t, &no_ak) == 0;
	if (!usable && no_ak.code != CODE_TPM_NO_AK && no_ak.code != CODE_TPM_BAD_AK)
		return cli_fail(&no_ak, w.json);
	(w.json ? put_show_json : put_show_text)(&out, &w, t, &about, &ak, usable ? NULL : &no_ak,
						 (const uint8_t(*)[32])pcrs);
	r = cli_print(&out);
	return r != 0 ? r : usable ? EXIT_OK : EXIT_FINDINGS;
}

/* --- quote ---------------------------------------------------------------------------------- */

static const char quote_about[] =
	"Print the evidence of the platform \"tpm\" for these report data, as it would\n"
	"be sent to Trustee (JSON). Nothing is sent.\n\n"
	"  vouchsafe tpm quote --report-data $(openssl rand -hex 32)";
static const char data_help[] = "HEX  1 to 64 bytes; the quote carries the first 32";

static int quote(int argc, char **argv)
{
	struct where w = { 0 };
	const char *hex = NULL;
	const struct cli_option options[] = {
		{ "--report-data", NULL, &hex, data_help },
		{ "--device", NULL, &w.device, device_help },
		{ "--handle", NULL, &w.handle, handle_help },
		{ "--json", &w.json, NULL, json_help },
	};
	const struct cli_syntax syntax = {
		.command = "tpm quote",
		.operands = "",
		.about = quote_about,
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_tpm struct tpm *t = NULL;
	cleanup_free char *json = NULL;
	cleanup_buf struct buf out = BUF_MAX(EVIDENCE_MAX + 1);
	struct attester_env env = { .root_fd = -1 };
	uint8_t data[REPORT_DATA_MAX];
	size_t n;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (!hex)
		return cli_usage(syntax.command, "--report-data is needed");
	n = strlen(hex) / 2;
	if (n == 0 || n > sizeof data || enc_hex_decode(data, n, view_str(hex), NULL) < 0)
		return cli_usage(syntax.command, "--report-data: want 1 to %d bytes in hex",
				 REPORT_DATA_MAX);
	r = open_tpm(&t, &w, &e);
	if (r == 0) {
		env.tpm = t;
		env.initdata_pcr = w.image.initdata_pcr;
		r = attester_by_name("tpm")->evidence(&env, (struct view){ data, n }, &json, &e);
	}
	if (r < 0)
		return cli_fail(&e, w.json);
	buf_puts(&out, json);
	buf_putc(&out, '\n');
	return cli_print(&out);
}

static const struct cli_command commands[] = {
	{ "provision-ak", provision_ak, "create the attestation key (AK), print its public part" },
	{ "show", show, "the TPM, the AK's public part, the PCRs" },
	{ "quote", quote, "print evidence for given report data" },
};

int cmd_tpm(int argc, char **argv)
{
	static const struct cli_group group = { "tpm", "", commands, ARRAY_LEN(commands) };

	return cli_group(&group, argc, argv);
}
