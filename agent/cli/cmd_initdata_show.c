/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/cli/cli.h"
#include "agent/cli/cmd_initdata.h"
#include "agent/setup/guest.h"

/* digest, inspect, verify: what an owner wants to know about an initdata. */

enum { OUT_MAX = 8 << 20 };

/* --- digest --------------------------------------------------------------- */

static void put_line(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	buf_printf(out, "%-12s ", name);
	enc_hex(out, (struct view){ p, n });
	buf_putc(out, '\n');
}

static void put_member(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	buf_printf(out, ",\"%s\":\"", name);
	enc_hex(out, (struct view){ p, n });
	buf_putc(out, '"');
}

int initdata_print_digest(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "initdata digest",
		.operands = "FILE",
		.about = "Print the digest of an initdata and what registers hold when the guest "
			 "is\n"
			 "bound to it: PCR 8 of a TPM (SHA-256 bank, from zero), HOST_DATA of "
			 "SEV-SNP,\n"
			 "MRCONFIGID of TDX. Register the one of your platform as a reference "
			 "value.\n\n"
			 "  vouchsafe initdata digest initdata.toml",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	cleanup_initdata struct initdata d = { 0 };
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	struct register_values v;
	const char *file;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &file);

	if (r >= 0)
		return r;
	if (cli_load_initdata(&d, file, &e) < 0 || cli_register_values(&v, &d, &e) < 0)
		return cli_fail(&e, json);
	if (json) {
		buf_printf(&out, "{\"algorithm\":\"%s\"", hash_name(d.alg));
		put_member(&out, "digest", d.digest.b, d.digest.len);
		put_member(&out, "pcr8", v.pcr, sizeof v.pcr);
		put_member(&out, "host_data", v.host_data, sizeof v.host_data);
		put_member(&out, "mrconfigid", v.mrconfigid, sizeof v.mrconfigid);
		buf_puts(&out, "}\n");
	} else {
		put_line(&out, hash_name(d.alg), d.digest.b, d.digest.len);
		put_line(&out, "PCR 8", v.pcr, sizeof v.pcr);
		put_line(&out, "HOST_DATA", v.host_data, sizeof v.host_data);
		put_line(&out, "MRCONFIGID", v.mrconfigid, sizeof v.mrconfigid);
	}
	return cli_print(&out);
}

/* --- inspect -------------------------------------------------------------- */

/* Everything inspect says. */
struct findings {
	struct initdata d;
	struct guest_config config;
	struct err config_error; /* kind ERR_OK: none */
	size_t encoded;          /* bytes */
};

static void findings_done(struct findings *f)
{
	initdata_done(&f->d);
	guest_config_done(&f->config);
}

static int find(struct findings *f, const char *file, struct err *e)
{
	cleanup_buf struct buf code = BUF_MAX(INITDATA_ENCODED_MAX);
	int r = cli_load_initdata(&f->d, file, e);

	if (r < 0)
		return r;
	r = initdata_encode(&code, buf_view(&f->d.text), e);
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	if (r < 0)
		return r;
	f->encoded = code.len;
	if (guest_config_load(&f->config, &f->d, &f->config_error) == 0)
		f->config_error.kind = ERR_OK;
	return 0;
}

static size_t value_len(const struct toml *member)
{
	size_t n = 0;

	return toml_string(member, &n) ? n : 0;
}

static const char *trust_of(const struct guest_config *c)
{
	if (c->plain_http)
		return "plain http: only encrypted resources are safe";
	return c->kbs_cert ? "certificate pinned" : "any certificate authority of the image";
}

static void put_inspect_text(struct buf *out, const struct findings *f)
{
	buf_printf(out, "version      0.1.0\nalgorithm    %s\ndigest       ", hash_name(f->d.alg));
	enc_hex(out, digest_view(&f->d.digest));
	buf_printf(out, "\ntext         %zu bytes\nencoded      %zu bytes\n", f->d.text.len,
		   f->encoded);
	for (const struct toml *m = toml_first(initdata_data(&f->d)); m; m = toml_next(m)) {
		buf_printf(out, "data         ");
		buf_put_plain(out, toml_key_view(m));
		buf_printf(out, " (%zu bytes)\n", value_len(m));
	}
	if (f->config_error.kind != ERR_OK) {
		buf_printf(out, "problem      %s: ", err_name(&f->config_error));
		buf_put_plain(out, view_str(f->config_error.msg));
		buf_printf(out, "\n             %s\n", err_words(f->config_error.code)->remedy);
		return;
	}
	buf_puts(out, "Trustee      ");
	buf_put_plain(out, view_str(f->config.kbs_url ? f->config.kbs_url : "none"));
	if (f->config.kbs_url)
		buf_printf(out, " (%s)", trust_of(&f->config));
	buf_putc(out, '\n');
	if (f->d.digest.len != 32)
		buf_puts(out, "note         on a TPM, Trustee sees the text only with sha256\n");
}

static void put_inspect_json(struct buf *out, const struct findings *f)
{
	const struct guest_config *c = &f->config;

	buf_printf(out, "{\"version\":\"0.1.0\",\"algorithm\":\"%s\"", hash_name(f->d.alg));
	put_member(out, "digest", f->d.digest.b, f->d.digest.len);
	buf_printf(out, ",\"text_bytes\":%zu,\"encoded_bytes\":%zu,\"data\":{", f->d.text.len,
		   f->encoded);
	for (const struct toml *m = toml_first(initdata_data(&f->d)); m; m = toml_next(m)) {
		json_put_string(out, toml_key_view(m));
		buf_printf(out, ":%zu%s", value_len(m), toml_next(m) ? "," : "");
	}
	buf_puts(out, "},\"problem\":");
	if (f->config_error.kind != ERR_OK) {
		buf_printf(out, "{\"code\":\"%s\",\"message\":", err_name(&f->config_error));
		json_put_string(out, view_str(f->config_error.msg));
		buf_puts(out, "}}\n");
		return;
	}
	buf_puts(out, "null,\"trustee\":");
	if (c->kbs_url)
		json_put_string(out, view_str(c->kbs_url));
	else
		buf_puts(out, "null");
	buf_printf(out, ",\"plain_http\":%s,\"certificate_pinned\":%s}\n",
		   c->plain_http ? "true" : "false", c->kbs_cert ? "true" : "false");
}

int initdata_inspect(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "initdata inspect",
		.operands = "FILE",
		.about = "Say what an initdata holds and whether a guest would take the "
			 "configuration\n"
			 "in it; exits 1 when it would not.\n\n"
			 "  vouchsafe initdata inspect initdata.toml",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	__attribute__((cleanup(findings_done))) struct findings f = { 0 };
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	const char *file;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &file);

	if (r >= 0)
		return r;
	if (find(&f, file, &e) < 0)
		return cli_fail(&e, json);
	if (json)
		put_inspect_json(&out, &f);
	else
		put_inspect_text(&out, &f);
	r = cli_print(&out);
	return r == 0 && f.config_error.kind != ERR_OK ? EXIT_FINDINGS : r;
}

/* --- verify --------------------------------------------------------------- */

/* One value that the caller expects. */
struct expected {
	const char *name, *json_name; /* "--pcr8", "pcr8" */
	const char *hex;              /* NULL: not given */
	const uint8_t *actual;
	size_t len;
};

/* 1 when it is as expected, 0 when not, -kind when the argument is malformed. */
static int compare(const struct expected *x, struct err *e)
{
	uint8_t want[DIGEST_MAX];

	if (enc_hex_decode(want, x->len, view_str(x->hex), NULL) < 0)
		return err_set(e, ERR_USAGE, "%s: want %zu hexadecimal digits", x->name,
			       2 * x->len);
	return memcmp(want, x->actual, x->len) == 0;
}

static int verify(const struct expected *all, size_t n, bool json)
{
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	bool good = true;
	struct err e;

	for (size_t i = 0; i < n; i++) {
		int r = all[i].hex ? compare(&all[i], &e) : 1;

		if (r < 0)
			return cli_fail(&e, json);
		if (!all[i].hex)
			continue;
		good = good && r == 1;
		if (json) {
			buf_printf(&out, "%s\"%s\":%s", out.len ? "," : "{", all[i].json_name,
				   r ? "true" : "false");
		} else {
			buf_printf(&out, "%s %s", all[i].json_name,
				   r ? "matches\n" : "does not match, this initdata gives ");
			if (!r) {
				enc_hex(&out, (struct view){ all[i].actual, all[i].len });
				buf_putc(&out, '\n');
			}
		}
	}
	if (json)
		buf_printf(&out, ",\"verified\":%s}\n", good ? "true" : "false");
	return cli_print(&out) != 0 ? EXIT_SYSTEM : good ? EXIT_OK : EXIT_VERIFY;
}

int initdata_verify(int argc, char **argv)
{
	const char *digest = NULL, *pcr8 = NULL, *host_data = NULL, *mrconfigid = NULL, *file;
	bool json = false;
	const struct cli_option options[] = {
		{ "--digest", NULL, &digest, "HEX  the initdata's own digest" },
		{ "--pcr8", NULL, &pcr8, "HEX  value of PCR 8, SHA-256 bank" },
		{ "--host-data", NULL, &host_data, "HEX  HOST_DATA of an SEV-SNP report" },
		{ "--mrconfigid", NULL, &mrconfigid, "HEX  MRCONFIGID of a TDX quote" },
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "initdata verify",
		.operands = "FILE",
		.about = "Compare an initdata with what a guest or Trustee shows: one or more of "
			 "the\n"
			 "values below. Exits 0 when all match and 76 when one does not.\n\n"
			 "  vouchsafe initdata verify initdata.toml --pcr8 4b58b30b...",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	cleanup_initdata struct initdata d = { 0 };
	struct register_values v;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &file);

	if (r >= 0)
		return r;
	if (!digest && !pcr8 && !host_data && !mrconfigid)
		return cli_usage("initdata verify", "want a value to compare with");
	if (cli_load_initdata(&d, file, &e) < 0 || cli_register_values(&v, &d, &e) < 0)
		return cli_fail(&e, json);
	const struct expected all[] = {
		{ "--digest", "digest", digest, d.digest.b, d.digest.len },
		{ "--pcr8", "pcr8", pcr8, v.pcr, sizeof v.pcr },
		{ "--host-data", "host_data", host_data, v.host_data, sizeof v.host_data },
		{ "--mrconfigid", "mrconfigid", mrconfigid, v.mrconfigid, sizeof v.mrconfigid },
	};
	return verify(all, ARRAY_LEN(all), json);
}
