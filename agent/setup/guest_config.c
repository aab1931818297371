/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/config_parts.h"

#include <stdarg.h>
#include <stdio.h>

enum { REMARK_MAX = 400 };

/* What tables among the rows may have as members. */
static const char *const known_below[] = {
	"credentials.path",
	"credentials.resource_uri",
	"image.registry_config.unqualified-search-registries",
	"image.registry_config.registry.prefix",
	"image.registry_config.registry.location",
	"image.registry_config.registry.insecure",
	"image.registry_config.registry.blocked",
	"image.registry_config.registry.mirror.location",
	"image.registry_config.registry.mirror.insecure",
	"sealed.bind.*",
};

void config_remark(struct config_remarks *r, const char *fmt, ...)
{
	char line[REMARK_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (r->n < CONFIG_REMARKS_MAX)
		r->text[r->n] = strdup(line);
	if (r->n < CONFIG_REMARKS_MAX && r->text[r->n])
		r->n++;
	else
		r->more++;
}

static const char *text_name(enum config_from from)
{
	return from == FROM_AA ? "aa.toml" : from == FROM_CDH ? "cdh.toml" : "vouchsafe.toml";
}

static int read_row(struct guest_config *c, const struct config_row *row, const struct settings *s,
		    struct err *e)
{
	void *field = (char *)c + row->at;
	size_t *n = (size_t *)(void *)((char *)c + row->at_n);

	switch (row->kind) {
	case KIND_TEXT:
	case KIND_URL:
	case KIND_LONG:
	case KIND_CERT:
		return settings_text(field, s, row->name, e);
	case KIND_BOOL:
		return settings_bool(field, s, row->name, e);
	case KIND_UINT:
		return settings_uint(field, s, row->name, row->max, e);
	case KIND_LIST:
	case KIND_CERTS:
		return settings_list(field, n, s, row->name, row->max, e);
	case KIND_UIDS:
	case KIND_TABLE:
		break;
	}
	return 0;
}

struct reading {
	struct guest_config *c;
	const char *text_name;
};

static int note_unknown(void *ctx, const char *path, unsigned line, struct err *e)
{
	struct reading *r = ctx;

	(void)e;
	if (line > 0)
		config_remark(&r->c->unknown, "%s line %u: %s", r->text_name, line, path);
	else
		config_remark(&r->c->unknown, "%s: %s", r->text_name, path);
	return 0;
}

static int check_unknown(struct guest_config *c, const struct settings *s, enum config_from what,
			 struct err *e)
{
	const char *known[CONFIG_KEYS + ARRAY_LEN(known_below)];
	struct reading r = { c, s->text_name };
	size_t n = 0;

	for (size_t i = 0; i < CONFIG_KEYS; i++)
		if (config_rows[i].text == what && config_rows[i].kind != KIND_TABLE)
			known[n++] = config_rows[i].name;
	for (size_t i = 0; i < ARRAY_LEN(known_below); i++)
		if ((strncmp(known_below[i], "sealed.", 7) == 0) == (what == FROM_OWN))
			known[n++] = known_below[i];
	if (what == FROM_OWN)
		return settings_only(s, known, n, e);
	return settings_unknown(s, known, n, note_unknown, &r, e);
}

static int read_tree(struct guest_config *c, const struct settings *s, enum config_from what,
		     struct err *e)
{
	/* A misspelt key of ours is named before its value is judged; peers' texts have their own. */
	int r = what == FROM_OWN ? check_unknown(c, s, what, e) : 0;

	for (size_t i = 0; r == 0 && i < CONFIG_KEYS; i++) {
		const struct config_row *row = &config_rows[i];
		unsigned line = 0;

		if (row->text != what)
			continue;
		r = settings_given(s, row->name, &line, e);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		c->origin[i] = (struct config_origin){ what, line };
		r = read_row(c, row, s, e);
	}
	if (r == 0 && what == FROM_CDH)
		r = config_read_cdh_lists(c, s, e);
	if (r == 0 && what == FROM_OWN)
		r = config_read_own_lists(c, s, e);
	if (r == 0 && what != FROM_OWN)
		r = check_unknown(c, s, what, e);
	return r;
}

int config_read_text(struct guest_config *c, enum config_from what, struct view text, struct err *e)
{
	cleanup_toml struct toml *tree = NULL;
	struct settings s = { text_name(what), NULL, what != FROM_OWN, false };
	int r;

	r = what == FROM_OWN ? toml_parse(&tree, text, e) : config_parse(&tree, &s.no_lines, text, e);
	if (r < 0)
		return err_wrap_code(e, CODE_CONFIG_SYNTAX, "%s in the initdata", s.text_name);
	s.root = tree;
	r = read_tree(c, &s, what, e);
	if (r == 0 && what == FROM_CDH) {
		toml_free(c->cdh);
		c->cdh = take(tree);
	}
	return r;
}

static int read_all(struct guest_config *c, const struct initdata *d, struct err *e)
{
	static const enum config_from order[] = { FROM_AA, FROM_CDH, FROM_OWN };

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		size_t len = 0;
		const char *text = initdata_get(d, text_name(order[i]), &len);
		int r = text ? config_read_text(c, order[i],
						(struct view){ (const uint8_t *)text, len }, e)
			     : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

int guest_config_load_with(struct guest_config *out, const struct initdata *d,
			   const struct cmdline *line, const char *unmeasured, struct err *e)
{
	struct guest_config c = { .image.layers_at_once = 3, .log_level = LOG_LEVEL_INFO };
	int r = read_all(&c, d, e);

	if (r == 0 && line)
		r = config_apply_cmdline(&c, line, unmeasured, e);
	if (r == 0)
		r = config_settle(&c, e);
	if (r < 0)
		guest_config_done(&c);
	else
		*out = c;
	return r;
}

int guest_config_load(struct guest_config *out, const struct initdata *d, struct err *e)
{
	return guest_config_load_with(out, d, NULL, NULL, e);
}

static void remarks_done(struct config_remarks *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->text[i]);
}

void guest_config_done(struct guest_config *c)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		const struct config_row *row = &config_rows[i];
		void *field = (char *)c + row->at;

		switch (row->kind) {
		case KIND_TEXT:
		case KIND_URL:
		case KIND_LONG:
		case KIND_CERT:
			free(*(char **)field);
			break;
		case KIND_LIST:
		case KIND_CERTS:
			settings_list_free(*(char ***)field,
					   *(size_t *)(void *)((char *)c + row->at_n));
			break;
		default:
			break;
		}
	}
	settings_list_free(c->bind_names, c->n_bind);
	settings_list_free(c->bind_uris, c->n_bind);
	free(c->peer_uids);
	for (size_t i = 0; i < c->n_credentials; i++) {
		free(c->credentials[i].path);
		free(c->credentials[i].uri);
	}
	free(c->credentials);
	toml_free(c->cdh);
	remarks_done(&c->unknown);
	remarks_done(&c->ignored);
	*c = (struct guest_config){ 0 };
}
