/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_TOML_TREE_H
#define INITDATA_TOML_TREE_H

#include "initdata/toml.h"
#include "initdata/toml_scan.h"

/*
 * The values of a TOML document, and TOML's rules about who may open which table. Only for
 * toml*.c.
 *
 * How a table or array came to be decides what may still be done to it:
 *
 *   made by                      [path]    through [path.x]   [[path]]   through key path.x =
 *   HOW_IMPLICIT (a longer [h])  becomes HEADER   yes         no         becomes DOTTED
 *   HOW_HEADER ([h])             no        yes                no         no
 *   HOW_DOTTED (key a.b =)       no        yes                no         yes
 *   HOW_VALUE ({…}, […])         no        no                 no         no
 *   HOW_TABLES ([[h]])           no        its last element   one more   no
 */
enum toml_how { HOW_IMPLICIT, HOW_HEADER, HOW_DOTTED, HOW_VALUE, HOW_TABLES };

struct toml {
	enum toml_type type;
	enum toml_how how; /* of tables and arrays */
	unsigned depth;    /* the root has 0 */
	unsigned line;
	struct toml *first, *last; /* members or elements, in order */
	struct toml *next;         /* of the same container */
	struct toml *made;         /* list of all values of the document, from the root */
	void *index;               /* members by key: tsearch(3) */
	char *text;                /* of strings and dates; NUL-terminated */
	size_t len;
	union {
		int64_t integer;
		double number;
		bool flag;
	};
	struct view key; /* {NULL} without one, else name[], NUL-terminated */
	char name[];
};

/* A dotted key. */
struct key_path {
	size_t n;
	struct view part[TOML_DEPTH_MAX]; /* into text */
	struct mark where[TOML_DEPTH_MAX];
	struct buf text;
};

struct doc {
	struct scan s;
	struct toml *root;
	struct toml *current; /* the table that key = value lines go to */
	size_t nodes;
};

/*
 * A new value that belongs to d and is not yet in a container. key.p is NULL for none.
 * Errors: ERR_LIMIT (TOML_DEPTH_MAX, TOML_NODES_MAX), ERR_NOMEM.
 */
int tree_new(struct toml **out, struct doc *d, const struct toml *parent, struct view key,
	     struct mark where, struct err *e) MUST_CHECK;

/* Put a value at the end of its container. Errors: ERR_NOMEM. */
int tree_append(struct toml *container, struct toml *v, struct err *e) MUST_CHECK;

/* The member of that key, or NULL. */
struct toml *tree_find(const struct toml *table, struct view key);

/* Free all values that `root` and its list hold. */
void tree_free(struct toml *root);

/*
 * The table for the last part of `path =`, through the others, which are made as needed; the
 * last part must not exist yet. from is the current table or an inline one.
 */
int tree_open_dotted(struct toml **out, struct doc *d, struct toml *from,
		     const struct key_path *path, struct err *e) MUST_CHECK;

/* Carry out [path], or [[path]] with many: d->current is that table from now on. */
int tree_open_header(struct doc *d, const struct key_path *path, bool many,
		     struct err *e) MUST_CHECK;

#endif
