/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "mounts/plan_parts.h"
#include "mounts/span.h"

#include <stdio.h>

static void say_place(struct plan *p, size_t i)
{
	if (i < p->n_env)
		PLAN_PLACE(p, "process.env[%zu]", p->env[i].index);
	else
		PLAN_PLACE(p, "mounts[%zu] file %zu", p->files[i - p->n_env].mount,
			   p->files[i - p->n_env].ordinal);
}

static int check_env(struct plan_env *env, struct err *e)
{
	struct view v = { secret_bytes(&env->plain), env->plain.len };

	if (v.len > 0 && memchr(v.p, '\0', v.len))
		return err_code(e, CODE_OCI_PLAINTEXT_ENV, "it holds a NUL byte");
	if (!enc_is_utf8(v))
		return err_code(e, CODE_OCI_PLAINTEXT_ENV, "it is not UTF-8");
	if (v.len > PLAN_ENV_MAX - 1 || env->head.len > PLAN_ENV_MAX - 1 - v.len)
		return err_code(e, CODE_OCI_PLAINTEXT_ENV, "it is over %u bytes with its name",
				PLAN_ENV_MAX - 1);
	return edit_secret_string(&env->quoted, env->head, &env->plain, e);
}

static int check_all(struct plan *p, struct err *e)
{
	size_t total = 0;
	int r = 0;

	for (size_t i = 0; i < p->n_env + p->n_files; i++) {
		const struct secret *s = i < p->n_env ? &p->env[i].plain :
							&p->files[i - p->n_env].plain;

		say_place(p, i);
		if (s->len > PLAN_PLAINTEXT_MAX - total)
			return err_set(e, ERR_LIMIT, "the container's secrets are over %u bytes",
				       PLAN_PLAINTEXT_MAX);
		total += s->len;
	}
	for (size_t i = 0; r == 0 && i < p->n_env; i++) {
		say_place(p, i);
		r = check_env(&p->env[i], e);
		secret_done(&p->env[i].plain);
	}
	return r;
}

static const char *short_name(const char *name)
{
	return name[0] && strlen(name) <= PLAN_NAME_MAX ? name : NULL;
}

int plan_unseal(struct plan *p, plan_unseal_fn *unseal, void *ctx, struct err *e)
{
	size_t n = p->n_env + p->n_files, failed = 0;
	cleanup_free struct plan_request *req = calloc(n + 1, sizeof *req);
	int r;

	if (!req)
		return err_set(e, ERR_NOMEM, "no memory for requests");
	for (size_t i = 0; i < p->n_env; i++)
		req[i] = (struct plan_request){ p->env[i].sealed, short_name(p->env[i].name),
						&p->env[i].plain };
	for (size_t i = 0; i < p->n_files; i++)
		req[p->n_env + i] = (struct plan_request){ buf_view(&p->files[i].sealed),
							   short_name(p->files[i].name),
							   &p->files[i].plain };
	r = n > 0 ? unseal(ctx, req, n, &failed, e) : 0;
	if (r < 0) {
		say_place(p, failed < n ? failed : 0);
		return r == -(int)ERR_NOMEM ? r : err_wrap_code(e, CODE_OCI_UNSEAL, "%s", p->place);
	}
	return check_all(p, e);
}

static int write_files(struct plan *p, int shadow, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_files; i++) {
		struct plan_file *f = &p->files[i];

		say_place(p, p->n_env + i);
		r = secretdir_write(shadow, f->path, &f->st,
				    (struct view){ secret_bytes(&f->plain), f->plain.len }, e);
		secret_done(&f->plain);
	}
	return r;
}

static int point_mount(struct plan *p, const struct plan_mount *m, const char *shadow_path,
		       struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(64 * 1024);
	cleanup_free char *path = NULL;
	bool inside = m->verdict == PLAN_FILE_SEALED || m->verdict == PLAN_DIR_SEALED;

	if (!inside && !(m->relative && m->source))
		return 0;
	if (inside && asprintf(&path, "%s/f/%zu", shadow_path, m->index) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	json_put_string(&text, view_str(inside ? path : m->source));
	return edits_add(&p->edits, m->source_at, span_len(p->text, m->source_at), &text, NULL, e);
}

int plan_place(struct plan *p, int shadow, const char *shadow_path, struct err *e)
{
	int r = write_files(p, shadow, e);

	for (size_t i = 0; r == 0 && i < p->n_mounts; i++) {
		PLAN_PLACE(p, "mounts[%zu]", i);
		r = point_mount(p, &p->mounts[i], shadow_path, e);
	}
	for (size_t i = 0; r == 0 && i < p->n_env; i++) {
		struct buf none = BUF_MAX(1);

		say_place(p, i);
		r = edits_add(&p->edits, p->env[i].at, span_len(p->text, p->env[i].at), &none,
			      &p->env[i].quoted, e);
	}
	return r;
}
