/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/plan.h"

const char *plan_verdict_text(enum plan_verdict v)
{
	switch (v) {
	case PLAN_NOT_BIND:
		return "not considered: no bind mount";
	case PLAN_ABSENT:
		return "not considered: its source is not there";
	case PLAN_OTHER:
		return "not considered: neither a file nor a folder, or a kernel file system";
	case PLAN_FILE:
		return "considered: a file that is not sealed, mounted as it is";
	case PLAN_FILE_SEALED:
		return "sealed file: unsealed into memory";
	case PLAN_DIR_OUTSIDE:
		return "not considered: a folder under no prefix of secret_prefixes";
	case PLAN_DIR:
		return "considered: a folder with nothing sealed in it, mounted as it is";
	case PLAN_DIR_SEALED:
		return "folder with sealed files: replicated in memory";
	}
	return "?";
}

bool plan_under(const char *pattern, const char *path)
{
	for (;;) {
		size_t n, k;

		pattern += strspn(pattern, "/");
		path += strspn(path, "/");
		if (pattern[0] == '\0')
			return true;
		n = strcspn(pattern, "/");
		k = strcspn(path, "/");
		if (k == 0)
			return false;
		if (!(n == 1 && pattern[0] == '*') && (n != k || strncmp(pattern, path, n) != 0))
			return false;
		pattern += n;
		path += k;
	}
}

char *plan_clean_path(const char *path)
{
	char *out = malloc(strlen(path) + 2);
	size_t len = 0;

	if (!out)
		return NULL;
	while (path[0]) {
		size_t n;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 2 && strncmp(path, "..", 2) == 0) {
			while (len > 0 && out[--len] != '/')
				;
		} else if (n > 0 && !(n == 1 && path[0] == '.')) {
			out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n;
	}
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
	return out;
}

void plan_forget(struct plan *p)
{
	for (size_t i = 0; i < p->n_env; i++) {
		secret_done(&p->env[i].plain);
		secret_done(&p->env[i].quoted);
	}
	for (size_t i = 0; i < p->n_files; i++)
		secret_done(&p->files[i].plain);
}

void plan_done(struct plan *p)
{
	plan_forget(p);
	for (size_t i = 0; i < p->n_files; i++) {
		free(p->files[i].path);
		free(p->files[i].name);
		buf_done(&p->files[i].sealed);
	}
	for (size_t i = 0; i < p->n_mounts; i++)
		free(p->mounts[i].source);
	free(p->env);
	free(p->files);
	free(p->mounts);
	edits_done(&p->edits);
	*p = (struct plan){ 0 };
}
