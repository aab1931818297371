/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_role.h"
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/version.h"
#include "agent/daemon/startup.h"
#include "agent/setup/guest.h"

#include <stdio.h>

enum { OPT_FD_STORE = 256 };

static const struct option own_options[] = {
	{ "fd-store", no_argument, NULL, OPT_FD_STORE },
	STARTUP_OPTIONS,
	STARTUP_ROOT,
	{ 0 },
};

static const struct option cdh_options[] = { STARTUP_OPTIONS, STARTUP_ROOT, { 0 } };

/* Upstream's help texts and its parser spell some of them differently; both are taken. */
static const struct option aa_options[] = {
	{ "attestation_sock", required_argument, NULL, 'a' },
	{ "attestation-sock", required_argument, NULL, 'a' },
	{ "config-file", required_argument, NULL, 'c' },
	{ "config_file", required_argument, NULL, 'c' },
	{ "config", required_argument, NULL, 'c' },
	{ "initdata-digest", required_argument, NULL, 'i' },
	{ "initdata_digest", required_argument, NULL, 'i' },
	{ "initdata-toml", required_argument, NULL, 't' },
	{ "initdata_toml", required_argument, NULL, 't' },
	STARTUP_OPTIONS,
	STARTUP_ROOT,
	{ 0 },
};

static const char own_help[] =
	"Usage: vouchsafed [--log LEVEL] [--fd-store]\n\n"
	"Attests this guest to the Trustee that its measured initdata names and serves evidence,\n"
	"tokens and unsealed secrets on the sockets of the attestation agent and the confidential\n"
	"data hub. Started by vouchsafed.service after vouchsafe-initdata.service; takes no\n"
	"configuration but the measured one.\n";
static const char aa_help[] =
	"Usage: attestation-agent [-a URI] [-t FILE] [-i DIGEST] [-c FILE] [--log LEVEL]\n\n"
	"vouchsafed in the place of the attestation agent, for native kata: binds the initdata to\n"
	"the hardware and serves the agent's socket.\n";
static const char cdh_help[] = "Usage: confidential-data-hub [-c FILE] [--log LEVEL]\n\n"
			       "vouchsafed in the place of the confidential data hub, for native "
			       "kata: serves cdh.sock and\n"
			       "has its token of the attestation agent.\n";
static const char own_option_help[] =
	"  --fd-store   keep root's connections in the service manager's store\n";
static const char aa_option_help[] =
	"  -a, --attestation_sock URI  default unix://" AA_SOCKET "\n"
	"  -t, --initdata-toml FILE    the initdata; default " GUEST_INITDATA_PATH "\n"
	"  -i, --initdata-digest B64   what its digest must be, where no FILE is given\n"
	"  -c, --config-file FILE      not measured, so not read: the initdata has it\n";
static const char cdh_option_help[] =
	"  -c FILE      not measured, so not read: the initdata has it\n";

static const struct {
	const char *name, *build, *letters, *help, *option_help;
	const struct option *options;
} roles[] = {
	[ROLE_BOTH] = { "vouchsafed", "vouchsafed ", "h", own_help, own_option_help, own_options },
	[ROLE_AA] = { "attestation-agent", "attestation-agent vouchsafe ", "a:c:i:t:Vh", aa_help,
		      aa_option_help, aa_options },
	[ROLE_CDH] = { "confidential-data-hub", "confidential-data-hub vouchsafe ", "c:Vh", cdh_help,
		       cdh_option_help, cdh_options },
};

static enum role role_of(const char *argv0)
{
	const char *slash = strrchr(argv0, '/'), *name = slash ? slash + 1 : argv0;

	for (int r = ROLE_AA; r <= ROLE_CDH; r++)
		if (strcmp(name, roles[r].name) == 0)
			return (enum role)r;
	return ROLE_BOTH;
}

static void help(const void *ctx)
{
	const struct role_options *o = ctx;

	printf("%s\nOptions:\n%s"
	       "  --log LEVEL  error, warn, info (default) or debug\n"
	       "  --version    version and build\n%s\n"
	       "Signals: TERM, INT and HUP end it after the calls in flight. See vouchsafed(8).\n",
	       roles[o->role].help, roles[o->role].option_help,
	       version_is_dev ? "  --root DIR   prefix of every path (development builds)\n" : "");
}

/* unix:///path, as upstream insists on. */
static const char *take_socket(struct role_options *o, const char *uri)
{
	static const char scheme[] = "unix://";

	if (strncmp(uri, scheme, sizeof scheme - 1) != 0 || uri[sizeof scheme - 1] != '/')
		return "the socket must be unix:// and an absolute path";
	o->socket = uri + sizeof scheme - 1;
	return NULL;
}

static const char *take_option(void *ctx, int c)
{
	struct role_options *o = ctx;

	if (c == 'a')
		return take_socket(o, optarg);
	if (c == 't')
		o->initdata = optarg;
	else if (c == 'i')
		o->digest = optarg;
	else if (c == 'c')
		o->config = optarg;
	else
		o->fd_store = true;
	return NULL;
}

int role_parse(struct role_options *o, int argc, char **argv)
{
	enum role role = role_of(argc > 0 ? argv[0] : "");
	const struct startup_syntax syntax = {
		.name = roles[role].name,
		.build = roles[role].build,
		.letters = roles[role].letters,
		.options = roles[role].options,
		.help = help,
		.own_option = take_option,
	};

	*o = (struct role_options){ .role = role, .name = roles[role].name, .given = STARTUP_DEFAULTS };
	return startup_parse(&o->given, &syntax, o, argc, argv);
}

int role_passport(void *ctx, struct secret *json, struct deadline d, struct err *e)
{
	const struct guest *g = ctx;
	cleanup_free char *path = fs_join(g->root, AA_SOCKET);
	cleanup_rpc struct rpc_link l = RPC_LINK(path);
	int r;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = rpc_ready(&l, d, e);
	if (r == 0)
		r = aa_get_token(&l, view_str("kbs"), d, json, e);
	return r < 0 ? err_wrap(e, r, "token of the attestation agent") : 0;
}

int role_check_digest(const struct role_options *o, struct view digest, struct err *e)
{
	cleanup_buf struct buf given = BUF_MAX(DIGEST_MAX);
	int r;

	if (!o->digest || o->initdata)
		return 0;
	r = enc_base64_decode(&given, ENC_B64, view_str(o->digest), e);
	if (r < 0)
		return err_set(e, ERR_USAGE, "--initdata-digest is no base64 of a digest");
	if (!view_eq(buf_view(&given), digest))
		return err_code(e, CODE_INITDATA_DIGEST_MISMATCH,
				"the initdata's digest is not that of the command line");
	return 0;
}
