/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/startup.h"
#include "agent/base/version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

int startup_refuse(const char *name, const char *what)
{
	fprintf(stderr, "%s: %s; see --help\n", name, what);
	return STARTUP_USAGE;
}

int startup_parse(struct startup_given *out, const struct startup_syntax *s, void *ctx, int argc,
		  char **argv)
{
	const char *wrong = NULL;
	struct err e;
	int c;

	while (!wrong && (c = getopt_long(argc, argv, s->letters, s->options, NULL)) != -1) {
		if (c == 'h') {
			s->help(ctx);
			return STARTUP_OK;
		} else if (c == 'V') {
			printf("%s%s\n", s->build, version_text);
			return STARTUP_OK;
		} else if (c == STARTUP_OPT_LOG) {
			out->level_given = true;
			wrong = log_level_parse(&out->level, optarg, &e) < 0 ? e.msg : NULL;
		} else if (c == STARTUP_OPT_ROOT) {
			out->root = optarg;
			wrong = version_is_dev ? NULL :
						 "unknown option --root: it is for development builds";
		} else {
			/* getopt has said already which option it does not know. */
			wrong = c == '?' ? "bad option" : s->own_option(ctx, c);
		}
	}
	if (!wrong && optind != argc)
		wrong = "unexpected argument";
	return wrong ? startup_refuse(s->name, wrong) : -1;
}

bool startup_number(long *out, const char *text, long most)
{
	char *end = NULL;
	long n = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;

	if (n < 0 || n > most || *end != '\0')
		return false;
	*out = n;
	return true;
}

int startup_signals(bool children, struct err *e)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	if (children)
		(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, errno, "block signals");
	(void)signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd >= 0 ? fd : err_sys(e, errno, "signalfd");
}

int startup_socket_option(int fd, int name)
{
	int value = -1;
	socklen_t n = sizeof value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &n) == 0 ? value : -1;
}

bool startup_is_seqpacket(int fd, bool listens)
{
	return startup_socket_option(fd, SO_TYPE) == SOCK_SEQPACKET && startup_socket_option(fd, SO_DOMAIN) == AF_UNIX &&
	       startup_socket_option(fd, SO_ACCEPTCONN) == listens;
}

int startup_listener(const struct listen_fds *handed, const char *unit, struct err *e)
{
	if (handed->n != 1 || !startup_is_seqpacket(handed->at[0].fd, true))
		return err_set(e, ERR_FORMAT,
			       "want one listening unix socket of type SEQPACKET from %s, %zu "
			       "descriptors were handed over",
			       unit, handed->n);
	return handed->at[0].fd;
}
