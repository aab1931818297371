/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/service.h"
#include "agent/secrets/sealed.h"

/* A sealed text has no space in it: what an editor put behind it is not part of it. */
static struct view trim(struct view v)
{
	while (v.len > 0 && memchr("\n\r \t", v.p[v.len - 1], 4))
		v.len--;
	return v;
}

static int unseal(struct secret *out, const char *name, struct view sealed, struct deadline d,
		  struct err *e)
{
	cleanup_free char *path = NULL;
	struct ttrpc_client *client = NULL;
	int r = cli_socket(&path, CLI_CDH_SOCKET, e);

	/* A socket that is not there will not come for a person at a prompt: one second. */
	if (r == 0)
		r = ttrpc_client_open(&client, path, deadline_min(d, deadline_in(1000)), e);
	if (r == 0)
		r = ttrpc_unseal(client, name, sealed, d, out, e);
	ttrpc_client_close(client);
	return r;
}

int cmd_unseal(int argc, char **argv)
{
	bool json = false;
	const char *name = NULL, *timeout = NULL, *text;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print {\"base64\"}" },
		{ "--name", NULL, &name, "NAME  what it is for, where [sealed] bind names it" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "unseal",
		.operands = "TEXT|@FILE|-",
		.about = "In the guest: have vouchsafed unseal a sealed secret and print its plaintext, exactly\n"
			 "its bytes. Space behind the text of a FILE or of standard input is dropped.\n\n"
			 "Exit code 65 when it is malformed, 66 when Trustee lacks what it names, 75 when\n"
			 "Trustee or vouchsafed cannot be reached, 76 when a signature does not verify, 77\n"
			 "when a policy refuses.\n\n"
			 "  vouchsafe unseal @password.sealed",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	cleanup_buf struct buf b = BUF_MAX(SEALED_TEXT_MAX);
	cleanup_secret struct secret plain = { 0 };
	struct view sealed;
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &text);

	if (r >= 0)
		return r;
	if (name && strlen(name) > 255)
		return cli_usage("unseal", "--name of over 255 bytes");
	sealed = view_str(text);
	if (text[0] == '@' || strcmp(text, "-") == 0) {
		if (cli_read(&b, text[0] == '@' ? text + 1 : text, SEALED_TEXT_MAX, &e) < 0)
			return cli_fail(&e, json);
		sealed = trim(buf_view(&b));
	}
	if (cli_deadline(&d, timeout, &e) < 0 || unseal(&plain, name, sealed, d, &e) < 0 ||
	    cli_put_result(&plain, json, NULL, NULL, &e) < 0)
		return cli_fail(&e, json);
	return EXIT_OK;
}
