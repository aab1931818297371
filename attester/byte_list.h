/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_BYTE_LIST_H
#define ATTESTER_BYTE_LIST_H

#include "agent/base/json.h"

/* Bytes as Trustee's SNP structures have them in JSON: a list of integers, [48,130,...]. */

/* Append the list. */
void byte_list_put(struct buf *out, struct view bytes);

/*
 * Append the bytes of a list; *out is marked when it has no room, see buf_check().
 * Returns 0, or -ERR_FORMAT when list is none, or has an element (number *bad) that is no byte;
 * *bad is SIZE_MAX where there is no list.
 */
int byte_list_get(struct buf *out, const struct json *list, size_t *bad) MUST_CHECK;

#endif
