/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/err.h"
#include "agent/base/secret.h"

/*
 * Encrypted volumes: open a LUKS2 device (formatting it first when it is declared empty), put a
 * file system on it, mount it; and undo all that. Runs in vouchsafe-mountd as root. The format,
 * the authentication of the header and the recovery rules are in doc/volumes.md; what callers of
 * SecureMount see in spec/local-api.md 7.
 */
#define VOLUME_KEY_MAX    (64u << 10) /* bytes of a key */
#define VOLUME_MAPPER_MAX 127         /* characters of a mapper name: device mapper's own limit */
#define VOLUME_ARGS_MAX   64          /* words of mkfs options */

enum volume_source {
	VOLUME_EMPTY,     /* declared empty: formatted, unless it is one of ours already (keyed) */
	VOLUME_ENCRYPTED, /* has a LUKS2 header on it */
};

enum volume_target {
	VOLUME_DEVICE,     /* mount_point becomes a symlink to /dev/mapper/NAME */
	VOLUME_FILESYSTEM, /* mounted at mount_point, which exists */
};

enum volume_fs { VOLUME_EXT4, VOLUME_XFS };

/* What a caller wants; strings are borrowed for the call. */
struct volume_spec {
	char *device; /* absolute path below /dev, or NULL and major, minor */
	unsigned major, minor;
	enum volume_source source;
	enum volume_target target;
	enum volume_fs fs;
	char **mkfs_args; /* words of mkfsOpts; mkfs is run without a shell */
	size_t n_mkfs_args;
	bool integrity;   /* dm-integrity, hmac-sha256 */
	char *mapper;     /* NULL: a random UUID. [A-Za-z0-9_.+-], not first '.' or '-' */
	char *mount_point; /* absolute, no "..", no symlink on the way; a slash at its end is ignored */
	bool keyed;       /* false: a random key that nobody ever sees; the volume dies with the boot */
};

/* Which keyed volumes must carry our tag in their header. */
enum volume_tags {
	VOLUME_TAGS_OWN,  /* those that were made here, which their volume key tells (luks_auth.h) */
	VOLUME_TAGS_ALL,  /* all: none that another program made */
	VOLUME_TAGS_NONE, /* none: a tag that is there must be right */
};

/*
 * Measured rules of mountd: what it may touch.
 *
 * devices         paths; one that ends in '*' allows what begins with the rest: "/dev/vd*",
 *                 "/dev/disk/by-id/data". The caller's path, which has no "..", or what it leads to
 *                 (with major, minor: /dev/DEVNAME) must match. n 0: any block device below /dev
 * mount_prefixes  folders, whole path components: a mount point is one of them or below. n 0: any
 * state_dir       memory-backed folder, made when missing: a record a volume, and the locks
 * tags            see above; a volume that fails is refused: volume.header-auth
 */
struct volume_rules {
	const char *const *devices;
	size_t n_devices;
	const char *const *mount_prefixes;
	size_t n_mount_prefixes;
	const char *state_dir;
	enum volume_tags tags;
};

/* Told now and then about long work. done and total in bytes; total 0: unknown. */
struct volume_progress {
	void (*tell)(void *ctx, const char *step, uint64_t done, uint64_t total);
	void *ctx;
};

/*
 * Carry out a spec. On failure everything that it did is undone: nothing stays mapped, mounted or
 * linked, and a device that held anything that the caller did not declare empty is unharmed.
 * A spec that is carried out already (same device, mount point and kind, and the key fits)
 * succeeds again. Calls for one device wait for each other, those for different ones do not; what
 * one that was killed left half done is undone by the next call.
 *
 * key  of a keyed volume, 1..VOLUME_KEY_MAX bytes as they are; NULL for a keyless one
 * out  set on success only
 *
 * Errors: volume.* of the catalogue.
 */
struct volume_opened {
	char *mapper;  /* the name under /dev/mapper, malloc'd: the caller's */
	bool untagged; /* keyed, and its header has no tag of ours: only its form was judged */
};

int volume_open(struct volume_opened *out, const struct volume_rules *rules, const struct volume_spec *spec,
		const struct secret *key, struct deadline d, const struct volume_progress *progress,
		struct err *e) MUST_CHECK;

/*
 * Unmount or unlink, close the mapping, forget. Idempotent: a name that nobody knows is closed.
 * Errors: volume.busy (something uses it), volume.unknown (a mapping that is not ours), volume.*.
 */
int volume_close(const struct volume_rules *rules, const char *mapper, struct err *e) MUST_CHECK;

/*
 * Close every volume, latest first, as far as that goes; the first error is reported at the end.
 * For shutdown, and for what a killed mountd left.
 */
int volume_close_all(const struct volume_rules *rules, struct err *e) MUST_CHECK;

/*
 * Is a volume being opened now, was one when its process was killed, or has another hand closed one
 * whose record is still there? Takes no lock.
 */
bool volume_half_done(const struct volume_rules *rules);

/*
 * Undo what killed processes left half done, as volume_open() and volume_close() do first, and forget
 * what another hand closed. Returns how many volumes that were.
 * Errors: volume.busy (what was left is in use), volume.state.
 */
int volume_recover(const struct volume_rules *rules, struct err *e) MUST_CHECK;

/*
 * Append a JSON array of the volumes that are open: [{"mapper","device","mountPoint","target",
 * "filesystem","integrity","keyed","headerTag"}]. Errors: volume.*, ERR_NOMEM.
 */
int volume_list(struct buf *json, const struct volume_rules *rules, struct err *e) MUST_CHECK;

#endif
