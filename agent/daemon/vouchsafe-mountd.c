/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/mountd.h"
#include "agent/base/environment.h"
#include "agent/base/fs.h"
#include "agent/base/notify.h"
#include "agent/base/version.h"
#include "agent/daemon/mountd_rules.h"
#include "agent/daemon/mountd_serve.h"
#include "agent/daemon/sandbox.h"
#include "agent/daemon/startup.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* The exit code for its rules; the others are in startup.h. See vouchsafe-mountd(8). */
enum { EXIT_CONFIG = 78 };
enum { OPT_IDLE = 256, OPT_LISTEN, OPT_PAIR };
enum { SOCKET_MODE = 0660, BACKLOG = 32, IDLE_S = 60, IDLE_MAX_S = 86400 };

/* A request's key, the copies that libcryptsetup makes of it, and a few requests at a time. */
static const size_t locked_bytes = 16u << 20;

struct options {
	const char *listen;
	long pair; /* -1: none */
	long idle_s;
};

static void help(const void *ctx)
{
	(void)ctx;
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

static const char *take_option(void *ctx, int c)
{
	struct options *o = ctx;

	if (c == OPT_IDLE)
		return startup_number(&o->idle_s, optarg, IDLE_MAX_S) ? NULL : "--idle: want 0 to 86400";
	if (c == OPT_PAIR && !startup_number(&o->pair, optarg, 1023))
		return "--pair: want the number of a descriptor";
	if (c == OPT_LISTEN) {
		o->listen = optarg;
		if (optarg[0] != '/')
			return "--listen: want an absolute path";
	}
	return o->listen && o->pair >= 0 ? "--listen and --pair exclude each other" : NULL;
}

static const struct option options[] = {
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "pair", required_argument, NULL, OPT_PAIR },
	STARTUP_OPTIONS,
	STARTUP_ROOT,
	{ 0 },
};

static const struct startup_syntax syntax = {
	.name = "vouchsafe-mountd",
	.build = "vouchsafe-mountd ",
	.letters = "h",
	.options = options,
	.help = help,
	.own_option = take_option,
};

/* --- where requests come from ------------------------------------------------------- */

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

static int take_source(struct mountd_source *out, const struct options *o,
		       const struct listen_fds *handed, struct err *e)
{
	if (o->listen)
		return make_socket(&out->listen_fd, o->listen, e);
	if (o->pair >= 0) {
		out->pair_fd = (int)o->pair;
		return startup_is_seqpacket(out->pair_fd, false) ?
			       0 :
			       err_set(e, ERR_USAGE, "--pair %ld is no unix socket of type SEQPACKET",
				       o->pair);
	}
	out->idle_ms = o->idle_s * 1000;
	out->listen_fd = startup_listener(handed, "vouchsafe-mountd.socket", e);
	return out->listen_fd < 0 ? out->listen_fd : 0;
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

static int run(const struct options *o, const char *root, const struct listen_fds *handed,
	       struct err *e)
{
	struct mountd_rules rules = { 0 };
	struct mountd_source source = { .listen_fd = -1, .pair_fd = -1 };
	int r;

	if ((r = environment_forget(e)) < 0 || (r = sandbox_limits(e)) < 0 ||
	    (r = mountd_rules_load(&rules, root, e)) < 0)
		return r;
	/* mkfs is looked for where packages put it, whatever started us. */
	if (setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) < 0)
		return err_set(e, ERR_NOMEM, "no memory for the environment");
	if ((r = source.signals = startup_signals(true, e)) < 0 ||
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
	struct startup_given given = STARTUP_DEFAULTS;
	struct options o = { .pair = -1, .idle_s = IDLE_S };
	struct err e;
	int r = startup_parse(&given, &syntax, &o, argc, argv);

	if (r >= 0)
		return r;
	log_set_level(given.level);
	/* Native kata: stderr is the host's console. */
	log_codes_only(o.pair >= 0);
	(void)umask(0077);
	/* Before anything opens a descriptor. */
	if (listen_fds_take(&handed, &e) < 0 || run(&o, given.root, &handed, &e) < 0) {
		log_err(LOG_LEVEL_ERROR, "cannot serve", &e);
		return strncmp(err_name(&e), "config.", 7) == 0 ? EXIT_CONFIG : STARTUP_SYSTEM;
	}
	return STARTUP_OK;
}
