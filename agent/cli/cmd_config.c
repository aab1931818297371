/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/cli/cli.h"
#include "agent/cli/cmd_initdata.h"
#include "agent/setup/guest.h"

#include <stdio.h>

enum { OUT_MAX = 1 << 20 };

struct listing {
	struct buf out;
	bool json;
	bool any;
};

static void put_item(void *ctx, const struct config_item *item)
{
	static const char *const json_measured[] = { "false", "true", "null" };
	static const char *const words[] = { "no", "yes", "-" };
	struct listing *l = ctx;
	struct buf *b = &l->out;

	if (!l->json) {
		buf_printf(b, "%s = ", item->key);
		buf_put_plain(b, view_str(item->value));
		buf_printf(b, "\n    %s", item->source);
		if (item->line > 0)
			buf_printf(b, " line %u", item->line);
		buf_printf(b, "; measured: %s\n", words[item->measured]);
		return;
	}
	buf_printf(b, "%s{\"key\":\"%s\",\"value\":", l->any ? "," : "", item->key);
	json_put_string(b, view_str(item->value));
	buf_printf(b, ",\"source\":\"%s\",\"line\":", item->source);
	if (item->line > 0)
		buf_printf(b, "%u", item->line);
	else
		buf_puts(b, "null");
	buf_printf(b, ",\"measured\":%s}", json_measured[item->measured]);
	l->any = true;
}

static void put_remarks(struct listing *l, const char *name, const char *about,
			const struct config_remarks *r)
{
	struct buf *b = &l->out;

	if (l->json) {
		buf_printf(b, ",\"%s\":[", name);
		for (size_t i = 0; i < r->n; i++) {
			buf_puts(b, i > 0 ? "," : "");
			json_put_string(b, view_str(r->text[i]));
		}
		buf_printf(b, "],\"%s_more\":%zu", name, r->more);
		return;
	}
	if (r->n > 0)
		buf_printf(b, "\n%s:\n", about);
	for (size_t i = 0; i < r->n; i++) {
		buf_puts(b, "  ");
		buf_put_plain(b, view_str(r->text[i]));
		buf_putc(b, '\n');
	}
	if (r->more > 0)
		buf_printf(b, "  and %zu more\n", r->more);
}

static void put_both_remarks(struct listing *l, const struct guest_config *c)
{
	put_remarks(l, "unknown", "Not known, and ignored as peers do", &c->unknown);
	put_remarks(l, "ignored", "Ignored", &c->ignored);
}

static int explain_guest(struct guest *g, bool json)
{
	static int (*const steps[])(struct guest *, struct err *) = {
		guest_open_image,
		guest_open_platform,
		guest_open_initdata,
		guest_open_config,
	};
	struct listing l = { .out = BUF_MAX(OUT_MAX), .json = json };
	struct err e;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i](g, &e) < 0)
			return cli_fail(&e, json);
	if (json)
		buf_printf(&l.out, "{\"bound\":%s,\"image_measured\":%s,\"settings\":[",
			   g->bound ? "true" : "false", g->image.measured ? "true" : "false");
	image_explain(&g->image, put_item, &l);
	config_explain(&g->config, g->bound, put_item, &l);
	if (json)
		buf_putc(&l.out, ']');
	put_both_remarks(&l, &g->config);
	if (json)
		buf_puts(&l.out, "}\n");
	else if (!g->image.measured)
		buf_printf(&l.out, "\nThe image's configuration is not measured: %s.\n",
			   g->image.why_not);
	r = cli_print(&l.out);
	buf_done(&l.out);
	return r;
}

static int config_explain_command(int argc, char **argv)
{
	static struct guest guest;
	bool json = false;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "config explain",
		.operands = "",
		.about = "In the guest: print each effective setting, where it comes from and whether that\n"
			 "place is measured (\"-\": nobody says it, the program's default holds). Certificates\n"
			 "are shown by fingerprint. What vouchsafed started with is the same unless the image\n"
			 "or the kernel command line changed since.",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (strlen(cli_root) >= sizeof guest.root)
		return cli_usage("config explain", "--root is too long");
	(void)snprintf(guest.root, sizeof guest.root, "%s", cli_root);
	r = explain_guest(&guest, json);
	guest_close(&guest);
	return r;
}

/* "aa.toml" of "/tmp/my-aa.toml" or "aa.json"; NULL for any other name. */
static const char *text_of_name(const char *path)
{
	static const struct {
		const char *end, *key;
	} names[] = {
		{ "vouchsafe.toml", "vouchsafe.toml" },
		{ "aa.toml", "aa.toml" },
		{ "aa.json", "aa.toml" },
		{ "cdh.toml", "cdh.toml" },
		{ "cdh.json", "cdh.toml" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i].end), len = strlen(path);

		if (len >= n && strcmp(path + len - n, names[i].end) == 0)
			return names[i].key;
	}
	return NULL;
}

/* An initdata with that one text. */
static int wrap(struct initdata *out, const char *key, struct view text, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(INITDATA_TEXT_MAX);
	int r;

	buf_printf(&b, "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n\"%s\" = ", key);
	toml_put_string(&b, text);
	buf_putc(&b, '\n');
	r = buf_check(&b, "the text", e);
	return r < 0 ? r : initdata_load_text(out, buf_view(&b), e);
}

static int load(struct initdata *out, const char *path, const char *key, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(INITDATA_ENCODED_MAX);
	int r = cli_read(&b, path, INITDATA_ENCODED_MAX, e);

	if (r < 0)
		return r;
	if (!key)
		key = text_of_name(path);
	if (!key || strcmp(key, "initdata") == 0)
		return initdata_load(out, buf_view(&b), e);
	if (!enc_is_utf8(buf_view(&b)) || memchr(buf_str(&b), '\0', b.len))
		return err_code(e, CODE_CONFIG_SYNTAX, "%s is not UTF-8 text", path);
	return wrap(out, key, buf_view(&b), e);
}

/* What a guest would do and an owner should know. */
static void put_notes(struct listing *l, const struct guest_config *c)
{
	const struct {
		bool on;
		const char *text;
	} notes[] = {
		{ c->offline, "kbc.name = offline_fs_kbc: refused by every build but a development build" },
		{ c->kbs_url == NULL && !c->offline, "no Trustee is named: calls that need one will fail" },
		{ c->plain_http, "Trustee is spoken to over plain http: anyone on the way reads and "
				 "changes the handshake" },
		{ c->kbs_url && !c->plain_http && !c->kbs_cert,
		  "no certificate is given: the image's own roots decide who is Trustee" },
		{ c->eventlog_enabled && c->has_init_pcr && c->init_pcr >= 17 && c->init_pcr <= 22,
		  "eventlog_config.init_pcr: PCRs 17 to 22 of a TPM cannot be extended from the guest" },
		{ c->skip_sealed_verification,
		  "skip_sealed_secret_verification: signatures of sealed secrets are not checked" },
	};
	bool any = false;

	if (l->json)
		buf_puts(&l->out, ",\"notes\":[");
	for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
		if (!notes[i].on)
			continue;
		if (l->json) {
			buf_puts(&l->out, any ? "," : "");
			json_put_string(&l->out, view_str(notes[i].text));
		} else {
			buf_printf(&l->out, "note: %s\n", notes[i].text);
		}
		any = true;
	}
	if (l->json)
		buf_putc(&l->out, ']');
}

static int check(const char *path, const char *key, bool json)
{
	cleanup_initdata struct initdata d = { 0 };
	struct listing l = { .out = BUF_MAX(OUT_MAX), .json = json };
	struct guest_config c = { 0 };
	struct err e;
	bool findings;
	int r;

	if (load(&d, path, key, &e) < 0 || guest_config_load(&c, &d, &e) < 0)
		return cli_fail(&e, json);
	findings = c.unknown.n > 0 || c.ignored.n > 0 || c.offline;
	if (json) {
		buf_puts(&l.out, "{\"settings\":[");
		config_explain(&c, true, put_item, &l);
		buf_putc(&l.out, ']');
	}
	put_notes(&l, &c);
	put_both_remarks(&l, &c);
	if (json)
		buf_puts(&l.out, "}\n");
	else if (!findings)
		buf_puts(&l.out, "no fault found\n");
	guest_config_done(&c);
	r = cli_print(&l.out);
	buf_done(&l.out);
	return r != 0 ? r : findings ? EXIT_FINDINGS : EXIT_OK;
}

static int config_check_command(int argc, char **argv)
{
	bool json = false;
	const char *key = NULL, *path = NULL;
	const struct cli_option options[] = {
		{ "--as", NULL, &key, "KEY  what FILE is: initdata, aa.toml, cdh.toml or vouchsafe.toml" },
		{ "--json", &json, NULL, "print {settings, notes, unknown, ignored}" },
	};
	const struct cli_syntax syntax = {
		.command = "config check",
		.operands = "FILE",
		.about = "For owners: read an initdata, or one of its texts, as a guest will. FILE named\n"
			 "…aa.toml, …cdh.toml (or .json) or …vouchsafe.toml is that text, any other is an\n"
			 "initdata; --as overrides. \"-\" is standard input.\n\n"
			 "Exit code 0 when all is well, 1 when there are keys that nobody reads, 78 when a\n"
			 "guest would refuse it.\n\n"
			 "  vouchsafe config check cdh.toml",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	int r = cli_parse(&syntax, argc, argv, &path);

	if (r >= 0)
		return r;
	if (key && strcmp(key, "initdata") != 0 && !(text_of_name(key) && strcmp(text_of_name(key), key) == 0))
		return cli_usage("config check", "--as %s: want initdata, aa.toml, cdh.toml or vouchsafe.toml",
				 key);
	return check(path, key, json);
}

int cmd_config(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{ "explain", config_explain_command,
		  "in the guest: each setting, where it comes from, whether measured" },
		{ "check", config_check_command, "for owners: read a file as a guest will" },
	};
	static const struct cli_group group = { "config", "", commands, ARRAY_LEN(commands) };

	return cli_group(&group, argc, argv);
}
