/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/cli/cmd_evidence.h"
#include "agent/cli/cmd_initdata.h"
#include "agent/verify/reference.h"
#include "attester/uki.h"

#include <stdio.h>

enum { OUT_MAX = 1 << 20 };

/* A value that a shell takes as one word; values are JSON of digits, hex, base64 and true, false. */
static void put_command(struct buf *out, const struct reference *r)
{
	bool text = r->value[0] == '"';
	size_t n = strlen(r->value);

	buf_printf(out, "kbs-client config set-sample-reference-value %s ", r->name);
	if (text)
		buf_put(out, r->value + 1, n - 2);
	else
		buf_puts(out, r->value);
	if (!text)
		buf_puts(out, r->value[0] == 't' || r->value[0] == 'f' ? " --as-bool" :
									 " --as-integer");
	buf_puts(out, r->single ? " --as-single-value\n" : "\n");
}

static void put_text(struct buf *out, const struct references *r)
{
	for (size_t i = 0; i < r->n; i++)
		buf_printf(out, "%-22s %s%s\n", r->list[i].name, r->list[i].value,
			   r->list[i].single ? "  (single value)" : "");
}

static int predict(uint8_t pcr11[32], const char *path, struct err *e)
{
	cleanup_buf struct buf file = BUF_MAX(UKI_FILE_MAX);
	struct digest d;
	struct uki u;
	int r = fs_read(&file, path, UKI_FILE_MAX, e);

	if (r == 0)
		r = uki_parse(&u, buf_view(&file), e);
	if (r == 0)
		r = uki_pcr11(&d, &u, HASH_SHA256, e);
	if (r < 0)
		return err_wrap(e, r, "--uki %s", path);
	memcpy(pcr11, d.b, 32);
	return 0;
}

/* What would vouch for nothing. */
static void warn_zero(const struct references *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (strstr(r->list[i].name, "pcr11") &&
		    strspn(r->list[i].value + 1, "0") + 2 == strlen(r->list[i].value))
			fprintf(stderr, "vouchsafe: %s is zero: this guest was not booted from a unified "
					"kernel image. Registered, it vouches for any such guest.\n",
				r->list[i].name);
}

struct choice {
	const char *evidence, *initdata, *uki;
	bool json, message, commands;
};

/* Of the primary and of devices beside it, which Trustee's policy judges by the same names. */
static int collect(struct references *out, const struct choice *c, struct err *e)
{
	cleanup_evidence_file struct evidence_file evidence = { 0 };
	cleanup_initdata struct initdata d = { 0 };
	struct reference_source src = { 0 };
	size_t i = 0;
	uint8_t pcr11[32];
	int r = 0;

	if (!c->evidence || strcmp(c->evidence, "live") == 0)
		r = cli_live_evidence(&evidence, e);
	else if (strcmp(c->evidence, "none") != 0)
		r = cli_load_evidence(&evidence, c->evidence, NULL, e);
	if (r == 0 && c->initdata)
		r = cli_load_initdata(&d, c->initdata, e);
	if (r == 0 && c->uki)
		r = predict(pcr11, c->uki, e);
	if (r < 0)
		return r;
	src.initdata = c->initdata ? &d.digest : NULL;
	src.pcr11 = c->uki ? pcr11 : NULL;
	do {
		src.ev = evidence.n > 0 ? evidence.item[i] : NULL;
		r = references_of(out, &src, e);
		src.initdata = NULL; /* is bound by the primary alone */
	} while (r == 0 && ++i < evidence.n);
	return r;
}

int cmd_reference_values(int argc, char **argv)
{
	struct choice c = { 0 };
	const struct cli_option options[] = {
		{ "--evidence", NULL, &c.evidence, "FILE  evidence to take them from; live (default): this guest's; none" },
		{ "--initdata", NULL, &c.initdata, "FILE  its register's value, instead of the evidence's" },
		{ "--uki", NULL, &c.uki, "FILE  PCR 11 as this unified kernel image will measure it, instead" },
		{ "--commands", &c.commands, NULL, "print kbs-client commands" },
		{ "--message", &c.message, NULL, "print the body for POST /kbs/v0/reference-value" },
		{ "--json", &c.json, NULL, "print the object {name: [value]}" },
	};
	const struct cli_syntax syntax = {
		.command = "reference-values",
		.operands = "",
		.about = "Print what an owner registers at Trustee (RVPS) for a guest: the names that Trustee's\n"
			 "own CPU policy asks for, and the register that carries the initdata. They are taken as\n"
			 "the evidence says, which proves nothing by itself: verify it first, or take it on a\n"
			 "machine that you trust. A registered name is replaced, so put the values of several\n"
			 "guests into one list.\n\n"
			 "  vouchsafe reference-values --evidence evidence.json --initdata initdata.toml --json",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_references struct references values = { 0 };
	cleanup_buf struct buf out = BUF_MAX(OUT_MAX);
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (c.json + c.message + c.commands > 1)
		return cli_usage("reference-values", "one of --commands, --message, --json");
	if (c.evidence && strcmp(c.evidence, "none") == 0 && !c.initdata && !c.uki)
		return cli_usage("reference-values", "--evidence none needs --initdata or --uki");
	if (collect(&values, &c, &e) < 0)
		return cli_fail(&e, c.json || c.message);
	warn_zero(&values);
	if (c.message)
		references_message(&out, &values);
	else if (c.json)
		references_json(&out, &values);
	else if (!c.commands)
		put_text(&out, &values);
	for (size_t i = 0; c.commands && i < values.n; i++)
		put_command(&out, &values.list[i]);
	if (c.json || c.message)
		buf_putc(&out, '\n');
	if (buf_check(&out, "the reference values", &e) < 0)
		return cli_fail(&e, c.json);
	return cli_print(&out) != 0 ? EXIT_SYSTEM : EXIT_OK;
}
