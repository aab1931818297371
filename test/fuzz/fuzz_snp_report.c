/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/snp_report.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1u << 16 };

/* What parses comes back from its JSON byte for byte, unless a byte is named that does not. */
static void check_report(const struct snp_report *r)
{
	cleanup_buf struct buf text = BUF_MAX(SNP_REPORT_JSON_MAX);
	cleanup_json struct json *object = NULL;
	uint8_t back[SNP_REPORT_LEN];
	size_t at = SNP_REPORT_LEN;
	struct err e;
	bool lost = snp_report_reserved(&at, r);

	snp_report_json(&text, r);
	assert(buf_check(&text, "JSON", &e) == 0);
	assert(json_parse(&object, buf_view(&text), CAP, &e) == 0);
	if (snp_report_from_json(back, object, &e) < 0) {
		assert(r->version > 2 && r->generation == SNP_UNKNOWN);
		return;
	}
	assert(lost == (memcmp(back, r->raw.p, sizeof back) != 0));
	if (lost)
		assert(at < SNP_REPORT_LEN && back[at] != r->raw.p[at]);
}

/* The first byte chooses: even a report, odd its JSON. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json struct json *object = NULL;
	uint8_t raw[SNP_REPORT_LEN];
	struct snp_report r;
	struct view in;
	struct err e;

	if (size == 0)
		return 0;
	in = (struct view){ data + 1, size - 1 };
	if ((data[0] & 1) == 0) {
		if (snp_report_parse(&r, in, &e) == 0)
			check_report(&r);
		return 0;
	}
	if (json_parse(&object, in, CAP, &e) < 0 || snp_report_from_json(raw, object, &e) < 0)
		return 0;
	assert(snp_report_parse(&r, (struct view){ raw, sizeof raw }, &e) == 0);
	assert(!snp_report_reserved(&size, &r));
	check_report(&r);
	return 0;
}
