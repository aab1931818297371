/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/cli/cli.h"
#include "agent/cli/cmd_initdata.h"
#include "agent/setup/guest.h"
#include "initdata/provision.h"

#include <stdio.h>
#include <sys/stat.h>

static int binding(void *ctx, struct view digest, enum provision_register *out, struct err *e)
{
	static const enum provision_register of[] = {
		[BINDING_MATCHES] = REGISTER_MATCHES,
		[BINDING_EMPTY] = REGISTER_EMPTY,
		[BINDING_OTHER] = REGISTER_OTHER,
	};
	const struct guest *g = ctx;
	enum binding b = BINDING_OTHER;
	int r = g->attester->binding(&g->env, digest, &b, e);

	if (r == 0)
		*out = of[b];
	return r;
}

static int bind_digest(void *ctx, struct view digest, struct err *e)
{
	const struct guest *g = ctx;

	return g->attester->bind(&g->env, digest, e);
}

/* Called when the initdata has been read: only then is the TPM opened. */
static int open_platform(struct provision_platform *p, struct err *e)
{
	struct guest *g = p->ctx;
	int r = guest_open_image(g, e);

	if (r == 0)
		r = guest_open_platform(g, e);
	if (r < 0)
		return r;
	p->binding = g->attester->binding ? binding : NULL;
	p->bind = g->attester->bind ? bind_digest : NULL;
	p->permit_unbound = g->image.unbound;
	return 0;
}

/* What the source holds. Errors: initdata.source, initdata.too-large; absent is not one. */
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

static int provision(struct provision_result *out, struct guest *g, const char *path, struct err *e)
{
	cleanup_buf struct buf delivered = BUF_MAX(INITDATA_ENCODED_MAX);
	struct provision_platform p = { .ctx = g, .open = open_platform };
	bool absent = false;
	int r = read_source(&delivered, &absent, path, e);
	struct view v = buf_view(&delivered);

	return r < 0 ? r : provision_run(out, absent ? NULL : &v, &p, g->root, e);
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

static int say(const struct provision_result *done, const struct guest *g)
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
	buf_putc(&out, '\n');
	return cli_print(&out);
}

int initdata_provision(int argc, char **argv)
{
	const char *from = NULL;
	const struct cli_option options[] = {
		{ "--from", NULL, &from,
		  "FILE  the initdata as delivered: base64 of gzip, or text; may be missing" },
	};
	const struct cli_syntax syntax = {
		.command = "initdata provision",
		.operands = "",
		.about = "In the guest, once a boot and before vouchsafed: read the initdata, bind "
			 "its\n"
			 "digest to the hardware (PCR 8 is extended once; HOST_DATA and MRCONFIGID "
			 "are\n"
			 "compared) and deliver its files to /run/peerpod and\n"
			 "/run/confidential-containers/initdata. FILE need not be trusted: the "
			 "register\n"
			 "decides. Without FILE, and with an empty register, the pod has no "
			 "initdata and\n"
			 "the usual dummy is bound. It may be run again, also after it was "
			 "killed.\n\n"
			 "When it fails, policy.rego is removed, nothing is delivered, and only "
			 "the code\n"
			 "is printed; `vouchsafe doctor` shows the reason.\n\n"
			 "  vouchsafe initdata provision --from /run/peerpod/initdata",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	struct provision_result done;
	struct guest g = { 0 };
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (!from)
		return cli_usage("initdata provision", "want --from FILE");
	if ((size_t)snprintf(g.root, sizeof g.root, "%s", cli_root) >= sizeof g.root)
		return cli_usage("", "--root is longer than %zu bytes", sizeof g.root - 1);
	/* The files are for programs of other users. */
	(void)umask(022);
	r = provision(&done, &g, from, &e);
	r = r < 0 ? refuse(&g, &e) : say(&done, &g);
	guest_close(&g);
	return r;
}
