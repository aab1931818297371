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

/* What goes over the pipe, then text and files one after the other. Both ends are one program. */
struct isolated_reply {
	struct err err; /* kind ERR_OK: the rest is filled */
	uint32_t alg;   /* enum hash_alg */
	size_t text_len;
	size_t file_len[DELIVER_FILES];
	uint8_t has_file[DELIVER_FILES];
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

/*
 * The parent's half: check the answer in in->bytes and fill the rest of *in, which the caller
 * throws away on failure. For isolated_load() and tests.
 * Errors: the child's own; ERR_INTERNAL (nonsense), ERR_CRYPTO.
 */
int isolated_check(struct isolated *in, struct err *e) MUST_CHECK;

void isolated_done(struct isolated *i);

#endif
