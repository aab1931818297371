/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_ISOLATED_H
#define INITDATA_ISOLATED_H

#include "initdata/deliver.h"

/*
 * Reading what the host delivered, in a child process that can do nothing but compute: no open
 * files, no system calls for files, network or devices. It hands back a structure that is
 * checked here, so that a fault in gunzip or the TOML reader does not reach the process that
 * holds the TPM.
 */
#define ISOLATED_MS 30000 /* the child's deadline */

struct isolated {
	struct buf bytes; /* owned; what d points into */
	enum hash_alg alg;
	struct delivery d; /* its digest was computed here, over d.text */
};

#define cleanup_isolated __attribute__((cleanup(isolated_done)))

/*
 * As initdata_load(), in a child. Call it before a device is opened and while there is one thread.
 *
 * out  zeroed by the caller; set on success only
 *
 * Errors: those of initdata_load(); ERR_SYSTEM (no child, or it could not be confined),
 * ERR_TIMEOUT, ERR_INTERNAL (it died or answered nonsense).
 */
int isolated_load(struct isolated *out, struct view delivered, struct err *e) MUST_CHECK;

void isolated_done(struct isolated *i);

#endif
