/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_STARTUP_H
#define DAEMON_STARTUP_H

#include "agent/base/listenfds.h"
#include "agent/base/log.h"

#include <getopt.h>

/* How the daemons begin: their command line, the signals that end them, the socket handed over. */

/* Exit codes that mean the same in each; see their manual pages. */
enum { STARTUP_OK = 0, STARTUP_USAGE = 64, STARTUP_SYSTEM = 71 };

/* Of the options that every daemon has; its own have other numbers. */
enum { STARTUP_OPT_LOG = 1001, STARTUP_OPT_ROOT };

/* For a daemon's table: --help, --log, --version; and, of development builds, --root where it has paths. */
#define STARTUP_OPTIONS                                                                            \
	{ "help", no_argument, NULL, 'h' },                                                        \
	{ "log", required_argument, NULL, STARTUP_OPT_LOG },                                       \
	{ "version", no_argument, NULL, 'V' }
#define STARTUP_ROOT { "root", required_argument, NULL, STARTUP_OPT_ROOT }

struct startup_syntax {
	const char *name;             /* of the program, in its messages */
	const char *build;            /* what --version puts before the version: "vouchsafed " */
	const char *letters;          /* as getopt_long(3) has them; 'h' among them, 'V' may be */
	const struct option *options; /* with STARTUP_OPTIONS, ended by {0} */
	void (*help)(const void *ctx);
	/*
	 * Take the option c of the daemon's own; its argument is optarg. Returns NULL, or what is
	 * wrong with it, for the person who typed it.
	 */
	const char *(*own_option)(void *ctx, int c);
};

/* What every daemon is told; with the defaults before startup_parse(). */
struct startup_given {
	enum log_level level;
	bool level_given;
	const char *root; /* prefix of its paths, "" but in development builds; borrowed of argv */
};

#define STARTUP_DEFAULTS ((struct startup_given){ .level = LOG_LEVEL_INFO, .root = "" })

/*
 * Read a command line that has options only.
 * Returns -1 to go on, else the exit code of the process: help or version was printed to standard
 * output, or what is wrong was said on standard error.
 */
int startup_parse(struct startup_given *out, const struct startup_syntax *s, void *ctx, int argc,
		  char **argv);

/* Say on standard error what is wrong with the command line, and where the help is. */
int startup_refuse(const char *name, const char *what);

/* The digits of text as a number of 0 to most; false for anything else, *out as it was. */
bool startup_number(long *out, const char *text, long most);

/*
 * Block TERM, INT and HUP, with children CHLD too, and ignore PIPE: before any thread.
 * Returns a signalfd of them (close-on-exec, non-blocking), or -ERR_SYSTEM.
 */
int startup_signals(bool children, struct err *e) MUST_CHECK;

/* An SO_… of SOL_SOCKET that is an int; -1 when fd has none. */
int startup_socket_option(int fd, int name);

/* Is fd a unix socket of type SEQPACKET that listens, or, with listens false, one that does not? */
bool startup_is_seqpacket(int fd, bool listens);

/*
 * The one listening unix socket of type SEQPACKET that the service manager handed over.
 * unit  whose socket it should be, for the message
 * Returns the descriptor, which stays in *handed too, or -ERR_FORMAT.
 */
int startup_listener(const struct listen_fds *handed, const char *unit, struct err *e) MUST_CHECK;

#endif
