/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd_evidence_show.h"
#include "agent/verify/verify.h"

#include <stdio.h>

/* The value that the evidence vouches for; empty where it has no such register. */
static struct view vouched(const struct evidence *ev, unsigned index)
{
	if (ev->tee == EVIDENCE_TDX)
		return index >= 1 && index <= TDX_RTMRS ? ev->tdx.td.rtmr[index - 1] :
							  (struct view){ 0 };
	if (!ev->has_tpm || index >= ATTEST_PCRS)
		return (struct view){ 0 };
	return (struct view){ ev->tpm.pcrs[index], sizeof ev->tpm.pcrs[index] };
}

static void show_event(struct facts *f, const struct tcg2_event *ev, enum hash_alg alg)
{
	cleanup_buf struct buf words = BUF_MAX(TCG2_WORDS_MAX);
	const char *type = tcg2_type_name(ev->type);
	char number[16];

	(void)snprintf(number, sizeof number, "0x%08x", ev->type);
	tcg2_describe(&words, ev);
	if (!f->json) {
		char digest[2 * DIGEST_MAX + 1] = "";
		struct view d = tcg2_digest(ev, alg);

		for (size_t i = 0; i < d.len && i < 8; i++)
			(void)snprintf(digest + 2 * i, 3, "%02x", d.p[i]);
		facts_text(f, NULL, "%s.. %s %s", digest, type ? type : number, buf_str(&words));
		return;
	}
	facts_open(f, NULL, NULL);
	facts_text(f, "type", "%s", type ? type : number);
	facts_hex(f, "digest", tcg2_digest(ev, alg));
	facts_view(f, "words", buf_view(&words));
	facts_close(f);
}

static void show_register(struct facts *f, const struct evidence *ev, const struct tcg2_log *log,
			  const struct tcg2_registers *regs, unsigned index)
{
	struct view has = vouched(ev, index);
	bool same = view_eq(has, digest_view(&regs->value[index]));
	bool tdx = ev->tee == EVIDENCE_TDX;
	size_t at = log->first;
	struct tcg2_event event;
	char name[16];

	(void)snprintf(name, sizeof name, tdx ? "RTMR %u" : "PCR %u", tdx ? index - 1 : index);
	facts_open(f, NULL, name);
	facts_text(f, "register", "%s", name);
	facts_hex(f, "replayed", digest_view(&regs->value[index]));
	if (has.len > 0)
		facts_bool(f, "matches", same);
	facts_open_list(f, "events");
	while (tcg2_next(&event, log, &at) == 1)
		if (event.index == index)
			show_event(f, &event, regs->alg);
	facts_close_list(f);
	facts_close(f);
}

/* Whether the registers that tell what was booted follow from the log. */
static bool boot_vouched(const struct evidence *ev, const struct tcg2_registers *regs)
{
	static const unsigned pcrs[] = { 4, 11, 12 }, rtmrs[] = { 2, 3 };
	bool tdx = ev->tee == EVIDENCE_TDX;
	const unsigned *list = tdx ? rtmrs : pcrs;

	for (size_t i = 0; i < (tdx ? ARRAY_LEN(rtmrs) : ARRAY_LEN(pcrs)); i++)
		if (!view_eq(vouched(ev, list[i]), digest_view(&regs->value[list[i]])))
			return false;
	return true;
}

void show_boot(struct facts *f, const struct evidence *ev, const struct show_log *with)
{
	bool tdx = ev->tee == EVIDENCE_TDX;
	struct view raw = with->log.len == 0 && tdx ? buf_view(&ev->eventlog) : with->log;
	struct tcg2_registers regs;
	struct tcg2_log log;
	struct err e;

	if (raw.len == 0 || (!tdx && !ev->has_tpm))
		return;
	facts_open(f, "boot_log", "boot log");
	if (verify_log_open(&log, &regs, raw, ev, &e) < 0) {
		facts_text(f, "problem", "%s", e.msg);
		facts_close(f);
		return;
	}
	facts_number(f, "events", log.n_events);
	facts_bool(f, "vouched_for", boot_vouched(ev, &regs));
	show_uki(f, &log, regs.alg, with->cmdline);
	facts_open_list(f, "registers");
	for (unsigned i = tdx ? 1 : 0; i < TCG2_REGISTERS; i++)
		if (regs.events[i] > 0)
			show_register(f, ev, &log, &regs, i);
	facts_close_list(f);
	facts_close(f);
}
