/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/daemon/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>

enum { PID_TEXT_MAX = 32 };

/* A container between reading its bundle and the runtime's `create`. */
struct making {
	struct oci_args args;
	struct bundle bundle;
	struct plan plan;
	struct memfs memory;
	struct shadow shadow;
};

static void making_done(struct making *m)
{
	oci_args_done(&m->args);
	plan_done(&m->plan);
	bundle_done(&m->bundle);
	shadow_close(&m->shadow);
	memfs_close(&m->memory);
}

#define MAKING_EMPTY	{ .memory = MEMFS_CLOSED, .shadow = SHADOW_CLOSED }
#define cleanup_making __attribute__((cleanup(making_done)))

static int write_config(const struct shadow *s, const char *name, struct plan *p, bool plain,
			struct err *e)
{
	cleanup_close int fd =
		openat(s->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(e, errno, "create %s", name) :
			edits_write(fd, &p->edits, p->text, plain, e);
}

/* Everything between an empty shadow folder and one that the runtime can be pointed at. */
static int fill(struct oci *o, struct making *m, struct err *e)
{
	const struct plan_rules rules = { (const char *const *)o->set.prefixes, o->set.n_prefixes };
	struct plan *p = &m->plan;
	int r = plan_files(p, &rules, m->shadow.fd, e);

	if (r < 0)
		return r;
	p->place[0] = '\0';
	if (plan_has_secrets(p)) {
		if ((r = oci_check_disk(o, p->n_env > 0, e)) < 0 || (r = oci_unseal(o, p, e)) < 0 ||
		    (r = shadow_mark_injected(&m->shadow, e)) < 0)
			return r;
	}
	r = plan_place(p, m->shadow.fd, m->shadow.path, e);
	p->place[0] = '\0';
	/* sealed.json is there before the plaintext is: so a crash in between is recognised. */
	if (r == 0 && p->n_env > 0)
		r = write_config(&m->shadow, "sealed.json", p, false, e);
	if (r == 0)
		r = write_config(&m->shadow, "config.json", p, true, e);
	/* `run` stays as long as its container does: it must not keep what it has handed over. */
	plan_forget(p);
	return r;
}

static int make(struct oci *o, struct making *m, struct err *e)
{
	const char *dir = oci_args_value(&m->args, OPT_BUNDLE);
	const char *config = oci_args_value(&m->args, OPT_CONFIG);
	cleanup_close int lock = -1;
	int r = oci_need_root(e);

	if (r < 0 || (r = bundle_open(&m->bundle, dir ? dir : ".", config ? config : "config.json",
				      e)) < 0 ||
	    (r = plan_config(&m->plan, bundle_node(&m->bundle), m->bundle.path, e)) < 0)
		return r;
	m->plan.place[0] = '\0';
	if ((r = oci_state_root(o, e)) < 0 || (r = oci_open_memory(&m->memory, &lock, o, e)) < 0)
		return r;
	r = shadow_create(&m->shadow, &m->memory,
			  &(struct shadow_id){ o->set.runtime, o->state_root, o->id }, e);
	if (r < 0)
		return r;
	(void)close(take_fd(lock));
	r = fill(o, m, e);
	if (r < 0)
		(void)shadow_remove(&m->memory, &m->shadow, NULL);
	return r;
}

/* `create` with our bundle; the option ids in `without` are left out. */
static void create_argv(struct oci_argv *v, const struct oci *o, const struct making *m,
			const enum oci_option_id *without, size_t n)
{
	oci_argv_globals(v, o);
	oci_argv_add(v, "create");
	oci_argv_add(v, "--bundle");
	oci_argv_add(v, m->shadow.path);
	for (size_t i = 0; i < m->args.n_given; i++) {
		const struct oci_given *g = &m->args.given[i];
		bool skip = g->id == OPT_BUNDLE || g->id == OPT_CONFIG;

		for (size_t k = 0; k < n; k++)
			skip = skip || g->id == without[k];
		for (int k = 0; !skip && k < g->count; k++)
			oci_argv_add(v, o->argv[g->at + k]);
	}
}

/* One more call of the runtime about this container: "start ID", "delete --force ID". */
static int call(struct oci *o, const char *verb, const char *option)
{
	cleanup_oci_argv struct oci_argv v = { 0 };
	struct err e;
	int pid, code;

	oci_argv_globals(&v, o);
	oci_argv_add(&v, verb);
	if (option)
		oci_argv_add(&v, option);
	oci_argv_add(&v, o->id);
	/* What comes meanwhile is for the container and must not cut this short. */
	oci_hold_signals(true);
	if (oci_argv_check(&v, &e) < 0 || oci_spawn(&pid, v.v, &OCI_STDIO_OURS, &e) < 0)
		code = oci_fail(o, &e, "", 1);
	else
		code = oci_wait(pid, NULL, NULL, NULL);
	oci_hold_signals(false);
	return code;
}

/* The runtime's `create` is over: erase the environment, or everything. Returns the exit code. */
static int created(struct oci *o, struct making *m, int code)
{
	struct err e;

	if (code == 0 && shadow_finish(&m->shadow, &e) < 0) {
		code = oci_fail(o, &e, "", 1);
		(void)call(o, "delete", "--force");
	}
	if (code != 0)
		(void)shadow_remove(&m->memory, &m->shadow, NULL);
	return code;
}

int oci_create(struct oci *o)
{
	cleanup_making struct making m = MAKING_EMPTY;
	cleanup_oci_argv struct oci_argv v = { 0 };
	struct err e;
	int pid, r = oci_args_container(o, &m.args, OCI_CREATE, &e);

	if (r > 0)
		return oci_pass(o);
	if (r < 0 || make(o, &m, &e) < 0)
		return oci_fail(o, &e, m.plan.place, 1);
	create_argv(&v, o, &m, NULL, 0);
	oci_argv_add(&v, o->id);
	if (oci_argv_check(&v, &e) < 0 || oci_spawn(&pid, v.v, &OCI_STDIO_OURS, &e) < 0) {
		(void)shadow_remove(&m.memory, &m.shadow, NULL);
		return oci_fail(o, &e, "", 1);
	}
	return created(o, &m, oci_wait(pid, NULL, NULL, NULL));
}

/* --- run --- */

struct running {
	struct making making;
	struct oci_relay *relay; /* NULL when detached */
	bool detach, keep, no_subreaper;
	int init;                /* the container's first process */
};

static void running_done(struct running *r)
{
	making_done(&r->making);
}

#define cleanup_running __attribute__((cleanup(running_done)))

static int undo(struct oci *o, struct running *r, int code)
{
	(void)call(o, "delete", "--force");
	oci_relay_end(r->relay);
	(void)shadow_remove(&r->making.memory, &r->making.shadow, NULL);
	return code;
}

static int read_pid(int *out, const char *path, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(PID_TEXT_MAX);
	int r = fs_read(&b, path, PID_TEXT_MAX - 1, e);
	char *end;
	long n;

	if (r < 0)
		return r;
	n = strtol(buf_str(&b), &end, 10);
	if (n <= 1 || n > INT32_MAX || (*end && *end != '\n'))
		return err_set(e, ERR_FORMAT, "the runtime's pid file holds no process id");
	*out = (int)n;
	return 0;
}

static int run_create(struct oci *o, struct running *r, struct err *e)
{
	static const enum oci_option_id without[] = { OPT_DETACH, OPT_KEEP, OPT_NO_SUBREAPER,
						      OPT_PID_FILE };
	const char *pid_file = oci_args_value(&r->making.args, OPT_PID_FILE);
	struct oci_stdio io = OCI_STDIO_OURS;
	cleanup_oci_argv struct oci_argv v = { 0 };
	char own_pid_file[sizeof r->making.shadow.path + 8], console[108] = "";
	int pid, k;

	(void)snprintf(own_pid_file, sizeof own_pid_file, "%s/pid", r->making.shadow.path);
	if (!r->detach) {
		k = oci_relay_new(&r->relay, &r->making.shadow, r->making.plan.terminal, &io,
				  console, e);
		if (k < 0)
			return k;
		/* The container's first process is orphaned when create returns: to us, who wait for it. */
		if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
			return err_sys(e, errno, "become a subreaper");
	}
	create_argv(&v, o, &r->making, without, ARRAY_LEN(without));
	if (console[0]) {
		oci_argv_add(&v, "--console-socket");
		oci_argv_add(&v, console);
	}
	oci_argv_add(&v, "--pid-file");
	oci_argv_add(&v, pid_file && pid_file[0] ? pid_file : own_pid_file);
	oci_argv_add(&v, o->id);
	if ((k = oci_argv_check(&v, e)) < 0 || (k = oci_spawn(&pid, v.v, &io, e)) < 0)
		return k;
	k = oci_wait(pid, NULL, NULL, NULL);
	if (r->no_subreaper)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 0);
	if (k != 0)
		return k;
	return read_pid(&r->init, pid_file && pid_file[0] ? pid_file : own_pid_file, e);
}

static int run_flags(struct running *r, struct err *e)
{
	const char *console = oci_args_value(&r->making.args, OPT_CONSOLE_SOCKET);
	int k = oci_args_flag(&r->detach, &r->making.args, OPT_DETACH, e);

	if (k < 0 || (k = oci_args_flag(&r->keep, &r->making.args, OPT_KEEP, e)) < 0 ||
	    (k = oci_args_flag(&r->no_subreaper, &r->making.args, OPT_NO_SUBREAPER, e)) < 0)
		return k;
	if (console && console[0] && !r->detach)
		return err_code(e, CODE_OCI_OPTION, "--console-socket of run needs --detach");
	return 0;
}

/* create has failed, or something of ours right behind it. k as run_create() gave it. */
static int run_failed(struct oci *o, struct running *r, int k, const struct err *e)
{
	if (k > 0) {
		oci_relay_end(r->relay);
		(void)shadow_remove(&r->making.memory, &r->making.shadow, NULL);
		return k;
	}
	(void)oci_fail(o, e, "", 1);
	return undo(o, r, 1);
}

/* The container is there, in state "created", and nothing of its environment is left with us. */
static int run_started(struct oci *o, struct running *r)
{
	int code;

	/* It may end before `start` returns. */
	oci_expect(r->init);
	code = call(o, "start", NULL);
	if (code != 0)
		return undo(o, r, code);
	if (r->detach)
		return 0;
	code = oci_wait(r->init, NULL, r->making.plan.terminal ? oci_relay_resize : NULL, r->relay);
	oci_relay_end(r->relay);
	if (!r->keep && call(o, "delete", NULL) == 0)
		(void)shadow_remove(&r->making.memory, &r->making.shadow, NULL);
	return code;
}

int oci_run(struct oci *o)
{
	cleanup_running struct running r = { .making = MAKING_EMPTY };
	struct err e;
	int k = oci_args_container(o, &r.making.args, OCI_CREATE, &e);

	if (k > 0)
		return oci_pass(o);
	if (k < 0 || (k = run_flags(&r, &e)) < 0 || (k = make(o, &r.making, &e)) < 0)
		return oci_fail(o, &e, r.making.plan.place, 1);
	k = run_create(o, &r, &e);
	if (k == 0)
		k = shadow_finish(&r.making.shadow, &e);
	if (k == 0 && r.relay)
		k = oci_relay_start(r.relay, &e);
	return k != 0 ? run_failed(o, &r, k, &e) : run_started(o, &r);
}
