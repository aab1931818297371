/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/daemon/oci.h"
#include "mounts/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

enum { ASK_MS = 10000, STATE_MAX = 1 << 20, EXIT_EXEC = 255 };

/* An exec on its way to the runtime. */
struct entering {
	struct oci_args args;
	struct bundle bundle;      /* the container's config in its sealed form */
	struct buf text;           /* the process, sealed */
	struct json *doc;          /* of text */
	struct plan plan;
	struct memfs memory;
	struct shadow shadow;      /* closed when the container is not ours */
	int file;                  /* the process file and its lock */
	int seen;                  /* inotify on it */
	char path[MEMFS_PATH_MAX + 40];
};

static void entering_done(struct entering *x)
{
	oci_args_done(&x->args);
	plan_done(&x->plan);
	bundle_done(&x->bundle);
	json_free(x->doc);
	buf_done(&x->text);
	shadow_close(&x->shadow);
	memfs_close(&x->memory);
	if (x->file >= 0)
		(void)close(x->file);
	if (x->seen >= 0)
		(void)close(x->seen);
}

static int list_add(const char **list, size_t *n, size_t max, const char *value, struct err *e)
{
	if (*n >= max)
		return err_code(e, CODE_OCI_OPTION, "an option is given more than %zu times", max);
	list[(*n)++] = value;
	return 0;
}

static int gid_add(struct process_options *p, const char *text, struct err *e)
{
	char *end;
	long n;

	/* Commas too: Go's flag for lists takes them. */
	while (text[0]) {
		n = strtol(text, &end, 10);
		if (end == text || n < 0 || n > (long)UINT32_MAX || (*end && *end != ',') ||
		    p->n_gids >= ARRAY_LEN(p->gids))
			return err_code(e, CODE_OCI_OPTION, "--additional-gids");
		p->gids[p->n_gids++] = (uint32_t)n;
		text = end + (*end == ',');
	}
	return 0;
}

static int read_options(struct process_options *p, const struct oci *o, const struct oci_args *a,
			struct err *e)
{
	bool flag;
	int r = oci_args_flag(&p->tty, a, OPT_TTY, e);

	if (r < 0 || (r = oci_args_flag(&flag, a, OPT_NO_NEW_PRIVS, e)) < 0)
		return r;
	p->no_new_privs = oci_args_value(a, OPT_NO_NEW_PRIVS) ? flag : -1;
	p->cwd = oci_args_value(a, OPT_CWD);
	p->user = oci_args_value(a, OPT_USER);
	p->apparmor = oci_args_value(a, OPT_APPARMOR);
	p->label = oci_args_value(a, OPT_LABEL);
	p->args = o->argv + a->positional + 1;
	p->n_args = (size_t)(o->argc - a->positional - 1);
	for (size_t i = 0; r == 0 && i < a->n_given; i++) {
		const struct oci_given *g = &a->given[i];

		if (g->id == OPT_ENV)
			r = list_add(p->env, &p->n_env, ARRAY_LEN(p->env), g->value, e);
		else if (g->id == OPT_CAP)
			r = list_add(p->caps, &p->n_caps, ARRAY_LEN(p->caps), g->value, e);
		else if (g->id == OPT_GIDS)
			r = gid_add(p, g->value, e);
	}
	return r;
}

/* Not ours: the runtime knows where its bundle is. Returns 1 when it does not know it at all. */
static int foreign_bundle(struct oci *o, struct entering *x, struct err *e)
{
	cleanup_oci_argv struct oci_argv v = { 0 };
	cleanup_buf struct buf out = BUF_MAX(STATE_MAX);
	cleanup_json struct json *state = NULL;
	const char *dir;
	int r;

	oci_argv_add(&v, o->set.runtime);
	oci_argv_add(&v, "--root");
	oci_argv_add(&v, o->state_root);
	oci_argv_add(&v, "state");
	oci_argv_add(&v, o->id);
	r = oci_argv_check(&v, e);
	if (r < 0)
		return r;
	r = oci_ask(v.v, &out, ASK_MS);
	if (r != 0)
		return 1;
	if ((r = json_parse(&state, buf_view(&out), STATE_MAX, e)) < 0 ||
	    (r = json_need_string(&dir, state, "bundle", "the runtime's state", e)) < 0)
		return err_wrap_code(e, CODE_OCI_RUNTIME, "state");
	return bundle_open(&x->bundle, dir, "config.json", e);
}

/* The sealed form of the container's config. Returns 1 when there is no such container. */
static int find_config(struct oci *o, struct entering *x, struct err *e)
{
	int r;

	if (x->shadow.fd < 0)
		return foreign_bundle(o, x, e);
	r = bundle_read(&x->bundle.text, &x->bundle.doc, x->shadow.fd, "sealed.json",
			"the container's config", e);
	if (r < 0)
		r = bundle_read(&x->bundle.text, &x->bundle.doc, x->shadow.fd, "config.json",
				"the container's config", e);
	return r;
}

static int find_process(struct oci *o, struct entering *x, struct err *e)
{
	const char *file = oci_args_value(&x->args, OPT_PROCESS);
	struct process_options options = { .no_new_privs = -1 };
	int r;

	if (file && file[0])
		return bundle_read(&x->text, &x->doc, AT_FDCWD, file, "the process file", e);
	r = find_config(o, x, e);
	if (r != 0 || (r = read_options(&options, o, &x->args, e)) < 0)
		return r;
	r = process_build(&x->text, bundle_node(&x->bundle), &options, e);
	if (r < 0)
		return r;
	return json_parse(&x->doc, buf_view(&x->text), x->text.max, e);
}

static int open_folder(struct oci *o, struct entering *x, struct err *e)
{
	const struct shadow_id id = { o->set.runtime, o->state_root, o->id };
	cleanup_close int lock = -1;
	int r = oci_open_memory(&x->memory, &lock, o, e);

	if (r < 0)
		return r;
	r = shadow_find(&x->shadow, &x->memory, &id, e);
	if (r < 0 && r != -(int)ERR_NOTFOUND)
		return r;
	r = memfs_exec_file(&x->memory, x->path, e);
	if (r < 0)
		return r;
	x->file = r;
	return 0;
}

static void erase(void *ctx)
{
	struct entering *x = ctx;
	const char *name = strrchr(x->path, '/');

	if (x->file >= 0 && name)
		(void)memfs_erase(x->memory.fd, name + 1, NULL);
}

/* The runtime has closed the file. */
static void closed(void *ctx)
{
	struct entering *x = ctx;
	char events[4096];

	while (read(x->seen, events, sizeof events) > 0)
		;
	erase(x);
}

/* Everything up to a process file with the plaintext. Returns 1: no such container. */
static int prepare(struct oci *o, struct entering *x, struct err *e)
{
	int r = oci_need_root(e);

	if (r < 0 || (r = oci_state_root(o, e)) < 0 || (r = open_folder(o, x, e)) < 0)
		return r;
	r = find_process(o, x, e);
	if (r != 0)
		return r;
	r = plan_process(&x->plan, node_root(buf_view(&x->text), x->doc), e);
	if (r < 0)
		return r;
	x->plan.place[0] = '\0';
	if (plan_has_secrets(&x->plan)) {
		if ((r = oci_check_disk(o, false, e)) < 0 ||
		    (r = oci_unseal(o, &x->plan, e)) < 0 ||
		    (x->shadow.fd >= 0 && (r = shadow_mark_injected(&x->shadow, e)) < 0))
			return r;
	}
	r = plan_place(&x->plan, -1, "", e);
	x->plan.place[0] = '\0';
	if (r == 0)
		r = edits_write(x->file, &x->plan.edits, x->plan.text, true, e);
	plan_forget(&x->plan);
	return r;
}

/* What the process file now says is left out; what is about this call stays. */
static void exec_argv(struct oci_argv *v, const struct oci *o, const struct entering *x)
{
	oci_argv_globals(v, o);
	oci_argv_add(v, "exec");
	oci_argv_add(v, "--process");
	oci_argv_add(v, x->path);
	for (size_t i = 0; i < x->args.n_given; i++) {
		const struct oci_given *g = &x->args.given[i];
		bool stays = g->id == OPT_KEPT || g->id == OPT_CONSOLE_SOCKET ||
			     g->id == OPT_PID_FILE || g->id == OPT_DETACH ||
			     g->id == OPT_NO_SUBREAPER;

		for (int k = 0; stays && k < g->count; k++)
			oci_argv_add(v, o->argv[g->at + k]);
	}
	oci_argv_add(v, o->id);
}

/* In the foreground the runtime stays as long as the process: erase once it has closed the file. */
static int run(struct oci *o, struct entering *x)
{
	cleanup_oci_argv struct oci_argv v = { 0 };
	struct oci_watch watch = { -1, closed, x };
	struct err e;
	int pid, code;

	exec_argv(&v, o, x);
	x->seen = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (x->seen >= 0 && inotify_add_watch(x->seen, x->path, IN_CLOSE_NOWRITE | IN_ONESHOT) >= 0)
		watch.fd = x->seen;
	if (oci_argv_check(&v, &e) < 0 || oci_spawn(&pid, v.v, &OCI_STDIO_OURS, &e) < 0) {
		erase(x);
		return oci_fail(o, &e, "", EXIT_EXEC);
	}
	code = oci_wait(pid, &watch, NULL, NULL);
	erase(x);
	return code;
}

/* No such container: engines look for the runtime's own words. */
static int unknown(struct oci *o)
{
	cleanup_oci_argv struct oci_argv v = { 0 };
	cleanup_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct err e;
	int pid;

	oci_argv_globals(&v, o);
	oci_argv_add(&v, "state");
	oci_argv_add(&v, o->id);
	if (oci_argv_check(&v, &e) < 0 ||
	    oci_spawn(&pid, v.v, &(struct oci_stdio){ { -1, null, -1 } }, &e) < 0)
		return oci_fail(o, &e, "", EXIT_EXEC);
	(void)oci_wait(pid, NULL, NULL, NULL);
	return EXIT_EXEC;
}

int oci_exec(struct oci *o)
{
	__attribute__((cleanup(entering_done))) struct entering x = {
		.text = BUF_MAX(2 * BUNDLE_CONFIG_MAX),
		.memory = MEMFS_CLOSED,
		.shadow = SHADOW_CLOSED,
		.file = -1,
		.seen = -1,
	};
	struct err e;
	int r = oci_args_container(o, &x.args, OCI_EXEC, &e);

	if (r > 0)
		return oci_pass(o);
	r = r < 0 ? r : prepare(o, &x, &e);
	if (r == 0)
		return run(o, &x);
	if (x.file >= 0)
		erase(&x);
	if (r > 0)
		return unknown(o);
	return oci_fail(o, &e, x.plan.place, EXIT_EXEC);
}
