/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/uki.h"

#include <assert.h>

/*
 * A boot log; bit 0 of the first byte is its framing. A log that is taken can be walked to its end,
 * replayed, judged and put into words; every byte that is handed out is read.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned touch(struct view v)
{
	unsigned sum = 0;

	for (size_t i = 0; i < v.len; i++)
		sum += v.p[i];
	return sum;
}

static void one(const struct tcg2_event *ev)
{
	cleanup_buf struct buf out = BUF_MAX(8192), text = BUF_MAX(8192), path = BUF_MAX(8192);
	struct tcg2_variable v;
	struct tcg2_tag tag;
	volatile unsigned sink = touch(ev->data);

	for (size_t i = 0; i < ev->n_digests; i++)
		sink += touch(ev->digests[i].bytes);
	if (tcg2_variable(&v, ev))
		sink += touch(v.guid) + touch(v.name) + touch(v.data) + tcg2_variable_is(&v, "PK");
	if (tcg2_tag(&tag, ev))
		sink += touch(tag.data);
	tcg2_describe(&out, ev);
	assert(out.failed == 0 && out.len <= TCG2_WORDS_MAX);
	for (size_t i = 0; i < out.len; i++)
		assert(out.p[i] >= 0x20 && out.p[i] != 0x7f);
	(void)tcg2_text(&text, ev);
	(void)tcg2_image_path(&path, ev);
	(void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum hash_alg algs[] = { HASH_SHA256, HASH_SHA384, HASH_SM3 };
	enum tcg2_framing framing;
	struct tcg2_log log;
	struct tcg2_event ev;
	struct err e = { 0 };
	size_t n = 0, at;
	int r;

	if (size < 1 || size > 65536)
		return 0;
	framing = data[0] & 1 ? TCG2_TPM : TCG2_CCEL;
	r = tcg2_open(&log, (struct view){ data + 1, size - 1 }, framing, &e);
	if (r < 0) {
		assert(r == -(int)e.kind && e.msg[0]);
		return 0;
	}
	at = log.first;
	while (tcg2_next(&ev, &log, &at) == 1) {
		assert(ev.offset + ev.size == at && at <= log.end);
		one(&ev);
		n++;
	}
	assert(n == log.n_events && at == log.end);
	(void)tcg2_trustee_takes(&log, NULL);
	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		struct tcg2_registers regs;
		struct uki_boot boot;
		bool is;

		(void)tcg2_replay(&regs, &log, algs[i], NULL);
		if (uki_from_log(&boot, &log, algs[i], NULL) == 0)
			assert(uki_cmdline_is(&is, &boot, view_str("quiet"), NULL) == 0);
	}
	return 0;
}
