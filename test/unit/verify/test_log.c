/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/verify/vector.h"

/* Boot logs of the recordings against quotes that are made to fit them, behind their signature. */

static void judge(struct findings *f, const struct evidence *ev, struct view log)
{
	struct verify_want want = want_at(JUNE_2025);

	want.has_log = log.p != NULL;
	want.log = log;
	*f = (struct findings){ 0 };
	verify_log(f, ev, &want);
}

TEST(verify_log__td__every_register_must_follow)
{
	static const char *const names[] = { "CCEL_data", "CCEL_data_ovmf", "CCEL_data_grub",
					     "CCEL_data_gcp", "CCEL_AAEL_alibabacloud" };
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	const struct tdx_td recorded = ev->tdx.td;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[128];
		struct tcg2_registers regs;
		struct tcg2_log log;
		struct findings f;

		snprintf(path, sizeof path, "evidence/trustee/deps/eventlog/test_data/%s", names[i]);
		cleanup_buf struct buf raw = shared_bytes(path);
		ev->tdx.td = recorded;
		CHECK_INT(verify_log_open(&log, &regs, buf_view(&raw), ev, NULL), 0);
		judge(&f, ev, buf_view(&raw));
		check_finding(&f, "event-log", FINDING_BAD, "it does not lead to RTMR 0");
		for (unsigned k = 0; k < TDX_RTMRS; k++)
			ev->tdx.td.rtmr[k] = digest_view(&regs.value[k + 1]);
		judge(&f, ev, buf_view(&raw));
		check_finding(&f, "event-log", FINDING_OK, "leads to all four RTMRs");
		for (unsigned k = 0; k < TDX_RTMRS; k++) {
			char words[32];

			regs.value[k + 1].b[47] ^= 1;
			snprintf(words, sizeof words, "RTMR %u", k);
			judge(&f, ev, buf_view(&raw));
			check_finding(&f, "event-log", FINDING_BAD, words);
			regs.value[k + 1].b[47] ^= 1;
		}
		/* The same log as the evidence's own, and one beside it. */
		buf_reset(&ev->eventlog);
		buf_putv(&ev->eventlog, buf_view(&raw));
		judge(&f, ev, buf_view(&raw));
		CHECK_INT(f.n, 2);
		check_all_hold(&f, NULL);
		ev->eventlog.p[4] ^= 1;
		judge(&f, ev, (struct view){ 0 });
		check_finding(&f, "event-log", FINDING_BAD, "the log in the evidence");
		buf_reset(&ev->eventlog);
	}
}

/* What was asked for and cannot be checked is not passed over. */
TEST(verify_log__no_registers_or_an_empty_log__is_bad)
{
	static const char *const paths[] = { E2E_SNP, TEST_DATA "tdx_quote_5.dat",
					     TEST_DATA "az-tdx-vtpm/evidence-v1.json",
					     TEST_DATA "tpm_evidence.json" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		cleanup_evidence struct evidence *ev = shared_evidence(paths[i]);
		struct verify_want want = want_at(JUNE_2025);
		struct findings f = { 0 };

		want.has_log = true;
		verify_evidence(&f, ev, &want);
		check_finding(&f, "event-log", FINDING_BAD, i == 0 ? "no registers of a boot" : "cut short");
	}
}

TEST(verify_log__td_without_one__is_unknown)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	struct findings f;

	judge(&f, ev, (struct view){ 0 });
	check_finding(&f, "event-log", FINDING_UNKNOWN, "there is none");
}

/* Its structure is sound and it leads there, but Trustee refuses evidence with such a log. */
TEST(verify_log__td__what_trustee_refuses_is_bad)
{
	cleanup_buf struct buf raw =
		shared_bytes("evidence/trustee/deps/eventlog/test_data/CCEL_data_ovmf");
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	struct tcg2_registers regs;
	struct tcg2_log log;
	struct findings f;

	CHECK_INT(verify_log_open(&log, &regs, buf_view(&raw), ev, NULL), 0);
	raw.p[log.first + 4] = 0x55; /* no event type */
	for (unsigned k = 0; k < TDX_RTMRS; k++)
		ev->tdx.td.rtmr[k] = digest_view(&regs.value[k + 1]);
	judge(&f, ev, buf_view(&raw));
	check_finding(&f, "event-log", FINDING_BAD, "the log given: ");
}

/* A log of one event a register: PCR index, SHA-256. */
static void put32(struct buf *b, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		buf_putc(b, (uint8_t)(n >> 8 * i));
}

static void put_log(struct buf *b, const uint32_t *pcrs, size_t n)
{
	static const uint8_t zeros[64];

	put32(b, 0);
	put32(b, 3);
	buf_put(b, zeros, 20);
	put32(b, 16 + 8 + 4 + 4 + 1);
	buf_put(b, "Spec ID Event03", 16);
	buf_put(b, "\0\0\0\0\0\2\0\2", 8);
	put32(b, 1);
	buf_put(b, "\x0b\0\x20\0\0", 5);
	for (size_t i = 0; i < n; i++) {
		put32(b, pcrs[i]);
		put32(b, 4);
		put32(b, 1);
		buf_put(b, "\x0b\0", 2);
		buf_put(b, zeros, 32);
		put32(b, 4);
		buf_put(b, zeros, 4);
	}
}

TEST(verify_log__tpm__firmwares_registers_must_follow_and_later_ones_may_hold_more)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tpm_evidence.json");
	static const uint32_t pcrs[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 15 };
	cleanup_buf struct buf raw = BUF_MAX(ROOM);
	struct tcg2_registers regs;
	struct tcg2_log log;
	struct findings f;

	put_log(&raw, pcrs, ARRAY_LEN(pcrs));
	CHECK_INT(verify_log_open(&log, &regs, buf_view(&raw), ev, NULL), 0);
	for (unsigned i = 0; i < ATTEST_PCRS; i++)
		memcpy(ev->tpm.pcrs[i], regs.value[i].b, 32);
	judge(&f, ev, buf_view(&raw));
	check_finding(&f, "event-log", FINDING_OK, "11 events leads to PCRs 0 to 7");
	CHECK_INT(f.n, 1);
	ev->tpm.pcrs[8][0] ^= 1;
	ev->tpm.pcrs[15][0] ^= 1;
	judge(&f, ev, buf_view(&raw));
	check_finding(&f, "event-log", FINDING_OK, "");
	check_finding(&f, "event-log.later", FINDING_WARN, ": 8 15");
	for (unsigned i = 0; i < 8; i++) {
		char words[16];

		ev->tpm.pcrs[i][31] ^= 1;
		snprintf(words, sizeof words, "PCR %u", i);
		judge(&f, ev, buf_view(&raw));
		check_finding(&f, "event-log", FINDING_BAD, words);
		ev->tpm.pcrs[i][31] ^= 1;
	}
	judge(&f, ev, (struct view){ raw.p, raw.len - 1 });
	check_finding(&f, "event-log", FINDING_BAD, "");
	judge(&f, ev, (struct view){ 0 });
	CHECK_INT(f.n, 0);
}
