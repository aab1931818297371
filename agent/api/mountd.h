/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_MOUNTD_H
#define API_MOUNTD_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/secret.h"

#include <sys/types.h>

/*
 * The protocol of vouchsafe-mountd: a unix socket of type SOCK_SEQPACKET, one request a
 * connection, all numbers big-endian. A packet is one message:
 *
 *   offset  size  field
 *   0       4     "VMD1"
 *   4       1     kind
 *   5       1     flags, of MOUNTD_OPEN; else 0
 *   6       2     0
 *   8       8     of a request: milliseconds it may take, 1..MOUNTD_TIME_MAX_MS; of
 *                 MOUNTD_PROGRESS: bytes done; else 0
 *   16      8     of MOUNTD_OPEN: major << 32 | minor, where no device is named; of
 *                 MOUNTD_PROGRESS: bytes in all, 0 when that is not known; else 0
 *   24      …     fields: tag 1 byte, length 2 bytes, that many bytes of text without NUL
 *
 * Fields stand in the order of their tags; only MOUNTD_F_MKFS_ARG may stand there again. A request
 * MOUNTD_OPEN with MOUNTD_KEYED is followed by one more packet: the key and nothing else,
 * 1..MOUNTD_KEY_MAX bytes, sent from locked memory and received into it.
 *
 *   request         fields (? may be absent)              replies
 *   MOUNTD_OPEN     device? mapper? mount_point mkfs_arg* MOUNTD_PROGRESS*, MOUNTD_OPENED
 *   MOUNTD_CLOSE    mapper                                MOUNTD_DONE
 *   MOUNTD_CLOSE_ALL  none                                MOUNTD_DONE
 *   MOUNTD_LIST     none                                  MOUNTD_LISTING
 *
 * or MOUNTD_FAILED in the place of the last. A server that is handed connections instead of
 * accepting them (native kata: no folder to bind in is needed) gets each as one byte 'C' with the
 * descriptor on a SOCK_SEQPACKET pair, mountd_pass().
 */
#define MOUNTD_SOCKET      "/run/vouchsafe/mountd.sock"
#define MOUNTD_PACKET_MAX  (96u << 10)          /* bytes; under the kernel's default send buffer */
#define MOUNTD_KEY_MAX     (64u << 10)          /* bytes */
#define MOUNTD_TEXT_MAX    4095                 /* bytes of a device, mount point or mkfs word */
#define MOUNTD_MAPPER_MAX  127                  /* bytes of a mapper's name */
#define MOUNTD_ARGS_MAX    64                   /* words of mkfs options */
#define MOUNTD_STEP_MAX    64                   /* bytes of the name of a step */
#define MOUNTD_TIME_MAX_MS (24u * 3600 * 1000)  /* of one request */
#define MOUNTD_FIRST_MS    5000                 /* to send the request, and to send the key */

enum mountd_kind {
	MOUNTD_OPEN = 1,
	MOUNTD_CLOSE = 2,
	MOUNTD_LIST = 3,
	MOUNTD_CLOSE_ALL = 4,
	MOUNTD_PROGRESS = 128, /* step */
	MOUNTD_OPENED = 129,   /* mapper */
	MOUNTD_DONE = 130,
	MOUNTD_LISTING = 131, /* json */
	MOUNTD_FAILED = 132,  /* code, reason */
};

enum mountd_flag {
	MOUNTD_KEYED = 1,
	MOUNTD_ENCRYPTED = 2,  /* else: declared empty */
	MOUNTD_FILESYSTEM = 4, /* else: the device is linked at the mount point */
	MOUNTD_XFS = 8,        /* else: ext4 */
	MOUNTD_INTEGRITY = 16,
	MOUNTD_FLAGS = 31
};

/* A volume to open, as volume.h of mountd has it. */
struct mountd_volume {
	char *device; /* absolute path, or NULL: major and minor */
	unsigned major, minor;
	bool encrypted, filesystem, xfs, integrity;
	bool keyed;
	char *mapper; /* NULL: mountd chooses */
	char *mount_point;
	char *mkfs_args[MOUNTD_ARGS_MAX];
	size_t n_mkfs_args;
};

void mountd_volume_done(struct mountd_volume *v);

/* One message, decoded. */
struct mountd_message {
	enum mountd_kind kind;
	uint64_t time_ms, done, total; /* by kind */
	struct mountd_volume volume;   /* of MOUNTD_OPEN; .mapper also of CLOSE and OPENED */
	char *text;                    /* step, JSON, or the reason of a failure */
	enum err_code code;            /* of MOUNTD_FAILED */
};

#define cleanup_mountd __attribute__((cleanup(mountd_message_done)))

void mountd_message_done(struct mountd_message *m);

/* Append a message. Errors are in the buf: ERR_LIMIT when it is over MOUNTD_PACKET_MAX. */
void mountd_encode(struct buf *out, const struct mountd_message *m);

/*
 * Decode a packet.
 *
 * out  set on success only; release with mountd_message_done()
 *
 * Errors: volume.request (naming what is wrong), ERR_NOMEM.
 */
int mountd_decode(struct mountd_message *out, struct view packet, struct err *e) MUST_CHECK;

/* --- both ends ---------------------------------------------------------------------- */

/*
 * Send one message. Waits for room until d.
 * Errors: volume.mountd-unreachable (the other side is gone), volume.deadline, ERR_LIMIT,
 * ERR_NOMEM, ERR_SYSTEM.
 */
int mountd_send(int fd, const struct mountd_message *m, struct deadline d, struct err *e) MUST_CHECK;

/* Receive one message. Errors: as mountd_send() and mountd_decode(). */
int mountd_receive(int fd, struct mountd_message *out, struct deadline d, struct err *e) MUST_CHECK;

/*
 * The key in its one packet, from and into locked memory.
 * key  sent: 1..MOUNTD_KEY_MAX bytes; received: set on success only, erased by its owner
 * Errors: as mountd_send(), volume.key (empty, or longer).
 */
int mountd_send_key(int fd, const struct secret *key, struct deadline d, struct err *e) MUST_CHECK;
int mountd_receive_key(int fd, struct secret *key, struct deadline d, struct err *e) MUST_CHECK;

/* --- client --------------------------------------------------------------------------- */

/* How to get a connection: connect to path, or, where that is NULL, hand one over on pair. */
struct mountd_link {
	const char *path;
	int pair;
};

/* Told of long work: step is text of at most MOUNTD_STEP_MAX bytes without control characters. */
struct mountd_progress {
	void (*tell)(void *ctx, const char *step, uint64_t done, uint64_t total);
	void *ctx;
};

/*
 * Open a volume.
 *
 * key       NULL when v->keyed is false
 * progress  may be NULL
 * mapper    out: malloc'd name below /dev/mapper
 *
 * Errors: those of mountd (volume.*), volume.mountd-unreachable, volume.deadline, volume.request.
 */
int mountd_open(const struct mountd_link *l, const struct mountd_volume *v, const struct secret *key,
		struct deadline d, const struct mountd_progress *progress, char **mapper,
		struct err *e) MUST_CHECK;

/* Close one, or with NULL all. Idempotent. Errors: as above. */
int mountd_close(const struct mountd_link *l, const char *mapper, struct deadline d,
		 struct err *e) MUST_CHECK;

/* Append the JSON array of what is open. Errors: as above. */
int mountd_list(const struct mountd_link *l, struct buf *json, struct deadline d,
		struct err *e) MUST_CHECK;

/* --- server ----------------------------------------------------------------------------- */

/*
 * Hand a connection over on a pair, and take one there: *fd, the caller's to close, or -1 when the
 * pair's other end is gone.
 * fd  of mountd_pass(): borrowed; the other side has a descriptor of its own
 * Errors: as mountd_send(); taking, ERR_SYSTEM, ERR_FORMAT (another byte, no descriptor or several:
 * none is kept).
 */
int mountd_pass(int pair, int fd, struct err *e) MUST_CHECK;
int mountd_take(int *fd, int pair, struct err *e) MUST_CHECK;

/* Who may ask for what. */
struct mountd_admitted {
	uid_t uid; /* of vouchsafed: everything; uid 0 besides: all but MOUNTD_OPEN */
};

/* What carries requests out; the error of one goes to the client. */
struct mountd_backend {
	int (*open)(void *ctx, const struct mountd_volume *v, const struct secret *key,
		    struct deadline d, const struct mountd_progress *p, char **mapper,
		    struct err *e);
	int (*close)(void *ctx, const char *mapper, struct err *e); /* NULL: all */
	int (*list)(void *ctx, struct buf *json, struct err *e);
	void *ctx;
};

/*
 * Serve one connection to its end: check who asks, read the request, carry it out, answer.
 * A client that goes away does not stop what it asked for.
 * Errors: what the client was told, or why it could not be.
 */
int mountd_serve(int fd, const struct mountd_admitted *who, const struct mountd_backend *b,
		 struct err *e) MUST_CHECK;

#endif
