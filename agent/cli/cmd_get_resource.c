/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/cli/service.h"
#include "agent/setup/guest.h"

#include <stdio.h>

enum { CERT_MAX = 256 * 1024 };

/* As upstream's trustee-attester has them; see get_directly(). */
struct direct {
	const char *url, *cert_file, *path, *initdata;
};

static int get_from_daemon(struct secret *out, const char *uri, struct deadline d, struct err *e)
{
	cleanup_free char *path = NULL;
	int r = cli_socket(&path, CLI_CDH_SOCKET, e);

	if (r < 0)
		return r;
	cleanup_rpc struct rpc_link link = RPC_LINK(path);
	r = rpc_ready(&link, d, e);
	return r < 0 ? r : aa_get_resource(&link, view_str(uri), d, out, e);
}

/* "repository/type/tag", with or without a slash before it, or a whole URI. */
static int resource_of(struct uri *out, const char *path, struct err *e)
{
	cleanup_free char *text = NULL;

	if (strstr(path, "://"))
		return uri_parse(out, view_str(path), e);
	if (asprintf(&text, "kbs:///%s", path[0] == '/' ? path + 1 : path) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a URI");
	return uri_parse(out, view_str(text), e);
}

/*
 * The text that Trustee gets to see: what the caller gives; else the provisioned one, where this
 * guest's register vouches for it. It is data of the evidence and configures nothing here.
 */
static struct view initdata_for(struct guest *g, const char *given)
{
	struct err e;

	if (given)
		return view_str(given);
	if (guest_open_initdata(g, &e) == 0 && g->bound && g->send_initdata)
		return buf_view(&g->initdata.text);
	return (struct view){ NULL, 0 };
}

static int get_with(struct guest *g, struct secret *out, const struct direct *x,
		    const struct uri *uri, struct deadline d, struct err *e)
{
	cleanup_buf struct buf cert = BUF_MAX(CERT_MAX);
	struct https_config https = { .user_agent = "vouchsafe" };
	struct kbs_config config = { .url = x->url, .round_trip = https_round_trip };
	struct kbs *kbs = NULL;
	int r;

	if (x->cert_file) {
		r = fs_read(&cert, x->cert_file, CERT_MAX, e);
		if (r < 0)
			return r;
		https.ca_pem = buf_str(&cert);
	}
	if ((r = guest_open_image(g, e)) < 0 || (r = guest_open_platform(g, e)) < 0 ||
	    (r = https_new(&g->https, &https, e)) < 0)
		return r;
	config.initdata = initdata_for(g, x->initdata);
	config.round_trip_ctx = g->https;
	config.evidence = (struct kbs_evidence_source){ g->attester->name, guest_evidence, g,
							guest_additional_evidence };
	r = kbs_new(&kbs, &config, e);
	if (r == 0)
		r = kbs_get(kbs, out, uri, d, e);
	kbs_free(kbs);
	return r;
}

/*
 * A handshake of this process with the Trustee of the command line. Whoever gives that line
 * decides whom to trust with this guest's evidence and whose answer to believe, for this one
 * resource and for nobody else: vouchsafed is not asked, and its configuration does not change.
 */
static int get_directly(struct secret *out, const struct direct *x, struct deadline d,
			struct err *e)
{
	static struct guest guest;
	struct uri uri;
	int r = resource_of(&uri, x->path, e);

	if (r < 0)
		return r;
	if (strlen(cli_root) >= sizeof guest.root)
		return err_set(e, ERR_USAGE, "--root is too long");
	(void)snprintf(guest.root, sizeof guest.root, "%s", cli_root);
	if (strncmp(x->url, "http://", 7) == 0)
		fprintf(stderr, "vouchsafe: %s: plain http, anyone on the way reads and changes it\n",
			x->url);
	r = get_with(&guest, out, x, &uri, d, e);
	guest_close(&guest);
	return r;
}

static int check(const struct direct *x, const char *operand)
{
	if (!x->url) {
		if (x->path || x->cert_file || x->initdata)
			return cli_usage("get-resource", "--path, --cert-file and --initdata go with --url");
		return operand ? -1 : cli_usage("get-resource", "want URI");
	}
	if (!x->path)
		return cli_usage("get-resource", "--url goes with --path");
	/* trustee-attester's own subcommand stands between its options. */
	if (operand && strcmp(operand, "get-resource") != 0)
		return cli_usage("get-resource", "one operand too many: %s", operand);
	return -1;
}

static const char about[] =
	"In the guest: print a resource of Trustee, exactly its bytes. vouchsafed fetches it, from\n"
	"the Trustee that its measured configuration names; nothing is cached.\n\n"
	"  vouchsafe get-resource kbs:///default/key/1\n\n"
	"With --url it takes the arguments of upstream's trustee-attester and prints base64, as that\n"
	"does. This process then attests by itself to the Trustee given: the command line, not the\n"
	"initdata, decides whom to trust with it. vouchsafed is neither asked nor changed. It needs\n"
	"the TPM (root, or group tss). So does a link to this program named trustee-attester.\n\n"
	"  vouchsafe get-resource --url https://trustee:8080 --cert-file ca.pem get-resource \\\n"
	"      --path default/key/1\n\n"
	"Exit code 64 for a malformed URI, 66 when Trustee lacks it, 69 when the device fails, 75\n"
	"when Trustee or vouchsafed cannot be reached, 76 when a certificate does not verify, 77\n"
	"when Trustee refuses, 78 when no Trustee is configured.";

int cmd_get_resource(int argc, char **argv)
{
	bool json = false;
	const char *timeout = NULL, *operand;
	struct direct x = { 0 };
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print {\"uri\", \"base64\"}" },
		CLI_TIMEOUT_OPTION(&timeout),
		{ "--url", NULL, &x.url, "URL  of a Trustee, instead of the configured one" },
		{ "--cert-file", NULL, &x.cert_file, "FILE  its root certificate (PEM); else the system's" },
		{ "--path", NULL, &x.path, "PATH  with --url: repository/type/tag" },
		{ "--initdata", NULL, &x.initdata,
		  "TEXT  with --url: what Trustee gets to see; else the bound one" },
	};
	const struct cli_syntax syntax = {
		.command = "get-resource",
		.operands = "URI",
		.about = about,
		.options = options,
		.n_options = ARRAY_LEN(options),
		.max_operands = 1,
	};
	cleanup_secret struct secret plain = { 0 };
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &operand);

	if (r >= 0 || (r = check(&x, operand)) >= 0)
		return r;
	if (cli_deadline(&d, timeout, &e) < 0)
		return cli_fail(&e, json);
	if (x.url)
		r = get_directly(&plain, &x, d, &e);
	else
		r = get_from_daemon(&plain, operand, d, &e);
	if (r < 0)
		return cli_fail(&e, json);
	if (x.url && !json) {
		r = cli_put_base64((struct view){ secret_bytes(&plain), plain.len }, &e);
		if (r == 0)
			r = cli_put_bytes(view_str("\n"), &e);
	} else {
		r = cli_put_result(&plain, json, "uri", x.url ? x.path : operand, &e);
	}
	return r < 0 ? cli_fail(&e, json) : EXIT_OK;
}
