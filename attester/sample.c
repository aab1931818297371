/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "attester/attester.h"

extern const struct attester attester_sample;
extern const struct attester attester_sampledevice;

/* What proves nothing: a platform and a device (device.h) for Trustees that shall accept them. */
static int put(const char *svn, struct view report_data, char **json, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(256);
	uint8_t padded[REPORT_DATA_MAX]; /* for its check: they go out as they came */
	int r = attester_data(padded, report_data, e);

	if (r < 0)
		return r;
	buf_printf(&text, "{\"svn\":\"%s\",\"report_data\":\"", svn);
	enc_base64(&text, ENC_B64, report_data);
	buf_puts(&text, "\"}");
	return attester_give(json, &text, "sample evidence", e);
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
