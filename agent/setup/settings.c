/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/settings.h"

#include <stdio.h>

enum { PATH_MAX_BYTES = 128 };

/* The value at a dotted path; *stopped names the first part that is no table, NULL when fine. */
static const struct toml *walk(const struct toml *v, const char *path, bool *blocked)
{
	char part[PATH_MAX_BYTES];

	*blocked = false;
	while (v && path[0]) {
		size_t n = strcspn(path, ".");

		if (toml_type(v) != TOML_TABLE) {
			*blocked = true;
			return NULL;
		}
		(void)snprintf(part, sizeof part, "%.*s", (int)n, path);
		v = toml_get(v, part);
		path += n + (path[n] == '.');
	}
	return v;
}

static int wrong(const struct settings *s, const char *path, const struct toml *v, const char *want,
		 struct err *e)
{
	return err_code(e, CODE_CONFIG_VALUE, "%s: %s%s%s, want %s", s->text_name, path,
			v ? " is " : " is no table's member",
			v ? toml_type_name(toml_type(v)) : "", want);
}

static int find(const struct toml **out, const struct settings *s, const char *path,
		const char *want, struct err *e)
{
	bool blocked;

	*out = walk(s->root, path, &blocked);
	return blocked ? wrong(s, path, NULL, want, e) : 0;
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

int settings_bool(bool *out, const struct settings *s, const char *path, struct err *e)
{
	const struct toml *v;
	int r = find(&v, s, path, "true or false", e);

	if (r < 0 || !v)
		return r;
	return toml_bool(out, v) ? 0 : wrong(s, path, v, "true or false", e);
}

int settings_uint(uint32_t *out, const struct settings *s, const char *path, uint32_t max,
		  struct err *e)
{
	const struct toml *v;
	int64_t n;
	int r = find(&v, s, path, "a number", e);

	if (r < 0 || !v)
		return r;
	if (!toml_integer(&n, v))
		return wrong(s, path, v, "a number", e);
	if (n < 0 || n > (int64_t)max)
		return err_code(e, CODE_CONFIG_VALUE, "%s: %s = %lld, allowed 0..%u", s->text_name,
				path, (long long)n, max);
	*out = (uint32_t)n;
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

/* Known says the path itself, or "path.*", or begins with "path." (then it is a table of its own). */
static bool is_known(const char *path, const char *const *known, size_t n, bool *deeper)
{
	size_t len = strlen(path);

	*deeper = false;
	for (size_t i = 0; i < n; i++) {
		const char *k = known[i];
		size_t kn = strlen(k);

		if (strcmp(k, path) == 0)
			return true;
		if (kn > 2 && strcmp(k + kn - 2, ".*") == 0 && len > kn - 1 &&
		    strncmp(k, path, kn - 1) == 0)
			return true;
		if (strncmp(k, path, len) == 0 && k[len] == '.')
			*deeper = true;
	}
	return false;
}

static int only(const struct settings *s, const struct toml *table, const char *prefix,
		const char *const *known, size_t n, struct err *e)
{
	char path[PATH_MAX_BYTES];
	bool deeper;
	int r;

	for (const struct toml *m = toml_first(table); m; m = toml_next(m)) {
		(void)snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "",
			       toml_key(m));
		if (is_known(path, known, n, &deeper))
			continue;
		if (!deeper || toml_type(m) != TOML_TABLE)
			return err_code(e, CODE_CONFIG_UNKNOWN_KEY, "%s line %u: unknown key %s",
					s->text_name, toml_line(m), path);
		r = only(s, m, path, known, n, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int settings_only(const struct settings *s, const char *const *known, size_t n, struct err *e)
{
	return only(s, s->root, "", known, n, e);
}

void settings_list_free(char **list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		free(list[i]);
	free(list);
}
