/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_token.h"
#include "agent/cli/service.h"

static int get(struct secret *out, const char *type, struct deadline d, struct err *e)
{
	cleanup_free char *path = NULL;
	int r = cli_socket(&path, AA_SOCKET, e);

	if (r < 0)
		return r;
	cleanup_rpc struct rpc_link link = RPC_LINK(path);
	r = rpc_ready(&link, d, e);
	return r < 0 ? r : aa_get_token(&link, view_str(type), d, out, e);
}

/* What is between the quotes of {"token":"…"}, or all of a bare token. */
static struct view bare(const struct secret *s)
{
	static const char head[] = "{\"token\":\"";
	struct view v = { secret_bytes(s), s->len };

	if (view_starts(v, head) && v.len >= sizeof head - 1 + 2)
		v = (struct view){ v.p + sizeof head - 1, v.len - (sizeof head - 1) - 2 };
	return v;
}

/* A JWT needs no escaping; what does is no token. */
static int check(struct view v, struct err *e)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] <= ' ' || v.p[i] > '~' || v.p[i] == '"' || v.p[i] == '\\')
			return err_code(e, CODE_TOKEN_FORMAT, "byte %zu of the token is 0x%02x", i,
					v.p[i]);
	return v.len > 0 ? 0 : err_code(e, CODE_TOKEN_FORMAT, "an empty token");
}

static int put(struct secret *s, bool with_key, bool json, struct err *e)
{
	struct view v;
	int r;

	if (with_key) {
		r = cli_put_bytes((struct view){ secret_bytes(s), s->len }, e);
		return r < 0 ? r : cli_put_bytes(view_str("\n"), e);
	}
	r = rest_token_strip(s, e);
	if (r < 0)
		return err_wrap_code(e, CODE_TOKEN_FORMAT, "the answer");
	v = bare(s);
	if ((r = check(v, e)) < 0 || (json && (r = cli_put_bytes(view_str("{\"token\":\""), e)) < 0) ||
	    (r = cli_put_bytes(v, e)) < 0)
		return r;
	return cli_put_bytes(view_str(json ? "\"}\n" : "\n"), e);
}

int cmd_token(int argc, char **argv)
{
	bool json = false, with_key = false;
	const char *type = "kbs", *timeout = NULL;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print {\"token\"}" },
		{ "--type", NULL, &type, "WORD  kbs (default) or coco_as" },
		{ "--with-key", &with_key, NULL,
		  "kbs: print {\"token\", \"tee_keypair\"}, the answer as it is; not to a terminal" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "token",
		.operands = "",
		.about = "In the guest: print an attestation token. Who has a token of type kbs and its key\n"
			 "may read at Trustee what this guest may: the key is left out, unless --with-key\n"
			 "asks for it and standard output is a file or a pipe. It is a key made for export,\n"
			 "never the one that vouchsafed reads its own secrets with.\n\n"
			 "Exit code 64 for another type, 75 when Trustee or vouchsafed cannot be reached, 77\n"
			 "when Trustee refuses the evidence, 78 when no Trustee is configured.\n\n"
			 "  vouchsafe token --type kbs | cut -d. -f2 | base64 -d",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_secret struct secret token = { 0 };
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (strcmp(type, "kbs") != 0 && strcmp(type, "coco_as") != 0)
		return cli_usage("token", "--type %s: want kbs or coco_as", type);
	if (with_key && strcmp(type, "kbs") != 0)
		return cli_usage("token", "a token of type %s has no key", type);
	if (with_key && isatty(STDOUT_FILENO))
		return cli_usage("token", "--with-key prints a private key: not to a terminal");
	if (cli_deadline(&d, timeout, &e) < 0 || get(&token, type, d, &e) < 0 ||
	    put(&token, with_key, json, &e) < 0)
		return cli_fail(&e, json);
	return EXIT_OK;
}
