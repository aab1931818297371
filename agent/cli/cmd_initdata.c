/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd_initdata.h"
#include "agent/cli/cli.h"

static const struct cli_command commands[] = {
	{ "build", initdata_build, "make an initdata of files" },
	{ "inspect", initdata_inspect, "say what an initdata holds, and what is wrong with it" },
	{ "digest", initdata_print_digest, "print the digest and the register values to expect" },
	{ "verify", initdata_verify, "compare an initdata with a digest or a register's value" },
	{ "provision", initdata_provision, "in the guest, at boot: check, bind, deliver" },
};

int cmd_initdata(int argc, char **argv)
{
	static const struct cli_group group = {
		.name = "initdata",
		.about = "A pod's initdata is a TOML text with the configuration that the pod is measured\n"
			 "with. Where FILE is an initdata, it is that text or base64 of gzip of it; \"-\" is\n"
			 "standard input.\n\n",
		.commands = commands,
		.n_commands = ARRAY_LEN(commands),
	};

	return cli_group(&group, argc, argv);
}

int cli_load_initdata(struct initdata *out, const char *path, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(INITDATA_ENCODED_MAX);
	int r = cli_read(&b, path, INITDATA_ENCODED_MAX, e);

	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	return r < 0 ? r : initdata_load(out, buf_view(&b), e);
}

int cli_register_values(struct register_values *out, const struct initdata *d, struct err *e)
{
	initdata_field(out->host_data, sizeof out->host_data, &d->digest);
	initdata_field(out->mrconfigid, sizeof out->mrconfigid, &d->digest);
	return initdata_pcr_value(out->pcr, &d->digest, e);
}
