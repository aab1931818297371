/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/cli/cli.h"
#include "agent/cli/cmd_eventlog.h"
#include "agent/setup/guest.h"
#include "attester/cc_eventlog.h"
#include "attester/eventlog.h"

#include <stdio.h>
#include <time.h>

enum {
	OUT_MAX = 64 << 20, /* a log of EVENTLOG_MAX, every byte of it as \u00xx, and more */
	TRIES = 5,          /* while an event may be under way between register and log */
	PAUSE_MS = 100,
	REGISTERS = 24, /* numbers that callers may name */
};

/* One register that the log names. */
struct reg_state {
	uint32_t index;
	unsigned entries;
	struct digest replayed, value; /* value.len is 0 without --verify */
};

struct listing {
	bool json;
	struct buf out;
	bool any; /* an entry was printed */
	bool false_digest;
	bool differs; /* a register does not hold what the log says */
	enum hash_alg alg;
	/* What firmware's log left in the registers before ours began (TDX); len 0: zero. */
	struct digest base[TCG2_REGISTERS];
	struct reg_state regs[EVENTLOG_INDEX_MAX];
	size_t n_regs;
};

#define cleanup_listing __attribute__((cleanup(listing_done)))

static void listing_done(struct listing *l)
{
	buf_done(&l->out);
}

/* --- the entries ---------------------------------------------------------------------------- */

static void put_hex(struct buf *out, const char *before, struct view bytes, const char *after)
{
	buf_puts(out, before);
	enc_hex(out, bytes);
	buf_puts(out, after);
}

static void put_entry_json(struct listing *l, const struct eventlog_entry *entry, bool right)
{
	buf_printf(&l->out, "%s{\"register\":%u,\"algorithm\":\"%s\"", l->any ? "," : "",
		   entry->index, hash_name(entry->alg));
	put_hex(&l->out, ",\"digest\":\"", entry->digest, "\"");
	buf_printf(&l->out, ",\"digest_matches_event\":%s,\"domain\":", right ? "true" : "false");
	json_put_string(&l->out, entry->domain);
	buf_puts(&l->out, ",\"operation\":");
	json_put_string(&l->out, entry->operation);
	buf_puts(&l->out, ",\"content\":");
	json_put_string(&l->out, entry->content);
	buf_putc(&l->out, '}');
}

static void put_entry_text(struct listing *l, const struct eventlog_entry *entry, bool right)
{
	buf_printf(&l->out, "%-4u", entry->index);
	put_hex(&l->out, "", entry->digest, " ");
	buf_put_plain(&l->out, entry->domain);
	buf_putc(&l->out, ' ');
	buf_put_plain(&l->out, entry->operation);
	buf_putc(&l->out, ' ');
	buf_put_plain(&l->out, entry->content);
	buf_puts(&l->out, right ? "\n" : "\n    ^ the digest is not that of this event\n");
}

/* There is room: a replay refuses more registers than that. */
static struct reg_state *reg_of(struct listing *l, uint32_t index)
{
	const struct digest *base = index < TCG2_REGISTERS ? &l->base[index] : NULL;

	for (size_t i = 0; i < l->n_regs; i++)
		if (l->regs[i].index == index)
			return &l->regs[i];
	l->regs[l->n_regs] = (struct reg_state){ .index = index };
	l->regs[l->n_regs].replayed.len = hash_len(l->alg);
	if (base && base->len == hash_len(l->alg))
		l->regs[l->n_regs].replayed = *base;
	return &l->regs[l->n_regs++];
}

static int take_entry(void *ctx, const struct eventlog_entry *entry, const struct digest *value,
		      struct err *e)
{
	struct listing *l = ctx;
	struct reg_state *reg = reg_of(l, entry->index);
	struct digest next;
	bool right;
	int r = eventlog_entry_true(&right, entry, e);

	(void)value;
	if (r == 0)
		r = eventlog_extended(&next, l->alg, &reg->replayed, entry->digest, e);
	if (r < 0)
		return r;
	reg->entries++;
	reg->replayed = next;
	(l->json ? put_entry_json : put_entry_text)(l, entry, right);
	l->any = true;
	l->false_digest = l->false_digest || !right;
	return 0;
}

/* *l is as it was initialised; the file is read and replayed. */
static int list(struct listing *l, const char *path, struct err *e)
{
	cleanup_buf struct buf log = BUF_MAX(EVENTLOG_MAX);
	struct eventlog_entry first;
	int r = cli_read(&log, path, EVENTLOG_MAX, e);

	if (r == 0)
		r = eventlog_entry_parse(&first, buf_view(&log), 0, e);
	if (r < 0)
		return err_wrap(e, r, "%s", path);
	if (r == 1)
		l->alg = first.alg;
	r = eventlog_replay(buf_view(&log), l->alg, take_entry, l, e);
	return r < 0 ? err_wrap(e, r, "%s", path) : 0;
}

/* --- the registers -------------------------------------------------------------------------- */

/*
 * Where the platform's log shares registers with firmware's (TDX), ours begins where that one ends.
 * A log of firmware's that is absent or no log leaves zero: then the register differs, and that is
 * said.
 */
static void take_base(struct listing *l, const struct guest *g)
{
	cleanup_free char *path = fs_join(g->root, CC_EVENTLOG_PATH);
	cleanup_buf struct buf raw = BUF_MAX(TCG2_LOG_MAX);
	struct tcg2_registers regs;
	struct tcg2_log log;

	if (!g->attester->log_index || !path || fs_read(&raw, path, TCG2_LOG_MAX, NULL) < 0 ||
	    tcg2_open(&log, buf_view(&raw), TCG2_CCEL, NULL) < 0 ||
	    tcg2_replay(&regs, &log, g->attester->log_hash, NULL) < 0)
		return;
	for (size_t i = 0; i < TCG2_REGISTERS; i++)
		l->base[i] = regs.value[i];
}

/* The register behind an index of the log: any that maps to it. */
static int read_indexed(const struct guest *g, uint32_t index, struct digest *out, struct err *e)
{
	const struct attester *a = g->attester;

	for (unsigned reg = 0; reg < REGISTERS; reg++)
		if ((a->log_index ? a->log_index(reg) : reg) == index)
			return a->read_register(&g->env, reg, out, e);
	return err_code(e, CODE_EVENTLOG_MALFORMED, "the platform has no register %u", index);
}

static int compare(struct listing *l, const struct guest *g, struct err *e)
{
	int r;

	if (l->n_regs > 0 && l->alg != g->attester->log_hash)
		return err_code(e, CODE_EVENTLOG_MALFORMED,
				"the log is one of %s, the platform's registers are %s",
				hash_name(l->alg), hash_name(g->attester->log_hash));
	for (size_t i = 0; i < l->n_regs; i++) {
		struct reg_state *reg = &l->regs[i];

		r = read_indexed(g, reg->index, &reg->value, e);
		if (r < 0)
			return r;
		if (!view_eq(digest_view(&reg->value), digest_view(&reg->replayed)))
			l->differs = true;
	}
	return 0;
}

static int need_registers(const struct guest *g, struct err *e)
{
	if (!g->attester->extend || !g->attester->read_register)
		return err_set(e, ERR_UNSUPPORTED, "platform %s has no registers for events",
			       g->attester->name);
	return 0;
}

static int open_platform(struct guest *g, struct err *e)
{
	int r = guest_open_image(g, e);

	if (r == 0)
		r = guest_open_platform(g, e);
	return r < 0 ? r : need_registers(g, e);
}

int cli_eventlog_check(struct eventlog_findings *out, const struct guest *g, const char *path,
		       struct err *e)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	int r = need_registers(g, e);

	for (unsigned i = 1; r == 0; i++) {
		cleanup_listing struct listing l = { .out = BUF_MAX(OUT_MAX) };

		take_base(&l, g);
		if ((r = list(&l, path, e)) < 0 || (r = compare(&l, g, e)) < 0)
			break;
		*out = (struct eventlog_findings){ 0, l.false_digest, l.differs };
		for (size_t k = 0; k < l.n_regs; k++)
			out->entries += l.regs[k].entries;
		if (!l.differs || i == TRIES)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return r;
}

/* --- output --------------------------------------------------------------------------------- */

static void put_registers_json(struct listing *l)
{
	buf_puts(&l->out, "],\"registers\":[");
	for (size_t i = 0; i < l->n_regs; i++) {
		const struct reg_state *reg = &l->regs[i];

		buf_printf(&l->out, "%s{\"register\":%u,\"entries\":%u", i ? "," : "", reg->index,
			   reg->entries);
		put_hex(&l->out, ",\"replayed\":\"", digest_view(&reg->replayed), "\"");
		if (reg->value.len > 0) {
			put_hex(&l->out, ",\"value\":\"", digest_view(&reg->value), "\"");
			buf_printf(&l->out, ",\"matches\":%s",
				   view_eq(digest_view(&reg->value), digest_view(&reg->replayed))
					   ? "true"
					   : "false");
		}
		buf_putc(&l->out, '}');
	}
	buf_putc(&l->out, ']');
}

static void put_registers_text(struct listing *l)
{
	if (!l->any)
		buf_puts(&l->out, "no entries\n");
	for (size_t i = 0; i < l->n_regs; i++) {
		const struct reg_state *reg = &l->regs[i];
		bool same = view_eq(digest_view(&reg->value), digest_view(&reg->replayed));

		buf_printf(&l->out, "register %u, entries %u: replayed ", reg->index, reg->entries);
		enc_hex(&l->out, digest_view(&reg->replayed));
		if (reg->value.len > 0 && !same)
			put_hex(&l->out, "\n  but it holds ", digest_view(&reg->value),
				": something outside the log extended it too, or the log was "
				"changed");
		else if (reg->value.len > 0)
			buf_puts(&l->out, ", which it holds");
		buf_putc(&l->out, '\n');
	}
}

static int print(struct listing *l, bool verify)
{
	bool good = !l->false_digest && !l->differs;
	struct err e;

	(l->json ? put_registers_json : put_registers_text)(l);
	if (l->json && verify)
		buf_printf(&l->out, ",\"verified\":%s", good ? "true" : "false");
	if (l->json)
		buf_puts(&l->out, "}\n");
	if (buf_check(&l->out, "listing", &e) < 0)
		return cli_fail(&e, l->json);
	if (cli_print(&l->out) != 0)
		return EXIT_SYSTEM;
	return good ? EXIT_OK : verify ? EXIT_VERIFY : EXIT_FINDINGS;
}

/* The log and, when asked, the registers; once more when an event may have come in between. */
static int run(const char *path, bool json, bool verify)
{
	__attribute__((cleanup(guest_close))) struct guest g = { 0 };
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	struct err e;

	snprintf(g.root, sizeof g.root, "%s", cli_root);
	if (verify && open_platform(&g, &e) < 0)
		return cli_fail(&e, json);
	for (unsigned i = 1;; i++) {
		cleanup_listing struct listing l = { .json = json, .out = BUF_MAX(OUT_MAX) };

		if (verify)
			take_base(&l, &g);
		if (json)
			buf_puts(&l.out, "{\"entries\":[");
		if (list(&l, path, &e) < 0 || (verify && compare(&l, &g, &e) < 0))
			return cli_fail(&e, json);
		if (!l.differs || i == TRIES || strcmp(path, "-") == 0)
			return print(&l, verify);
		(void)nanosleep(&pause, NULL);
	}
}

int cmd_eventlog(int argc, char **argv)
{
	bool json = false, verify = false;
	const struct cli_option options[] = {
		{ "--verify", &verify, NULL, "compare the replay with this guest's registers" },
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "eventlog",
		.operands = "[FILE]",
		.about = "List the measured events of this guest, or those in FILE (\"-\": standard\n"
			 "input): register, digest, domain, operation, content; then what each\n"
			 "register holds by the log, counted from zero (with --verify on TDX: from\n"
			 "where firmware's log left it). Exits 1 when a digest is not that of its\n"
			 "event, with --verify 76 then and when a register differs.\n\n"
			 "  vouchsafe eventlog --verify",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.max_operands = 1,
	};
	cleanup_free char *own = NULL;
	const char *path;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &path);

	if (r >= 0)
		return r;
	own = fs_join(cli_root, EVENTLOG_FILE);
	if (!own) {
		(void)err_set(&e, ERR_NOMEM, "no memory for a path");
		return cli_fail(&e, json);
	}
	return run(path ? path : own, json, verify);
}
