/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OCI_H
#define DAEMON_OCI_H

#include "agent/base/buf.h"
#include "mounts/bundle.h"
#include "mounts/plan.h"
#include "mounts/shadow.h"

/*
 * What the files of vouchsafe-oci share. The command line is that of the real runtime:
 *
 *   vouchsafe-oci [--vouchsafe-config FILE] [GLOBAL OPTION]... VERB [OPTION]... ID ...
 *
 * create, run, exec, delete, checkpoint and restore are looked at; every other verb is the
 * runtime's own, byte for byte. Two more are ours: `explain` and `version`.
 */

/* --- settings (oci_settings.c) --- */

enum oci_kind {
	OCI_RUNC,  /* keeps neither config nor environment in its state folder */
	OCI_CRUN,  /* keeps a copy of config.json there */
	OCI_OTHER, /* not known: taken to be like crun */
};

#define OCI_LIST_MAX 256

struct oci_settings {
	char *runtime;     /* path of the real runtime, after oci_find_runtime() absolute */
	char *socket;      /* vouchsafed's */
	char *memory_dir;
	uint32_t memory_mib;
	uint32_t timeout_s; /* for all secrets of one call together */
	char **prefixes;    /* secret_prefixes, then more_secret_prefixes */
	size_t n_prefixes;
	bool swap_said;     /* a development build was told what to do about swap, */
	bool allow_swap;    /* namely this */
};

/*
 * /usr/lib/vouchsafe/oci.toml, then /etc/vouchsafe/oci.toml (which may only set what does not
 * decide about trust: timeout_s, more_secret_prefixes), then `extra` unless NULL.
 * Errors: config.syntax, config.unknown-key, config.value, config.unmeasured,
 * config.not-permitted (a permit, but no development build), ERR_SYSTEM.
 */
int oci_settings_load(struct oci_settings *s, const char *extra, struct err *e) MUST_CHECK;

/* Make s->runtime the path of a program. Errors: oci.runtime. */
int oci_find_runtime(struct oci_settings *s, struct err *e) MUST_CHECK;

enum oci_kind oci_kind(const struct oci_settings *s);

/* --- the command line (oci_args.c) --- */

enum oci_option_id {
	OPT_KEPT, /* handed on as it is */
	OPT_BUNDLE,
	OPT_CONFIG,
	OPT_CONSOLE_SOCKET,
	OPT_PID_FILE,
	OPT_DETACH,
	OPT_KEEP,
	OPT_NO_SUBREAPER,
	OPT_PROCESS,
	OPT_CWD,
	OPT_ENV,
	OPT_TTY,
	OPT_USER,
	OPT_GIDS,
	OPT_LABEL,
	OPT_APPARMOR,
	OPT_NO_NEW_PRIVS,
	OPT_CAP,
	OPT_HELP,
	OPT_ROOT,
	OPT_LOG,
	OPT_LOG_FORMAT,
	OPT_OURS, /* --vouchsafe-config */
};

/* One option as it was given. */
struct oci_given {
	enum oci_option_id id;
	const char *value; /* NULL: a flag without one */
	int at, count;     /* argv[at .. at + count) */
};

struct oci_args {
	struct oci_given *given;
	size_t n_given;
	int positional; /* index in argv of the first operand (with permutation: of the only one); 0: none */
	size_t n_positional;
};

void oci_args_done(struct oci_args *a);
#define cleanup_oci_args __attribute__((cleanup(oci_args_done)))

/* Options before the verb. a->positional is the verb. Errors: oci.option, ERR_NOMEM. */
int oci_args_global(struct oci_args *a, int argc, char **argv, struct err *e) MUST_CHECK;

/* The last value given for an option, or NULL. */
const char *oci_args_value(const struct oci_args *a, enum oci_option_id id);

/* A flag as the runtime reads it: "--x", "--x=true", "--x=false". Errors: oci.option. */
int oci_args_flag(bool *out, const struct oci_args *a, enum oci_option_id id, struct err *e)
	MUST_CHECK;

/* --- one call --- */

struct oci {
	struct oci_settings set;
	int argc;
	char **argv;
	struct oci_args global;
	int verb;          /* index in argv, 0: none */
	const char *id;    /* the container, once known; NULL */
	char *state_root;  /* the runtime's state folder, absolute; after oci_state_root() */
};

enum oci_verb {
	OCI_CREATE, /* and run: options may stand anywhere among the operands, as runc reads them */
	OCI_EXEC,   /* options end before the container's name: what follows is its program's */
};

/*
 * Read what stands behind the verb: options into *a, the container's name into o->id.
 * Returns 0; 1 when the runtime should answer by itself: help is asked for, or no name is given.
 * Errors: oci.option (what is not known, so that it cannot be told apart from an operand; another
 * operand beside the name), ERR_NOMEM.
 */
int oci_args_container(struct oci *o, struct oci_args *a, enum oci_verb verb, struct err *e) MUST_CHECK;

/* Fill o->state_root. Errors: ERR_NOMEM. */
int oci_state_root(struct oci *o, struct err *e) MUST_CHECK;

/* Verbs. Each returns the exit code. */
int oci_create(struct oci *o);
int oci_run(struct oci *o);
int oci_exec(struct oci *o);
int oci_delete(struct oci *o);
int oci_checkpoint(struct oci *o);
int oci_restore(struct oci *o);
int oci_explain(struct oci *o);

/* Become the runtime with the very arguments. Returns an exit code only when that fails. */
int oci_pass(struct oci *o);

/* --- argument vectors for the runtime (oci_spawn.c) --- */

#define OCI_ARGV_MAX 65536

struct oci_argv {
	char **v; /* NULL-terminated; the strings are borrowed */
	size_t n, room;
	bool failed;
};

void oci_argv_add(struct oci_argv *a, const char *arg);
/* The runtime's path and the global options as they were given, without ours. */
void oci_argv_globals(struct oci_argv *a, const struct oci *o);
int oci_argv_check(const struct oci_argv *a, struct err *e) MUST_CHECK;
void oci_argv_done(struct oci_argv *a);
#define cleanup_oci_argv __attribute__((cleanup(oci_argv_done)))

/* --- children --- */

struct oci_stdio {
	int fd[3]; /* what becomes 0, 1, 2 of the child; -1: ours */
};

#define OCI_STDIO_OURS ((struct oci_stdio){ { -1, -1, -1 } })

/*
 * Start the runtime. It dies when we do, so that a killed wrapper is to the engine what a killed
 * runtime is. From the first call on our signals are blocked and taken by oci_wait().
 * Errors: oci.runtime, ERR_SYSTEM.
 */
int oci_spawn(int *pid, char *const *argv, const struct oci_stdio *io, struct err *e) MUST_CHECK;

/* Something to look after while waiting; called when fd is readable. fd -1: nothing. */
struct oci_watch {
	int fd;
	void (*readable)(void *ctx);
	void *ctx;
};

/*
 * Wait for the child, handing on every signal that somebody sent us (but the terminal's to its
 * process group, where the child is in that). SIGWINCH is not handed on when winch is set: that is called.
 * Returns its exit code, 128 + n when signal n ended it.
 */
int oci_wait(int pid, const struct oci_watch *watch, void (*winch)(void *ctx), void *ctx);

/*
 * Keep signals that come while waiting, for the process that is waited for when this is off again.
 * A child started meanwhile gets a process group of its own, so that the terminal's miss it too.
 */
void oci_hold_signals(bool hold);

/*
 * Keep the exit code of this process, which is not waited for yet, should it end while another is
 * waited for. One at a time.
 */
void oci_expect(int pid);

/* Run the runtime quietly with a time limit; its exit code, or -1 when it did not end in time. */
int oci_ask(char *const *argv, struct buf *output, int64_t limit_ms);

/* --- the containers' folder (oci_shadow.c) --- */

/* Refuse who cannot mount: not root, or root of a user namespace. Errors: oci.needs-root. */
int oci_need_root(struct err *e) MUST_CHECK;

/* Open and lock it, and clean up after the dead. *lock is to be closed. */
int oci_open_memory(struct memfs *m, int *lock, const struct oci *o, struct err *e) MUST_CHECK;

/* --- secrets (oci_unseal.c) --- */

/*
 * Refuse where plaintext could reach a disk: clear swap without a permit, and, when env is to be
 * injected, a state folder on disk of a runtime that keeps the config there.
 * Errors: oci.swap-in-clear, oci.root-on-disk.
 */
int oci_check_disk(struct oci *o, bool env, struct err *e) MUST_CHECK;

/* plan_unseal() through vouchsafed. */
int oci_unseal(struct oci *o, struct plan *p, struct err *e) MUST_CHECK;

/* --- reports (oci_report.c) --- */

/*
 * Say that the call failed: code and place to stderr and the engine's --log, the reason to the
 * journal. Returns `code`, the exit code.
 */
int oci_fail(const struct oci *o, const struct err *e, const char *place, int code);

/* A warning with a code, the same ways. */
void oci_warn(const struct oci *o, const struct err *e);

/* --- standard streams of `run` in the foreground (oci_relay.c) --- */

struct oci_relay;

/*
 * What the container gets as its streams: pipes, or a terminal that arrives at a socket in the
 * shadow folder. io is for the create call; socket is its --console-socket, "" without terminal.
 */
int oci_relay_new(struct oci_relay **out, const struct shadow *s, bool terminal,
		  struct oci_stdio *io, char socket[108], struct err *e) MUST_CHECK;

/* The container is there: begin to move bytes. Errors: ERR_SYSTEM, ERR_TIMEOUT. */
int oci_relay_start(struct oci_relay *r, struct err *e) MUST_CHECK;

/* The terminal's size changed. ctx is the relay. */
void oci_relay_resize(void *relay);

/* The container is gone: move what is left, restore the terminal. Accepts NULL. */
void oci_relay_end(struct oci_relay *r);

#endif
