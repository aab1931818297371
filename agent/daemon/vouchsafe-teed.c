/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/teed.h"
#include "agent/base/environment.h"
#include "agent/base/notify.h"
#include "agent/base/version.h"
#include "agent/daemon/sandbox.h"
#include "agent/daemon/startup.h"
#include "agent/daemon/teed_serve.h"
#include "attester/tsm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { OPT_IDLE = 256, OPT_WAIT };

struct options {
	long idle_s, wait_ms;
};

static void help(const void *ctx)
{
	(void)ctx;
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

static const char *take_option(void *ctx, int c)
{
	struct options *o = ctx;

	if (c == OPT_IDLE)
		return startup_number(&o->idle_s, optarg, 86400) ? NULL : "--idle: want 0 to 86400";
	if (!version_is_dev)
		return "unknown option --wait: it is for development builds";
	return startup_number(&o->wait_ms, optarg, TEE_LOCAL_MS) ? NULL : "--wait: want 0 to 40000";
}

static const struct option options[] = {
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "wait", required_argument, NULL, OPT_WAIT },
	STARTUP_OPTIONS,
	{ 0 },
};

static const struct startup_syntax syntax = {
	.name = "vouchsafe-teed",
	.build = "vouchsafe-teed ",
	.letters = "h",
	.options = options,
	.help = help,
	.own_option = take_option,
};

static int serve(const struct options *o, struct err *e)
{
	static const uid_t uids[] = { SANDBOX_UID };
	static struct listen_fds handed;
	struct teed t = { .pair_fd = -1,
			  .idle_ms = o->idle_s * 1000,
			  .uids = uids,
			  .n_uids = ARRAY_LEN(uids),
			  .local = { .wait_ms = o->wait_ms } };
	int r;

	/* Before anything opens a descriptor. */
	if ((r = listen_fds_take(&handed, e)) < 0 ||
	    (r = t.listen_fd = startup_listener(&handed, "vouchsafe-teed.socket", e)) < 0 ||
	    (r = t.signals = startup_signals(false, e)) < 0 || (r = environment_forget(e)) < 0)
		return r;
	t.local.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t.local.root_fd < 0)
		return err_sys(e, errno, "open /");
	(void)notify_send("READY=1", NULL);
	if ((r = teed_confine(e)) < 0)
		return r;
	log_debug("serving", "idle_s=%ld", o->idle_s);
	tsm_sweep(t.local.root_fd);
	return teed_serve(&t, e);
}

/* Exit codes, as in vouchsafe-teed(8): 0, 64, 71. */
int main(int argc, char **argv)
{
	struct startup_given given = STARTUP_DEFAULTS;
	struct options o = { .idle_s = TEED_IDLE_MS / 1000, .wait_ms = TEE_LOCAL_MS };
	struct err e;
	int r = startup_parse(&given, &syntax, &o, argc, argv);

	if (r >= 0)
		return r;
	log_set_level(given.level);
	(void)umask(0077);
	if (serve(&o, &e) < 0) {
		log_err(LOG_LEVEL_ERROR, "cannot serve", &e);
		return STARTUP_SYSTEM;
	}
	return STARTUP_OK;
}
