/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/daemon/oci.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { ASK_MS = 5000, STATE_MAX = 1 << 20 };

int oci_need_root(struct err *e)
{
	cleanup_buf struct buf map = BUF_MAX(4096);
	unsigned inside = 1, outside = 1, count = 0;

	if (geteuid() != 0)
		return err_code(e, CODE_OCI_NEEDS_ROOT, "effective uid %u", geteuid());
	/* Root of a user namespace of its own is what a rootless engine gives. */
	if (fs_read(&map, "/proc/self/uid_map", 4095, NULL) == 0 &&
	    sscanf(buf_str(&map), "%u %u %u", &inside, &outside, &count) == 3 &&
	    (inside != 0 || outside != 0))
		return err_code(e, CODE_OCI_NEEDS_ROOT, "uid 0 here is uid %u outside", outside);
	return 0;
}

/* The path without links, as far as it exists: one folder has one name. NULL only for no memory. */
static char *real_path(const char *path)
{
	cleanup_free char *clean = plan_clean_path(path), *head = clean ? strdup(clean) : NULL;

	while (head && head[0]) {
		cleanup_free char *real = realpath(head, NULL), *whole = NULL;
		char *slash = strrchr(head, '/');

		if (real) {
			if (asprintf(&whole, "%s%s", real, clean + strlen(head)) < 0)
				whole = NULL;
			return whole ? plan_clean_path(whole) : NULL;
		}
		if (!slash)
			break;
		*slash = '\0';
	}
	return take(clean);
}

int oci_state_root(struct oci *o, struct err *e)
{
	const char *given = oci_args_value(&o->global, OPT_ROOT);
	const char *xdg = getenv("XDG_RUNTIME_DIR"); /* crun's own default, not a setting of ours */
	cleanup_free char *path = NULL, *cwd = NULL;
	const char *name = strrchr(o->set.runtime, '/');
	int n;

	if (given && given[0] == '/') {
		n = asprintf(&path, "%s", given);
	} else if (given && given[0]) {
		cwd = realpath(".", NULL);
		n = asprintf(&path, "%s/%s", cwd ? cwd : "", given);
	} else if (oci_kind(&o->set) == OCI_CRUN && xdg && xdg[0]) {
		n = asprintf(&path, "%s/crun", xdg);
	} else {
		n = asprintf(&path, "/run/%s",
			     oci_kind(&o->set) == OCI_RUNC ? "runc" :
			     oci_kind(&o->set) == OCI_CRUN ? "crun" :
			     name			   ? name + 1 :
							     "runc");
	}
	if (n < 0) {
		path = NULL;
		return err_set(e, ERR_NOMEM, "no memory for a path");
	}
	free(o->state_root);
	o->state_root = real_path(path);
	return o->state_root ? 0 : err_set(e, ERR_NOMEM, "no memory for a path");
}

/* Its state folder has it, or it says so itself. */
static bool runtime_knows(const struct shadow_id *id, bool ask)
{
	cleanup_oci_argv struct oci_argv a = { 0 };
	cleanup_buf struct buf out = BUF_MAX(STATE_MAX);
	cleanup_free char *dir = NULL;
	struct stat st;
	int code;

	if (asprintf(&dir, "%s/%s", id->root, id->id) < 0) {
		dir = NULL;
		return true;
	}
	if (!ask && lstat(dir, &st) == 0)
		return true;
	oci_argv_add(&a, id->runtime);
	oci_argv_add(&a, "--root");
	oci_argv_add(&a, id->root);
	oci_argv_add(&a, "state");
	oci_argv_add(&a, id->id);
	if (oci_argv_check(&a, NULL) < 0)
		return true;
	code = oci_ask(a.v, &out, ASK_MS);
	/* In doubt it lives: what is erased does not come back. */
	return code == 0 || code < 0 || code >= 126;
}

static bool known(void *ctx, const struct shadow_id *id, bool interrupted)
{
	(void)ctx;
	return runtime_knows(id, interrupted);
}

int oci_open_memory(struct memfs *m, int *lock, const struct oci *o, struct err *e)
{
	int r = memfs_open(m, o->set.memory_dir, (size_t)o->set.memory_mib << 20, e);

	if (r < 0)
		return r;
	r = memfs_lock(m, e);
	if (r < 0)
		return r;
	*lock = r;
	shadow_sweep(m, known, NULL);
	return 0;
}

static int sweep_if_mounted(const struct oci *o)
{
	cleanup_memfs struct memfs m = MEMFS_CLOSED;
	cleanup_close int lock = -1;
	int r = memfs_open_existing(&m, o->set.memory_dir, NULL);

	if (r < 0)
		return r;
	lock = memfs_lock(&m, NULL);
	if (lock >= 0)
		shadow_sweep(&m, known, NULL);
	return lock < 0 ? lock : 0;
}

/* The runtime deletes; whatever containers it then does not know (crun takes a pattern) are swept. */
int oci_delete(struct oci *o)
{
	cleanup_oci_argv struct oci_argv a = { 0 };
	struct err e;
	int pid, code;

	if (geteuid() != 0)
		return oci_pass(o);
	oci_argv_globals(&a, o);
	for (int i = o->verb; i < o->argc; i++)
		oci_argv_add(&a, o->argv[i]);
	if (oci_argv_check(&a, &e) < 0 ||
	    oci_spawn(&pid, a.v, &OCI_STDIO_OURS, &e) < 0)
		return oci_fail(o, &e, "", 1);
	code = oci_wait(pid, NULL, NULL, NULL);
	(void)sweep_if_mounted(o);
	return code;
}

/*
 * Any argument that is the name of a container with secrets refuses the call: no option of
 * checkpoint need be understood for that.
 */
int oci_checkpoint(struct oci *o)
{
	cleanup_memfs struct memfs m = MEMFS_CLOSED;
	struct err e;

	if (geteuid() != 0 || memfs_open_existing(&m, o->set.memory_dir, NULL) < 0)
		return oci_pass(o);
	if (oci_state_root(o, &e) < 0)
		return oci_fail(o, &e, "", 1);
	for (int i = o->verb + 1; i < o->argc; i++) {
		cleanup_shadow struct shadow s = SHADOW_CLOSED;
		struct shadow_id id = { "", o->state_root, o->argv[i] };

		if (shadow_find(&s, &m, &id, NULL) < 0 || !shadow_is_injected(&s))
			continue;
		o->id = o->argv[i];
		(void)err_code(&e, CODE_OCI_CHECKPOINT, "checkpoint");
		return oci_fail(o, &e, "", 1);
	}
	return oci_pass(o);
}

/* Refused when the bundle would have secrets injected, wherever -b stands. */
int oci_restore(struct oci *o)
{
	cleanup_bundle struct bundle b = { 0 };
	cleanup_plan struct plan p = { 0 };
	const struct plan_rules rules = { (const char *const *)o->set.prefixes, o->set.n_prefixes };
	const char *dir = ".";
	struct err e;

	for (int i = o->verb + 1; i < o->argc; i++) {
		const char *a = o->argv[i], *name = a + strspn(a, "-");

		if (a[0] != '-')
			continue;
		if ((strcmp(name, "bundle") == 0 || strcmp(name, "b") == 0) && i + 1 < o->argc)
			dir = o->argv[i + 1];
		else if (strncmp(name, "bundle=", 7) == 0 || strncmp(name, "b=", 2) == 0)
			dir = strchr(a, '=') + 1;
		else if (name[0] == 'b' && a[1] == 'b')
			dir = a + 2;
	}
	if (bundle_open(&b, dir, "config.json", &e) < 0 ||
	    plan_config(&p, bundle_node(&b), b.path, &e) < 0 || plan_files(&p, &rules, -1, &e) < 0)
		return oci_fail(o, &e, p.place, 1);
	if (plan_has_secrets(&p)) {
		(void)err_code(&e, CODE_OCI_CHECKPOINT, "restore");
		return oci_fail(o, &e, "", 1);
	}
	return oci_pass(o);
}
