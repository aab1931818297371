/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/daemon/oci.h"

#include <stdio.h>

enum { OUT_MAX = 16 << 20, EXIT_WRONG = 1, EXIT_WORDS = 64 };

static const char help[] =
	"Usage: vouchsafe-oci [--vouchsafe-config FILE] explain [--json] [BUNDLE]\n\n"
	"Say what of the bundle's config.json would be unsealed when a container is created from\n"
	"it, what is looked at, and what is not. Nothing is unsealed and nothing is changed.\n"
	"BUNDLE is the working directory when it is not given.\n\n"
	"Exit code: 0, or 1 when the container would be refused (the reason is said).\n";

static void put_member(struct buf *b, const char *key, const char *value)
{
	json_put_string(b, view_str(key));
	buf_putc(b, ':');
	json_put_string(b, view_str(value));
}

static void json_error(struct buf *b, const struct plan *p, const struct err *e)
{
	buf_puts(b, "{");
	put_member(b, "code", err_name(e));
	buf_putc(b, ',');
	put_member(b, "place", p->place);
	buf_putc(b, ',');
	put_member(b, "message", e->msg);
	buf_putc(b, ',');
	put_member(b, "remedy", err_words(e->code)->remedy);
	buf_puts(b, "}");
}

static void json_mounts(struct buf *b, const struct plan *p)
{
	for (size_t i = 0; i < p->n_mounts; i++) {
		const struct plan_mount *m = &p->mounts[i];
		bool first = true;

		buf_printf(b, "%s{\"index\":%zu,", i ? "," : "", m->index);
		put_member(b, "destination", m->destination);
		buf_putc(b, ',');
		put_member(b, "source", m->source ? m->source : "");
		buf_putc(b, ',');
		put_member(b, "verdict", plan_verdict_text(m->verdict));
		buf_printf(b, ",\"considered\":%s,\"unsealed\":[",
			   m->verdict == PLAN_FILE || m->verdict == PLAN_FILE_SEALED ||
					   m->verdict == PLAN_DIR || m->verdict == PLAN_DIR_SEALED ?
				   "true" :
				   "false");
		for (size_t k = 0; k < p->n_files; k++) {
			if (p->files[k].mount != m->index)
				continue;
			buf_puts(b, first ? "" : ",");
			json_put_string(b, view_str(p->files[k].name));
			first = false;
		}
		buf_puts(b, "]}");
	}
}

static void as_json(struct buf *b, const struct oci *o, const struct bundle *bundle,
		    const struct plan *p, const struct err *e)
{
	buf_putc(b, '{');
	put_member(b, "bundle", bundle->path ? bundle->path : "");
	buf_putc(b, ',');
	put_member(b, "runtime", o->set.runtime);
	buf_puts(b, ",\"env\":[");
	for (size_t i = 0; i < p->n_env; i++) {
		buf_printf(b, "%s{\"index\":%zu,", i ? "," : "", p->env[i].index);
		put_member(b, "name", p->env[i].name);
		buf_putc(b, '}');
	}
	buf_puts(b, "],\"mounts\":[");
	json_mounts(b, p);
	buf_puts(b, "],\"error\":");
	if (e)
		json_error(b, p, e);
	else
		buf_puts(b, "null");
	buf_puts(b, "}\n");
}

/* What an engine or a pod has named: a line's beginning, the text, its end. */
static void put_named(struct buf *b, const char *head, const char *text, const char *tail)
{
	buf_puts(b, head);
	buf_put_plain(b, view_str(text));
	buf_puts(b, tail);
}

static void text_mounts(struct buf *b, const struct plan *p)
{
	buf_printf(b, "mounts: %zu\n", p->n_mounts);
	for (size_t i = 0; i < p->n_mounts; i++) {
		const struct plan_mount *m = &p->mounts[i];

		buf_printf(b, "  mounts[%zu] ", m->index);
		put_named(b, "", m->destination, " <- ");
		put_named(b, "", m->source ? m->source : "-", "\n    ");
		buf_puts(b, plan_verdict_text(m->verdict));
		if (m->verdict == PLAN_DIR || m->verdict == PLAN_DIR_SEALED)
			buf_printf(b, " (%zu files, %zu sealed, %zu of another kind)",
				   m->counts.files, m->counts.sealed, m->counts.odd);
		buf_putc(b, '\n');
	}
}

static void as_text(struct buf *b, const struct oci *o, const struct bundle *bundle,
		    const struct plan *p, const struct err *e)
{
	put_named(b, "bundle   ", bundle->path ? bundle->path : "?", "\n");
	buf_printf(b, "runtime  %s\nsocket   %s\nmemory   %s\n", o->set.runtime, o->set.socket,
		   o->set.memory_dir);
	buf_puts(b, "folders  considered below:\n");
	for (size_t i = 0; i < o->set.n_prefixes; i++)
		put_named(b, "         ", o->set.prefixes[i], "\n");
	buf_printf(b, "environment: %zu sealed\n", p->n_env);
	for (size_t i = 0; i < p->n_env; i++) {
		buf_printf(b, "  process.env[%zu] ", p->env[i].index);
		put_named(b, "", p->env[i].name, "\n");
	}
	text_mounts(b, p);
	if (!e)
		return;
	buf_printf(b, "refused: %s at ", err_name(e));
	put_named(b, "", p->place[0] ? p->place : "config.json", ": ");
	put_named(b, "", e->msg, "\n  ");
	buf_printf(b, "%s\n", err_words(e->code)->remedy);
}

/* In a replica something odd is an error; explain only looks, so it says it here. */
static int refuse_odd(struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->n_mounts; i++) {
		if (p->mounts[i].verdict != PLAN_DIR_SEALED || p->mounts[i].counts.odd == 0)
			continue;
		(void)snprintf(p->place, sizeof p->place, "mounts[%zu]", p->mounts[i].index);
		return err_code(e, CODE_OCI_SECRET_DIR,
				"beside sealed files there is something that is no file, folder or "
				"link that stays within");
	}
	return 0;
}

int oci_explain(struct oci *o)
{
	const struct plan_rules rules = { (const char *const *)o->set.prefixes, o->set.n_prefixes };
	cleanup_buf struct buf b = BUF_MAX(OUT_MAX);
	cleanup_bundle struct bundle bundle = { 0 };
	cleanup_plan struct plan p = { 0 };
	const char *dir = NULL;
	bool json = false, wrong = false;
	struct err e;
	int r;

	for (int i = o->verb + 1; i < o->argc; i++) {
		const char *a = o->argv[i];

		if (strcmp(a, "--json") == 0)
			json = true;
		else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
			return printf("%s", help) < 0;
		else if (a[0] == '-' || dir)
			wrong = true;
		else
			dir = a;
	}
	if (wrong) {
		(void)fprintf(stderr, "%s", help);
		return EXIT_WORDS;
	}
	if ((r = bundle_open(&bundle, dir ? dir : ".", "config.json", &e)) == 0 &&
	    (r = plan_config(&p, bundle_node(&bundle), bundle.path, &e)) == 0 &&
	    (r = plan_files(&p, &rules, -1, &e)) == 0)
		r = refuse_odd(&p, &e);
	(json ? as_json : as_text)(&b, o, &bundle, &p, r < 0 ? &e : NULL);
	if (buf_check(&b, "explain", &e) < 0 || fs_write_fd(1, buf_view(&b), "stdout", &e) < 0)
		return EXIT_WRONG;
	return r < 0 ? EXIT_WRONG : 0;
}
