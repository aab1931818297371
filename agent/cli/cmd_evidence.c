/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/cli/cmd_evidence.h"
#include "agent/cli/service.h"

#include <stdio.h>

enum { RUNTIME_DATA_MAX = 64 };

static int ask(struct aa_tee *tee, struct secret *out, bool additional, struct view data,
	       struct deadline d, struct err *e)
{
	cleanup_free char *path = NULL;
	int r = cli_socket(&path, AA_SOCKET, e);

	if (r < 0)
		return r;
	cleanup_rpc struct rpc_link link = RPC_LINK(path);
	if ((r = rpc_ready(&link, d, e)) < 0 || (r = aa_get_tee(&link, d, tee, e)) < 0 ||
	    (r = rpc_ready(&link, d, e)) < 0)
		return r;
	return aa_get_evidence(&link, additional, data, d, out, e);
}

/* Evidence is for Trustee's eyes but no secret; it is JSON, or nothing (no additional device). */
static int put(const struct aa_tee *tee, const struct secret *evidence, bool json, struct err *e)
{
	struct view v = { secret_bytes(evidence), evidence->len };
	cleanup_buf struct buf b = BUF_MAX(EVIDENCE_TEXT_MAX + 1024);
	cleanup_json struct json *doc = NULL;
	int r = 0;

	if (v.len > 0)
		r = json_parse(&doc, v, EVIDENCE_TEXT_MAX, e);
	if (r < 0)
		return err_wrap_code(e, CODE_API_MALFORMED, "the evidence");
	if (json)
		buf_printf(&b, "{\"tee\":\"%s\",\"evidence\":", tee->name);
	if (v.len > 0)
		buf_putv(&b, v);
	else if (json)
		buf_puts(&b, "null");
	buf_puts(&b, json ? "}\n" : v.len > 0 ? "\n" : "");
	r = buf_check(&b, "the evidence", e);
	return r < 0 ? r : cli_put_bytes(buf_view(&b), e);
}

/* Evidence of the devices beside the primary, behind it in *out. */
static int add_devices(struct evidence_file *out, struct view text, struct err *e)
{
	cleanup_evidence_file struct evidence_file devices = { 0 };
	int r = text.len > 0 ? evidence_file_load(&devices, text, NULL, e) : 0;

	for (size_t i = 0; i < devices.n && out->n < ARRAY_LEN(out->item); i++)
		out->item[out->n++] = take(devices.item[i]);
	return r;
}

int cli_live_evidence(struct evidence_file *out, struct err *e)
{
	cleanup_secret struct secret evidence = { 0 }, devices = { 0 };
	struct aa_tee tee = { 0 };
	struct deadline d;
	int r = cli_deadline(&d, NULL, e);

	if (r == 0)
		r = ask(&tee, &evidence, false, (struct view){ 0 }, d, e);
	if (r == 0)
		r = evidence_file_load(out,
				       (struct view){ secret_bytes(&evidence), evidence.len },
				       tee.name, e);
	if (r == 0)
		r = ask(&tee, &devices, true, (struct view){ 0 }, d, e);
	if (r == 0)
		r = add_devices(out, (struct view){ secret_bytes(&devices), devices.len }, e);
	return r < 0 ? err_wrap(e, r, "evidence of this guest") : 0;
}

static int get(int argc, char **argv)
{
	bool json = false, additional = false;
	const char *text = NULL, *base64 = NULL, *timeout = NULL;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print {\"tee\", \"evidence\"}" },
		{ "--runtime-data", NULL, &text, "TEXT  what the evidence shall bind, at most 64 bytes" },
		{ "--runtime-data-base64", NULL, &base64, "BASE64  the same, as standard base64" },
		{ "--additional", &additional, NULL, "that of devices beside the primary TEE" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "evidence",
		.operands = "",
		.about = "Commands:\n"
			 "  verify  check evidence in a file as Trustee would, without it\n"
			 "  show    say what evidence in a file holds\n\n"
			 "Without a command, in the guest: print evidence of this guest, JSON as the platform's attester makes it.\n"
			 "Nothing is sent to Trustee. Without runtime data it binds none (zeros).\n\n"
			 "Exit code 65 when the runtime data is too long or no base64, 69 when the device\n"
			 "fails, 75 when vouchsafed cannot be reached.\n\n"
			 "  vouchsafe evidence --runtime-data hello | jq .",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_buf struct buf data = BUF_MAX(RUNTIME_DATA_MAX);
	cleanup_secret struct secret evidence = { 0 };
	struct aa_tee tee = { 0 };
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (text && base64)
		return cli_usage("evidence", "--runtime-data or --runtime-data-base64, not both");
	r = 0;
	if (base64)
		r = enc_base64_decode(&data, ENC_B64, view_str(base64), &e);
	else
		buf_putv(&data, view_str(text));
	if (r < 0)
		(void)err_wrap(&e, r, "--runtime-data-base64");
	else
		r = buf_check(&data, "the runtime data", &e);
	if (r < 0 || cli_deadline(&d, timeout, &e) < 0 ||
	    ask(&tee, &evidence, additional, buf_view(&data), d, &e) < 0 ||
	    put(&tee, &evidence, json, &e) < 0)
		return cli_fail(&e, json);
	return EXIT_OK;
}

int cmd_evidence(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "verify") == 0)
		return evidence_verify(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "show") == 0)
		return evidence_show(argc - 1, argv + 1);
	return get(argc, argv);
}
