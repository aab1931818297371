/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_SPAN_H
#define MOUNTS_SPAN_H

#include "agent/base/mem.h"

/*
 * Where the values stand in a JSON text, so that one can be replaced and every other byte stays
 * as it is (a 64-bit number must not go through a double). The text has been accepted by
 * json_parse(); a tree walked with json_first()/json_next() has its children in the same order,
 * so the two are walked side by side. On any other text the offsets are useless, but stay within it.
 */

/* Offset of the document's value. */
size_t span_root(struct view text);

/*
 * Offset of the first child's value (for an object: behind its key and colon).
 * container  offset of '{' or '['
 * False when the container is empty, or none; *at is unchanged then.
 */
bool span_first(size_t *at, struct view text, size_t container);

/* From a child's value to the next child's. False at the last one; *at is unchanged then. */
bool span_next(size_t *at, struct view text);

/* Length in bytes of the value at `at`, without white space around it. */
size_t span_len(struct view text, size_t at);

#endif
