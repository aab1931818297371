/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_EDIT_H
#define MOUNTS_EDIT_H

#include "agent/base/buf.h"
#include "agent/base/secret.h"

/*
 * A text with some of its values replaced, written out without ever being put together in
 * ordinary memory: public pieces come from the text and from buffers, plaintext from locked
 * memory straight into the file.
 */

/* One replacement: bytes [at, at + len) of the text make way for `text`, or for a secret. */
struct edit {
	size_t at, len;
	size_t order;                /* among edits at one place (insertions): the order of adding */
	struct buf text;             /* the JSON text to stand there; owned */
	const struct secret *secret; /* when set, stands instead in the plain form; JSON text in locked memory */
};

struct edits {
	struct edit *list;
	size_t n, room;
};

#define EDITS_MAX 8192

#define cleanup_edits __attribute__((cleanup(edits_done)))

/*
 * Replace len bytes at `at`. *text is taken over (and empty afterwards) on success and failure.
 * secret  borrowed until the edits are gone; NULL for a public edit
 * Errors: ERR_LIMIT (EDITS_MAX), ERR_NOMEM, and what text was marked with.
 */
int edits_add(struct edits *list, size_t at, size_t len, struct buf *text,
	      const struct secret *secret, struct err *e) MUST_CHECK;

/*
 * Write the text with its replacements to fd, at its offset.
 * plain  true: secrets where they belong; false: the edits with a secret are left out, so that
 *        the text keeps what it had there
 * Errors: ERR_SYSTEM, ERR_INTERNAL (edits overlap).
 */
int edits_write(int fd, struct edits *list, struct view text, bool plain, struct err *e) MUST_CHECK;

/* The same into a buffer, for edits without secrets. */
int edits_apply(struct buf *out, struct edits *list, struct view text, struct err *e) MUST_CHECK;

void edits_done(struct edits *list);

/*
 * The JSON string of head + plaintext, quotes included, in locked memory.
 *
 * out    erased first
 * head   UTF-8, e.g. "NAME="
 * plain  UTF-8 without NUL, which the caller has checked; may be empty
 *
 * Errors: ERR_LIMIT, ERR_NOMEM.
 */
int edit_secret_string(struct secret *out, struct view head, const struct secret *plain,
		       struct err *e) MUST_CHECK;

#endif
