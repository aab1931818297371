/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/aa_client.h"
#include "agent/api/rest.h"
#include "agent/base/environment.h"
#include "agent/base/fs.h"
#include "agent/base/notify.h"
#include "agent/base/version.h"
#include "agent/daemon/rest_socket.h"
#include "agent/daemon/sandbox.h"
#include "agent/daemon/startup.h"
#include "agent/setup/guest.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

/* The exit code of unknown features, as upstream's; the others are in startup.h. See vouchsafe-rest(8). */
enum { EXIT_FEATURES = 1 };

enum {
	DRAIN_MS = 10 * 1000,
	SWEEP_MS = 1000,     /* with somebody connected */
	QUIET_MS = 5 * 1000, /* without */
	LOG_WINDOW_MS = 10 * 1000,
	LOG_LINES = 20, /* of failed calls in a window: a pod must not fill the journal */
};

/* What all threads of the pool may hold, and the answers that clients have not taken yet. */
static const size_t calls_bytes = (size_t)(REST_LOCAL + REST_TRUSTEE) * SECRET_MAX;
static const size_t held_bytes = 24u << 20;

struct options {
	const char *bind, *features, *cdh_addr, *aa_addr;
	bool without_key;
};

static void help(const void *ctx)
{
	(void)ctx;
	printf("Usage: vouchsafe-rest [-b IP:PORT] [-f FEATURES] [-c ADDR] [-a ADDR]\n\n"
	       "Serves the pod's containers over HTTP on a loopback address: resources, tokens, "
	       "evidence and\n"
	       "the event log, each from vouchsafed's sockets. Takes its listening socket from\n"
	       "vouchsafe-rest.socket where that passes one.\n\n"
	       "Options:\n"
	       "  -b, --bind IP:PORT       loopback only; default 127.0.0.1:8006\n"
	       "  -f, --features WORD      resource (default), attestation or all\n"
	       "  -c, --cdh_addr ADDR      default unix://" GUEST_CDH_SOCKET "\n"
	       "  -a, --aa_addr ADDR       default unix://" AA_SOCKET "\n"
	       "      --token-without-key  /aa/token gives the token without its private key\n"
	       "      --log LEVEL          error, warn, info (default) or debug\n"
	       "      --version            version and build\n%s\n"
	       "See vouchsafe-rest(8).\n",
	       version_is_dev ? "      --root DIR           prefix of the sockets' paths "
				"(development builds)\n"
			      : "");
}

enum { OPT_WITHOUT_KEY = 256 };

static const struct option options[] = {
	{ "bind", required_argument, NULL, 'b' },
	{ "features", required_argument, NULL, 'f' },
	{ "cdh_addr", required_argument, NULL, 'c' },
	{ "aa_addr", required_argument, NULL, 'a' },
	{ "token-without-key", no_argument, NULL, OPT_WITHOUT_KEY },
	STARTUP_OPTIONS,
	STARTUP_ROOT,
	{ 0 },
};

static const char *take_option(void *ctx, int c)
{
	struct options *o = ctx;

	if (c == 'b')
		o->bind = optarg;
	else if (c == 'f')
		o->features = optarg;
	else if (c == 'c')
		o->cdh_addr = optarg;
	else if (c == 'a')
		o->aa_addr = optarg;
	else
		o->without_key = true;
	return NULL;
}

static const struct startup_syntax syntax = {
	.name = "vouchsafe-rest",
	.build = "vouchsafe-rest ",
	.letters = "b:f:c:a:h",
	.options = options,
	.help = help,
	.own_option = take_option,
};

/* --- what is logged --------------------------------------------------------------------- */

struct failures {
	pthread_mutex_t lock;
	int64_t window; /* when it began */
	unsigned lines, dropped;
};

/* Called by the threads of the pool. */
static void on_failed(void *ctx, const char *what, const struct err *e)
{
	struct failures *f = ctx;
	int64_t now = clock_boot_ms();
	unsigned dropped = 0;
	bool say;

	(void)pthread_mutex_lock(&f->lock);
	if (now - f->window > LOG_WINDOW_MS) {
		dropped = f->dropped;
		f->window = now;
		f->lines = f->dropped = 0;
	}
	say = f->lines < LOG_LINES;
	f->lines += say;
	f->dropped += !say;
	(void)pthread_mutex_unlock(&f->lock);
	if (dropped > 0)
		log_warn("failed calls were not logged", "count=%u", dropped);
	if (say)
		log_warn("call failed", "route=%s code=%s kind=%s side=%s what=\"%s\"", what,
			 err_name(e), err_kind_name(e->kind),
			 err_side_name(err_entry(e->code)->side), e->msg);
}

static void tell_status(struct rest *r)
{
	struct rest_stats s;
	char text[256];

	rest_stats(r, &s);
	(void)snprintf(text, sizeof text,
		       "STATUS=%u connections, %llu requests, %llu connections cut, %llu refused",
		       s.conns.connections, (unsigned long long)s.requests,
		       (unsigned long long)s.conns.cut, (unsigned long long)s.conns.refused);
	(void)notify_send(text, NULL);
}

/* --- the service -------------------------------------------------------------------------- */

static void wait_for_end(struct rest *r, int signals)
{
	struct pollfd p = { .fd = signals, .events = POLLIN };
	struct rest_stats s;
	int64_t told = 0;

	for (;;) {
		int n;

		rest_stats(r, &s);
		n = poll(&p, 1, s.conns.connections > 0 ? SWEEP_MS : QUIET_MS);
		if (n > 0 || (n < 0 && errno != EINTR))
			return;
		rest_sweep(r);
		if (clock_boot_ms() - told >= QUIET_MS) {
			tell_status(r);
			told = clock_boot_ms();
		}
	}
}

static int serve(struct rest_config *config, const char *where, int signals, struct err *e)
{
	size_t lockable = sandbox_memlock(calls_bytes + held_bytes);
	struct rest *r = NULL;
	int result;

	if (lockable < calls_bytes + held_bytes)
		log_warn("several large secrets at once will not find locked memory",
			 "limit=%zu want=%zu", lockable, calls_bytes + held_bytes);
	/* Who does not read must not take from the calls what little there is. */
	config->held_max = lockable / 4 < held_bytes ? lockable / 4 : held_bytes;
	if ((result = sandbox_drop_to(SANDBOX_REST_UID, SANDBOX_GID, e)) < 0 ||
	    (result = sandbox_syscalls_local(e)) < 0 || (result = rest_start(&r, config, e)) < 0)
		return result;
	if (version_is_dev)
		log_warn("DEVELOPMENT build", "version=\"%s\"", version_text);
	log_info("serving", "address=%s features=%s token_key=%s", where,
		 rest_features_name(config->backend.features),
		 config->backend.token_without_key ? "withheld" : "given");
	(void)notify_send("READY=1", NULL);
	wait_for_end(r, signals);
	log_info("stopping", "drain_ms=%d", DRAIN_MS);
	(void)notify_send("STOPPING=1", NULL);
	if (rest_stop(r, deadline_in(DRAIN_MS), e) < 0)
		log_err(LOG_LEVEL_WARN, "requests were cut off", e);
	return 0;
}

/* The socket's path of unix://PATH below root, malloc'd; NULL when it is no such address. */
static char *path_of(const char *root, const char *addr)
{
	static const char scheme[] = "unix://";
	const char *path = addr + sizeof scheme - 1;

	if (strncmp(addr, scheme, sizeof scheme - 1) != 0 || path[0] != '/')
		return NULL;
	return fs_join(root, path);
}

static int run(const struct options *o, struct rest_config *config)
{
	char where[REST_SOCKET_TEXT];
	struct err e;
	int signals, r = rest_socket(&config->listen_fd, o->bind, where, &e);

	if (r == -ERR_USAGE)
		return startup_refuse(syntax.name, e.msg);
	if (r == 0 && (r = signals = startup_signals(false, &e)) >= 0 &&
	    (r = environment_forget(&e)) == 0 && (r = sandbox_limits(&e)) == 0 &&
	    (r = serve(config, where, signals, &e)) == 0)
		return STARTUP_OK;
	log_err(LOG_LEVEL_ERROR, "cannot serve", &e);
	return STARTUP_SYSTEM;
}

int main(int argc, char **argv)
{
	static struct failures failures = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct startup_given given = STARTUP_DEFAULTS;
	struct options o = { .bind = "127.0.0.1:8006",
			     .features = "resource",
			     .cdh_addr = "unix://" GUEST_CDH_SOCKET,
			     .aa_addr = "unix://" AA_SOCKET };
	char version[160];
	struct rest_config config = { .listen_fd = -1 };
	struct rest_backend_config *b = &config.backend;
	struct err e;
	int r = startup_parse(&given, &syntax, &o, argc, argv);
	cleanup_free char *cdh = path_of(given.root, o.cdh_addr), *aa = path_of(given.root, o.aa_addr);

	if (r >= 0)
		return r;
	log_set_level(given.level);
	/* The name by which native kata starts it: stderr is the host's console then. */
	log_codes_only(strcmp(program_invocation_short_name, "api-server-rest") == 0);
	if (rest_features_parse(&b->features, o.features, &e) < 0) {
		log_err(LOG_LEVEL_ERROR, "bad option", &e);
		return EXIT_FEATURES;
	}
	if (!cdh || !aa || strlen(cdh) > RPC_PATH_MAX || strlen(aa) > RPC_PATH_MAX)
		return startup_refuse(syntax.name,
				      "an address of a service must be unix:// and an absolute path");
	(void)snprintf(version, sizeof version, "Guest Components Version: vouchsafe %s",
		       version_text);
	b->cdh = (struct rest_service){ o.cdh_addr, cdh };
	b->aa = (struct rest_service){ o.aa_addr, aa };
	b->version = version;
	b->token_without_key = o.without_key;
	b->failed = on_failed;
	b->ctx = &failures;
	return run(&o, &config);
}
