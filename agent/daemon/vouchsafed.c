/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/ttrpc_server.h"
#include "agent/base/environment.h"
#include "agent/base/fs.h"
#include "agent/base/notify.h"
#include "agent/base/version.h"
#include "agent/daemon/sandbox.h"
#include "agent/daemon/startup.h"
#include "agent/daemon/vouchsafed_aa.h"
#include "agent/daemon/vouchsafed_fetch.h"
#include "agent/daemon/vouchsafed_metrics.h"
#include "agent/daemon/vouchsafed_role.h"
#include "agent/daemon/vouchsafed_serve.h"
#include "agent/daemon/vouchsafed_store.h"
#include "agent/daemon/vouchsafed_teed.h"
#include "agent/daemon/vouchsafed_volume.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

/* The exit code for everything about this guest; the others are in startup.h. See vouchsafed(8). */
enum { EXIT_GUEST = 78 };

enum {
	SOCKET_MODE = 0660,
	DRAIN_MS = 10 * 1000,
	PING_MS = 2000,
	STATUS_MS = 5000,
};

static void say_what_it_is(const struct guest *g, const struct role_options *o)
{
	const struct guest_config *c = &g->config;

	if (version_is_dev)
		log_warn("DEVELOPMENT build: every permit is granted", "version=\"%s\"", version_text);
	log_info("guest is ready", "as=%s platform=%s bound=%s initdata_text=%s trustee=%s pinned=%s",
		 o->name, g->attester->name, g->bound ? "yes" : "no", g->send_initdata ? "sent" : "kept",
		 c->kbs_url ? c->kbs_url : "none", c->kbs_cert ? "yes" : "no");
	if (!g->bound)
		log_warn("running unbound: nothing vouches for the initdata", "platform=%s",
			 g->attester->name);
	if (g->image.debug && !version_is_dev)
		log_warn("the image permits evidence of a guest that its host can debug",
			 "platform=%s", g->attester->name);
	if (c->plain_http)
		log_warn("Trustee is spoken to over plain http", "anchors=%s",
			 c->allow_http_anchors ? "allowed" : "refused");
	if (c->skip_sealed_verification)
		log_warn("sealed secrets' signatures are not verified", "%s", "");
	for (size_t i = 0; i < c->unknown.n; i++)
		log_warn("unknown key, not used", "where=\"%s\"", c->unknown.text[i]);
	for (size_t i = 0; i < c->ignored.n; i++)
		log_warn("setting does not count", "why=\"%s\"", c->ignored.text[i]);
	if (o->config)
		log_info("configuration file not read: the measured one counts", "path=\"%s\"", o->config);
	if (!g->image.measured && g->image.present)
		log_warn("configuration not measured", "why=\"%s\"", g->image.why_not);
}

/*
 * Started as root: folders that the user we become can write to, as tmpfiles makes them where a
 * unit starts us. initdata/ stays root's.
 */
static int make_folders(const struct guest *g, struct err *e)
{
	static const struct {
		const char *path;
		mode_t mode;
		uid_t uid;
	} rows[] = {
		{ "/run/confidential-containers", 01775, 0 },
		{ "/run/confidential-containers/attestation-agent", 0755, SANDBOX_UID },
		{ "/run/confidential-containers/cdh", 0755, SANDBOX_UID },
		{ EVENTLOG_DIR, 0755, SANDBOX_UID },
		{ "/run/vouchsafe", 0755, 0 },
		{ GUEST_METRICS_DIR, 0750, SANDBOX_UID },
	};

	if (geteuid() != 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_free char *path = fs_join(g->root, rows[i].path);
		int r = path ? fs_mkdirs(path, 0755, e) : err_set(e, ERR_NOMEM, "no memory for a path");

		if (r < 0)
			return r;
		if (chown(path, rows[i].uid, SANDBOX_GID) < 0 || chmod(path, rows[i].mode) < 0)
			return err_sys(e, errno, "hand over %s", path);
	}
	return 0;
}

static int listen_at(struct ttrpc_server *server, const struct guest *g, const char *where,
		     const struct api_method *methods, size_t n, struct err *e)
{
	cleanup_free char *path = fs_join(g->root, where);

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	return ttrpc_server_listen(server, path, SOCKET_MODE, (gid_t)-1, methods, n, e);
}

static void tell_status(const struct guest *g)
{
	char text[512];
	struct kbs_stats s = { 0 };

	if (g->n_trustees > 0)
		kbs_stats(g->trustees[0].kbs, &s);
	(void)snprintf(text, sizeof text,
		       "STATUS=platform %s, Trustee %.200s, %llu attestations, token %s", g->attester->name,
		       g->config.kbs_url ? g->config.kbs_url : "none",
		       (unsigned long long)(s.handshakes - s.handshakes_failed),
		       s.token_left_ms > 0 ? "valid" : "none yet");
	(void)notify_send(text, NULL);
}

/* Until a signal to stop; keeps the watchdog fed only while the server goes round. */
static void wait_for_end(struct ttrpc_server *server, struct serve *serve, int signals)
{
	long dog_ms = notify_watchdog_ms();
	int usual = dog_ms > 0 && dog_ms < STATUS_MS ? (int)dog_ms : STATUS_MS;
	struct pollfd p = { .fd = signals, .events = POLLIN };
	struct err e;

	for (;;) {
		int64_t next = serve_sweep(serve);
		int n = poll(&p, 1, next >= 0 && next < usual ? (int)next + 1 : usual);

		if (n > 0)
			return;
		if (n < 0 && errno != EINTR)
			return;
		tell_status(serve->guest);
		if (ttrpc_server_ping(server, PING_MS, &e) < 0)
			log_err(LOG_LEVEL_ERROR, "the server does not go round", &e);
		else if (dog_ms > 0)
			(void)notify_send("WATCHDOG=1", NULL);
	}
}

/* cdh.toml's socket, "unix:///path" as upstream writes it, or the usual place. */
static const char *cdh_socket(const struct guest *g)
{
	const char *given = g->config.cdh_socket;

	return given ? given + (strncmp(given, "unix://", 7) == 0 ? 7 : 0) : GUEST_CDH_SOCKET;
}

/* What is served; in one place because the methods borrow the backends. */
struct service {
	const struct role_options *options;
	struct serve cdh;
	struct serve_aa aa;
	struct cdh_backend cdh_backend;
	struct aa_backend aa_backend;
	struct api_method cdh_methods[CDH_METHODS], aa_methods[AA_METHODS];
	struct ttrpc_server *server;
	struct ttrpc_store store;
	struct metrics_sources sources;
	struct metrics_server *metrics;
};

/* Nobody's secret depends on metrics: without them it serves all the same. */
static void open_metrics(struct service *s, struct guest *g)
{
	cleanup_free char *path = fs_join(g->root, GUEST_METRICS_SOCKET);
	struct err e;

	s->sources = (struct metrics_sources){
		.guest = g,
		.cdh = &s->cdh,
		.aa = &s->aa,
		.server = s->server,
		.started_ms = clock_boot_ms(),
	};
	if (!path)
		return;
	if (metrics_serve(&s->metrics, path, SOCKET_MODE, metrics_write, &s->sources, &e) < 0)
		log_err(LOG_LEVEL_WARN, "no metrics", &e);
}

/* A folder for a socket somewhere else: ours to write to, where we had to make it. */
static int make_folder_of(const struct guest *g, const char *socket, struct err *e)
{
	cleanup_free char *folder = fs_join(g->root, socket);
	int r;

	if (!folder)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	*strrchr(folder, '/') = '\0';
	if (geteuid() != 0 || access(folder, F_OK) == 0)
		return 0;
	r = fs_mkdirs(folder, 0755, e);
	if (r == 0 && chown(folder, SANDBOX_UID, SANDBOX_GID) < 0)
		return err_sys(e, errno, "hand over %s", folder);
	return r;
}

/*
 * libcrypto's start and the TEE key take as long as opening the platform, which mostly waits for the
 * TPM: side by side. The kind of key is the default; where the configuration, which nobody has read
 * yet, wants another, this one is dropped. What fails here fails again, and is told, where the key is
 * needed.
 */
static void *make_key(void *arg)
{
	struct teekey *k = NULL;

	(void)arg;
	return teekey_new(&k, TEEKEY_P256, NULL) == 0 ? k : NULL;
}

/* The thread is over before powers are dropped, which is done a thread at a time. */
static int open_platform(struct guest *g, const struct role_options *o, struct err *e)
{
	void *key = NULL;
	pthread_t maker;
	bool made = o->role != ROLE_CDH && pthread_create(&maker, NULL, make_key, NULL) == 0;
	int r;

	if ((r = guest_open_platform(g, e)) == 0 && (r = make_folders(g, e)) == 0)
		r = make_folder_of(g, o->socket ? o->socket : GUEST_AA_SOCKET, e);
	if (made && pthread_join(maker, &key) == 0)
		g->key = key;
	return r;
}

/* Devices are opened with the powers that we were started with; the host's words are read without. */
static int open_guest(struct guest *g, const struct role_options *o, struct err *e)
{
	int r;

	g->native = o->role != ROLE_BOTH;
	g->native_binds = o->role == ROLE_AA;
	g->initdata_path = o->initdata;
	g->passport = o->role == ROLE_CDH ? role_passport : NULL;
	if ((r = guest_open_image(g, e)) < 0 || (r = teed_fork(g, e)) < 0 ||
	    (r = open_platform(g, o, e)) < 0)
		return r;
	volume_prepare(g->root, o->role == ROLE_BOTH, o->role == ROLE_CDH);
	if ((r = sandbox_drop(e)) < 0 || (r = sandbox_syscalls(e)) < 0 ||
	    (r = guest_open_initdata(g, e)) < 0 ||
	    (r = role_check_digest(o, digest_view(&g->initdata.digest), e)) < 0 ||
	    (r = guest_open_config(g, e)) < 0)
		return r;
	return guest_open_trustee(g, e);
}

/* Who may call besides root: the REST API, what measured configuration lists, our other role. */
static int open_server(struct service *s, const struct guest *g, struct err *e)
{
	const size_t n = g->config.n_peer_uids;
	cleanup_free unsigned *uids = calloc(n + 2, sizeof *uids);
	struct ttrpc_config config = { .uids = uids, .n_uids = n + 1, .store = s->store };

	if (!uids)
		return err_set(e, ERR_NOMEM, "no memory for a list of uids");
	if (n > 0)
		memcpy(uids, g->config.peer_uids, n * sizeof *uids);
	uids[n] = SANDBOX_REST_UID;
	if (s->options->role == ROLE_AA)
		uids[config.n_uids++] = SANDBOX_UID;
	return ttrpc_server_new(&s->server, &config, e);
}

/* The agent's socket first (STORE_AA): cdh.sock is what others take for "ready". */
static int open_service(struct service *s, struct guest *g, struct listen_fds *handed, struct err *e)
{
	const struct role_options *o = s->options;
	const char *aa_socket = o->socket ? o->socket : GUEST_AA_SOCKET;
	int r;

	count_quotes(g);
	if ((r = serve_open(&s->cdh, g, e)) < 0 ||
	    (o->role != ROLE_CDH && (r = serve_aa_open(&s->aa, g, e)) < 0) ||
	    (r = open_server(s, g, e)) < 0)
		return r;
	s->cdh.mountd = volume_link();
	s->cdh_backend = serve_backend(&s->cdh);
	cdh_methods(s->cdh_methods, &s->cdh_backend);
	s->aa_backend = serve_aa_backend(&s->aa);
	aa_methods(s->aa_methods, &s->aa_backend);
	/* Before cdh.sock, so that who waits for that one finds them all. */
	if (o->role == ROLE_BOTH)
		open_metrics(s, g);
	if (o->role != ROLE_CDH)
		r = listen_at(s->server, g, aa_socket, s->aa_methods, AA_METHODS, e);
	if (r == 0 && o->role != ROLE_AA)
		r = listen_at(s->server, g, cdh_socket(g), s->cdh_methods, CDH_METHODS, e);
	if (r < 0)
		return r;
	if (s->store.store)
		store_adopt(s->server, handed);
	else
		listen_fds_close(handed);
	return ttrpc_server_start(s->server, e);
}

static int serve_guest(struct guest *g, const struct role_options *o, struct listen_fds *handed,
		       int signals, struct err *e)
{
	static struct service s;
	int r;

	s.options = o;
	if (o->fd_store)
		s.store = store_callbacks();
	r = open_service(&s, g, handed, e);
	if (r < 0) {
		metrics_stop(take(s.metrics));
		ttrpc_server_free(s.server);
		serve_close(&s.cdh);
		serve_aa_close(&s.aa);
		return r;
	}
	say_what_it_is(g, o);
	if (o->role != ROLE_AA && fetch_start(g, e) < 0)
		log_err(LOG_LEVEL_ERROR, "credentials are not fetched", e);
	(void)notify_send("READY=1", NULL);
	tell_status(g);
	wait_for_end(s.server, &s.cdh, signals);
	log_info("stopping", "drain_ms=%d", DRAIN_MS);
	(void)notify_send("STOPPING=1", NULL);
	metrics_stop(take(s.metrics));
	if (ttrpc_server_drain(s.server, deadline_in(DRAIN_MS), e) < 0)
		log_err(LOG_LEVEL_WARN, "calls were cut off", e);
	/* Methods may still wait for Trustee: what they hold is erased by the end of the process. */
	return 0;
}

int main(int argc, char **argv)
{
	static struct guest guest;
	static struct listen_fds handed;
	struct role_options o;
	struct err e;
	int signals;
	int r = role_parse(&o, argc, argv);

	if (r >= 0)
		return r;
	log_set_level(o.given.level);
	/* kata-agent's children write to the console, which is the host's. */
	log_codes_only(o.role != ROLE_BOTH);
	(void)umask(0022);
	/* Before anything opens a descriptor; who was not asked to keep connections has none. */
	if (listen_fds_take(&handed, &e) < 0)
		log_err(LOG_LEVEL_WARN, "what the service manager handed over is not used", &e);
	if (!o.fd_store)
		listen_fds_close(&handed);
	if (strlen(o.given.root) >= sizeof guest.root)
		return startup_refuse(o.name, "--root is too long");
	(void)snprintf(guest.root, sizeof guest.root, "%s", o.given.root);
	signals = startup_signals(false, &e);
	if (signals < 0 || environment_forget(&e) < 0 || sandbox_limits(&e) < 0) {
		log_err(LOG_LEVEL_ERROR, "cannot start", &e);
		return STARTUP_SYSTEM;
	}
	r = open_guest(&guest, &o, &e);
	if (r == 0 && !o.given.level_given)
		log_set_level(guest.config.log_level);
	if (r == 0)
		r = serve_guest(&guest, &o, &handed, signals, &e);
	if (r < 0) {
		log_err(LOG_LEVEL_ERROR, "cannot serve", &e);
		(void)notify_send("STATUS=failed; see the log and vouchsafe doctor", NULL);
		return EXIT_GUEST;
	}
	return STARTUP_OK;
}
