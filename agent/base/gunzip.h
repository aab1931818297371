/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_GUNZIP_H
#define BASE_GUNZIP_H

#include "agent/base/buf.h"

/*
 * Append the content of one gzip member to *out.
 *
 * gz   the whole member, nothing behind it
 * max  most bytes of content
 *
 * Errors: ERR_FORMAT (not gzip, damaged, cut short, trailing bytes), ERR_LIMIT, ERR_NOMEM.
 */
int gunzip(struct buf *out, struct view gz, size_t max, struct err *e) MUST_CHECK;

/* Append gz of the bytes (level 9, no name, no time: the same input gives the same output). Errors: ERR_NOMEM, ERR_LIMIT. */
int gunzip_pack(struct buf *out, struct view bytes, struct err *e) MUST_CHECK;

#endif
