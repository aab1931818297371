/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/cdh.h"
#include "agent/api/ttrpc_server.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

/*
 * The hub's services on a socket, over a backend that needs no Trustee; for tests of ttrpc.
 *
 *   ttrpc_echo SOCKET     prints "ready", serves until SIGTERM, drains, prints counters
 *
 * What UnsealSecret, GetResource and UnWrapKey do with a text:
 *   "deny…"     fail as a policy denial does
 *   "sleep:MS"  answer after that time, whatever the deadline
 *   "big:N"     a secret of N bytes 'x'
 *   else        "NAME:TEXT", NAME being io.vouchsafe.name or "-"
 */
static int echo(const char *name, struct view text, struct secret *out, struct err *e)
{
	const char *who = name ?: "-";
	int r = secret_alloc(out, strlen(who) + 1 + text.len, e);

	if (r == 0)
		r = secret_append(out, who, strlen(who), e);
	if (r == 0)
		r = secret_append(out, ":", 1, e);
	return r < 0 ? r : secret_append(out, text.p, text.len, e);
}

static int big(size_t n, struct secret *out, struct err *e)
{
	int r = secret_alloc(out, n, e);

	for (size_t i = 0; r == 0 && i < n; i++)
		out->p[i] = 'x';
	if (r == 0)
		out->len = n;
	return r;
}

static int answer(const char *name, struct view text, struct secret *out, struct err *e)
{
	char copy[64];

	(void)snprintf(copy, sizeof copy, "%.*s", VIEW_ARG(text));
	if (view_starts(text, "deny"))
		return err_code(e, CODE_KBS_POLICY_DENIED, "%s", copy);
	if (view_starts(text, "big:"))
		return big(strtoul(copy + 4, NULL, 10), out, e);
	if (view_starts(text, "sleep:")) {
		long ms = strtol(copy + 6, NULL, 10);
		struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

		(void)nanosleep(&t, NULL);
	}
	return echo(name, text, out, e);
}

static int unseal(void *ctx, const char *name, struct view sealed, struct deadline d,
		  struct secret *out, struct err *e)
{
	(void)ctx;
	(void)d;
	return answer(name, sealed, out, e);
}

static int unseal_cached(void *ctx, const char *name, struct view sealed, struct secret *out,
			 struct err *e)
{
	(void)ctx;
	return view_starts(sealed, "cached") ? answer(name, sealed, out, e) : CDH_NOT_HERE;
}

static int get_resource(void *ctx, struct view uri, struct deadline d, struct secret *out,
			struct err *e)
{
	return unseal(ctx, NULL, uri, d, out, e);
}

static int serve(const char *path, struct err *e)
{
	static struct cdh_backend backend = { .unseal = unseal,
					      .unseal_cached = unseal_cached,
					      .get_resource = get_resource,
					      .unwrap_key = get_resource };
	static struct api_method methods[CDH_METHODS];
	struct ttrpc_config config = { 0 };
	struct ttrpc_server *s = NULL;
	unsigned own = getuid();
	struct ttrpc_stats stats;
	sigset_t stop;
	int r, sig;

	config.uids = &own;
	config.n_uids = 1;
	cdh_methods(methods, &backend);
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &stop, NULL);
	r = ttrpc_server_new(&s, &config, e);
	if (r == 0)
		r = ttrpc_server_listen(s, path, 0600, (gid_t)-1, methods, CDH_METHODS, e);
	if (r == 0)
		r = ttrpc_server_start(s, e);
	if (r < 0) {
		ttrpc_server_free(s);
		return r;
	}
	(void)puts("ready");
	(void)fflush(stdout);
	(void)sigwait(&stop, &sig);
	r = ttrpc_server_drain(s, deadline_in(5000), e);
	ttrpc_server_stats(s, &stats);
	printf("calls %llu ok %llu timeouts %llu late %llu stalled %llu\n",
	       (unsigned long long)stats.calls_total, (unsigned long long)stats.replies[API_OK],
	       (unsigned long long)stats.timeouts, (unsigned long long)stats.late,
	       (unsigned long long)stats.stalled);
	ttrpc_server_free(s);
	return r;
}

int main(int argc, char **argv)
{
	struct err e;

	if (argc != 2) {
		(void)fputs("usage: ttrpc_echo SOCKET\n", stderr);
		return 2;
	}
	if (serve(argv[1], &e) == 0)
		return 0;
	(void)fprintf(stderr, "ttrpc_echo: %s: %s\n", err_name(&e), e.msg);
	return 1;
}
