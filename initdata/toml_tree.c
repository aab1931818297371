/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml_tree.h"
#include "agent/base/enc.h"

#include <search.h>

/* A key as it may stand in a message: cut short, without control characters. */
struct shown_key {
	char text[64];
};

static struct shown_key shown(struct view key)
{
	struct shown_key k;
	size_t n = key.len < sizeof k.text - 1 ? key.len : sizeof k.text - 1;

	while (n > 0 && !enc_is_utf8((struct view){ key.p, n }))
		n--;
	for (size_t i = 0; i < n; i++)
		k.text[i] = key.p[i] < ' ' || key.p[i] == 0x7f ? '?' : (char)key.p[i];
	k.text[n] = '\0';
	return k;
}

static int by_key(const void *a, const void *b)
{
	struct view x = ((const struct toml *)a)->key, y = ((const struct toml *)b)->key;
	size_t n = x.len < y.len ? x.len : y.len;
	int r = n > 0 ? memcmp(x.p, y.p, n) : 0;

	return r != 0 ? r : (x.len > y.len) - (x.len < y.len);
}

int tree_new(struct toml **out, struct doc *d, const struct toml *parent, struct view key,
	     struct mark where, struct err *e)
{
	unsigned depth = parent ? parent->depth + 1 : 0;
	struct toml *v;

	if (depth > TOML_DEPTH_MAX)
		return scan_fail(&d->s, where, ERR_LIMIT, e, "nested deeper than %d",
				 TOML_DEPTH_MAX);
	d->nodes += key.p ? 2 : 1;
	if (d->nodes > TOML_NODES_MAX)
		return scan_fail(&d->s, where, ERR_LIMIT, e, "more than %d keys and values",
				 TOML_NODES_MAX);
	v = calloc(1, sizeof *v + key.len + 1);
	if (!v)
		return err_set(e, ERR_NOMEM, "no memory for TOML");
	v->depth = depth;
	v->line = where.line;
	if (key.p) {
		memcpy(v->name, key.p, key.len);
		v->key = (struct view){ (const uint8_t *)v->name, key.len };
	}
	if (d->root) {
		v->made = d->root->made;
		d->root->made = v;
	}
	*out = v;
	return 0;
}

int tree_append(struct toml *container, struct toml *v, struct err *e)
{
	if (container->type == TOML_TABLE && !tsearch(v, &container->index, by_key))
		return err_set(e, ERR_NOMEM, "no memory for TOML");
	if (container->last)
		container->last->next = v;
	else
		container->first = v;
	container->last = v;
	return 0;
}

struct toml *tree_find(const struct toml *table, struct view key)
{
	struct toml probe = { .key = key };
	void *at = tfind(&probe, &table->index, by_key);

	return at ? *(struct toml **)at : NULL;
}

static void keep(void *v)
{
	(void)v;
}

void tree_free(struct toml *root)
{
	struct toml *next;

	for (struct toml *v = root; v; v = next) {
		next = v->made;
		tdestroy(v->index, keep);
		free(v->text);
		free(v);
	}
}

static int add_table(struct toml **out, struct doc *d, struct toml *parent, struct view key,
		     struct mark where, enum toml_how how, struct err *e)
{
	struct toml *t;
	int r = tree_new(&t, d, parent, key, where, e);

	if (r < 0)
		return r;
	t->type = how == HOW_TABLES ? TOML_ARRAY : TOML_TABLE;
	t->how = how;
	*out = t;
	return tree_append(parent, t, e);
}

static int fail_taken(struct doc *d, const struct key_path *path, size_t i, const struct toml *old,
		      struct err *e)
{
	return scan_fail(&d->s, path->where[i], ERR_FORMAT, e,
			 "\"%s\" is already defined as %s on line %u", shown(path->part[i]).text,
			 toml_type_name(old->type), old->line);
}

static int fail_closed(struct doc *d, const struct key_path *path, size_t i, const struct toml *old,
		       struct err *e)
{
	if (old->type != TOML_TABLE)
		return scan_fail(&d->s, path->where[i], ERR_FORMAT, e,
				 "\"%s\" is no table but %s, defined on line %u",
				 shown(path->part[i]).text, toml_type_name(old->type), old->line);
	return scan_fail(&d->s, path->where[i], ERR_FORMAT, e,
			 "the table \"%s\" of line %u cannot be added to from here",
			 shown(path->part[i]).text, old->line);
}

int tree_open_dotted(struct toml **out, struct doc *d, struct toml *from,
		     const struct key_path *path, struct err *e)
{
	struct toml *t = from, *next;
	size_t i;
	int r;

	for (i = 0; i + 1 < path->n; i++) {
		next = tree_find(t, path->part[i]);
		if (!next) {
			r = add_table(&next, d, t, path->part[i], path->where[i], HOW_DOTTED, e);
			if (r < 0)
				return r;
		}
		if (next->type != TOML_TABLE ||
		    (next->how != HOW_DOTTED && next->how != HOW_IMPLICIT))
			return fail_closed(d, path, i, next, e);
		next->how = HOW_DOTTED;
		t = next;
	}
	next = tree_find(t, path->part[i]);
	if (next)
		return fail_taken(d, path, i, next, e);
	*out = t;
	return 0;
}

/* One step of a header's path that is not its last. */
static int through(struct toml **t, struct doc *d, const struct key_path *path, size_t i,
		   struct err *e)
{
	struct toml *next = tree_find(*t, path->part[i]);
	int r;

	if (!next) {
		r = add_table(&next, d, *t, path->part[i], path->where[i], HOW_IMPLICIT, e);
		if (r < 0)
			return r;
	}
	if (next->how == HOW_TABLES)
		next = next->last;
	if (next->type != TOML_TABLE || next->how == HOW_VALUE)
		return fail_closed(d, path, i, next, e);
	*t = next;
	return 0;
}

int tree_open_header(struct doc *d, const struct key_path *path, bool many, struct err *e)
{
	struct toml *t = d->root, *last;
	struct view none = { 0 };
	size_t i;
	int r;

	for (i = 0; i + 1 < path->n; i++) {
		r = through(&t, d, path, i, e);
		if (r < 0)
			return r;
	}
	last = tree_find(t, path->part[i]);
	if (last && !(many ? last->how == HOW_TABLES
			   : last->type == TOML_TABLE && last->how == HOW_IMPLICIT))
		return fail_taken(d, path, i, last, e);
	if (!last) {
		r = add_table(&last, d, t, path->part[i], path->where[i],
			      many ? HOW_TABLES : HOW_HEADER, e);
		if (r < 0)
			return r;
	}
	if (many) {
		r = add_table(&last, d, last, none, path->where[i], HOW_HEADER, e);
		if (r < 0)
			return r;
	}
	last->how = HOW_HEADER;
	d->current = last;
	return 0;
}
