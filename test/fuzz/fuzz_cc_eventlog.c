/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/cc_eventlog.h"

#include <assert.h>

/*
 * Two bytes length of firmware's log (big-endian), that, then the agent's log. What is assembled
 * replays to the registers that were given; here those of the log itself, so that it gets through.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The registers that the two logs would give, when they are sound; zero otherwise. */
static void fit(uint8_t rtmr[TEE_RTMRS][TEE_DIGEST], struct view ccel, struct view aael)
{
	cleanup_buf struct buf all = BUF_MAX(1u << 20);
	struct tcg2_registers regs;
	struct tcg2_log log;

	if (tcg2_open(&log, ccel, TCG2_CCEL, NULL) < 0)
		return;
	buf_put(&all, ccel.p, log.end);
	buf_putv(&all, aael);
	buf_put(&all, "\0\0\0\0\0\0\0\0", 8);
	if (tcg2_open(&log, buf_view(&all), TCG2_CCEL, NULL) < 0 ||
	    tcg2_replay(&regs, &log, HASH_SHA384, NULL) < 0)
		return;
	for (unsigned i = 0; i < TEE_RTMRS; i++)
		memcpy(rtmr[i], regs.value[i + 1].b, TEE_DIGEST);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t rtmr[TEE_RTMRS][TEE_DIGEST] = { { 0 } };
	cleanup_buf struct buf out = BUF_MAX(CC_EVENTLOG_MAX);
	struct view ccel, aael;
	char why[CC_WHY_MAX];
	struct tcg2_log log;
	struct err e;
	size_t n;

	if (size < 2 || size > 65536)
		return 0;
	n = (size_t)data[0] << 8 | data[1];
	if (n > size - 2)
		n = size - 2;
	ccel = (struct view){ data + 2, n };
	aael = (struct view){ data + 2 + n, size - 2 - n };
	fit(rtmr, ccel, aael);
	assert(cc_eventlog_assemble(&out, ccel, aael, rtmr, why, &e) == 0);
	assert((out.len == 0) == (why[0] != '\0'));
	if (out.len > 0) {
		assert(tcg2_open(&log, buf_view(&out), TCG2_CCEL, &e) == 0);
		assert(log.end == out.len - 8);
		assert(cc_eventlog_replays(&log, rtmr, &e) == 0);
	}
	return 0;
}
