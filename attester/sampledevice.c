/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "attester/attester.h"

extern const struct attester attester_sampledevice;

/* A device that proves nothing, for Trustees that shall see composite evidence (device.h). */
static int evidence(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(256);
	int r;

	(void)env;
	if (report_data.len == 0 || report_data.len > REPORT_DATA_MAX)
		return err_set(e, ERR_USAGE, "report data of %zu bytes, allowed 1..%d",
			       report_data.len, REPORT_DATA_MAX);
	buf_puts(&text, "{\"svn\":\"2\",\"report_data\":\"");
	enc_base64(&text, ENC_B64, report_data);
	buf_puts(&text, "\"}");
	r = buf_check(&text, "sampledevice evidence", e);
	if (r < 0)
		return r;
	*json = buf_take(&text);
	return *json ? 0 : err_set(e, ERR_NOMEM, "no memory for sampledevice evidence");
}

const struct attester attester_sampledevice = {
	.name = "sampledevice",
	.evidence = evidence,
};
