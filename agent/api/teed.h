/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TEED_H
#define API_TEED_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"

#include <pthread.h>
#include <sys/types.h>

/*
 * The protocol of vouchsafe-teed over AF_UNIX SOCK_SEQPACKET: a packet is a message, a request has
 * one reply, and the next request waits for it. Numbers are little-endian.
 *
 *   request              quote   extend       reply              success       failure
 *   0   4  magic         "VTQ1"  "VTQ1"       0   4  magic       "VTA1"        "VTA1"
 *   4   4  id, not 0                          4   4  id          the request's, or 0: the connection
 *   8   1  operation     1       2            8   1  status      0             1
 *   9   1  register      0       0..3         9   1  kind        0 of extend,  0
 *   10  2  0                                                     1 SNP, 2 TDX
 *   12  n  data          64      48           10  2  0
 *                                             12  4  length a    report        code
 *                                             16  4  length b    certificates  reason
 *                                             20  a  then b
 *
 * Nothing may follow. A code is 1..63 bytes of a-z, 0-9, '.' and '-'; a reason at most 511 bytes of
 * printable ASCII. Both sides cut the connection over a malformed message.
 */
#define TEED_SOCKET      "/run/vouchsafe/teed.sock"
#define TEED_DATA        64
#define TEED_DIGEST      48
#define TEED_RTMRS       4
#define TEED_REQUEST_MAX (12 + TEED_DATA)
#define TEED_REPORT_MAX  (32u << 10)
#define TEED_CERTS_MAX   (64u << 10)
#define TEED_REPLY_MAX   (20 + TEED_REPORT_MAX + TEED_CERTS_MAX)
#define TEED_CODE_MAX    63
#define TEED_REASON_MAX  511
#define TEED_CALL_MS     60000 /* of a client: the device's own time, and one request before it */

enum teed_op { TEED_QUOTE = 1, TEED_EXTEND = 2 };
enum teed_kind { TEED_NONE = 0, TEED_SNP = 1, TEED_TDX = 2 };

struct teed_request {
	enum teed_op op;
	uint32_t id;
	unsigned reg; /* of TEED_EXTEND */
	uint8_t data[TEED_DATA]; /* of TEED_EXTEND the first TEED_DIGEST */
};

/* Views are borrowed from the packet. */
struct teed_reply {
	uint32_t id;
	bool failed;
	enum teed_kind kind;
	struct view report, certs; /* of success */
	struct view code, reason;  /* of a failure */
};

/* Append the packet. The request's fields must be within their ranges. */
void teed_request_encode(struct buf *out, const struct teed_request *r);

/* out is set on success only. Errors: api.malformed, naming what is wrong. */
int teed_request_parse(struct teed_request *out, struct view packet, struct err *e) MUST_CHECK;

/* Append the packet of a success; of a failure. What a reason may not contain becomes '?'. */
void teed_reply_encode(struct buf *out, uint32_t id, enum teed_kind kind, struct view report,
		       struct view certs);
void teed_failure_encode(struct buf *out, uint32_t id, const struct err *why);

/* out is set on success only; it borrows packet. Errors: api.malformed. */
int teed_reply_parse(struct teed_reply *out, struct view packet, struct err *e) MUST_CHECK;

/*
 * The error that a failure tells: its code when it is one that teed may give (tee.*,
 * eventlog.register, platform.not-built, api.peer-denied), else tee.failed with its words. Returns
 * the negative kind.
 */
int teed_reply_error(const struct teed_reply *r, struct err *e);

/* --- client ------------------------------------------------------------------------------- */

/*
 * Who it speaks to: a socket's path, connected to for each call, or one end of a pair whose other
 * end a child of ours serves. Any thread may call; on a pair one after the other.
 */
struct teed_client {
	char path[104]; /* "": fd */
	int fd;
	uint32_t last_id;
	pthread_mutex_t lock;
};

/*
 * path  of the socket, copied; "" for a pair
 * fd    of a pair: borrowed for the life of *c, closed by its owner; else -1
 * Errors: ERR_LIMIT (path too long), ERR_NOMEM.
 */
int teed_client_init(struct teed_client *c, const char *path, int fd, struct err *e) MUST_CHECK;

/*
 * Make one request; c gives it its id. A quote whose server went away is asked for again; an
 * extend never is, and after a failure of it the register may have been extended.
 *
 * packet  zeroed by the caller; holds what out borrows; release with buf_done()
 * out     set on success only; never a failure
 *
 * Errors: what the server tells, tee.unreachable, tee.timeout, api.malformed.
 */
int teed_call(struct teed_client *c, struct teed_request *r, struct buf *packet,
	      struct teed_reply *out, struct deadline d, struct err *e) MUST_CHECK;

#endif
