/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_ISOLATED_H
#define INITDATA_ISOLATED_H

#include "initdata/deliver.h"
#include "initdata/userdata.h"

/*
 * Reading what the host delivered, in child processes that can do nothing but compute: no open
 * files, no system calls for files, network or devices. They hand back structures that are checked
 * here, so that a fault in libyaml, gunzip or the TOML reader does not reach the process that
 * holds the TPM.
 *
 * There are two, one after the other. The first takes the wrapping off and gives the text; the
 * second sees nothing but that text and gives its files. So a fault that the wrapping sets off can
 * choose a text, which is then measured, but never other files beside a text that is vouched for.
 */
#define ISOLATED_MS 30000 /* a child's deadline */

enum isolated_form {
	ISOLATED_INITDATA,        /* as initdata_load() takes it */
	ISOLATED_GZIP,            /* gzip of the text */
	ISOLATED_USERDATA,        /* cloud-config */
	ISOLATED_USERDATA_BASE64, /* base64 of it */
};

struct isolated_input {
	enum isolated_form form;
	struct view bytes;

	/* Where user-data has no initdata, this is taken; where this is not there, the dummy. */
	bool has_existing;
	struct view existing; /* as initdata_load() takes it */
};

struct isolated {
	struct buf unwrapped, parsed; /* owned: the children's answers, what the views point into */
	enum hash_alg alg;
	struct delivery d;   /* its digest was computed here, over d.text */
	struct view skipped; /* as userdata.skipped */
};

/* What begins an answer. Both ends are one program. */

/* Then text, extras and skipped, one after the other. */
struct isolated_unwrapped {
	struct err err; /* kind ERR_OK: the rest is filled */
	size_t text_len;
	size_t extra_len[DELIVER_EXTRAS];
	size_t skipped_len;
	uint8_t has_extra[DELIVER_EXTRAS];
};

/* Then the files, one after the other. */
struct isolated_parsed {
	struct err err; /* as above */
	uint32_t alg;   /* enum hash_alg */
	size_t file_len[DELIVER_FILES];
	uint8_t has_file[DELIVER_FILES];
};

#define cleanup_isolated __attribute__((cleanup(isolated_done)))

/*
 * Read what was delivered, in children. Call it before a device is opened.
 *
 * out  zeroed by the caller; set on success only
 *
 * Errors: those of initdata_load(), userdata_load() and userdata_load_base64(); ERR_SYSTEM (no
 * child, or it could not be confined), ERR_TIMEOUT, ERR_INTERNAL (it died or answered nonsense).
 */
int isolated_load(struct isolated *out, const struct isolated_input *in, struct err *e) MUST_CHECK;

/*
 * The parent's half: check the answer in in->unwrapped, or in->parsed (after the first), and fill
 * the rest of *in, which the caller throws away on failure. For isolated_load() and tests.
 * Errors: the child's own; ERR_INTERNAL (nonsense), ERR_CRYPTO.
 */
int isolated_check_unwrapped(struct isolated *in, struct err *e) MUST_CHECK;
int isolated_check_parsed(struct isolated *in, struct err *e) MUST_CHECK;

void isolated_done(struct isolated *i);

#endif
