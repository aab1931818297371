/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/teed.h"
#include "agent/base/listenfds.h"
#include "agent/base/log.h"
#include "agent/base/notify.h"
#include "agent/base/version.h"
#include "agent/daemon/sandbox.h"
#include "agent/daemon/teed_serve.h"
#include "attester/tsm.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Exit codes, as in vouchsafe-teed(8). */
enum { OK = 0, USAGE = 64, SYSTEM = 71 };
enum { OPT_LOG = 256, OPT_VERSION, OPT_IDLE, OPT_WAIT };

struct options {
	enum log_level level;
	int64_t idle_ms, wait_ms;
};

static void help(void)
{
	printf("Usage: vouchsafe-teed [--log LEVEL] [--idle S]\n\n"
	       "Asks the TEE's own device, which belongs to root, for vouchsafed and for vouchsafe: a\n"
	       "report for 64 bytes (configfs-tsm, /dev/sev-guest), an RTMR extended; nothing else.\n"
	       "Started by vouchsafe-teed.socket when somebody asks; ends when nobody does.\n\n"
	       "Options:\n"
	       "  --idle S     seconds without a client after which it ends; 30; 0: never\n"
	       "  --log LEVEL  error, warn, info (default) or debug\n"
	       "  --version    version and build\n%s\n"
	       "See vouchsafe-teed(8).\n",
	       version_is_dev ? "  --wait MS    for one request, 40000 (development builds)\n" : "");
}

static int refuse(const char *what)
{
	fprintf(stderr, "vouchsafe-teed: %s; see --help\n", what);
	return USAGE;
}

/* 0 to most. */
static bool number(int64_t *out, const char *text, long most)
{
	char *end;
	long n = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;

	if (n < 0 || n > most || *end != '\0')
		return false;
	*out = n;
	return true;
}

/* -1 to go on, else the exit code. */
static int parse(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "idle", required_argument, NULL, OPT_IDLE },
		{ "log", required_argument, NULL, OPT_LOG },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "wait", required_argument, NULL, OPT_WAIT },
		{ 0 },
	};
	struct err e;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			help();
			return OK;
		} else if (c == OPT_VERSION) {
			printf("vouchsafe-teed %s\n", version_text);
			return OK;
		} else if (c == OPT_LOG) {
			if (log_level_parse(&o->level, optarg, &e) < 0)
				return refuse(e.msg);
		} else if (c == OPT_IDLE) {
			if (!number(&o->idle_ms, optarg, 86400))
				return refuse("--idle: want 0 to 86400");
			o->idle_ms *= 1000;
		} else if (c == OPT_WAIT && version_is_dev) {
			if (!number(&o->wait_ms, optarg, TEE_LOCAL_MS))
				return refuse("--wait: want 0 to 40000");
		} else {
			return refuse("bad option");
		}
	}
	return optind == argc ? -1 : refuse("unexpected argument");
}

static bool is_listener(int fd)
{
	int type = 0, listens = 0, domain = 0;
	socklen_t n = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 &&
	       type == SOCK_SEQPACKET && listens && domain == AF_UNIX;
}

/* The one socket that was handed over. */
static int take_listener(struct listen_fds *handed, struct err *e)
{
	if (listen_fds_take(handed, e) < 0)
		return -ERR_FORMAT;
	if (handed->n != 1 || !is_listener(handed->at[0].fd))
		return err_set(e, ERR_FORMAT,
			       "want one listening unix socket of type SEQPACKET from "
			       "vouchsafe-teed.socket, %zu descriptors were handed over",
			       handed->n);
	return handed->at[0].fd;
}

static int stop_signals(struct err *e)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, errno, "block signals");
	(void)signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd >= 0 ? fd : err_sys(e, errno, "signalfd");
}

static int serve(const struct options *o, struct err *e)
{
	static const uid_t uids[] = { SANDBOX_UID };
	static struct listen_fds handed;
	struct teed t = { .pair_fd = -1,
			  .idle_ms = o->idle_ms,
			  .uids = uids,
			  .n_uids = ARRAY_LEN(uids),
			  .local = { .wait_ms = o->wait_ms } };
	int r;

	/* Before anything opens a descriptor. */
	if ((r = t.listen_fd = take_listener(&handed, e)) < 0 ||
	    (r = t.signals = stop_signals(e)) < 0 || (r = sandbox_environment(e)) < 0)
		return r;
	t.local.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t.local.root_fd < 0)
		return err_sys(e, errno, "open /");
	(void)notify_send("READY=1", NULL);
	if ((r = teed_confine(e)) < 0)
		return r;
	log_debug("serving", "idle_ms=%lld", (long long)o->idle_ms);
	tsm_sweep(t.local.root_fd);
	return teed_serve(&t, e);
}

int main(int argc, char **argv)
{
	struct options o = { .level = LOG_LEVEL_INFO,
			     .idle_ms = TEED_IDLE_MS,
			     .wait_ms = TEE_LOCAL_MS };
	struct err e;
	int r = parse(&o, argc, argv);

	if (r >= 0)
		return r;
	log_set_level(o.level);
	(void)umask(0077);
	if (serve(&o, &e) < 0) {
		log_err(LOG_LEVEL_ERROR, "cannot serve", &e);
		return SYSTEM;
	}
	return OK;
}
