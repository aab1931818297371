/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/verify.h"
#include "attester/tcg2.h"

#include <stdio.h>

enum { PCRS_OF_FIRMWARE = 8 };

int verify_log_open(struct tcg2_log *out, struct tcg2_registers *regs, struct view raw,
		    const struct evidence *ev, struct err *e)
{
	bool tdx = ev->tee == EVIDENCE_TDX;
	int r = tcg2_open(out, raw, tdx ? TCG2_CCEL : TCG2_TPM, e);

	return r < 0 ? r : tcg2_replay(regs, out, tdx ? HASH_SHA384 : HASH_SHA256, e);
}

static void check_rtmrs(struct findings *f, const struct evidence *ev, struct view raw,
			const char *whose)
{
	struct tcg2_registers regs;
	struct tcg2_log log;
	struct err e;
	int r = verify_log_open(&log, &regs, raw, ev, &e);

	/* Trustee refuses the whole evidence for such a log. */
	if (r == 0)
		r = tcg2_trustee_takes(&log, &e);
	for (unsigned i = 0; r == 0 && i < TDX_RTMRS; i++)
		if (!view_eq(digest_view(&regs.value[i + 1]), ev->tdx.td.rtmr[i]))
			r = err_set(&e, ERR_VERIFY, "it does not lead to RTMR %u, which the quote has",
				    i);
	if (r < 0)
		finding_add(f, "event-log", FINDING_BAD, "%s: %s", whose, e.msg);
	else
		finding_add(f, "event-log", FINDING_OK, "%s of %zu events leads to all four RTMRs",
			    whose, log.n_events);
}

/* Firmware's registers follow from its log; later ones may have been extended by who came later. */
static void check_pcrs(struct findings *f, const struct evidence *ev, struct view raw)
{
	char later[128] = "";
	struct tcg2_registers regs;
	struct tcg2_log log;
	size_t n = 0;
	struct err e;

	if (verify_log_open(&log, &regs, raw, ev, &e) < 0) {
		finding_add(f, "event-log", FINDING_BAD, "%s", e.msg);
		return;
	}
	for (unsigned i = 0; i < ATTEST_PCRS; i++) {
		if (memcmp(regs.value[i].b, ev->tpm.pcrs[i], 32) == 0)
			continue;
		if (i < PCRS_OF_FIRMWARE) {
			finding_add(f, "event-log", FINDING_BAD,
				    "it does not lead to PCR %u, which the quote has", i);
			return;
		}
		if (n < sizeof later)
			n += (size_t)snprintf(later + n, sizeof later - n, " %u", i);
	}
	finding_add(f, "event-log", FINDING_OK, "the log of %zu events leads to PCRs 0 to 7",
		    log.n_events);
	if (n > 0)
		finding_add(f, "event-log.later", FINDING_WARN,
			    "these PCRs hold more than the log says, extended after the boot:%s", later);
}

void verify_log(struct findings *f, const struct evidence *ev, const struct verify_want *want)
{
	if (ev->tee != EVIDENCE_TDX) {
		if (want->has_log && ev->has_tpm)
			check_pcrs(f, ev, want->log);
		else if (want->has_log)
			finding_add(f, "event-log", FINDING_BAD,
				    "a log was given, but %s evidence has no registers of a boot",
				    evidence_tee_name(ev->tee));
		return;
	}
	if (ev->eventlog.len > 0)
		check_rtmrs(f, ev, buf_view(&ev->eventlog), "the log in the evidence");
	if (want->has_log)
		check_rtmrs(f, ev, want->log, "the log given");
	if (ev->eventlog.len == 0 && !want->has_log)
		finding_add(f, "event-log", FINDING_UNKNOWN,
			    "there is none: what the RTMRs are made of is not known");
}
