/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"

#include <stdarg.h>
#include <stdio.h>

int cli_exit_of(const struct err *e)
{
	static const int by_kind[ERR_KIND_COUNT] = {
		[ERR_OK] = EXIT_OK,
		[ERR_USAGE] = EXIT_USAGE,
		[ERR_SYSTEM] = EXIT_SYSTEM,
		[ERR_NOMEM] = EXIT_SYSTEM,
		[ERR_FORMAT] = EXIT_INPUT,
		[ERR_LIMIT] = EXIT_INPUT,
		[ERR_VERIFY] = EXIT_VERIFY,
		[ERR_CRYPTO] = EXIT_BUG,
		[ERR_DENIED] = EXIT_DENIED,
		[ERR_NOTFOUND] = EXIT_NOT_FOUND,
		[ERR_NETWORK] = EXIT_RETRY,
		[ERR_TIMEOUT] = EXIT_RETRY,
		[ERR_DEVICE] = EXIT_UNAVAILABLE,
		[ERR_UNSUPPORTED] = EXIT_UNAVAILABLE,
		[ERR_INTERNAL] = EXIT_BUG,
	};

	if (strncmp(err_name(e), "config.", 7) == 0)
		return EXIT_CONFIG;
	return by_kind[e->kind];
}

int cli_fail(const struct err *e, bool json)
{
	const struct err_entry *c = err_entry(e->code);
	cleanup_buf struct buf b = BUF_MAX(16384);

	if (!json) {
		/* A peer's words may be in it. */
		buf_put_plain(&b, view_str(e->msg));
		fprintf(stderr, "vouchsafe: %s: %s\n  side: %s. %s\n", c->name, buf_str(&b),
			err_side_name(c->side), err_words(e->code)->remedy);
		return cli_exit_of(e);
	}
	buf_printf(&b, "{\"error\":{\"code\":\"%s\",\"kind\":\"%s\",\"side\":\"%s\",\"message\":",
		   c->name, err_kind_name(e->kind), err_side_name(c->side));
	json_put_string(&b, view_str(e->msg));
	buf_puts(&b, ",\"remedy\":");
	json_put_string(&b, view_str(err_words(e->code)->remedy));
	buf_puts(&b, "}}\n");
	(void)cli_print(&b);
	return cli_exit_of(e);
}

int cli_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "vouchsafe: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n  See vouchsafe %s%s--help.\n", command, command[0] ? " " : "");
	return EXIT_USAGE;
}

int cli_read(struct buf *out, const char *path, size_t max, struct err *e)
{
	if (strcmp(path, "-") == 0)
		return fs_read_fd(out, STDIN_FILENO, max, "standard input", e);
	return fs_read(out, path, max, e);
}

int cli_print(const struct buf *b)
{
	struct err e;

	if (fs_write_fd(STDOUT_FILENO, buf_view(b), "standard output", &e) < 0) {
		fprintf(stderr, "vouchsafe: %s\n", e.msg);
		return EXIT_SYSTEM;
	}
	return 0;
}

/* Of an option's help, the name of its value; 0 for a flag. */
static int value_name(const struct cli_option *o)
{
	return o->flag ? 0 : (int)strcspn(o->help, " ");
}

static int label_width(const struct cli_option *o)
{
	return (int)strlen(o->name) + (o->flag ? 0 : 1 + value_name(o));
}

/* Its help may go on in further lines. */
static void option_help(const struct cli_option *o, int width)
{
	const char *p = o->help + value_name(o);

	printf("  %s%s%.*s%*s  ", o->name, o->flag ? "" : " ", value_name(o), o->help,
	       width - label_width(o), "");
	for (p += strspn(p, " "); *p; p++) {
		putchar(*p);
		if (*p == '\n')
			printf("%*s", width + 4, "");
	}
	putchar('\n');
}

static void help(const struct cli_syntax *s)
{
	int width = 0;

	printf("Usage: vouchsafe %s%s%s%s\n\n%s\n", s->command, s->n_options ? " [OPTION]..." : "",
	       s->operands[0] ? " " : "", s->operands, s->about);
	for (size_t i = 0; i < s->n_options; i++)
		if (label_width(&s->options[i]) > width)
			width = label_width(&s->options[i]);
	if (s->n_options > 0)
		printf("\nOptions:\n");
	for (size_t i = 0; i < s->n_options; i++)
		option_help(&s->options[i], width);
}

/* 1 when the option took the next argument, 0 when not, -1 on an error already printed. */
static int take_option(const struct cli_syntax *s, const char *arg, const char *next)
{
	for (size_t i = 0; i < s->n_options; i++) {
		const struct cli_option *o = &s->options[i];
		size_t n = strlen(o->name);

		if (strncmp(arg, o->name, n) != 0 || (arg[n] != '\0' && arg[n] != '='))
			continue;
		if (o->flag) {
			if (arg[n] == '=') {
				(void)cli_usage(s->command, "%s takes no value", o->name);
				return -1;
			}
			*o->flag = true;
			return 0;
		}
		if (arg[n] == '=') {
			*o->value = arg + n + 1;
			return 0;
		}
		if (!next) {
			(void)cli_usage(s->command, "%s needs a value", o->name);
			return -1;
		}
		*o->value = next;
		return 1;
	}
	(void)cli_usage(s->command, "unknown option %s", arg);
	return -1;
}

int cli_parse(const struct cli_syntax *s, int argc, char **argv, const char **operands)
{
	size_t n = 0;
	bool only_operands = false;

	for (size_t i = 0; i < s->max_operands; i++)
		operands[i] = NULL;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		int r;

		if (!only_operands && (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)) {
			help(s);
			return EXIT_OK;
		}
		if (!only_operands && strcmp(a, "--") == 0) {
			only_operands = true;
			continue;
		}
		if (only_operands || a[0] != '-' || a[1] == '\0') {
			if (n == s->max_operands)
				return cli_usage(s->command, "one operand too many: %s", a);
			operands[n++] = a;
			continue;
		}
		r = take_option(s, a, i + 1 < argc ? argv[i + 1] : NULL);
		if (r < 0)
			return EXIT_USAGE;
		i += r;
	}
	if (n < s->min_operands)
		return cli_usage(s->command, "want %s", s->operands);
	return -1;
}

static void group_help(FILE *f, const struct cli_group *g)
{
	int width = 0;

	for (size_t i = 0; i < g->n_commands; i++)
		if ((int)strlen(g->commands[i].name) > width)
			width = (int)strlen(g->commands[i].name);
	fprintf(f, "Usage: vouchsafe %s COMMAND [ARGUMENT]...\n\n%sCommands:\n", g->name, g->about);
	for (size_t i = 0; i < g->n_commands; i++)
		fprintf(f, "  %-*s  %s\n", width, g->commands[i].name, g->commands[i].about);
	fprintf(f, "\nEach takes --help.\n");
}

int cli_group(const struct cli_group *g, int argc, char **argv)
{
	if (argc < 2) {
		group_help(stderr, g);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		group_help(stdout, g);
		return EXIT_OK;
	}
	for (size_t i = 0; i < g->n_commands; i++)
		if (strcmp(argv[1], g->commands[i].name) == 0)
			return g->commands[i].run(argc - 1, argv + 1);
	return cli_usage(g->name, "unknown command %s %s", g->name, argv[1]);
}
