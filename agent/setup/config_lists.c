/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/uri.h"
#include "agent/setup/config_parts.h"

enum { CREDENTIAL_PATH_MAX = 512 };

/* Visible ASCII below CREDENTIAL_DIR, every segment with a name: it becomes a path that we create. */
static const char *path_fault(struct view path)
{
	const size_t n = strlen(CREDENTIAL_DIR "/");
	size_t at = n;

	if (path.len > CREDENTIAL_PATH_MAX)
		return "is too long";
	if (!view_starts(path, CREDENTIAL_DIR "/"))
		return "is not below " CREDENTIAL_DIR;
	for (size_t i = 0; i < path.len; i++)
		if (path.p[i] <= ' ' || path.p[i] >= 0x7f)
			return "has a blank or a character that is no visible ASCII";
	while (at <= path.len) {
		size_t end = at;
		struct view part;

		while (end < path.len && path.p[end] != '/')
			end++;
		part = (struct view){ path.p + at, end - at };
		if (part.len == 0 || view_is(part, ".") || view_is(part, ".."))
			return "has an empty, \".\" or \"..\" segment";
		at = end + 1;
	}
	return NULL;
}

int config_add_credential(struct guest_config *c, const char *name, struct view uri,
			  struct view path, struct err *e)
{
	const char *fault = path_fault(path);
	struct guest_credential *list, new = { 0 };
	struct uri u;

	if (fault)
		return err_code(e, CODE_CONFIG_VALUE, "%s: a path %s", name, fault);
	if (uri_parse(&u, uri, e) < 0)
		return err_wrap_code(e, CODE_CONFIG_VALUE, "%s", name);
	if (c->n_credentials == CONFIG_LIST_MAX)
		return err_code(e, CODE_CONFIG_VALUE, "%s: more than %d", name, CONFIG_LIST_MAX);
	list = reallocarray(c->credentials, c->n_credentials + 1, sizeof *list);
	if (!list)
		return err_set(e, ERR_NOMEM, "no memory for credentials");
	c->credentials = list;
	new.path = strndup((const char *)path.p, path.len);
	new.uri = strdup(u.text);
	c->credentials[c->n_credentials++] = new;
	return new.path && new.uri ? 0 : err_set(e, ERR_NOMEM, "no memory for credentials");
}

static int read_credentials(struct guest_config *c, const struct settings *s, struct err *e)
{
	const struct toml *list = NULL;
	int r = settings_array(&list, s, "credentials", CONFIG_LIST_MAX, e);

	for (const struct toml *i = toml_first(list); r == 0 && i; i = toml_next(i)) {
		const struct settings one = { "cdh.toml: credentials", i, s->lenient, s->no_lines };
		cleanup_free char *path = NULL, *uri = NULL;

		if (toml_type(i) != TOML_TABLE)
			return err_code(e, CODE_CONFIG_VALUE, "%s: want tables", one.text_name);
		if ((r = settings_text(&path, &one, "path", e)) < 0 ||
		    (r = settings_text(&uri, &one, "resource_uri", e)) < 0)
			return r;
		if (!path || !uri)
			return err_code(e, CODE_CONFIG_VALUE,
					"%s: each needs path and resource_uri", one.text_name);
		r = config_add_credential(c, one.text_name, view_str(uri), view_str(path), e);
	}
	return r;
}

/* The types of [[registry]] or [[mirror]] tables. */
static int check_places(const struct settings *s, const char *name, bool mirrors, struct err *e)
{
	const struct toml *list = NULL;
	int r = settings_array(&list, s, name, CONFIG_LIST_MAX, e);

	for (const struct toml *i = toml_first(list); r == 0 && i; i = toml_next(i)) {
		const struct settings one = { "cdh.toml: image.registry_config", i, s->lenient,
					      s->no_lines };
		cleanup_free char *prefix = NULL, *location = NULL;
		bool flag;

		if (toml_type(i) != TOML_TABLE)
			return err_code(e, CODE_CONFIG_VALUE, "%s: %s, want tables", one.text_name,
					name);
		if ((r = settings_text(&location, &one, "location", e)) < 0 ||
		    (r = settings_bool(&flag, &one, "insecure", e)) < 0)
			return r;
		if (mirrors && !location)
			return err_code(e, CODE_CONFIG_VALUE, "%s: a mirror needs a location",
					one.text_name);
		if (!mirrors && ((r = settings_text(&prefix, &one, "prefix", e)) < 0 ||
				 (r = settings_bool(&flag, &one, "blocked", e)) < 0 ||
				 (r = check_places(&one, "mirror", true, e)) < 0))
			return r;
	}
	return r;
}

static int read_registry(struct guest_config *c, const struct settings *s, struct err *e)
{
	const struct toml *t = NULL;
	struct settings in = *s;
	char **names = NULL;
	size_t n = 0;
	int r = settings_table(&t, s, "image.registry_config", e);

	if (r < 0 || !t)
		return r;
	in.root = t;
	r = settings_list(&names, &n, &in, "unqualified-search-registries", CONFIG_LIST_MAX, e);
	settings_list_free(names, n);
	if (r == 0)
		r = check_places(&in, "registry", false, e);
	if (r == 0)
		c->image.registry = t;
	return r;
}

int config_read_cdh_lists(struct guest_config *c, const struct settings *s, struct err *e)
{
	const struct toml *image = NULL;
	int r = settings_table(&image, s, "image", e);

	if (r < 0)
		return r;
	c->image.given = image != NULL;
	r = read_registry(c, s, e);
	return r < 0 ? r : read_credentials(c, s, e);
}

static int read_bind(struct guest_config *c, const struct settings *s, struct err *e)
{
	const struct toml *t = NULL;
	size_t n = 0;
	int r = settings_table(&t, s, "sealed.bind", e);

	if (r < 0 || !t)
		return r;
	for (const struct toml *m = toml_first(t); m; m = toml_next(m))
		n++;
	if (n > CONFIG_LIST_MAX)
		return err_code(e, CODE_CONFIG_VALUE, "%s: sealed.bind has %zu members, allowed %d",
				s->text_name, n, CONFIG_LIST_MAX);
	c->bind_names = calloc(n + 1, sizeof *c->bind_names);
	c->bind_uris = calloc(n + 1, sizeof *c->bind_uris);
	if (!c->bind_names || !c->bind_uris)
		return err_set(e, ERR_NOMEM, "no memory for sealed.bind");
	for (const struct toml *m = toml_first(t); m; m = toml_next(m)) {
		const char *text = toml_string(m, NULL);
		struct uri uri;

		if (!text || uri_parse(&uri, view_str(text), e) < 0)
			return err_code(e, CODE_CONFIG_VALUE,
					"%s: sealed.bind %.60s is no resource URI", s->text_name,
					toml_key(m));
		c->bind_names[c->n_bind] = strdup(toml_key(m));
		c->bind_uris[c->n_bind++] = strdup(uri.text);
		if (!c->bind_names[c->n_bind - 1] || !c->bind_uris[c->n_bind - 1])
			return err_set(e, ERR_NOMEM, "no memory for sealed.bind");
	}
	return 0;
}

static int read_uids(struct guest_config *c, const struct settings *s, struct err *e)
{
	const struct toml *list = NULL;
	int r = settings_array(&list, s, "peers.uids", CONFIG_LIST_MAX, e);

	if (r < 0 || !list)
		return r;
	c->peer_uids = calloc(CONFIG_LIST_MAX, sizeof *c->peer_uids);
	if (!c->peer_uids)
		return err_set(e, ERR_NOMEM, "no memory for peers.uids");
	for (const struct toml *v = toml_first(list); v; v = toml_next(v)) {
		int64_t uid;

		if (!toml_integer(&uid, v) || uid < 0 || uid > UINT32_MAX - 1)
			return err_code(e, CODE_CONFIG_VALUE, "%s: peers.uids, want user ids",
					s->text_name);
		c->peer_uids[c->n_peer_uids++] = (unsigned)uid;
	}
	return 0;
}

int config_read_own_lists(struct guest_config *c, const struct settings *s, struct err *e)
{
	int r = read_bind(c, s, e);

	return r < 0 ? r : read_uids(c, s, e);
}
