/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/plan_parts.h"
#include "mounts/sealedtext.h"
#include "mounts/span.h"

#include <stdio.h>

int plan_grow(void **list, size_t *room, size_t n, size_t size, size_t max, const char *what,
	      struct err *e)
{
	size_t want = *room ? *room * 2 : 16;
	void *p;

	if (n >= max)
		return err_code(e, CODE_OCI_CONFIG, "more than %zu %s", max, what);
	if (n < *room)
		return 0;
	p = calloc(want, size);
	if (!p)
		return err_set(e, ERR_NOMEM, "no memory for %s", what);
	if (n > 0)
		memcpy(p, *list, n * size);
	free(*list);
	*list = p;
	*room = want;
	return 0;
}

/* node_get() whose failure is the bundle's. */
static int get(struct node *out, struct node object, const char *key, struct err *e)
{
	int r = node_get(out, object, key, e);

	return r < 0 ? err_wrap_code(e, CODE_OCI_CONFIG, "config.json") : 0;
}

static int add_env(struct plan *p, struct node entry, size_t index, struct err *e)
{
	const char *s = json_string(entry.v), *eq = s ? strchr(s, '=') : NULL;
	struct plan_env *env;
	int r;

	if (!eq || !sealedtext_is(view_str(eq + 1)))
		return 0;
	r = plan_grow((void **)&p->env, &p->room_env, p->n_env, sizeof *p->env,
		      PLAN_SECRETS_MAX, "sealed variables", e);
	if (r < 0)
		return r;
	env = &p->env[p->n_env++];
	env->index = index;
	env->at = entry.at;
	env->head = (struct view){ (const uint8_t *)s, (size_t)(eq + 1 - s) };
	env->sealed = sealedtext_trim(view_str(eq + 1));
	if ((size_t)(eq - s) <= PLAN_NAME_MAX)
		(void)snprintf(env->name, sizeof env->name, "%.*s", (int)(eq - s), s);
	return 0;
}

/* No string of the array may carry a sealed secret: arguments are for everybody to see. */
static int refuse_sealed(struct plan *p, struct node array, const char *where, struct err *e)
{
	struct node m;
	size_t i = 0;

	if (!node_first(&m, array))
		return 0;
	do {
		const char *s = json_string(m.v);

		if (s && sealedtext_within(view_str(s))) {
			PLAN_PLACE(p, "%s[%zu]", where, i);
			return err_code(e, CODE_OCI_SEALED_ARGS, "%s[%zu]", where, i);
		}
		i++;
	} while (node_next(&m));
	return 0;
}

int plan_process(struct plan *p, struct node process, struct err *e)
{
	struct node args, env, terminal, m;
	size_t i = 0;
	int r;

	PLAN_PLACE(p, "process");
	p->text = process.text;
	if ((r = get(&args, process, "args", e)) < 0 || (r = get(&env, process, "env", e)) < 0 ||
	    (r = get(&terminal, process, "terminal", e)) < 0 ||
	    (r = refuse_sealed(p, args, "process.args", e)) < 0)
		return r;
	p->terminal = json_is_true(terminal.v);
	if (!node_first(&m, env))
		return 0;
	do {
		PLAN_PLACE(p, "process.env[%zu]", i);
		r = add_env(p, m, i++, e);
	} while (r == 0 && node_next(&m));
	return r;
}

static int check_hooks(struct plan *p, struct node config, struct err *e)
{
	static const char *const kinds[] = { "prestart",       "createRuntime", "createContainer",
					     "startContainer", "poststart",     "poststop" };
	struct node hooks, list, hook, args, env;
	char where[48];
	int r = get(&hooks, config, "hooks", e);

	for (size_t k = 0; r == 0 && k < ARRAY_LEN(kinds); k++) {
		size_t i = 0;

		r = get(&list, hooks, kinds[k], e);
		if (r < 0 || !node_first(&hook, list))
			continue;
		do {
			PLAN_PLACE(p, "hooks.%s[%zu]", kinds[k], i);
			if ((r = get(&args, hook, "args", e)) < 0 ||
			    (r = get(&env, hook, "env", e)) < 0)
				return r;
			(void)snprintf(where, sizeof where, "hooks.%s[%zu].args", kinds[k], i);
			r = refuse_sealed(p, args, where, e);
			if (r < 0)
				return r;
			(void)snprintf(where, sizeof where, "hooks.%s[%zu].env", kinds[k], i++);
			r = refuse_sealed(p, env, where, e);
		} while (r == 0 && node_next(&hook));
	}
	return r;
}

static char *absolute(const char *bundle, const char *path)
{
	char *s;

	if (path[0] == '/')
		return strdup(path);
	return asprintf(&s, "%s/%s", bundle, path) < 0 ? NULL : s;
}

static int edit_path(struct plan *p, size_t at, const char *path, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(64 * 1024);

	json_put_string(&text, view_str(path));
	return edits_add(&p->edits, at, span_len(p->text, at), &text, NULL, e);
}

static int root_path(struct plan *p, struct node config, const char *bundle, struct err *e)
{
	cleanup_free char *full = NULL;
	struct node root, path;
	int r;

	PLAN_PLACE(p, "root.path");
	if ((r = get(&root, config, "root", e)) < 0 || (r = get(&path, root, "path", e)) < 0)
		return r;
	if (!json_string(path.v) || json_string(path.v)[0] == '/' || !json_string(path.v)[0])
		return 0;
	full = absolute(bundle, json_string(path.v));
	if (!full)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	return edit_path(p, path.at, full, e);
}

static bool has_bind_option(struct node options)
{
	struct node o;

	if (!node_first(&o, options))
		return false;
	do {
		const char *s = json_string(o.v);

		if (s && (strcmp(s, "bind") == 0 || strcmp(s, "rbind") == 0))
			return true;
	} while (node_next(&o));
	return false;
}

static int add_mount(struct plan *p, struct node mount, size_t index, const char *bundle,
		     struct err *e)
{
	struct node destination, type, source, options;
	struct plan_mount *m;
	int r;

	if ((r = get(&destination, mount, "destination", e)) < 0 ||
	    (r = get(&type, mount, "type", e)) < 0 || (r = get(&source, mount, "source", e)) < 0 ||
	    (r = get(&options, mount, "options", e)) < 0 ||
	    (r = plan_grow((void **)&p->mounts, &p->room_mounts, p->n_mounts, sizeof *p->mounts,
			   PLAN_MOUNTS_MAX, "mounts", e)) < 0)
		return r;
	m = &p->mounts[p->n_mounts++];
	m->index = index;
	m->destination = json_string(destination.v) ? json_string(destination.v) : "";
	m->bind = has_bind_option(options) ||
		  (json_string(type.v) && strcmp(json_string(type.v), "bind") == 0);
	if (!m->bind || !json_string(source.v) || !json_string(source.v)[0])
		return 0;
	m->source_at = source.at;
	m->relative = json_string(source.v)[0] != '/';
	m->source = absolute(bundle, json_string(source.v));
	return m->source ? 0 : err_set(e, ERR_NOMEM, "no memory for a path");
}

/* "/etc/creds, /run/x": these destinations are folders of secrets wherever their source lies. */
static int annotate(struct plan *p, const char *list, struct err *e)
{
	size_t n = 0;

	while (list[0]) {
		cleanup_free char *one = NULL, *want = NULL;
		bool found = false;
		size_t len;

		list += strspn(list, ", \t");
		len = strcspn(list, ",");
		one = strndup(list, len);
		list += len;
		while (one && len > 0 && (one[len - 1] == ' ' || one[len - 1] == '\t'))
			one[--len] = '\0';
		if (one && len == 0)
			continue;
		want = one ? plan_clean_path(one) : NULL;
		if (!want)
			return err_set(e, ERR_NOMEM, "no memory for a path");
		if (++n > PLAN_ANNOTATED_MAX)
			return err_code(e, CODE_OCI_CONFIG, "%s names more than %d folders",
					PLAN_ANNOTATION, PLAN_ANNOTATED_MAX);
		for (size_t i = 0; i < p->n_mounts; i++) {
			cleanup_free char *have = plan_clean_path(p->mounts[i].destination);

			if (!have)
				return err_set(e, ERR_NOMEM, "no memory for a path");
			if (p->mounts[i].bind && strcmp(have, want) == 0)
				p->mounts[i].annotated = found = true;
		}
		if (!found)
			return err_code(e, CODE_OCI_CONFIG,
					"%s names %.200s, which is no bind mount's destination",
					PLAN_ANNOTATION, want);
	}
	return 0;
}

static int mounts(struct plan *p, struct node config, const char *bundle, struct err *e)
{
	struct node list, m, annotations, ours;
	size_t i = 0;
	int r = get(&list, config, "mounts", e);

	if (r == 0 && node_first(&m, list)) {
		do {
			PLAN_PLACE(p, "mounts[%zu]", i);
			r = add_mount(p, m, i++, bundle, e);
		} while (r == 0 && node_next(&m));
	}
	PLAN_PLACE(p, "annotations");
	if (r < 0 || (r = get(&annotations, config, "annotations", e)) < 0 ||
	    (r = get(&ours, annotations, PLAN_ANNOTATION, e)) < 0)
		return r;
	if (ours.v && !json_string(ours.v))
		return err_code(e, CODE_OCI_CONFIG, "%s is no string", PLAN_ANNOTATION);
	return ours.v ? annotate(p, json_string(ours.v), e) : 0;
}

int plan_config(struct plan *p, struct node config, const char *bundle, struct err *e)
{
	struct node process;
	int r;

	PLAN_PLACE(p, "config.json");
	p->text = config.text;
	if ((r = get(&process, config, "process", e)) < 0 ||
	    (r = plan_process(p, process, e)) < 0 || (r = check_hooks(p, config, e)) < 0 ||
	    (r = root_path(p, config, bundle, e)) < 0)
		return r;
	return mounts(p, config, bundle, e);
}
