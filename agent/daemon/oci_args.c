/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/oci.h"

/*
 * Sources: runc's main.go, create.go, run.go, exec.go (1.1 and 1.3; Go's flag package takes
 * "-name" for "--name"), crun's crun.c, create.c, run.c, exec.c (1.8). What is not in these
 * tables is refused: an option whose argument we took for an operand would let a container
 * start past us.
 */
struct option {
	const char *name;
	char letter; /* 0: none */
	bool value;  /* takes one */
	enum oci_option_id id;
};

static const struct option global_options[] = {
	{ "debug", 0, false, OPT_KEPT },
	{ "log", 0, true, OPT_LOG },
	{ "log-format", 0, true, OPT_LOG_FORMAT },
	{ "log-level", 0, true, OPT_KEPT },
	{ "root", 0, true, OPT_ROOT },
	{ "criu", 0, true, OPT_KEPT },
	{ "rootless", 0, true, OPT_KEPT },
	{ "systemd-cgroup", 0, false, OPT_KEPT },
	{ "cgroup-manager", 0, true, OPT_KEPT },
	{ "vouchsafe-config", 0, true, OPT_OURS },
	{ "help", 'h', false, OPT_HELP },
	{ "usage", '?', false, OPT_HELP },
	{ "version", 'v', false, OPT_HELP },
	{ "version", 'V', false, OPT_HELP },
};

static const struct option create_options[] = {
	{ "bundle", 'b', true, OPT_BUNDLE },
	{ "config", 'f', true, OPT_CONFIG },
	{ "console-socket", 0, true, OPT_CONSOLE_SOCKET },
	{ "pidfd-socket", 0, true, OPT_KEPT },
	{ "pid-file", 0, true, OPT_PID_FILE },
	{ "no-pivot", 0, false, OPT_KEPT },
	{ "no-new-keyring", 0, false, OPT_KEPT },
	{ "preserve-fds", 0, true, OPT_KEPT },
	{ "detach", 'd', false, OPT_DETACH },
	{ "keep", 0, false, OPT_KEEP },
	{ "no-subreaper", 0, false, OPT_NO_SUBREAPER },
	{ "help", 'h', false, OPT_HELP },
};

static const struct option exec_options[] = {
	{ "console-socket", 0, true, OPT_CONSOLE_SOCKET },
	{ "pidfd-socket", 0, true, OPT_KEPT },
	{ "cwd", 0, true, OPT_CWD },
	{ "env", 'e', true, OPT_ENV },
	{ "tty", 't', false, OPT_TTY },
	{ "user", 'u', true, OPT_USER },
	{ "additional-gids", 'g', true, OPT_GIDS },
	{ "process", 'p', true, OPT_PROCESS },
	{ "detach", 'd', false, OPT_DETACH },
	{ "pid-file", 0, true, OPT_PID_FILE },
	{ "process-label", 0, true, OPT_LABEL },
	{ "apparmor", 0, true, OPT_APPARMOR },
	{ "no-new-privs", 0, false, OPT_NO_NEW_PRIVS },
	{ "cap", 'c', true, OPT_CAP },
	{ "preserve-fds", 0, true, OPT_KEPT },
	{ "cgroup", 0, true, OPT_KEPT },
	{ "ignore-paused", 0, false, OPT_KEPT },
	{ "no-subreaper", 0, false, OPT_NO_SUBREAPER },
	{ "help", 'h', false, OPT_HELP },
};

void oci_args_done(struct oci_args *a)
{
	free(a->given);
	*a = (struct oci_args){ 0 };
}

/* The option of that name, or letter where the name has one byte; *value points behind '='. */
static const struct option *find(const struct option *t, size_t n, const char *arg,
				 const char **value)
{
	const char *name = arg + 1 + (arg[1] == '-');
	size_t len = strcspn(name, "=");

	*value = name[len] == '=' ? name + len + 1 : NULL;
	for (size_t i = 0; i < n; i++)
		if ((strlen(t[i].name) == len && strncmp(t[i].name, name, len) == 0) ||
		    (len == 1 && arg[1] != '-' && t[i].letter == name[0]))
			return &t[i];
	return NULL;
}

static int take_option(struct oci_args *a, const struct option *t, size_t n, int argc, char **argv,
		       int *at, struct err *e)
{
	struct oci_given *g = &a->given[a->n_given];
	const char *value;
	const struct option *o = find(t, n, argv[*at], &value);

	if (!o)
		return err_code(e, CODE_OCI_OPTION, "%.60s", argv[*at]);
	*g = (struct oci_given){ o->id, value, *at, 1 };
	if (o->value && !value) {
		if (*at + 1 >= argc)
			return err_code(e, CODE_OCI_OPTION, "%.60s lacks its argument", argv[*at]);
		g->value = argv[++*at];
		g->count = 2;
	}
	a->n_given++;
	return 0;
}

static int start(struct oci_args *a, int argc, struct err *e)
{
	a->given = calloc((size_t)argc + 1, sizeof *a->given);
	return a->given ? 0 : err_set(e, ERR_NOMEM, "no memory for arguments");
}

/*
 * permute: options may follow operands (create, run); else the first operand ends them.
 */
static int parse(struct oci_args *a, const struct option *t, size_t n, int argc, char **argv,
		 int from, bool permute, struct err *e)
{
	bool ended = false;
	int r = start(a, argc, e);

	for (int i = from; r == 0 && i < argc; i++) {
		if (!ended && argv[i][0] == '-' && argv[i][1] != '\0') {
			if (strcmp(argv[i], "--") == 0) {
				ended = true;
				continue;
			}
			r = take_option(a, t, n, argc, argv, &i, e);
			continue;
		}
		if (a->n_positional++ == 0)
			a->positional = i;
		if (!permute)
			break;
	}
	return r;
}

int oci_args_global(struct oci_args *a, int argc, char **argv, struct err *e)
{
	return parse(a, global_options, ARRAY_LEN(global_options), argc, argv, 1, false, e);
}

int oci_args_container(struct oci *o, struct oci_args *a, enum oci_verb verb, struct err *e)
{
	const char *help;
	int r = verb == OCI_EXEC ? parse(a, exec_options, ARRAY_LEN(exec_options), o->argc, o->argv,
					 o->verb + 1, false, e) :
				   parse(a, create_options, ARRAY_LEN(create_options), o->argc, o->argv,
					 o->verb + 1, true, e);

	if (r < 0)
		return r;
	help = oci_args_value(a, OPT_HELP);
	if (help && help[0])
		return err_code(e, CODE_OCI_OPTION, "--help with a value");
	if (help || a->n_positional == 0)
		return 1;
	o->id = o->argv[a->positional];
	if (a->n_positional > 1 || o->id[0] == '-')
		return err_code(e, CODE_OCI_OPTION, "one container's name is wanted");
	return 0;
}

const char *oci_args_value(const struct oci_args *a, enum oci_option_id id)
{
	for (size_t i = a->n_given; i > 0; i--)
		if (a->given[i - 1].id == id)
			return a->given[i - 1].value ? a->given[i - 1].value : "";
	return NULL;
}

int oci_args_flag(bool *out, const struct oci_args *a, enum oci_option_id id, struct err *e)
{
	static const char *const yes[] = { "", "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	const char *v = oci_args_value(a, id);

	*out = false;
	if (!v)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (strcmp(v, no[i]) == 0)
			return 0;
	*out = true;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (strcmp(v, yes[i]) == 0)
			return 0;
	return err_code(e, CODE_OCI_OPTION, "a flag with the value \"%.40s\"", v);
}
