/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/cli/cli.h"
#include "attester/attester.h"

#include <stdio.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about;
} commands[] = {
	{ "initdata", cmd_initdata, "build, inspect, digest, verify, provision a pod's initdata" },
	{ "tpm", cmd_tpm, "create the attestation key, show its public part" },
	{ "seal", cmd_seal, "make a sealed secret (the owner's side)" },
	{ "config", cmd_config, "what is in force, where it comes from, whether it is measured" },
	{ "status", cmd_status, "what vouchsafed is doing here and what it has done" },
	{ "doctor", cmd_doctor, "walk the whole path from TPM to Trustee and say what is wrong" },
	{ "eventlog", cmd_eventlog, "list the measured events, compare them with the registers" },
	{ "unseal", cmd_unseal, "have a sealed secret unsealed" },
	{ "get-resource", cmd_get_resource, "get a resource of Trustee" },
	{ "evidence", cmd_evidence, "print evidence of this guest; verify and show what is in a file" },
	{ "reference-values", cmd_reference_values, "what to register at Trustee for a guest" },
	{ "token", cmd_token, "get an attestation token" },
	{ "volume", cmd_volume, "list, open and close encrypted volumes" },
	{ "metrics", cmd_metrics, "print vouchsafed's counters (Prometheus)" },
	{ "explain", cmd_explain, "say what an error code means and what to do" },
};

const char *cli_root = "";

static void help(FILE *f)
{
	fprintf(f, "Usage: vouchsafe [--log LEVEL] COMMAND [ARGUMENT]...\n\n"
		   "The agent in a confidential VM that attests its guest to Trustee and puts\n"
		   "unsealed secrets into containers.\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(f, "  %-16s %s\n", commands[i].name, commands[i].about);
	fprintf(f, "\nOptions:\n"
		   "  --log LEVEL  error, warn (default), info or debug, on standard error\n"
		   "  --version    version, build and platforms\n"
		   "%s\n"
		   "Begin with: vouchsafe doctor. Exit codes are in vouchsafe(1).\n",
		version_is_dev ? "  --root DIR   prefix of every delivery and socket path "
				 "(development builds)\n" :
				 "");
}

static int version(void)
{
	printf("vouchsafe %s\nplatforms:", version_text);
	for (const char *const *n = attester_names(); *n; n++)
		printf(" %s", *n);
	printf("\n");
	return EXIT_OK;
}

/* Options before the command. Returns the index of the command, or -(exit code) - 1. */
static int global_options(int argc, char **argv)
{
	enum log_level level;
	struct err e;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		const char *a = argv[i];

		if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
			help(stdout);
			return -EXIT_OK - 1;
		}
		if (strcmp(a, "--version") == 0)
			return -version() - 1;
		if (strcmp(a, "--log") == 0 && i + 1 < argc) {
			if (log_level_parse(&level, argv[++i], &e) < 0)
				return -cli_fail(&e, false) - 1;
			log_set_level(level);
		} else if (version_is_dev && strcmp(a, "--root") == 0 && i + 1 < argc) {
			cli_root = argv[++i];
		} else {
			return -cli_usage("", "unknown option %s", a) - 1;
		}
	}
	return i;
}

int main(int argc, char **argv)
{
	const char *self = argc > 0 ? strrchr(argv[0], '/') : NULL;
	int i;

	log_set_level(LOG_LEVEL_WARN);
	if (argc > 0 && strcmp(self ? self + 1 : argv[0], "trustee-attester") == 0)
		return cmd_get_resource(argc, argv);
	i = global_options(argc, argv);
	if (i < 0)
		return -i - 1;
	if (i >= argc) {
		help(stderr);
		return EXIT_USAGE;
	}
	for (size_t k = 0; k < ARRAY_LEN(commands); k++)
		if (strcmp(argv[i], commands[k].name) == 0)
			return commands[k].run(argc - i, argv + i);
	return cli_usage("", "unknown command %s", argv[i]);
}
