/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/mountd.h"
#include "agent/base/fs.h"
#include "agent/base/listenfds.h"
#include "agent/base/log.h"
#include "agent/base/notify.h"
#include "agent/base/version.h"
#include "agent/daemon/mountd_rules.h"
#include "agent/daemon/mountd_serve.h"
#include "agent/daemon/sandbox.h"

#include <errno.h>
#include <getopt.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Exit codes, as in vouchsafe-mountd(8). */
enum { OK = 0, USAGE = 64, SYSTEM = 71, CONFIG = 78 };
enum { OPT_IDLE = 256, OPT_LISTEN, OPT_LOG, OPT_PAIR, OPT_ROOT, OPT_VERSION };
enum { SOCKET_MODE = 0660, BACKLOG = 32, IDLE_S = 60, IDLE_MAX_S = 86400 };

/* A request's key, the copies that libcryptsetup makes of it, and a few requests at a time. */
static const size_t locked_bytes = 16u << 20;

struct options {
	enum log_level level;
	const char *root, *listen;
	int pair;
	long idle_s;
};

static void help(void)
{
	printf("Usage: vouchsafe-mountd [--log LEVEL] [--idle S] [--listen PATH | --pair FD]\n\n"
	       "Formats, opens, mounts and closes encrypted volumes for vouchsafed. Started by\n"
	       "vouchsafe-mountd.socket when somebody asks; ends when no volume is open and nobody\n"
	       "asks. Its measured rules are in " MOUNTD_RULES_PATH ".\n\n"
	       "Options:\n"
	       "  --idle S       seconds without a request or a volume until it ends; 60; 0: never\n"
	       "  --listen PATH  make the socket itself, where no service manager hands it over\n"
	       "  --pair FD      take connections from a descriptor (native kata)\n"
	       "  --log LEVEL    error, warn, info (default) or debug\n"
	       "  --version      version and build\n%s\n"
	       "Signals: TERM and INT end it after the requests in hand; volumes stay open. See\n"
	       "vouchsafe-mountd(8).\n",
	       version_is_dev ? "  --root DIR     prefix of its own paths (development builds)\n" : "");
}

static int refuse(const char *what)
{
	fprintf(stderr, "vouchsafe-mountd: %s; see --help\n", what);
	return USAGE;
}

static bool number(long *out, const char *text, long most)
{
	char *end = NULL;
	long n = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;

	if (n < 0 || n > most || *end != '\0')
		return false;
	*out = n;
	return true;
}

static int take_option(struct options *o, int c)
{
	struct err e;
	long n;

	switch (c) {
	case 'h':
		help();
		return OK;
	case OPT_VERSION:
		printf("vouchsafe-mountd %s\n", version_text);
		return OK;
	case OPT_LOG:
		return log_level_parse(&o->level, optarg, &e) < 0 ? refuse(e.msg) : -1;
	case OPT_IDLE:
		return number(&o->idle_s, optarg, IDLE_MAX_S) ? -1 : refuse("--idle: want 0 to 86400");
	case OPT_LISTEN:
		o->listen = optarg;
		return optarg[0] == '/' ? -1 : refuse("--listen: want an absolute path");
	case OPT_PAIR:
		if (!number(&n, optarg, 1023))
			return refuse("--pair: want the number of a descriptor");
		o->pair = (int)n;
		return -1;
	case OPT_ROOT:
		o->root = optarg;
		return version_is_dev ? -1 : refuse("unknown option --root");
	default:
		return refuse("bad option");
	}
}

/* -1 to go on, else the exit code. */
static int parse(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "idle", required_argument, NULL, OPT_IDLE },
		{ "listen", required_argument, NULL, OPT_LISTEN },
		{ "log", required_argument, NULL, OPT_LOG },
		{ "pair", required_argument, NULL, OPT_PAIR },
		{ "root", required_argument, NULL, OPT_ROOT },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		int r = take_option(o, c);

		if (r >= 0)
			return r;
	}
	if (o->listen && o->pair >= 0)
		return refuse("--listen and --pair exclude each other");
	return optind == argc ? -1 : refuse("unexpected argument");
}

/* --- where requests come from ------------------------------------------------------- */

static bool is_seqpacket(int fd, bool listens)
{
	int type = 0, domain = 0, accepts = 0;
	socklen_t n = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &n) == 0 &&
	       type == SOCK_SEQPACKET && domain == AF_UNIX && !accepts == !listens;
}

static int make_socket(int *out, const char *path, struct err *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (fd < 0)
		return err_sys(e, errno, "socket");
	if (strlen(path) >= sizeof a.sun_path)
		return err_set(e, ERR_LIMIT, "socket path of %zu bytes", strlen(path));
	memcpy(a.sun_path, path, strlen(path));
	(void)unlink(path);
	if (bind(fd, (const struct sockaddr *)&a, sizeof a) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(e, errno, "listen on %s", path);
	if (chmod(path, SOCKET_MODE) < 0 || chown(path, (uid_t)-1, SANDBOX_GID) < 0)
		return err_sys(e, errno, "hand over %s", path);
	*out = take_fd(fd);
	return 0;
}

static int take_source(struct mountd_source *out, const struct options *o, struct listen_fds *handed,
		       struct err *e)
{
	if (o->listen)
		return make_socket(&out->listen_fd, o->listen, e);
	if (o->pair >= 0) {
		if (!is_seqpacket(o->pair, false))
			return err_set(e, ERR_USAGE, "--pair %d is no unix socket of type SEQPACKET",
				       o->pair);
		out->pair_fd = o->pair;
		return 0;
	}
	if (handed->n != 1 || !is_seqpacket(handed->at[0].fd, true))
		return err_set(e, ERR_FORMAT,
			       "want one listening unix socket of type SEQPACKET from "
			       "vouchsafe-mountd.socket, %zu descriptors were handed over",
			       handed->n);
	out->listen_fd = handed->at[0].fd;
	out->idle_ms = o->idle_s * 1000;
	return 0;
}

static int take_signals(struct err *e)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, errno, "block signals");
	(void)signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd >= 0 ? fd : err_sys(e, errno, "signalfd");
}

/*
 * uid 0 owns disks, mount points and /dev/mapper. Without udev (native kata) libdevmapper makes the
 * nodes below /dev/mapper itself.
 */
static int confine(bool makes_nodes, struct err *e)
{
	const uint64_t powers = 1ull << CAP_SYS_ADMIN | (makes_nodes ? 1ull << CAP_MKNOD : 0);
	int r;

	if (sandbox_memlock(locked_bytes) < MOUNTD_KEY_MAX * 4)
		log_warn("keys may not find locked memory", "want=%zu", locked_bytes);
	if ((r = sandbox_keep_powers(powers, e)) < 0 || (r = sandbox_syscalls_mount(e)) < 0)
		return r;
	return chdir("/") < 0 ? err_sys(e, errno, "chdir") : 0;
}

static int run(const struct options *o, struct listen_fds *handed, struct err *e)
{
	struct mountd_rules rules = { 0 };
	struct mountd_source source = { .listen_fd = -1, .pair_fd = -1 };
	int r;

	if ((r = sandbox_environment(e)) < 0 || (r = sandbox_limits(e)) < 0 ||
	    (r = mountd_rules_load(&rules, o->root, e)) < 0)
		return r;
	/* mkfs is looked for where packages put it, whatever started us. */
	if (setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) < 0)
		return err_set(e, ERR_NOMEM, "no memory for the environment");
	if ((r = source.signals = take_signals(e)) < 0 ||
	    (r = take_source(&source, o, handed, e)) < 0 || (r = confine(source.pair_fd >= 0, e)) < 0)
		return r;
	if (version_is_dev)
		log_warn("DEVELOPMENT build", "version=\"%s\"", version_text);
	log_info("ready to mount", "rules=%s devices=%zu prefixes=%zu",
		 rules.from_file ? "measured" : "built-in", rules.volume.n_devices,
		 rules.volume.n_mount_prefixes);
	(void)notify_send("READY=1", NULL);
	r = mountd_loop(&source, &rules.volume, e);
	mountd_rules_done(&rules);
	return r;
}

int main(int argc, char **argv)
{
	static struct listen_fds handed;
	struct options o = { .level = LOG_LEVEL_INFO, .root = "", .pair = -1, .idle_s = IDLE_S };
	struct err e;
	int r = parse(&o, argc, argv);

	if (r >= 0)
		return r;
	log_set_level(o.level);
	/* Native kata: stderr is the host's console. */
	log_codes_only(o.pair >= 0);
	(void)umask(0077);
	/* Before anything opens a descriptor. */
	if (listen_fds_take(&handed, &e) < 0 || run(&o, &handed, &e) < 0) {
		log_err(LOG_LEVEL_ERROR, "cannot serve", &e);
		return strncmp(err_name(&e), "config.", 7) == 0 ? CONFIG : SYSTEM;
	}
	return OK;
}
