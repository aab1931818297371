/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FACTS_H
#define CLI_FACTS_H

#include "agent/base/buf.h"
#include "attester/bits.h"

/*
 * Facts for a person or as JSON, written once: names, values, groups and lists of them. A person
 * gets one line each, indented by group; JSON gets one object.
 */
#define FACTS_DEPTH 8

struct facts {
	struct buf *out;
	bool json;
	unsigned depth;
	bool any[FACTS_DEPTH];  /* something stands in this group already */
	bool list[FACTS_DEPTH]; /* the group is a list: members have no names */
};

/* Begin and end: the outermost object. */
void facts_begin(struct facts *f, struct buf *out, bool json);
void facts_end(struct facts *f);

/* A group of facts; name NULL inside a list. heading: what a person reads instead, or NULL. */
void facts_open(struct facts *f, const char *name, const char *heading);
void facts_close(struct facts *f);

/* A list of groups or texts. */
void facts_open_list(struct facts *f, const char *name);
void facts_close_list(struct facts *f);

/* One fact. Text may come from a stranger; a name is NULL inside a list. */
void facts_text(struct facts *f, const char *name, const char *fmt, ...) PRINTF(3, 4);
void facts_view(struct facts *f, const char *name, struct view text);
void facts_hex(struct facts *f, const char *name, struct view bytes);
void facts_number(struct facts *f, const char *name, uint64_t n);
void facts_bool(struct facts *f, const char *name, bool v);

/* A word of flags: its value, and of each whether it is set. */
void facts_bits(struct facts *f, const char *name, const char *heading, struct bit_table table,
		uint64_t value);

#endif
