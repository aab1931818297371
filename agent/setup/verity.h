/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_VERITY_H
#define SETUP_VERITY_H

#include "agent/setup/bootfacts.h"

/*
 * Whether a mount is read through dm-verity, and which root hash it is held to.
 *
 * The mount is found in /proc/self/mountinfo; its block device's dm uuid begins CRYPT-VERITY-. An
 * overlay counts when all its layers do and none can be written; with a writable layer the lower
 * ones may still be verity, and only that is said. The root hash comes from the kernel's table of
 * the mapping, which root may read; else from the command line (roothash= for a mapping named
 * "root", usrhash= for "usr": systemd-veritysetup-generator(8)), and then it is what was asked for,
 * not what was seen.
 */
#define VERITY_WHY 200

enum verity_hash { VERITY_HASH_UNKNOWN, VERITY_HASH_TABLE, VERITY_HASH_CMDLINE };

struct verity_mount {
	const char *path; /* "/", "/usr" */
	bool known;       /* the mount was found */
	bool own;         /* it is a mount of its own; "/usr" may be a folder of "/" */
	bool verity;      /* everything below it is read through dm-verity */
	bool lower_only;  /* an overlay: its lower layers are, what is written above is not */
	bool read_only;
	char type[32];    /* of the file system */
	char name[64];    /* of the mapping */
	char hash[129];   /* lower-case hex; "" when unknown */
	enum verity_hash from;
	bool measured;        /* the measured command line carries that hash */
	char why[VERITY_WHY]; /* no verity, or not measured, and why; "" otherwise */
};

/*
 * Look at the mount of path ("/", "/usr").
 * root   "" or the prefix of a development build
 * facts  of this boot
 * Nothing here fails: what cannot be had is said in why.
 */
void verity_look(struct verity_mount *out, const char *root, const char *path,
		 const struct bootfacts *facts);

/*
 * The root hash in the parameters of a verity target (Linux, device-mapper/verity.rst):
 * VERSION DEVICE HASH_DEVICE BLOCK HASH_BLOCK BLOCKS START ALGORITHM HASH SALT [OPTIONS].
 * out  129 bytes, set when 0 is returned
 * Errors: ERR_FORMAT, ERR_VERIFY (the option ignore_corruption: it checks and lets pass).
 */
int verity_params(char *out, const char *params, struct err *e) MUST_CHECK;

#endif
