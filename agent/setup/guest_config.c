/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/guest.h"
#include "agent/setup/settings.h"

#include <stdio.h>

enum { LIST_MAX = 64 };

/* One of the TOML texts in an initdata, or NULL when it has none. */
static int open_text(struct toml **out, const struct initdata *d, const char *key, struct err *e)
{
	size_t len = 0;
	const char *text = initdata_get(d, key, &len);
	int r;

	if (!text)
		return 0;
	r = toml_parse(out, (struct view){ (const uint8_t *)text, len }, e);
	return r < 0 ? err_wrap_code(e, CODE_CONFIG_SYNTAX, "%s in the initdata", key) : 0;
}

static int read_aa(struct guest_config *c, const struct toml *root, struct err *e)
{
	const struct settings s = { "aa.toml", root };
	cleanup_free char *alg = NULL;
	int r;

	if ((r = settings_text(&c->kbs_url, &s, "token_configs.kbs.url", e)) < 0 ||
	    (r = settings_text(&c->kbs_cert, &s, "token_configs.kbs.cert", e)) < 0 ||
	    (r = settings_text(&alg, &s, "token_configs.kbs.tee_key_algorithm", e)) < 0)
		return r;
	if (!alg)
		return 0;
	r = teekey_alg_by_name(&c->key_alg, view_str(alg), e);
	return r < 0 ? err_wrap_code(e, CODE_CONFIG_VALUE, "aa.toml: tee_key_algorithm") : 0;
}

/* aa.toml decides; cdh.toml's [kbc] is taken where aa.toml says nothing. */
static int read_cdh(struct guest_config *c, const struct toml *root, struct err *e)
{
	const struct settings s = { "cdh.toml", root };
	cleanup_free char *name = NULL, *url = NULL, *cert = NULL;
	int r;

	if ((r = settings_text(&name, &s, "kbc.name", e)) < 0 ||
	    (r = settings_text(&url, &s, "kbc.url", e)) < 0 ||
	    (r = settings_text(&cert, &s, "kbc.kbs_cert", e)) < 0 ||
	    (r = settings_bool(&c->skip_sealed_verification, &s,
			       "skip_sealed_secret_verification", e)) < 0)
		return r;
	if (!name || strcmp(name, "cc_kbc") != 0 || !url || url[0] == '\0')
		return 0;
	if (!c->kbs_url)
		c->kbs_url = take(url);
	else if (strcmp(c->kbs_url, url) != 0)
		return 0; /* another Trustee's certificate is none of ours */
	if (!c->kbs_cert)
		c->kbs_cert = take(cert);
	return 0;
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
	if (n > LIST_MAX)
		return err_code(e, CODE_CONFIG_VALUE, "%s: sealed.bind has %zu members, allowed %d",
				s->text_name, n, LIST_MAX);
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
		c->bind_uris[c->n_bind] = strdup(uri.text);
		if (!c->bind_names[c->n_bind] || !c->bind_uris[c->n_bind])
			return err_set(e, ERR_NOMEM, "no memory for sealed.bind");
		c->n_bind++;
	}
	return 0;
}

static int read_uids(struct guest_config *c, const struct settings *s, struct err *e)
{
	const struct toml *t = NULL, *list = NULL;
	int r = settings_table(&t, s, "peers", e);

	if (r < 0 || !t)
		return r;
	list = toml_get(t, "uids");
	if (!list)
		return 0;
	if (toml_type(list) != TOML_ARRAY)
		return err_code(e, CODE_CONFIG_VALUE, "%s: peers.uids, want an array of numbers",
				s->text_name);
	c->peer_uids = calloc(LIST_MAX, sizeof *c->peer_uids);
	if (!c->peer_uids)
		return err_set(e, ERR_NOMEM, "no memory for peers.uids");
	for (const struct toml *v = toml_first(list); v; v = toml_next(v)) {
		int64_t uid;

		if (!toml_integer(&uid, v) || uid < 0 || uid > UINT32_MAX - 1 ||
		    c->n_peer_uids == LIST_MAX)
			return err_code(e, CODE_CONFIG_VALUE,
					"%s: peers.uids, want at most %d user ids", s->text_name,
					LIST_MAX);
		c->peer_uids[c->n_peer_uids++] = (unsigned)uid;
	}
	return 0;
}

static int read_own(struct guest_config *c, const struct toml *root, struct err *e)
{
	static const char *const known[] = {
		"trust.allow_http_anchors", "trust.hosts", "sealed.kids", "sealed.bind.*",
		"peers.uids",               "net.proxy",   "net.no_proxy",
	};
	const struct settings s = { "vouchsafe.toml", root };
	int r = settings_only(&s, known, ARRAY_LEN(known), e);

	if (r < 0 ||
	    (r = settings_bool(&c->allow_http_anchors, &s, "trust.allow_http_anchors", e)) < 0 ||
	    (r = settings_list(&c->hosts, &c->n_hosts, &s, "trust.hosts", LIST_MAX, e)) < 0 ||
	    (r = settings_list(&c->kids, &c->n_kids, &s, "sealed.kids", SEALED_KIDS_MAX, e)) < 0 ||
	    (r = settings_text(&c->proxy, &s, "net.proxy", e)) < 0 ||
	    (r = settings_text(&c->no_proxy, &s, "net.no_proxy", e)) < 0 ||
	    (r = read_bind(c, &s, e)) < 0)
		return r;
	return read_uids(c, &s, e);
}

static int read_all(struct guest_config *c, const struct initdata *d, struct err *e)
{
	cleanup_toml struct toml *aa = NULL, *cdh = NULL, *own = NULL;
	int r;

	if ((r = open_text(&aa, d, "aa.toml", e)) < 0 || (r = open_text(&cdh, d, "cdh.toml", e)) < 0 ||
	    (r = open_text(&own, d, "vouchsafe.toml", e)) < 0)
		return r;
	if ((aa && (r = read_aa(c, aa, e)) < 0) || (cdh && (r = read_cdh(c, cdh, e)) < 0) ||
	    (own && (r = read_own(c, own, e)) < 0))
		return r;
	/* An empty text counts as not set (spec/trustee.md 9.1). */
	if (c->kbs_url && c->kbs_url[0] == '\0')
		free(take(c->kbs_url));
	if (c->kbs_cert && c->kbs_cert[0] == '\0')
		free(take(c->kbs_cert));
	if (!c->kbs_url)
		return 0;
	c->plain_http = strncasecmp(c->kbs_url, "http://", 7) == 0;
	if (!c->plain_http && strncasecmp(c->kbs_url, "https://", 8) != 0)
		return err_code(e, CODE_CONFIG_VALUE,
				"aa.toml: url \"%.100s\", want http:// or https://", c->kbs_url);
	return 0;
}

int guest_config_load(struct guest_config *out, const struct initdata *d, struct err *e)
{
	struct guest_config c = { 0 };
	int r = read_all(&c, d, e);

	if (r < 0)
		guest_config_done(&c);
	else
		*out = c;
	return r;
}

void guest_config_done(struct guest_config *c)
{
	free(c->kbs_url);
	free(c->kbs_cert);
	settings_list_free(c->hosts, c->n_hosts);
	settings_list_free(c->kids, c->n_kids);
	settings_list_free(c->bind_names, c->n_bind);
	settings_list_free(c->bind_uris, c->n_bind);
	free(c->peer_uids);
	free(c->proxy);
	free(c->no_proxy);
	*c = (struct guest_config){ 0 };
}
