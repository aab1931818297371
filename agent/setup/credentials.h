/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_CREDENTIALS_H
#define SETUP_CREDENTIALS_H

#include "agent/setup/guest.h"

/*
 * cdh.toml [[credentials]]: resources that lie as files below CREDENTIAL_DIR (paths are checked
 * when the configuration is read). Files 0600, folders 0755. Plaintext goes to memory-backed file
 * systems only (tmpfs, ramfs), straight from locked memory.
 */
struct credential_rules {
	const char *root; /* "" or --root */
	bool allow_swap;  /* permit: a tmpfs that swaps to a clear device will do */
	/* Read a resource. Errors: as kbs_get(). */
	int (*resource)(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
			struct err *e);
	void *resource_ctx;
};

/*
 * Fetch and write each credential that is not yet written (one thread at a time). A failing one
 * does not keep the others waiting; the first error is returned, naming how many are missing.
 * Call it again until it returns 0; then it does nothing.
 *
 * Errors: credential.on-disk, oci.swap-in-clear, ERR_SYSTEM, ERR_TIMEOUT, and what resource gives.
 */
int credentials_fetch(struct guest_credential *list, size_t n, const struct credential_rules *rules,
		      struct deadline d, struct err *e) MUST_CHECK;

/* The same for the guest's configuration, from its Trustee or offline_fs_kbc. */
int guest_fetch_credentials(struct guest *g, struct deadline d, struct err *e) MUST_CHECK;

#endif
