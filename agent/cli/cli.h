/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "agent/base/buf.h"
#include "agent/base/err.h"

#include <stdio.h>

/*
 * What every command shares. A command is one function in one file; vouchsafe.c lists them.
 *
 * Exit codes (sysexits, and documented in vouchsafe(1)): results go to stdout, words about
 * failures to stderr.
 */
enum cli_exit {
	EXIT_OK = 0,
	EXIT_FINDINGS = 1,     /* the command worked and what it looked at is not in order (doctor and others: vouchsafe(1)) */
	EXIT_USAGE = 64,       /* arguments */
	EXIT_INPUT = 65,       /* input does not parse or is over a limit */
	EXIT_NOT_FOUND = 66,   /* a named thing is not there */
	EXIT_UNAVAILABLE = 69, /* device or platform lacks what is needed */
	EXIT_BUG = 70,         /* internal */
	EXIT_SYSTEM = 71,      /* a system call, memory */
	EXIT_RETRY = 75,       /* network, time-out: may work later */
	EXIT_VERIFY = 76,      /* a digest or signature does not match */
	EXIT_DENIED = 77,      /* refused by the peer or by policy */
	EXIT_CONFIG = 78,      /* configuration */
};

/* The exit code of an error: by kind, and EXIT_CONFIG for every config.* code. */
int cli_exit_of(const struct err *e);

/*
 * Print the error for a person: `vouchsafe: CODE: message` and the remedy, or with json one
 * object {"error":{"code","kind","side","message","remedy"}} on stdout. Returns cli_exit_of(e).
 */
int cli_fail(const struct err *e, bool json);

/* Print a usage error and where the help is. Returns EXIT_USAGE. */
int cli_usage(const char *command, const char *fmt, ...) PRINTF(2, 3);

/* A command of a group: `vouchsafe GROUP NAME`. */
struct cli_command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about; /* a line of the group's help */
};

struct cli_group {
	const char *name;
	const char *about; /* the paragraph of its help, ended by "\n\n"; or "" */
	const struct cli_command *commands;
	size_t n_commands;
};

/*
 * Run the command that argv[1] names, with argv[1] as its argv[0]; or print the help, also without
 * any, which is then wrong usage. Returns the exit code.
 */
int cli_group(const struct cli_group *group, int argc, char **argv);

/* Append a file, or standard input for "-", of at most max bytes to *out. Errors: as fs_read(). */
int cli_read(struct buf *out, const char *path, size_t max, struct err *e) MUST_CHECK;

/* Write the whole buffer to standard output. Returns 0 or EXIT_SYSTEM. */
int cli_print(const struct buf *b);

/*
 * Options of the form --name VALUE, --name=VALUE and flags, in any order among operands.
 * A value of NULL in `flag` means the option takes an argument.
 */
struct cli_option {
	const char *name;   /* "--json" */
	bool *flag;         /* set to true when given; NULL when it takes a value */
	const char **value; /* set to the argument (the last wins) */
	const char *help;   /* for --help: "FILE  what it is" (value) or "what it does" (flag); with \n in
			       it further lines */
};

struct cli_syntax {
	const char *command;  /* "initdata digest" */
	const char *operands; /* "FILE" as the help shows it, "" for none */
	const char *about;    /* the paragraph(s) of --help, with an example */
	const struct cli_option *options;
	size_t n_options;
	size_t min_operands, max_operands;
};

/*
 * Parse argv[1..]; operands are collected in order into operands[0..max_operands), rest NULL.
 * --help prints the help and -h too. Returns -1 to go on, else the exit code to return.
 */
int cli_parse(const struct cli_syntax *s, int argc, char **argv, const char **operands);

/* Commands: argv[0] is the command's own word. */
int cmd_initdata(int argc, char **argv);
int cmd_tpm(int argc, char **argv);
int cmd_seal(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_eventlog(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_evidence(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_get_resource(int argc, char **argv);
int cmd_unseal(int argc, char **argv);
int cmd_metrics(int argc, char **argv);
int cmd_volume(int argc, char **argv);
int cmd_reference_values(int argc, char **argv);

/* --root DIR as given before the command (development builds only), else "". */
extern const char *cli_root;

#endif
