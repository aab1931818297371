/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_NODE_H
#define MOUNTS_NODE_H

#include "agent/base/json.h"

/*
 * A JSON value together with its place in the text, for reading what an OCI runtime will read.
 *
 * runc's JSON reader matches the names of members without regard to case, so that "Env" would be
 * its environment and nothing to us. A member whose name equals the wanted one but for case is
 * therefore an error, never "absent".
 */
struct node {
	struct view text;
	const struct json *v; /* NULL: absent */
	size_t at;
};

struct node node_root(struct view text, const struct json *doc);

/*
 * The member `key` of `object`; out->v is NULL when there is none, or `object` is absent or no
 * object. key is ASCII.
 * Errors: ERR_FORMAT (a member that a runtime may take for it).
 */
int node_get(struct node *out, struct node object, const char *key, struct err *e) MUST_CHECK;

/* First child of a container; false when there is none. */
bool node_first(struct node *child, struct node container);

/* The next one; false at the end. */
bool node_next(struct node *child);

#endif
