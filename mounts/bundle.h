/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_BUNDLE_H
#define MOUNTS_BUNDLE_H

#include "mounts/node.h"

/*
 * An OCI bundle's config.json, read once. Format: OCI runtime specification 1.x, config.md.
 * Whatever is decided about the container is decided from these bytes, and they are what the
 * runtime gets (with values replaced), so a file that changes meanwhile changes nothing.
 */
#define BUNDLE_CONFIG_MAX (4u << 20) /* bytes */

struct bundle {
	char *path;      /* of the folder: absolute, without links */
	struct buf text; /* the exact bytes */
	struct json *doc;
};

#define cleanup_bundle __attribute__((cleanup(bundle_done)))

/*
 * Read the bundle.
 *
 * out     zeroed before; filled on success only; release with bundle_done()
 * dir     the bundle's folder, relative to the working directory
 * config  the file's name relative to it; "config.json" but for crun's --config
 *
 * Errors: oci.config (no such file, a link, not regular, owner other than root and us, writable
 * by others, over BUNDLE_CONFIG_MAX, not strict JSON, not an object), ERR_SYSTEM, ERR_NOMEM.
 */
int bundle_open(struct bundle *out, const char *dir, const char *config, struct err *e) MUST_CHECK;

/*
 * The same checks for one JSON file, such as that of exec --process.
 * dirfd, path  as for openat(2); the last component may not be a link
 * what         names it in messages
 */
int bundle_read(struct buf *text, struct json **doc, int dirfd, const char *path, const char *what,
		struct err *e) MUST_CHECK;

/* The document with its places. */
struct node bundle_node(const struct bundle *b);

void bundle_done(struct bundle *b);

#endif
