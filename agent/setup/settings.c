/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/settings.h"

#include <stdio.h>

enum { PATH_MAX_BYTES = 128 };

static int wrong(const struct settings *s, const char *path, const struct toml *v, const char *want,
		 struct err *e)
{
	return err_code(e, CODE_CONFIG_VALUE, "%s: %s%s%s, want %s", s->text_name, path,
			v ? " is " : " is no table's member",
			v ? toml_type_name(toml_type(v)) : "", want);
}

static unsigned line_of(const struct settings *s, const struct toml *v)
{
	return s->no_lines ? 0 : toml_line(v);
}

/* A table's member. Exact spelling is not preferred: two that differ in case are an error. */
static int member(const struct toml **out, const struct settings *s, const struct toml *table,
		  const char *key, struct err *e)
{
	*out = NULL;
	if (!s->lenient) {
		*out = toml_get(table, key);
		return 0;
	}
	for (const struct toml *m = toml_first(table); m; m = toml_next(m)) {
		if (strcasecmp(toml_key(m), key) != 0)
			continue;
		if (*out)
			return err_code(e, CODE_CONFIG_VALUE, "%s: the key %s stands there twice",
					s->text_name, key);
		*out = m;
	}
	return 0;
}

static int find(const struct toml **out, const struct settings *s, const char *path,
		const char *want, struct err *e)
{
	const struct toml *v = s->root;
	const char *rest = path;
	char part[PATH_MAX_BYTES];

	while (v && rest[0]) {
		size_t n = strcspn(rest, ".");
		int r;

		if (toml_type(v) != TOML_TABLE)
			return wrong(s, path, NULL, want, e);
		(void)snprintf(part, sizeof part, "%.*s", (int)n, rest);
		r = member(&v, s, v, part, e);
		if (r < 0)
			return r;
		rest += n + (rest[n] == '.');
	}
	*out = v;
	return 0;
}

int settings_given(const struct settings *s, const char *path, unsigned *line, struct err *e)
{
	const struct toml *v;
	int r = find(&v, s, path, "a table before it", e);

	if (r < 0 || !v)
		return r;
	*line = line_of(s, v);
	return 1;
}

int settings_table(const struct toml **out, const struct settings *s, const char *path,
		   struct err *e)
{
	const struct toml *v;
	int r = find(&v, s, path, "a table", e);

	if (r < 0)
		return r;
	if (v && toml_type(v) != TOML_TABLE)
		return wrong(s, path, v, "a table", e);
	*out = v;
	return 0;
}

int settings_text(char **out, const struct settings *s, const char *path, struct err *e)
{
	const struct toml *v;
	const char *text;
	char *copy;
	int r = find(&v, s, path, "a string", e);

	if (r < 0 || !v)
		return r;
	text = toml_string(v, NULL);
	if (!text)
		return wrong(s, path, v, "a string", e);
	copy = strdup(text);
	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory for %s", path);
	free(*out);
	*out = copy;
	return 0;
}

/* The words of the Rust `config` crate. */
static bool bool_of_word(bool *out, const char *word)
{
	static const char *const words[2][4] = { { "false", "no", "off", "0" },
						 { "true", "yes", "on", "1" } };

	for (size_t i = 0; word && i < 8; i++) {
		if (strcasecmp(word, words[i / 4][i % 4]) == 0) {
			*out = i / 4 == 1;
			return true;
		}
	}
	return false;
}

int settings_bool(bool *out, const struct settings *s, const char *path, struct err *e)
{
	const struct toml *v;
	int64_t n;
	int r = find(&v, s, path, "true or false", e);

	if (r < 0 || !v || toml_bool(out, v))
		return r;
	if (s->lenient && bool_of_word(out, toml_string(v, NULL)))
		return 0;
	if (s->lenient && toml_integer(&n, v) && (n == 0 || n == 1)) {
		*out = n == 1;
		return 0;
	}
	return wrong(s, path, v, "true or false", e);
}

static bool uint_of_word(int64_t *out, const char *word)
{
	int64_t n = 0;

	if (!word || word[0] == '\0' || strlen(word) > 18 || strspn(word, "0123456789") != strlen(word))
		return false;
	for (; *word; word++)
		n = n * 10 + (*word - '0');
	*out = n;
	return true;
}

int settings_uint(uint32_t *out, const struct settings *s, const char *path, uint32_t max,
		  struct err *e)
{
	const struct toml *v;
	int64_t n;
	int r = find(&v, s, path, "a number", e);

	if (r < 0 || !v)
		return r;
	if (!toml_integer(&n, v) && !(s->lenient && uint_of_word(&n, toml_string(v, NULL))))
		return wrong(s, path, v, "a number", e);
	if (n < 0 || n > (int64_t)max)
		return err_code(e, CODE_CONFIG_VALUE, "%s: %s = %lld, allowed 0..%u", s->text_name,
				path, (long long)n, max);
	*out = (uint32_t)n;
	return 0;
}

int settings_array(const struct toml **out, const struct settings *s, const char *path, size_t max,
		   struct err *e)
{
	const struct toml *v;
	size_t n = 0;
	int r = find(&v, s, path, "an array", e);

	if (r < 0)
		return r;
	if (v && toml_type(v) != TOML_ARRAY)
		return wrong(s, path, v, "an array", e);
	for (const struct toml *i = toml_first(v); i; i = toml_next(i))
		n++;
	if (n > max)
		return err_code(e, CODE_CONFIG_VALUE, "%s: %s has %zu members, allowed %zu",
				s->text_name, path, n, max);
	*out = v;
	return 0;
}

int settings_list(char ***out, size_t *n_out, const struct settings *s, const char *path,
		  size_t max, struct err *e)
{
	const struct toml *v;
	size_t n = 0;
	char **list;
	int r = find(&v, s, path, "an array of strings", e);

	if (r < 0 || !v)
		return r;
	if (toml_type(v) != TOML_ARRAY)
		return wrong(s, path, v, "an array of strings", e);
	for (const struct toml *i = toml_first(v); i; i = toml_next(i), n++)
		if (!toml_string(i, NULL))
			return wrong(s, path, i, "strings only", e);
	if (n > max)
		return err_code(e, CODE_CONFIG_VALUE, "%s: %s has %zu members, allowed %zu",
				s->text_name, path, n, max);
	list = calloc(n + 1, sizeof *list);
	if (!list)
		return err_set(e, ERR_NOMEM, "no memory for %s", path);
	n = 0;
	for (const struct toml *i = toml_first(v); i; i = toml_next(i)) {
		list[n] = strdup(toml_string(i, NULL));
		if (!list[n++]) {
			settings_list_free(list, n);
			return err_set(e, ERR_NOMEM, "no memory for %s", path);
		}
	}
	*out = list;
	*n_out = n;
	return 0;
}

struct unknown {
	const struct settings *s;
	const char *const *known;
	size_t n;
	int (*found)(void *ctx, const char *path, unsigned line, struct err *e);
	void *ctx;
};

static bool same(const struct unknown *u, const char *a, const char *b, size_t n)
{
	return (u->s->lenient ? strncasecmp(a, b, n) : strncmp(a, b, n)) == 0;
}

/*
 * Known says the path itself, or "prefix.*", or begins with "path." (then what is below is looked
 * at). A key with a dot in it ("a.b" in quotes) reads like a path and is none: only ".*" takes it.
 */
static bool is_known(const struct unknown *u, const char *path, size_t prefix, bool plain,
		     bool *deeper)
{
	size_t len = strlen(path);

	*deeper = false;
	for (size_t i = 0; i < u->n; i++) {
		const char *k = u->known[i];
		size_t kn = strlen(k);

		if (plain && kn == len && same(u, k, path, len))
			return true;
		if (kn == prefix + 2 && strcmp(k + prefix, ".*") == 0 && same(u, k, path, prefix + 1))
			return true;
		if (plain && kn > len && k[len] == '.' && same(u, k, path, len))
			*deeper = true;
	}
	return false;
}

static int unknown_in(const struct unknown *u, const struct toml *table, const char *prefix,
		      struct err *e);

static int unknown_below(const struct unknown *u, const struct toml *v, const char *path,
			 struct err *e)
{
	int r = 0;

	if (toml_type(v) == TOML_TABLE)
		return unknown_in(u, v, path, e);
	for (const struct toml *i = toml_first(v); r == 0 && i; i = toml_next(i))
		if (toml_type(i) == TOML_TABLE)
			r = unknown_in(u, i, path, e);
	return r;
}

static int unknown_in(const struct unknown *u, const struct toml *table, const char *prefix,
		      struct err *e)
{
	char path[PATH_MAX_BYTES];
	bool deeper;
	int r;

	for (const struct toml *m = toml_first(table); m; m = toml_next(m)) {
		(void)snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "",
			       toml_key(m));
		if (is_known(u, path, strlen(prefix), !strchr(toml_key(m), '.'), &deeper))
			continue;
		if (deeper && (toml_type(m) == TOML_TABLE || toml_type(m) == TOML_ARRAY))
			r = unknown_below(u, m, path, e);
		else
			r = u->found(u->ctx, path, line_of(u->s, m), e);
		if (r < 0)
			return r;
	}
	return 0;
}

int settings_unknown(const struct settings *s, const char *const *known, size_t n,
		     int (*found)(void *ctx, const char *path, unsigned line, struct err *e),
		     void *ctx, struct err *e)
{
	const struct unknown u = { s, known, n, found, ctx };

	return unknown_in(&u, s->root, "", e);
}

static int refuse(void *ctx, const char *path, unsigned line, struct err *e)
{
	const struct settings *s = ctx;

	return err_code(e, CODE_CONFIG_UNKNOWN_KEY, "%s line %u: unknown key %s", s->text_name, line,
			path);
}

int settings_only(const struct settings *s, const char *const *known, size_t n, struct err *e)
{
	struct settings copy = *s;

	return settings_unknown(s, known, n, refuse, &copy, e);
}

void settings_list_free(char **list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		free(list[i]);
	free(list);
}
