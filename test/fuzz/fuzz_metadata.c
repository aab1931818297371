/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/az_imds.h"
#include "agent/crypto/x509.h"
#include "attester/tdx_quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Replies of Azure's metadata service. The first byte chooses: even the VCEK's, odd a TD quote's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf out = BUF_MAX(TDX_QUOTE_MAX);
	cleanup_x509 struct x509_cert *cert = NULL;
	struct tdx_quote q;
	struct view body;
	struct err e;

	if (size == 0)
		return 0;
	body = (struct view){ data + 1, size - 1 };
	if (data[0] & 1) {
		if (az_imds_read_quote(&out, body, &e) == 0) {
			if (out.len == 0)
				__builtin_trap();
			(void)tdx_quote_parse(&q, buf_view(&out), &e);
		} else if (e.code != CODE_AZURE_METADATA_REPLY && e.kind != ERR_NOMEM) {
			__builtin_trap();
		}
		return 0;
	}
	out.max = AZ_VCEK_MAX;
	if (az_imds_read_vcek(&out, body, &e) < 0) {
		if (e.code != CODE_AZURE_METADATA_REPLY && e.kind != ERR_NOMEM)
			__builtin_trap();
		return 0;
	}
	/* What was read is one certificate again. */
	if (x509_load(&cert, buf_view(&out), &e) < 0)
		__builtin_trap();
	return 0;
}
