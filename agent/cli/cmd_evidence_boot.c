/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd_evidence_show.h"
#include "agent/setup/bootfacts.h"
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

const char *show_pcr_words(unsigned pcr)
{
	static const char words[][21] = {
		"firmware",	     "firmware's settings", "drivers, ROMs",	 "their settings",
		"boot loader",	     "partition table",	    "power, vendor",	 "Secure Boot",
		"initdata",	     "command line, initrd", "IMA",		 "kernel image (UKI)",
		"added from outside", "system extensions",  "shim's keys",	 "event log",
		"debugging",	     "late launch",	    "late launch",	 "late launch",
		"late launch",	     "late launch",	    "late launch",	 "applications",
	};

	return pcr < ARRAY_LEN(words) ? words[pcr] : "";
}

/* Only the digest was measured: words that it is not the digest of stand in brackets. */
static void show_event(struct facts *f, const struct tcg2_event *ev, enum hash_alg alg)
{
	cleanup_buf struct buf words = BUF_MAX(TCG2_WORDS_MAX);
	const char *type = tcg2_type_name(ev->type);
	bool measured = false;
	char number[16];

	(void)snprintf(number, sizeof number, "0x%08x", ev->type);
	tcg2_describe(&words, ev);
	if (tcg2_digest_true(&measured, ev, NULL) < 0)
		measured = false;
	if (!f->json) {
		char digest[2 * DIGEST_MAX + 1] = "";
		struct view d = tcg2_digest(ev, alg);

		for (size_t i = 0; i < d.len && i < 8; i++)
			(void)snprintf(digest + 2 * i, 3, "%02x", d.p[i]);
		facts_text(f, NULL, measured ? "%s.. %s %s" : "%s.. %s (%s)", digest,
			   type ? type : number, buf_str(&words));
		return;
	}
	facts_open(f, NULL, NULL);
	facts_text(f, "type", "%s", type ? type : number);
	facts_hex(f, "digest", tcg2_digest(ev, alg));
	facts_view(f, "words", buf_view(&words));
	facts_bool(f, "words_measured", measured);
	facts_close(f);
}

static void show_register(struct facts *f, const struct evidence *ev, const struct tcg2_log *log,
			  const struct tcg2_registers *regs, unsigned index)
{
	static const char rtmrs[][33] = { "firmware's settings, Secure Boot", "boot loader",
					     "kernel, command line, initrd", "event log" };
	struct view has = vouched(ev, index);
	bool same = view_eq(has, digest_view(&regs->value[index]));
	bool tdx = ev->tee == EVIDENCE_TDX;
	size_t at = log->first;
	struct tcg2_event event;
	char name[16], heading[64];

	(void)snprintf(name, sizeof name, tdx ? "RTMR %u" : "PCR %u", tdx ? index - 1 : index);
	(void)snprintf(heading, sizeof heading, "%s: %s", name,
		       !tdx ? show_pcr_words(index) : index <= TDX_RTMRS ? rtmrs[index - 1] : "");
	facts_open(f, NULL, heading);
	if (f->json)
		facts_text(f, "register", "%s", name);
	if (f->json || !same)
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

/* Whether the registers of what was booted follow from the log; systemd's phases may be on top. */
static bool boot_vouched(const struct evidence *ev, const struct tcg2_registers *regs)
{
	static const unsigned pcrs[] = { 0, 4, 7, 9, 11, 12 }, rtmrs[] = { 1, 2, 3 };
	bool tdx = ev->tee == EVIDENCE_TDX;
	const unsigned *list = tdx ? rtmrs : pcrs;

	for (size_t i = 0; i < (tdx ? ARRAY_LEN(rtmrs) : ARRAY_LEN(pcrs)); i++) {
		const struct digest *replayed = &regs->value[list[i]];
		struct view has = vouched(ev, list[i]);
		bool same = view_eq(has, digest_view(replayed));
		char phases[64];

		if (!same && !tdx && list[i] == 11 &&
		    bootfacts_pcr11(&same, phases, replayed, has, NULL) < 0)
			return false;
		if (!same)
			return false;
	}
	return true;
}

static void show_vouched(struct facts *f, bool vouched)
{
	if (f->json)
		facts_bool(f, "vouched_for", vouched);
	else
		facts_text(f, "vouched_for", "%s",
			   vouched ? "yes: the registers are what these events make of them" :
				     "no: the registers are another boot's, and what follows is hearsay");
}

static void show_log_of(struct facts *f, const struct evidence *ev, struct view raw,
			const struct show_log *with)
{
	bool tdx = ev->tee == EVIDENCE_TDX;
	struct tcg2_registers regs;
	struct tcg2_log log;
	struct err e;
	int r = verify_log_open(&log, &regs, raw, ev, &e);

	if (with->own && (r < 0 || !boot_vouched(ev, &regs)))
		return;
	facts_open(f, "boot_log", "boot log");
	if (r < 0) {
		facts_text(f, "problem", "%s", e.msg);
		facts_close(f);
		return;
	}
	facts_number(f, "events", log.n_events);
	show_vouched(f, boot_vouched(ev, &regs));
	show_uki(f, &log, regs.alg, with);
	if (!f->json)
		facts_text(f, "brackets", "words that were not measured: the log's writer chose them");
	facts_open_list(f, "registers");
	for (unsigned i = tdx ? 1 : 0; i < TCG2_REGISTERS; i++)
		if (regs.events[i] > 0)
			show_register(f, ev, &log, &regs, i);
	facts_close_list(f);
	facts_close(f);
}

void show_boot(struct facts *f, const struct evidence *ev, const struct show_log *with)
{
	bool tdx = ev->tee == EVIDENCE_TDX, booted = tdx || ev->has_tpm;
	struct view raw = with->has_log || !tdx ? with->log : buf_view(&ev->eventlog);
	bool has_log = with->has_log || raw.len > 0;

	if (with->uki && !ev->has_tpm && !has_log)
		facts_text(f, "image", "not compared: without a PCR 11 it takes a boot log");
	else if (with->uki && ev->has_tpm)
		show_image(f, ev, with->uki);
	else if (with->uki)
		facts_text(f, "image", "not compared itself, its command line alone: there is no PCR 11");
	if (has_log && booted)
		show_log_of(f, ev, raw, with);
	else if (has_log)
		facts_text(f, "boot_log", "not compared: this evidence has no registers of a boot");
	else if (!f->json && booted)
		facts_text(f, "boot_log", "%s", tdx ? "none came with the evidence" :
					      "none given: --event-log FILE says what set each PCR");
}
