/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/version.h"
#include "agent/daemon/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* The verbs that are not simply the runtime's. */
static const struct {
	const char *name;
	int (*run)(struct oci *o);
} verbs[] = {
	{ "create", oci_create }, { "run", oci_run },
	{ "exec", oci_exec },	  { "delete", oci_delete },
	{ "restore", oci_restore }, { "checkpoint", oci_checkpoint },
};

static void oci_done(struct oci *o)
{
	free(o->set.runtime);
	free(o->set.socket);
	free(o->set.memory_dir);
	for (size_t i = 0; i < o->set.n_prefixes; i++)
		free(o->set.prefixes[i]);
	free(o->set.prefixes);
	oci_args_done(&o->global);
	free(o->state_root);
}

/*
 * `--version` is the runtime's, byte for byte, because engines read it; `version` is for people
 * and says both.
 */
static int version(struct oci *o)
{
	cleanup_oci_argv struct oci_argv a = { 0 };
	struct err e;
	int pid;

	(void)printf("vouchsafe-oci %s\nruntime %s:\n", version_text, o->set.runtime);
	(void)fflush(stdout);
	oci_argv_add(&a, o->set.runtime);
	oci_argv_add(&a, "--version");
	if (oci_argv_check(&a, &e) < 0 || oci_spawn(&pid, a.v, &OCI_STDIO_OURS, &e) < 0)
		return oci_fail(o, &e, "", 1);
	return oci_wait(pid, NULL, NULL, NULL);
}

/* A verb that we look at stands anywhere: then an option before it that we cannot read matters. */
static bool may_start(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < ARRAY_LEN(verbs); k++)
			if (strcmp(argv[i], verbs[k].name) == 0)
				return true;
	return false;
}

/* Descriptors 0, 1 and 2 are never ours to use for something else. */
static void fill_stdio(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
			return;
}

static int dispatch(struct oci *o)
{
	const char *verb = o->verb ? o->argv[o->verb] : "";

	if (strcmp(verb, "explain") == 0)
		return oci_explain(o);
	if (strcmp(verb, "version") == 0)
		return version(o);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verb, verbs[i].name) != 0)
			continue;
		fill_stdio();
		(void)prctl(PR_SET_DUMPABLE, 0);
		return verbs[i].run(o);
	}
	return oci_pass(o);
}

int main(int argc, char **argv)
{
	__attribute__((cleanup(oci_done))) struct oci o = { .argc = argc, .argv = argv };
	const char *help;
	struct err e, unread;
	int r = oci_args_global(&o.global, argc, argv, &unread);
	bool readable = r == 0;

	help = readable ? oci_args_value(&o.global, OPT_HELP) : NULL;
	if (oci_settings_load(&o.set, oci_args_value(&o.global, OPT_OURS), &e) < 0 ||
	    oci_find_runtime(&o.set, &e) < 0)
		return oci_fail(&o, &e, "", 1);
	o.verb = readable ? o.global.positional : 0;
	/* What follows an option that is not known could be its value, or the verb. */
	if ((!readable || (help && help[0])) && may_start(argc, argv)) {
		if (readable)
			(void)err_code(&unread, CODE_OCI_OPTION, "--help with a value");
		return oci_fail(&o, &unread, "", 1);
	}
	if (!readable || help)
		return oci_pass(&o);
	return dispatch(&o);
}
