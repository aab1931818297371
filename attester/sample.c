/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "attester/attester.h"

extern const struct attester attester_sample;
extern const struct attester attester_sampledevice;

/* What proves nothing: a platform and a device (device.h) for Trustees that shall accept them. */
static int put(const char *svn, struct view report_data, char **json, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(256);
	int r;

	if (report_data.len == 0 || report_data.len > REPORT_DATA_MAX)
		return err_set(e, ERR_USAGE, "report data of %zu bytes, allowed 1..%d",
			       report_data.len, REPORT_DATA_MAX);
	buf_printf(&text, "{\"svn\":\"%s\",\"report_data\":\"", svn);
	enc_base64(&text, ENC_B64, report_data);
	buf_puts(&text, "\"}");
	r = buf_check(&text, "sample evidence", e);
	if (r < 0)
		return r;
	*json = buf_take(&text);
	return *json ? 0 : err_set(e, ERR_NOMEM, "no memory for sample evidence");
}

static int platform(const struct attester_env *env, struct view report_data, char **json,
		    struct err *e)
{
	(void)env;
	return put("1", report_data, json, e);
}

static int device(const struct attester_env *env, struct view report_data, char **json,
		  struct err *e)
{
	(void)env;
	return put("2", report_data, json, e);
}

const struct attester attester_sample = {
	.name = "sample",
	.evidence = platform,
};

const struct attester attester_sampledevice = {
	.name = "sampledevice",
	.evidence = device,
};
