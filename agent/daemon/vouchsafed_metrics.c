/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_metrics.h"
#include "agent/base/version.h"

#include <stdio.h>

static _Atomic uint64_t done[COUNTED_KINDS], failures[CODE_COUNT];
static struct histogram quotes, volumes;

/* The guest's attester with a clock around its evidence. */
static struct attester timed;
static const struct attester *real;

void count(enum counted what)
{
	atomic_fetch_add(&done[what], 1);
}

void count_failure(const struct err *e)
{
	atomic_fetch_add(&failures[e->code < CODE_COUNT ? e->code : CODE_INTERNAL_BUG], 1);
}

void count_volume_ms(int64_t ms)
{
	histogram_add(&volumes, ms);
}

static int timed_evidence(const struct attester_env *env, struct view report_data, char **json,
			  struct err *e)
{
	int64_t begin = clock_boot_ms();
	int r = real->evidence(env, report_data, json, e);

	histogram_add(&quotes, clock_boot_ms() - begin);
	return r;
}

void count_quotes(struct guest *g)
{
	real = g->attester;
	timed = *real;
	timed.evidence = timed_evidence;
	g->attester = &timed;
}

/* --- what is shown ---------------------------------------------------------------------------- */

#define LABEL(n, v) (const struct metrics_label[]){ { (n), (v) }, { NULL, NULL } }

static void put_guest(const struct metrics_sources *m, struct buf *out)
{
	const struct guest *g = m->guest;
	const struct guest_config *c = &g->config;
	const struct {
		const char *name, *help;
		bool on;
	} facts[] = {
		{ "vouchsafe_development_build", "1: every permit is granted; never for a real pod.", version_is_dev },
		{ "vouchsafe_bound", "1: a hardware register vouches for the initdata.", g->bound },
		{ "vouchsafe_image_measured", "1: the image's settings are measured.", g->image.measured },
		{ "vouchsafe_trustee_pinned", "1: measured configuration names Trustee's root certificate.",
		  c->kbs_cert != NULL },
		{ "vouchsafe_plain_http", "1: Trustee is spoken to over plain http.", c->plain_http },
		{ "vouchsafe_skip_sealed_verification",
		  "1: signatures of sealed secrets are not checked.", c->skip_sealed_verification },
		{ "vouchsafe_event_log", "1: configuration asks for an event log.", c->eventlog_enabled },
	};
	const struct metrics_label about[] = {
		{ "version", version_text },
		{ "platform", g->attester->name },
		{ "trustee", c->kbs_url ? c->kbs_url : "" },
		{ NULL, NULL },
	};

	metrics_begin(out, "vouchsafe_info", METRICS_GAUGE, "Always 1; the labels say what runs here.");
	metrics_put(out, "vouchsafe_info", about, 1);
	metrics_begin(out, "vouchsafe_uptime_seconds", METRICS_GAUGE, "Since vouchsafed serves.");
	metrics_put_ms(out, "vouchsafe_uptime_seconds", NULL, clock_boot_ms() - m->started_ms);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++)
		metrics_one(out, facts[i].name, METRICS_GAUGE, facts[i].help, facts[i].on);
	metrics_one(out, "vouchsafe_config_unknown_keys", METRICS_GAUGE,
		    "Keys of the initdata's texts that are not known and not used.",
		    c->unknown.n + c->unknown.more);
	metrics_one(out, "vouchsafe_config_ignored", METRICS_GAUGE,
		    "Settings that do not count, for example because they are not measured.",
		    c->ignored.n + c->ignored.more);
}

/* Of one Trustee; the configured one has no host of its own. */
struct column {
	const char *name, *help;
	enum metrics_type type;
};

static const struct column columns[] = {
	{ "vouchsafe_attestations_total", "Handshakes with Trustee that began.", METRICS_COUNTER },
	{ "vouchsafe_attestations_failed_total", "Of them, those that failed.", METRICS_COUNTER },
	{ "vouchsafe_quotes_total", "Evidence made for handshakes.", METRICS_COUNTER },
	{ "vouchsafe_denials_total", "Resources that Trustee's policy refused.", METRICS_COUNTER },
	{ "vouchsafe_trustee_requests_total", "HTTP requests sent.", METRICS_COUNTER },
	{ "vouchsafe_token_age_seconds", "Since the token came; 0 without one.", METRICS_GAUGE },
	{ "vouchsafe_token_left_seconds", "Until the token ends; 0 without one.", METRICS_GAUGE },
};

static void put_trustee(struct buf *out, size_t column, const char *host,
			const struct kbs_stats *s)
{
	const char *name = columns[column].name;
	const uint64_t counts[] = { s->handshakes, s->handshakes_failed, s->quotes, s->denials,
				    s->requests };

	if (column < ARRAY_LEN(counts))
		metrics_put(out, name, LABEL("trustee", host), counts[column]);
	else
		metrics_put_ms(out, name, LABEL("trustee", host),
			       column == ARRAY_LEN(counts) ? s->token_age_ms : s->token_left_ms);
}

static void put_trustees(const struct metrics_sources *m, struct buf *out)
{
	static struct kbs_stats stats[GUEST_TRUSTEES_MAX]; /* one thread writes metrics */
	const struct guest *g = m->guest;
	const struct https *https = g->https ? g->https : m->aa->https;

	for (size_t i = 0; i < g->n_trustees; i++)
		kbs_stats(g->trustees[i].kbs, &stats[i]);
	for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
		metrics_begin(out, columns[k].name, columns[k].type, columns[k].help);
		for (size_t i = 0; i < g->n_trustees; i++)
			put_trustee(out, k, g->trustees[i].host[0] ? g->trustees[i].host : "configured",
				    &stats[i]);
	}
	metrics_histogram(out, "vouchsafe_quote_seconds", "Making evidence, whoever asked.", &quotes);
	if (https)
		metrics_histogram(out, "vouchsafe_trustee_seconds",
				  "HTTP requests to Trustee, answered or not.", https_latency(https));
}

static void put_done(struct buf *out)
{
	static const struct {
		const char *name, *help, *label, *value; /* help NULL: the same metric goes on */
	} rows[COUNTED_KINDS] = {
		[COUNTED_UNSEAL_TRUSTEE] = { "vouchsafe_unseals_total", "Secrets unsealed, by where their content came from.",
					     "from", "trustee" },
		[COUNTED_UNSEAL_CACHE] = { "vouchsafe_unseals_total", NULL, "from", "cache" },
		[COUNTED_RESOURCE] = { "vouchsafe_resources_total", "Resources given to callers.", NULL, NULL },
		[COUNTED_KEY] = { "vouchsafe_key_unwraps_total", "Keys of image layers unwrapped.", NULL, NULL },
		[COUNTED_EVIDENCE] = { "vouchsafe_evidence_total", "Evidence given to callers.", NULL, NULL },
		[COUNTED_TOKEN_KBS] = { "vouchsafe_tokens_total", "Tokens given to callers, by type.", "type", "kbs" },
		[COUNTED_TOKEN_COCO_AS] = { "vouchsafe_tokens_total", NULL, "type", "coco_as" },
		[COUNTED_EVENT] = { "vouchsafe_events_total", "Events measured into a register.", NULL, NULL },
		[COUNTED_VOLUME] = { "vouchsafe_volumes_opened_total", "Encrypted volumes opened for callers.", NULL, NULL },
	};

	for (size_t i = 0; i < COUNTED_KINDS; i++) {
		if (rows[i].help)
			metrics_begin(out, rows[i].name, METRICS_COUNTER, rows[i].help);
		metrics_put(out, rows[i].name,
			    rows[i].label ? LABEL(rows[i].label, rows[i].value) : NULL,
			    atomic_load(&done[i]));
	}
	metrics_histogram(out, "vouchsafe_volume_seconds", "Opening volumes, key and file system included.",
			  &volumes);
	metrics_begin(out, "vouchsafe_failures_total", METRICS_COUNTER,
		      "Calls that failed, by code; vouchsafe explain CODE says what it means.");
	for (size_t i = 0; i < CODE_COUNT; i++) {
		const struct err_entry *c = err_entry((enum err_code)i);
		const struct metrics_label labels[] = {
			{ "code", c->name },
			{ "kind", err_kind_name(c->kind) },
			{ "side", err_side_name(c->side) },
			{ NULL, NULL },
		};
		uint64_t n = atomic_load(&failures[i]);

		if (n > 0)
			metrics_put(out, "vouchsafe_failures_total", labels, n);
	}
}

static void put_cache(const struct metrics_sources *m, struct buf *out)
{
	struct cache_stats s;

	cache_stats(m->cdh->cache, &s);
	metrics_one(out, "vouchsafe_cache_hits_total", METRICS_COUNTER, "Look-ups that found.", s.hits);
	metrics_one(out, "vouchsafe_cache_misses_total", METRICS_COUNTER, "Look-ups that did not.",
		    s.misses);
	metrics_one(out, "vouchsafe_cache_entries", METRICS_GAUGE, "Plaintexts held now.", s.entries);
	metrics_one(out, "vouchsafe_cache_bytes", METRICS_GAUGE, "Locked memory that they take.",
		    s.bytes);
}

static void put_server(const struct metrics_sources *m, struct buf *out)
{
	struct ttrpc_stats s;

	ttrpc_server_stats(m->server, &s);
	const struct {
		const char *name, *help;
		enum metrics_type type;
		uint64_t value;
	} rows[] = {
		{ "vouchsafe_connections", "Open now.", METRICS_GAUGE, s.connections },
		{ "vouchsafe_connections_total", "Accepted.", METRICS_COUNTER, s.connections_total },
		{ "vouchsafe_connections_refused_total", "Over a cap.", METRICS_COUNTER,
		  s.connections_refused },
		{ "vouchsafe_connections_stalled_total", "Closed for a frame that did not end in time.",
		  METRICS_COUNTER, s.stalled },
		{ "vouchsafe_peers_denied_total", "Connections of users who are not admitted.",
		  METRICS_COUNTER, s.peers_denied },
		{ "vouchsafe_calls", "In flight now.", METRICS_GAUGE, s.calls },
		{ "vouchsafe_calls_waiting", "Of them, waiting for a thread.", METRICS_GAUGE,
		  (uint64_t)s.waiting_local + s.waiting_trustee },
		{ "vouchsafe_calls_total", "Calls received.", METRICS_COUNTER, s.calls_total },
		{ "vouchsafe_call_timeouts_total", "Calls whose own deadline passed.", METRICS_COUNTER,
		  s.timeouts },
		{ "vouchsafe_late_results_total", "Results that nobody waited for any more.",
		  METRICS_COUNTER, s.late },
		{ "vouchsafe_threads", "Threads that carry out calls.", METRICS_GAUGE, s.threads },
		{ "vouchsafe_reply_secret_bytes", "Plaintext in replies not yet read.", METRICS_GAUGE,
		  s.secret_bytes },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		metrics_one(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
	metrics_begin(out, "vouchsafe_replies_total", METRICS_COUNTER, "Replies, by gRPC status.");
	for (unsigned i = 0; i < API_STATUS_COUNT; i++) {
		char number[12];

		(void)snprintf(number, sizeof number, "%u", i);
		if (s.replies[i] > 0 || i == API_OK)
			metrics_put(out, "vouchsafe_replies_total", LABEL("status", number), s.replies[i]);
	}
}

void metrics_write(void *sources, struct buf *out)
{
	const struct metrics_sources *m = sources;

	put_guest(m, out);
	put_trustees(m, out);
	put_done(out);
	put_cache(m, out);
	put_server(m, out);
}
