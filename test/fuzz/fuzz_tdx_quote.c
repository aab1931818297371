/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_quote.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

/* Touch every byte handed out: ASan proves the views stay inside the input. */
static void touch(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		sink ^= v.p[i];
}

static void check_sig(const struct quote_sig *s, struct view signed_part, struct view raw,
		      size_t wrapping)
{
	touch(s->signature);
	touch(s->key);
	touch(s->qe_report);
	touch(s->qe_report_data);
	touch(s->qe_signature);
	touch(s->auth);
	touch(s->pem);
	assert(signed_part.p == raw.p && s->pem.len > 0);
	/* No byte is skipped but the NUL that may end the chain. */
	size_t n = signed_part.len + 4 + 128 + wrapping + 384 + 64 + 2 + s->auth.len + 6 + s->pem.len;
	assert(n == raw.len || n + 1 == raw.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = { data, size };
	struct tdx_quote q;
	struct sgx_quote s;
	struct err e;

	if (tdx_quote_parse(&q, in, &e) == 0) {
		touch(q.raw);
		touch(q.td.mr_td);
		touch(q.td.mr_config_id);
		touch(q.td.mr_owner);
		touch(q.td.mr_owner_config);
		for (size_t i = 0; i < TDX_RTMRS; i++)
			touch(q.td.rtmr[i]);
		touch(q.report_data);
		touch(q.mr_seam);
		touch(q.mrsigner_seam);
		touch(q.tee_tcb_svn2);
		touch(q.mr_servicetd);
		assert((q.body_type == TDX_BODY_15) == (q.mr_servicetd.len == TDX_MR));
		check_sig(&q.sig, q.signed_part, q.raw, 6);
		assert(sgx_quote_parse(&s, in, &e) < 0);
	} else if (sgx_quote_parse(&s, in, &e) == 0) {
		touch(s.body);
		touch(s.report_data);
		check_sig(&s.sig, s.signed_part, s.raw, 0);
	}
	return 0;
}
