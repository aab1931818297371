/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_CC_EVENTLOG_H
#define ATTESTER_CC_EVENTLOG_H

#include "attester/attester.h"
#include "attester/tcg2.h"

/*
 * The event log of TDX evidence ("cc_eventlog", before base64): firmware's log and behind it the
 * agent's, ended by eight bytes FF. Source: spec/evidence.md 5.6, confirmed by
 * derived/eventlog-aael-only-sha384.bin and the sample CCEL_AAEL_alibabacloud.
 *
 *   CCEL up to its terminator     <root>/sys/firmware/acpi/tables/data/CCEL
 *     or a header of 69 bytes     where there is no CCEL; declares SHA-384 and SM3
 *   the entries of the AAEL       <root>/run/attestation-agent/eventlog
 *   FF FF FF FF FF FF FF FF
 *
 * Trustee refuses the whole evidence for a log that it cannot parse or that does not replay to the
 * RTMRs of the quote; without a log it goes on (and the policy sees no events). So the log is
 * replayed here first, and left out when it would sink the evidence.
 */
#define CC_EVENTLOG_MAX  (700u << 10) /* bytes; as base64 it fits into EVIDENCE_MAX beside a quote */
#define CC_EVENTLOG_PATH "/sys/firmware/acpi/tables/data/CCEL"
#define CC_WHY_MAX       240

/*
 * Append the log that belongs to these registers.
 *
 * log   gets the whole log, or nothing: then evidence says cc_eventlog: null
 * env   only root_fd and files_root are used
 * rtmr  RTMR0..3 as the quote has them
 *
 * Errors: ERR_NOMEM, ERR_CRYPTO. A log that is absent, cannot be read, is malformed or does not fit
 * is no error. The kernel gives CCEL to root alone (0400): tmpfiles hands it to the daemon's group.
 */
int cc_eventlog(struct buf *log, const struct attester_env *env,
		const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST], struct err *e) MUST_CHECK;

/*
 * The same, and why nothing was appended, for a person: "" when the log is there.
 * why  CC_WHY_MAX bytes; always set when 0 is returned
 */
int cc_eventlog_why(struct buf *log, const struct attester_env *env,
		    const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST], char *why,
		    struct err *e) MUST_CHECK;

/*
 * The part without files: assemble from the two logs' bytes, either of which may be empty, and
 * replay. For tests, the fuzzer and whoever has the bytes.
 */
int cc_eventlog_assemble(struct buf *log, struct view ccel, struct view aael,
			 const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST], char *why,
			 struct err *e) MUST_CHECK;

/*
 * Compare a log with registers, as Trustee does.
 * Errors: ERR_VERIFY naming the RTMR and both values, those of tcg2_trustee_takes(), ERR_CRYPTO.
 */
int cc_eventlog_replays(const struct tcg2_log *log, const uint8_t rtmr[TEE_RTMRS][TEE_DIGEST],
			struct err *e) MUST_CHECK;

#endif
