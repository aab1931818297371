/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_SECRETDIR_H
#define MOUNTS_SECRETDIR_H

#include "agent/base/buf.h"

#include <sys/stat.h>

/*
 * Walk a folder of secret files and, when asked, replicate it.
 *
 * The folder may belong to an adversary (a container may write to a volume that another one
 * mounts). No link is followed: links are read, and replicated where they stay within the
 * folder, which is what Kubernetes' volumes consist of:
 *
 *   ..2026_08_20_14_03_11.1/   the files
 *   ..data                     -> ..2026_08_20_14_03_11.1, swapped in one step at an update
 *   password                   -> ..data/password
 *
 * `..data` is read once; other names that begin ".." are the updater's and are left out.
 */
#define SECRETDIR_DEPTH_MAX 8
#define SECRETDIR_NAMES_MAX 1024      /* files, folders and links of one container */
#define SECRETDIR_BYTES_MAX (8u << 20) /* of all files of one container, sealed or copied */

/* What one container has left; shared between its folders. */
struct secretdir_budget {
	size_t names;
	size_t bytes;
};

#define SECRETDIR_BUDGET ((struct secretdir_budget){ SECRETDIR_NAMES_MAX, SECRETDIR_BYTES_MAX })

struct secretdir_file {
	const char *path;  /* relative to the folder, as it lies there: "..2026/password" */
	const char *shown; /* as a container names it: "password" */
	const struct stat *st;
	struct view sealed; /* without white space at its end */
};

struct secretdir_counts {
	size_t files;  /* regular ones */
	size_t sealed; /* of these */
	size_t odd;    /* neither file, folder nor a link that stays within */
};

/* Called for every sealed file, in order of the names. Everything is borrowed for the call. */
typedef int secretdir_sealed(void *ctx, const struct secretdir_file *file, struct err *e);

/*
 * Walk it.
 *
 * src     the folder, open for reading
 * dst     an empty folder that gets folders, links and files that are not sealed (copied by the
 *         kernel, never through our memory), with owners and modes; sealed ones are left to the
 *         caller. -1: only look
 * budget  what is used is taken off
 * counts  out, filled as far as it got
 *
 * Errors: oci.secret-files (depth, budget, a sealed file over SEALED_TEXT_MAX; with dst: anything
 * odd), ERR_NOTFOUND (something vanished meanwhile: an update; try again), ERR_SYSTEM.
 */
int secretdir_walk(int src, int dst, struct secretdir_budget *budget, secretdir_sealed *sealed,
		   void *ctx, struct secretdir_counts *counts, struct err *e) MUST_CHECK;

/*
 * Read a regular file if it is sealed.
 * text  out: its content without white space at the end; empty when it is not sealed
 * Errors: oci.secret-files (over SEALED_TEXT_MAX), ERR_SYSTEM, ERR_NOMEM.
 */
int secretdir_read_sealed(struct buf *text, int fd, struct err *e) MUST_CHECK;

/*
 * Make a file with this content, owner and mode below dst.
 * Errors: ERR_SYSTEM.
 */
int secretdir_write(int dst, const char *path, const struct stat *st, struct view content,
		    struct err *e) MUST_CHECK;

#endif
