/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/toml.h"
#include "initdata/toml_tree.h"

static const struct view no_key = { 0 };

static int parse_value(struct toml **out, struct doc *d, const struct toml *parent, struct view key,
		       struct err *e);

static int fail_here(struct doc *d, const char *want, struct err *e)
{
	return scan_fail(&d->s, d->s.m, ERR_FORMAT, e, "want %s, found %s", want,
			 scan_found(&d->s));
}

static void path_done(struct key_path *path)
{
	buf_done(&path->text);
}

/* Parts are noted as offsets until all are read, because the buffer moves as it grows. */
static int parse_path(struct key_path *path, struct doc *d, struct err *e)
{
	size_t from[TOML_DEPTH_MAX + 1] = { 0 };
	int r;

	path->text = BUF_MAX(TOML_TEXT_MAX);
	for (path->n = 0;; path->n++) {
		if (path->n == TOML_DEPTH_MAX)
			return scan_fail(&d->s, d->s.m, ERR_LIMIT, e,
					 "a key of more than %d dotted parts", TOML_DEPTH_MAX);
		scan_blanks(&d->s);
		path->where[path->n] = d->s.m;
		r = scan_key_part(&d->s, &path->text, e);
		if (r < 0)
			return r;
		from[path->n + 1] = path->text.len;
		scan_blanks(&d->s);
		if (scan_peek(&d->s, 0) != '.')
			break;
		d->s.m.at++;
	}
	path->n++;
	for (size_t i = 0; i < path->n; i++)
		path->part[i] = (struct view){ (const uint8_t *)buf_str(&path->text) + from[i],
					       from[i + 1] - from[i] };
	return 0;
}

/* key = value into `table`, which is the current or an inline one. */
static int parse_pair(struct doc *d, struct toml *table, struct err *e)
{
	__attribute__((cleanup(path_done))) struct key_path path = { 0 };
	struct toml *into, *v;
	int r = parse_path(&path, d, e);

	if (r < 0)
		return r;
	if (scan_peek(&d->s, 0) != '=')
		return fail_here(d, "'=' behind a key", e);
	d->s.m.at++;
	scan_blanks(&d->s);
	r = tree_open_dotted(&into, d, table, &path, e);
	if (r < 0)
		return r;
	r = parse_value(&v, d, into, path.part[path.n - 1], e);
	return r < 0 ? r : tree_append(into, v, e);
}

/* [path] or [[path]]; the first bracket is not yet taken. */
static int parse_header(struct doc *d, struct err *e)
{
	__attribute__((cleanup(path_done))) struct key_path path = { 0 };
	bool many = scan_peek(&d->s, 1) == '[';
	int r;

	d->s.m.at += many ? 2 : 1;
	r = parse_path(&path, d, e);
	if (r < 0)
		return r;
	if (scan_peek(&d->s, 0) != ']' || (many && scan_peek(&d->s, 1) != ']'))
		return fail_here(d, many ? "\"]]\"" : "']'", e);
	d->s.m.at += many ? 2 : 1;
	return tree_open_header(d, &path, many, e);
}

static int parse_array(struct doc *d, struct toml *array, struct err *e)
{
	struct toml *v;
	int r;

	d->s.m.at++;
	for (;;) {
		r = scan_gap(&d->s, e);
		if (r < 0)
			return r;
		if (scan_peek(&d->s, 0) == ']')
			break;
		r = parse_value(&v, d, array, no_key, e);
		if (r < 0)
			return r;
		r = tree_append(array, v, e);
		if (r < 0)
			return r;
		r = scan_gap(&d->s, e);
		if (r < 0)
			return r;
		if (scan_peek(&d->s, 0) == ']')
			break;
		if (scan_peek(&d->s, 0) != ',')
			return fail_here(d, "',' or ']' in an array", e);
		d->s.m.at++;
	}
	d->s.m.at++;
	return 0;
}

/* TOML 1.0: on one line, and no comma behind the last pair. */
static int parse_inline_table(struct doc *d, struct toml *table, struct err *e)
{
	int r;

	d->s.m.at++;
	scan_blanks(&d->s);
	if (scan_peek(&d->s, 0) == '}') {
		d->s.m.at++;
		return 0;
	}
	for (;;) {
		r = parse_pair(d, table, e);
		if (r < 0)
			return r;
		scan_blanks(&d->s);
		if (scan_peek(&d->s, 0) != ',')
			break;
		d->s.m.at++;
	}
	if (scan_peek(&d->s, 0) != '}')
		return fail_here(d, "',' or '}' in an inline table", e);
	d->s.m.at++;
	return 0;
}

static int parse_string(struct doc *d, struct toml *v, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(TOML_TEXT_MAX);
	int r = scan_string(&d->s, &text, true, e);

	if (r < 0)
		return r;
	v->type = TOML_STRING;
	v->len = text.len;
	v->text = buf_take(&text);
	return v->text ? 0 : err_set(e, ERR_NOMEM, "no memory for TOML");
}

static int parse_scalar(struct doc *d, struct toml *v, struct err *e)
{
	struct toml_scalar x;
	int r = scan_scalar(&d->s, &x, e);

	if (r < 0)
		return r;
	switch (x.kind) {
	case SCALAR_INTEGER:
		v->type = TOML_INTEGER;
		v->integer = x.integer;
		break;
	case SCALAR_FLOAT:
		v->type = TOML_FLOAT;
		v->number = x.number;
		break;
	case SCALAR_DATETIME:
		v->type = TOML_DATETIME;
		v->len = strlen(x.date);
		v->text = strdup(x.date);
		return v->text ? 0 : err_set(e, ERR_NOMEM, "no memory for TOML");
	}
	return 0;
}

/* true or false as a whole word; what follows is checked by who reads on. */
static bool take_bool(struct doc *d, struct toml *v)
{
	struct view rest = { d->s.text.p + d->s.m.at, d->s.text.len - d->s.m.at };

	if (!view_starts(rest, "true") && !view_starts(rest, "false"))
		return false;
	v->type = TOML_BOOL;
	v->flag = rest.p[0] == 't';
	d->s.m.at += v->flag ? 4 : 5;
	return true;
}

static int parse_value(struct toml **out, struct doc *d, const struct toml *parent, struct view key,
		       struct err *e)
{
	int c = scan_peek(&d->s, 0), r;
	struct toml *v;

	r = tree_new(&v, d, parent, key, d->s.m, e);
	if (r < 0)
		return r;
	*out = v;
	v->how = HOW_VALUE;
	if (c == '"' || c == '\'')
		return parse_string(d, v, e);
	if (c == '[') {
		v->type = TOML_ARRAY;
		return parse_array(d, v, e);
	}
	if (c == '{') {
		v->type = TOML_TABLE;
		return parse_inline_table(d, v, e);
	}
	return take_bool(d, v) ? 0 : parse_scalar(d, v, e);
}

static int parse_line(struct doc *d, struct err *e)
{
	int c, r;

	scan_blanks(&d->s);
	c = scan_peek(&d->s, 0);
	if (c == '[') {
		r = parse_header(d, e);
	} else if (c < 0 || c == '#' || c == '\n' || c == '\r') {
		r = 0;
	} else {
		r = parse_pair(d, d->current, e);
	}
	if (r < 0)
		return r;
	r = scan_rest(&d->s, e);
	if (r < 0)
		return r;
	return scan_newline(&d->s) || scan_peek(&d->s, 0) < 0
		       ? 0
		       : fail_here(d, "the end of the line", e);
}

int toml_parse(struct toml **out, struct view text, struct err *e)
{
	cleanup_toml struct toml *root = NULL;
	struct doc d = { 0 };
	int r;

	if (text.len > TOML_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "TOML text of %zu bytes, allowed %u", text.len,
			       TOML_TEXT_MAX);
	r = scan_begin(&d.s, text, e);
	if (r < 0)
		return r;
	r = tree_new(&root, &d, NULL, no_key, d.s.m, e);
	if (r < 0)
		return r;
	root->how = HOW_HEADER;
	d.root = d.current = root;
	while (scan_peek(&d.s, 0) >= 0) {
		r = parse_line(&d, e);
		if (r < 0)
			return r;
	}
	*out = take(root);
	return 0;
}

void toml_free(struct toml *root)
{
	tree_free(root);
}

enum toml_type toml_type(const struct toml *v)
{
	return v->type;
}

const char *toml_type_name(enum toml_type t)
{
	static const char *const names[] = {
		[TOML_TABLE] = "a table",   [TOML_ARRAY] = "an array",
		[TOML_STRING] = "a string", [TOML_INTEGER] = "an integer",
		[TOML_FLOAT] = "a float",   [TOML_BOOL] = "a boolean",
		[TOML_DATETIME] = "a date",
	};

	return names[t];
}

const struct toml *toml_get(const struct toml *table, const char *key)
{
	return table && table->type == TOML_TABLE ? tree_find(table, view_str(key)) : NULL;
}

const struct toml *toml_first(const struct toml *container)
{
	return container ? container->first : NULL;
}

const struct toml *toml_next(const struct toml *item)
{
	return item->next;
}

const char *toml_key(const struct toml *member)
{
	if (!member->key.p)
		return NULL;
	return strlen(member->name) == member->key.len ? member->name : "\xef\xbf\xbd";
}

struct view toml_key_view(const struct toml *member)
{
	return member->key;
}

unsigned toml_line(const struct toml *v)
{
	return v->line;
}

const char *toml_string(const struct toml *v, size_t *len)
{
	if (!v || v->type != TOML_STRING)
		return NULL;
	if (len)
		*len = v->len;
	else if (strlen(v->text) != v->len)
		return NULL;
	return v->text;
}

bool toml_bool(bool *out, const struct toml *v)
{
	if (!v || v->type != TOML_BOOL)
		return false;
	*out = v->flag;
	return true;
}

bool toml_integer(int64_t *out, const struct toml *v)
{
	if (!v || v->type != TOML_INTEGER)
		return false;
	*out = v->integer;
	return true;
}

bool toml_float(double *out, const struct toml *v)
{
	if (!v || v->type != TOML_FLOAT)
		return false;
	*out = v->number;
	return true;
}

const char *toml_datetime(const struct toml *v)
{
	return v && v->type == TOML_DATETIME ? v->text : NULL;
}
