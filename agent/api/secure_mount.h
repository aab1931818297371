/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SECURE_MOUNT_H
#define API_SECURE_MOUNT_H

#include "agent/api/mountd.h"

/*
 * The request of api.SecureMountService/SecureMount. Source: spec/local-api.md 2.6 and 7.1.
 *
 *   option          values                                     here
 *   deviceId        MAJ:MIN, decimal; wins over devicePath     volume.major, .minor
 *   devicePath      absolute path; one of the two is required  volume.device
 *   sourceType      empty, encrypted; required                 volume.encrypted
 *   targetType      device, fileSystem; required               volume.filesystem
 *   encryptionType  luks2; zfs is refused by name; required
 *   filesystemType  ext4 (default), xfs                        volume.xfs
 *   mkfsOpts        words, split at ASCII white space          volume.mkfs_args
 *   dataIntegrity   "true", "false" (default)                  volume.integrity
 *   mapperName      a name of device mapper; default random    volume.mapper
 *   key             sealed.…, a KBS URI, file:///…             key
 *
 * Options of other names are ignored, and so are flags. Upstream takes any other text than "true"
 * for no integrity; here it is refused, so that nobody believes in what is not there.
 */

#define SECURE_MOUNT_PATH_MAX 4095 /* bytes of a path */

enum secure_mount_key {
	SECURE_MOUNT_KEYLESS, /* a random key that nobody ever sees */
	SECURE_MOUNT_SEALED,  /* key is the sealed secret */
	SECURE_MOUNT_KBS,     /* key is a URI that begins with kbs; not parsed yet */
	SECURE_MOUNT_FILE,    /* key is an absolute path */
};

struct secure_mount {
	struct mountd_volume volume;
	enum secure_mount_key kind;
	char *key; /* NULL when keyless */
};

#define cleanup_secure_mount __attribute__((cleanup(secure_mount_done)))

/*
 * Decode and check a request.
 *
 * out      set on success only; release with secure_mount_done()
 * payload  the encoded SecureMountRequest
 *
 * Errors: api.malformed (no such message; a text over its limit, not UTF-8 or with a NUL; an
 * option given twice), volume.type-unsupported, volume.zfs-unsupported, volume.option (naming
 * the option), volume.key-scheme, ERR_NOMEM.
 */
int secure_mount_parse(struct secure_mount *out, struct view payload, struct err *e) MUST_CHECK;

void secure_mount_done(struct secure_mount *m);

#endif
