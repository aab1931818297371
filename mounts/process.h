/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_PROCESS_H
#define MOUNTS_PROCESS_H

#include "mounts/node.h"

/*
 * The process of `exec` without --process: the container's own, with the options of the command
 * line applied as runc does it (its exec.go, 1.1.5): arguments are replaced, env is appended,
 * terminal is false unless --tty, capabilities are added, the rest overrides.
 */
#define PROCESS_LIST_MAX 1024

struct process_options {
	char *const *args; /* what stands behind the container's name */
	size_t n_args;
	const char *env[PROCESS_LIST_MAX];
	size_t n_env;
	const char *caps[64];
	size_t n_caps;
	uint32_t gids[64];
	size_t n_gids;
	const char *cwd;       /* NULL or "": the container's */
	const char *user;      /* "UID" or "UID:GID" */
	const char *apparmor;
	const char *label;     /* SELinux */
	bool tty;
	int no_new_privs; /* -1: not given */
};

/*
 * Write the process to *out. Nothing in it is plaintext: sealed values stay sealed.
 *
 * config  the container's config in its sealed form
 *
 * Errors: oci.config (no process, or members of a wrong type), ERR_USAGE (an option that is not
 * UTF-8 or no number), ERR_LIMIT, ERR_NOMEM.
 */
int process_build(struct buf *out, struct node config, const struct process_options *o,
		  struct err *e) MUST_CHECK;

#endif
