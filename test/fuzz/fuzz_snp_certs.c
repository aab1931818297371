/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/snp_certs.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1u << 20 };

/* To JSON and back it is the same list. */
static void check_certs(const struct snp_certs *c)
{
	cleanup_buf struct buf text = BUF_MAX(SNP_CERTS_JSON_MAX),
			       store = BUF_MAX(SNP_CERTS_TABLE_MAX);
	cleanup_json struct json *list = NULL;
	struct snp_certs back;
	struct err e;

	snp_certs_json(&text, c);
	assert(buf_check(&text, "JSON", &e) == 0);
	assert(json_parse(&list, buf_view(&text), CAP, &e) == 0);
	assert(snp_certs_from_json(&back, &store, list, &e) == 0);
	assert(back.n == c->n);
	for (size_t i = 0; i < c->n; i++) {
		assert(back.cert[i].type == c->cert[i].type);
		assert(memcmp(back.cert[i].guid, c->cert[i].guid, SNP_GUID_LEN) == 0);
		assert(view_eq(back.cert[i].data, c->cert[i].data));
	}
}

/* The first byte chooses: even a table, odd a list. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf store = BUF_MAX(SNP_CERTS_TABLE_MAX);
	cleanup_json struct json *list = NULL;
	struct snp_certs c;
	struct view in;
	struct err e;

	if (size == 0)
		return 0;
	in = (struct view){ data + 1, size - 1 };
	if ((data[0] & 1) == 0) {
		if (snp_certs_parse(&c, in, &e) < 0)
			return 0;
		for (size_t i = 0; i < c.n; i++) {
			assert(c.cert[i].type != SNP_CERT_EMPTY && c.cert[i].data.len > 0);
			assert(c.cert[i].data.p >= in.p &&
			       c.cert[i].data.p + c.cert[i].data.len <= in.p + in.len);
		}
		check_certs(&c);
	} else if (json_parse(&list, in, CAP, &e) == 0 &&
		   snp_certs_from_json(&c, &store, list, &e) == 0) {
		check_certs(&c);
	}
	return 0;
}
