/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/device.h"
#include "agent/base/json.h"

extern const struct attester attester_sampledevice;
extern const struct attester attester_tpm;

static bool takes_a_tpm(const char *primary)
{
	return strcmp(primary, "snp") == 0 || strcmp(primary, "sample") == 0;
}

int device_by_name(const struct attester **out, struct view name, const struct attester *primary,
		   struct err *e)
{
	if (view_is(name, attester_sampledevice.name)) {
		*out = &attester_sampledevice;
		return 0;
	}
	if (!view_is(name, attester_tpm.name))
		return err_code(e, CODE_CONFIG_VALUE,
				"platform.additional \"%.*s\", allowed tpm, sampledevice",
				VIEW_ARG(name));
	if (!takes_a_tpm(primary->name))
		return err_code(e, CODE_CONFIG_VALUE,
				"platform.additional \"tpm\" stands beside snp and sample, not beside %s",
				primary->name);
	*out = &attester_tpm;
	return 0;
}

static int one(struct buf *text, const struct attester *device, const struct attester_env *env,
	       struct view report_data, struct err *e)
{
	cleanup_free char *json = NULL;
	int r = device->evidence(env, report_data, &json, e);

	if (r < 0 && strncmp(err_name(e), "general.", 8) == 0 && r != -ERR_NOMEM)
		return err_wrap_code(e, CODE_EVIDENCE_ADDITIONAL, "additional evidence of %s",
				     device->name);
	if (r < 0)
		return err_wrap(e, r, "additional evidence of %s", device->name);
	json_put_string(text, view_str(device->name));
	buf_putc(text, ':');
	buf_puts(text, json);
	return 0;
}

int devices_evidence(char **text, const struct attester *const *devices, size_t n,
		     const struct attester_env *env, struct view report_data, struct err *e)
{
	cleanup_buf struct buf all = BUF_MAX(DEVICES_EVIDENCE_MAX);
	struct err why = { 0 };
	int r;

	for (size_t i = 0; i < n; i++) {
		buf_putc(&all, i ? ',' : '{');
		r = one(&all, devices[i], env, report_data, &why);
		if (r < 0) {
			if (e)
				*e = why;
			return r;
		}
	}
	if (n > 0)
		buf_putc(&all, '}');
	r = buf_check(&all, "additional evidence", e);
	if (r < 0)
		return r;
	*text = n > 0 ? buf_take(&all) : strdup("");
	return *text ? 0 : err_set(e, ERR_NOMEM, "no memory for additional evidence");
}
