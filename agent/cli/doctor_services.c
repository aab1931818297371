/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/cli/cmd_eventlog.h"
#include "agent/cli/doctor.h"
#include "agent/cli/doctor_units.h"
#include "agent/cli/service.h"
#include "attester/eventlog.h"
#include "initdata/provision.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>

enum { REPORT_MAX = 65536, SHOWN_MAX = 8, SOCKET_MS = 2000 };

#define PODNS "/run/netns/podns"

/* --- what was delivered ------------------------------------------------------ */

static const char *text_of(const struct json *report, const char *key)
{
	const char *s = json_string(json_get(report, key));

	return s ? s : "?";
}

/* Files that were delivered and are gone. */
static void check_files(struct doctor *d, const struct json *files)
{
	unsigned missing = 0;

	for (const struct json *f = json_first(files); f; f = json_next(f)) {
		cleanup_free char *path = fs_join(d->guest.root, json_string(f) ? json_string(f) : "/");

		if (path && access(path, F_OK) < 0 && missing++ < SHOWN_MAX)
			doctor_say(d, "delivery", VERDICT_BAD, "%s was delivered and is not there (%s)",
				   path, strerrorname_np(errno));
	}
	if (missing == 0)
		doctor_say(d, "delivery", VERDICT_OK, "%zu files are where they were put",
			   json_count(files));
}

static void check_skipped(struct doctor *d, const struct json *skipped)
{
	size_t n = 0;

	for (const struct json *s = json_first(skipped); s && n < SHOWN_MAX; s = json_next(s), n++)
		doctor_say(d, "delivery", VERDICT_NOTE,
			   "user-data wanted to write %.200s and may not: only the initdata sets "
			   "what is trusted",
			   json_string(s) ? json_string(s) : "?");
	if (json_count(skipped) > n)
		doctor_say(d, "delivery", VERDICT_NOTE, "and %zu paths more", json_count(skipped) - n);
}

static void check_delivery(struct doctor *d)
{
	cleanup_free char *path = fs_join(d->guest.root, PROVISION_REPORT_PATH);
	cleanup_buf struct buf b = BUF_MAX(REPORT_MAX);
	cleanup_json struct json *report = NULL;
	struct err e;

	if (!path)
		return;
	if (fs_read(&b, path, REPORT_MAX, &e) < 0 ||
	    json_parse(&report, buf_view(&b), REPORT_MAX, &e) < 0) {
		doctor_say(d, "delivery", e.kind == ERR_NOTFOUND ? VERDICT_SKIP : VERDICT_NOTE,
			   "no report of provisioning: %s", e.msg);
		return;
	}
	if (strcmp(text_of(report, "outcome"), "refused") == 0) {
		doctor_say(d, "delivery", VERDICT_NOTE, "initdata of source %.40s was refused at %.40s: %.60s",
			   text_of(report, "source"), text_of(report, "time"), text_of(report, "code"));
		return;
	}
	doctor_say(d, "delivery",
		   strcmp(text_of(report, "outcome"), "unbound") == 0 ? VERDICT_BAD : VERDICT_OK,
		   "source %.40s, %s%.40s at %.40s", text_of(report, "source"),
		   json_is_true(json_get(report, "dummy")) ? "no initdata: the dummy, " : "",
		   text_of(report, "outcome"), text_of(report, "time"));
	check_files(d, json_get(report, "files"));
	check_skipped(d, json_get(report, "skipped"));
}

/* --- sockets ------------------------------------------------------------------ */

static bool answers(const char *path)
{
	struct err e;
	cleanup_rpc struct rpc_link link = RPC_LINK(path);

	return rpc_ready(&link, deadline_in(SOCKET_MS), &e) == 0;
}

static void check_sockets(struct doctor *d)
{
	static const char *const sockets[] = { GUEST_CDH_SOCKET, AA_SOCKET, CLI_METRICS_SOCKET };
	unsigned n = 0, bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		cleanup_free char *path = fs_join(d->guest.root, sockets[i]);
		struct stat st;

		if (!path || stat(path, &st) < 0)
			continue;
		n++;
		if ((st.st_mode & 07007) != 0 || !S_ISSOCK(st.st_mode)) {
			bad++;
			doctor_say(d, "sockets", VERDICT_BAD, "%s has mode %o; it should be 660", path,
				   st.st_mode & 07777);
		} else if (!answers(path)) {
			bad++;
			doctor_say(d, "sockets", VERDICT_NOTE,
				   "%s is there and nobody answers: left behind by a program that was "
				   "killed?",
				   path);
		}
	}
	if (n == 0)
		doctor_say(d, "sockets", VERDICT_SKIP, "none: vouchsafed does not run");
	else if (n < ARRAY_LEN(sockets))
		doctor_say(d, "sockets", VERDICT_NOTE, "%u of %zu are there: see vouchsafed's log", n,
			   ARRAY_LEN(sockets));
	else if (bad == 0)
		doctor_say(d, "sockets", VERDICT_OK,
			   "data hub, attestation agent and metrics answer, for their group only");
}

/* --- the pod's namespace ------------------------------------------------------- */

static void check_podns(struct doctor *d)
{
	cleanup_free char *path = fs_join(d->guest.root, PODNS);
	struct statfs fs;

	if (!path)
		return;
	if (statfs(path, &fs) < 0)
		doctor_say(d, "podns", VERDICT_SKIP,
			   "no %s: not a peer pod, or its netns@podns.service has not run", path);
	else if (fs.f_type != NSFS_MAGIC)
		doctor_say(d, "podns", VERDICT_NOTE,
			   "%s is no namespace: vouchsafe-rest.socket cannot bind in it", path);
	else
		doctor_say(d, "podns", VERDICT_OK, "%s is there; REST is on its loopback", path);
}

/* --- keys that nobody reads ---------------------------------------------------- */

static void check_remarks(struct doctor *d, const struct config_remarks *r, const char *what)
{
	size_t shown = r->n < SHOWN_MAX ? r->n : SHOWN_MAX;

	for (size_t i = 0; i < shown; i++)
		doctor_say(d, "keys", VERDICT_NOTE, "%s: %.300s", what, r->text[i]);
	if (r->n + r->more > shown)
		doctor_say(d, "keys", VERDICT_NOTE,
			   "and %zu more: vouchsafe config explain lists them", r->n + r->more - shown);
}

static void check_keys(struct doctor *d)
{
	const struct guest_config *c = &d->guest.config;

	if (!d->have_config) {
		doctor_say(d, "keys", VERDICT_SKIP, "no configuration");
		return;
	}
	check_remarks(d, &c->unknown, "not known, and not used");
	check_remarks(d, &c->ignored, "does not count");
	if (c->unknown.n == 0 && c->ignored.n == 0)
		doctor_say(d, "keys", VERDICT_OK, "every key in the initdata's texts is known");
}

/* --- event log ------------------------------------------------------------------ */

static void compare_log(struct doctor *d, const char *path)
{
	struct eventlog_findings f = { 0 };
	struct err e;

	if (cli_eventlog_check(&f, &d->guest, path, &e) < 0) {
		doctor_fail(d, "eventlog", &e);
		return;
	}
	if (f.false_digest || f.differs)
		doctor_say(d, "eventlog", VERDICT_BAD, "%s: %s (vouchsafe eventlog --verify)", path,
			   f.false_digest ? "a digest is not that of its event" :
					    "something outside the log extended its register too, or "
					    "the log was changed");
	else
		doctor_say(d, "eventlog", VERDICT_OK, "%u entries, and the registers say the same",
			   f.entries);
}

static void check_eventlog(struct doctor *d)
{
	cleanup_free char *path = fs_join(d->guest.root, EVENTLOG_FILE);
	cleanup_free char *wal = fs_join(d->guest.root, EVENTLOG_WAL);

	if (!path || !wal)
		return;
	if (!d->have_config)
		doctor_say(d, "eventlog", VERDICT_SKIP, "no configuration");
	else if (!d->guest.config.eventlog_enabled)
		doctor_say(d, "eventlog", VERDICT_SKIP, "not asked for (aa.toml, [eventlog_config])");
	else if (access(path, F_OK) < 0)
		doctor_say(d, "eventlog", VERDICT_NOTE, "%s is not there: vouchsafed makes it when it starts",
			   path);
	else
		compare_log(d, path);
	if (access(wal, F_OK) == 0)
		doctor_say(d, "eventlog", VERDICT_NOTE,
			   "an event is on its way, or a killed program left it: vouchsafed ends it "
			   "when it starts");
}

void doctor_check_services(struct doctor *d)
{
	check_delivery(d);
	check_sockets(d);
	doctor_check_units(d);
	doctor_check_volumes(d);
	check_podns(d);
	check_keys(d);
	check_eventlog(d);
}
