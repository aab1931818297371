/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_SHADOW_H
#define MOUNTS_SHADOW_H

#include "mounts/memfs.h"

/*
 * One container's shadow bundle: the folder below the memory-backed one that the runtime is
 * pointed at instead of the engine's bundle.
 *
 *   meta         whose it is: {"runtime":…, "root":…, "id":…}
 *   config.json  during create: with the plaintext environment; afterwards: the sealed form
 *   sealed.json  the sealed form, while create is going on: takes the place of config.json
 *   f/           files and folders with unsealed files, sources of the container's mounts
 *   injected     empty: there is plaintext in this container
 *
 * A folder whose lock is free while sealed.json is there belongs to a create that was killed.
 */
struct shadow_id {
	const char *runtime; /* path of the real runtime, to be asked whether the container lives */
	const char *root;    /* its state folder, absolute */
	const char *id;      /* the container's name */
};

struct shadow {
	int fd; /* the folder, and its lock where said so; -1 when closed */
	char name[MEMFS_NAME_LEN + 1];
	char path[MEMFS_PATH_MAX + MEMFS_NAME_LEN + 2];
};

#define SHADOW_CLOSED    ((struct shadow){ .fd = -1 })
#define SHADOW_ID_MAX    1024 /* bytes of root and of id */
#define cleanup_shadow __attribute__((cleanup(shadow_close)))

/*
 * Make the folder and lock it. The lock of m is held by the caller.
 * Errors: oci.exists, ERR_LIMIT (a name over SHADOW_ID_MAX), ERR_SYSTEM, ERR_NOMEM.
 */
int shadow_create(struct shadow *out, const struct memfs *m, const struct shadow_id *id,
		  struct err *e) MUST_CHECK;

/*
 * Find the folder of a container, without its lock. id->runtime is not looked at.
 * Errors: ERR_NOTFOUND, ERR_FORMAT (it is another's), ERR_SYSTEM.
 */
int shadow_find(struct shadow *out, const struct memfs *m, const struct shadow_id *id,
		struct err *e) MUST_CHECK;

void shadow_close(struct shadow *s);

/* Create is over: the plaintext environment is overwritten and the sealed form takes its place. */
int shadow_finish(const struct shadow *s, struct err *e);

/* Say, and ask, whether plaintext went into this container. Errors: ERR_SYSTEM. */
int shadow_mark_injected(const struct shadow *s, struct err *e);
bool shadow_is_injected(const struct shadow *s);

/* Zero and remove the folder. Errors: ERR_SYSTEM. */
int shadow_remove(const struct memfs *m, const struct shadow *s, struct err *e);

/*
 * Does the runtime know the container?
 * interrupted  its create was killed: look closely, a leftover of the runtime's counts for nothing
 */
typedef bool shadow_known(void *ctx, const struct shadow_id *id, bool interrupted);

/*
 * Clean up after the dead: remove folders of containers that their runtime does not know, and
 * finish those whose create was killed after the runtime had made the container. Folders that
 * somebody works on are left alone. The lock of m is held by the caller. What cannot be cleaned
 * is left for the next sweep.
 */
void shadow_sweep(const struct memfs *m, shadow_known *known, void *ctx);

#endif
