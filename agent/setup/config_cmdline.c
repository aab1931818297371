/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/config_parts.h"

static int set_text(struct guest_config *c, enum config_key key, struct view value, struct err *e)
{
	char **field = (char **)(void *)((char *)c + config_rows[key].at);
	char *copy = strndup((const char *)value.p, value.len);

	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory for %s", config_rows[key].name);
	free(*field);
	*field = copy;
	c->origin[key] = (struct config_origin){ FROM_CMDLINE, 0 };
	return 0;
}

/* "<kbc>::<url>"; only the first "::" divides, so that an IPv6 address may stand in the URL. */
static int add_kbc(struct guest_config *c, const char *value, struct err *e)
{
	const char *sep = strstr(value, "::");
	int r;

	if (!sep)
		return err_code(e, CODE_CONFIG_VALUE,
				"kernel command line: agent.aa_kbc_params, want NAME::URL");
	r = set_text(c, KEY_KBC_NAME, (struct view){ (const uint8_t *)value, (size_t)(sep - value) }, e);
	return r < 0 ? r : set_text(c, KEY_KBC_URL, view_str(sep + 2), e);
}

/* "<uri>::<path>,…"; no path has a comma or "::" that means it. */
static int add_credentials(struct guest_config *c, const char *value, struct err *e)
{
	static const char name[] = "kernel command line: cdh.kbs_resources";

	while (*value) {
		size_t n = strcspn(value, ",");
		const char *sep = memmem(value, n, "::", 2);
		int r;

		if (!sep)
			return err_code(e, CODE_CONFIG_VALUE, "%s, want URI::PATH,…", name);
		r = config_add_credential(c, name,
					  (struct view){ (const uint8_t *)value, (size_t)(sep - value) },
					  (struct view){ (const uint8_t *)sep + 2,
							 n - (size_t)(sep - value) - 2 }, e);
		if (r < 0)
			return r;
		value += n + (value[n] == ',');
	}
	c->origin[KEY_CREDENTIALS] = (struct config_origin){ FROM_CMDLINE, 0 };
	return 0;
}

/* The initdata speaks of this key, or of what it belongs to. */
static bool carried(const struct guest_config *c, enum config_key key)
{
	switch (key) {
	case KEY_KBC_URL:
		return c->origin[KEY_KBS_URL].from != FROM_DEFAULT ||
		       c->origin[KEY_KBC_NAME].from != FROM_DEFAULT ||
		       c->origin[KEY_KBC_URL].from != FROM_DEFAULT;
	case KEY_CREDENTIALS:
		return c->origin[KEY_CREDENTIALS].from != FROM_DEFAULT;
	default:
		return c->image.given; /* spec/local-api.md 4.2: an [image], even empty, is all of it */
	}
}

static int apply(struct guest_config *c, enum config_key key, const char *value, struct err *e)
{
	if (key == KEY_KBC_URL)
		return add_kbc(c, value, e);
	if (key == KEY_CREDENTIALS)
		return add_credentials(c, value, e);
	return set_text(c, key, view_str(value), e);
}

static int apply_one(struct guest_config *c, const struct cmdline *line, const char *name,
		     enum config_key key, const char *unmeasured, struct err *e)
{
	const char *value = NULL, *on = NULL;
	struct err why = { 0 };
	int r = cmdline_get(&value, line, name, &why);

	if (r == 0)
		return 0;
	if (unmeasured)
		config_remark(&c->ignored, "kernel command line: %s, because %s", name, unmeasured);
	else if (carried(c, key))
		config_remark(&c->ignored, "kernel command line: %s, because the initdata says it", name);
	if (unmeasured || carried(c, key))
		return 0;
	if (r == 1 && key == KEY_IMAGE_POLICY_URI) {
		/* Upstream's switch for it: without, no policy is used. */
		r = cmdline_get(&on, line, "agent.enable_signature_verification", &why);
		if (r >= 0 && (!on || strcmp(on, "true") != 0)) {
			config_remark(&c->ignored, "kernel command line: %s, because there is no "
				      "agent.enable_signature_verification=true", name);
			return 0;
		}
	}
	if (r < 0) {
		if (e)
			*e = why;
		return err_wrap_code(e, CODE_CONFIG_VALUE, "configuration");
	}
	return apply(c, key, value, e);
}

int config_apply_cmdline(struct guest_config *c, const struct cmdline *line, const char *unmeasured,
			 struct err *e)
{
	static const struct {
		const char *name;
		enum config_key key;
	} parameters[] = {
		{ "agent.aa_kbc_params", KEY_KBC_URL },
		{ "cdh.kbs_resources", KEY_CREDENTIALS },
		{ "agent.https_proxy", KEY_IMAGE_HTTPS_PROXY },
		{ "agent.http_proxy", KEY_IMAGE_HTTP_PROXY },
		{ "agent.no_proxy", KEY_IMAGE_NO_PROXY },
		{ "agent.image_registry_auth", KEY_IMAGE_AUTH_URI },
		{ "agent.image_policy_file", KEY_IMAGE_POLICY_URI },
	};

	for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
		int r = apply_one(c, line, parameters[i].name, parameters[i].key, unmeasured, e);

		if (r < 0)
			return r;
	}
	return 0;
}
