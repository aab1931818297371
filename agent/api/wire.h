/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_WIRE_H
#define API_WIRE_H

#include "agent/api/frame.h"
#include "agent/api/service.h"

/*
 * The protobuf messages of the local API, decoded and encoded; the only file that knows
 * protobuf-c. Two rules (design 8):
 *
 * - what clients send is unpacked with an allocator that bounds what one message may cost
 *   and erases what it frees; strings are checked for length, NUL and UTF-8;
 * - a reply with plaintext is never packed or unpacked: the server writes the few bytes that
 *   precede it and then the locked memory itself, the client cuts it out of locked memory.
 */
#define WIRE_METADATA_MAX 32   /* entries of a Request */
#define WIRE_NAME_MAX     256  /* bytes of a service or method name */
#define WIRE_STRING_MAX   4096 /* bytes of a string in a message of a service */
#define WIRE_VALUE_MAX    (64u << 10) /* of an option of SecureMount */
#define WIRE_OPTIONS_MAX  64   /* options of SecureMount, and flags */
#define WIRE_HEAD_MAX     24   /* bytes that precede plaintext in a Response */
#define WIRE_META_NAME    "io.vouchsafe.name"

/* A decoded Request. The views are into `owned`. */
struct wire_request {
	struct view service, method, payload;
	int64_t timeout_nano;
	char name[API_NAME_MAX + 1]; /* of WIRE_META_NAME, "" when not sent */
	void *owned;
};

/*
 * Decode a Request. Unknown fields and metadata are skipped.
 *
 * out    set on success only; release with wire_request_done()
 * frame  borrowed for the call
 *
 * Errors (api.malformed): no protobuf, service or method no text of at most WIRE_NAME_MAX bytes,
 * too many metadata, WIRE_META_NAME twice, or its value no text of 1..API_NAME_MAX bytes without NUL.
 * ERR_NOMEM.
 */
int wire_request_decode(struct wire_request *out, struct view frame, struct err *e) MUST_CHECK;
void wire_request_done(struct wire_request *r);

/* Append a Request. name NULL: no metadata; timeout_nano 0: none. Errors are in the buf. */
void wire_request_encode(struct buf *out, const char *service, const char *method,
			 struct view payload, int64_t timeout_nano, const char *name);

/* Append a field of type bytes, as in a message whose one field it is. */
void wire_bytes_put(struct buf *out, unsigned field, struct view bytes);

/* Append a Response that carries only a status. text: UTF-8, NUL-terminated. */
void wire_status_encode(struct buf *out, enum api_status status, const char *text);

/*
 * What precedes len bytes in a successful Response.
 *
 * field  0: the bytes are the encoded reply message; else they are that bytes field of it
 *
 * Returns the number of bytes in head. The Rust server always writes the empty status.
 */
size_t wire_ok_head(uint8_t head[WIRE_HEAD_MAX], size_t len, unsigned field);

/* The one field of a request message of the hub. The view is into `owned`. */
struct wire_input {
	struct view text;
	void *owned;
};

/* api.UnsealSecretInput: any bytes. Errors: api.malformed, ERR_NOMEM. */
int wire_unseal_decode(struct wire_input *out, struct view payload, struct err *e) MUST_CHECK;

/* api.GetResourceRequest: UTF-8 without NUL, at most WIRE_STRING_MAX. Errors: as above. */
int wire_get_resource_decode(struct wire_input *out, struct view payload, struct err *e) MUST_CHECK;

void wire_input_done(struct wire_input *in);

/* api.SecureMountRequest. The views are into `owned`. */
struct wire_mount {
	struct view volume_type, mount_point;
	size_t n_options;
	struct wire_option {
		struct view key, value;
	} options[WIRE_OPTIONS_MAX];
	void *owned;
};

/*
 * Texts are UTF-8 without NUL, at most WIRE_STRING_MAX bytes; an option's value at most
 * WIRE_VALUE_MAX. Flags are counted and not looked at: nobody uses them.
 * Errors: api.malformed (also: an option given twice), ERR_NOMEM.
 */
int wire_mount_decode(struct wire_mount *out, struct view payload, struct err *e) MUST_CHECK;
void wire_mount_done(struct wire_mount *m);

/* A Response, cut where it lies: nothing is copied. */
struct wire_reply {
	int status;          /* 0 also when absent, as clients of ttrpc take it */
	struct view message; /* of the status */
	struct view payload;
};

/* Errors: ERR_FORMAT (no protobuf, or a known field of the wrong type). */
int wire_reply_scan(struct wire_reply *out, struct view frame, struct err *e) MUST_CHECK;

/* The bytes field of that number in a message; empty when absent. Errors: ERR_FORMAT. */
int wire_bytes_scan(struct view *out, struct view message, unsigned field, struct err *e) MUST_CHECK;

#endif
