/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/config_parts.h"

#include <stdio.h>

enum { SOCKET_MAX = 107 }; /* of sun_path, without its NUL */

/* An empty text counts as not set (spec/trustee.md 9.1); where it came from stays known. */
static void drop_empty(char **text)
{
	if (*text && (*text)[0] == '\0')
		free(take(*text));
}

/* A tracing filter ("info", "warn,tower=debug", "2"): the level it gives to what it does not name. */
static enum log_level level_of_filter(const char *filter)
{
	static const struct {
		const char *word;
		enum log_level level;
	} words[] = {
		{ "off", LOG_LEVEL_ERROR },  { "error", LOG_LEVEL_ERROR }, { "warn", LOG_LEVEL_WARN },
		{ "info", LOG_LEVEL_INFO },  { "debug", LOG_LEVEL_DEBUG }, { "trace", LOG_LEVEL_DEBUG },
		{ "0", LOG_LEVEL_ERROR },    { "1", LOG_LEVEL_ERROR },	   { "2", LOG_LEVEL_WARN },
		{ "3", LOG_LEVEL_INFO },     { "4", LOG_LEVEL_DEBUG },	   { "5", LOG_LEVEL_DEBUG },
	};
	enum log_level level = LOG_LEVEL_INFO;

	while (*filter) {
		size_t n = strcspn(filter, ",");

		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (strlen(words[i].word) == n && strncasecmp(filter, words[i].word, n) == 0)
				level = words[i].level;
		filter += n + (filter[n] == ',');
	}
	return level;
}

static void settle_log(struct guest_config *c)
{
	if (!c->log_filter && c->cdh_log_filter) {
		c->log_filter = take(c->cdh_log_filter);
		c->origin[KEY_LOG] = c->origin[KEY_CDH_LOG];
	}
	if (c->log_filter)
		c->log_level = level_of_filter(c->log_filter);
}

/* aa.toml decides; cdh.toml's [kbc] is taken where aa.toml says nothing. */
static int settle_trustee(struct guest_config *c, struct err *e)
{
	const char *name = c->kbc_name;
	const char *from = c->origin[KEY_KBC_NAME].from == FROM_CMDLINE ? "kernel command line" :
									  "cdh.toml";

	if (name && strcmp(name, "cc_kbc") != 0 && strcmp(name, "offline_fs_kbc") != 0)
		return err_code(e, CODE_CONFIG_VALUE,
				"%s: kbc.name \"%.40s\", want cc_kbc or offline_fs_kbc", from, name);
	c->offline = name && strcmp(name, "offline_fs_kbc") == 0;
	drop_empty(&c->kbs_url);
	drop_empty(&c->kbs_cert);
	drop_empty(&c->kbc_url);
	drop_empty(&c->kbc_cert);
	if (!name || c->offline || !c->kbc_url)
		return 0;
	if (!c->kbs_url) {
		c->kbs_url = take(c->kbc_url);
		c->origin[KEY_KBS_URL] = c->origin[KEY_KBC_URL];
	} else if (strcmp(c->kbs_url, c->kbc_url) != 0) {
		/* Another Trustee's certificate is none of ours. */
		config_remark(&c->ignored, "%s: kbc.url, because aa.toml names another Trustee", from);
		return 0;
	}
	if (!c->kbs_cert && c->kbc_cert) {
		c->kbs_cert = take(c->kbc_cert);
		c->origin[KEY_KBS_CERT] = c->origin[KEY_KBC_CERT];
	}
	return 0;
}

static bool is_http(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static int check_url(const struct guest_config *c, enum config_key key, const char *url,
		     struct err *e)
{
	if (!url || is_http(url))
		return 0;
	return err_code(e, CODE_CONFIG_VALUE, "%s: %s \"%.100s\", want http:// or https://",
			config_from_name(c->origin[key].from), config_rows[key].name, url);
}

static int check_socket(const struct guest_config *c, enum config_key key, const char *address,
			struct err *e)
{
	if (!address || (strncmp(address, "unix:///", 8) == 0 && address[8] != '\0' &&
			 strlen(address) - 7 <= SOCKET_MAX))
		return 0;
	return err_code(e, CODE_CONFIG_VALUE, "%s: %s \"%.60s\", want unix:/// and a path of at most %d "
			"bytes", config_from_name(c->origin[key].from), config_rows[key].name, address,
			SOCKET_MAX);
}

int config_settle(struct guest_config *c, struct err *e)
{
	int r = settle_trustee(c, e);

	if (r == 0 && c->key_alg_name &&
	    teekey_alg_by_name(&c->key_alg, view_str(c->key_alg_name), e) < 0)
		r = err_wrap_code(e, CODE_CONFIG_VALUE, "aa.toml: tee_key_algorithm");
	drop_empty(&c->coco_as_url);
	drop_empty(&c->cdh_socket);
	drop_empty(&c->proxy);
	drop_empty(&c->no_proxy);
	drop_empty(&c->image_pull_delegate);
	if (r < 0 || (r = check_url(c, KEY_KBS_URL, c->kbs_url, e)) < 0 ||
	    (r = check_url(c, KEY_COCO_AS_URL, c->coco_as_url, e)) < 0 ||
	    (r = check_socket(c, KEY_SOCKET, c->cdh_socket, e)) < 0 ||
	    (r = check_socket(c, KEY_DELEGATE, c->image_pull_delegate, e)) < 0)
		return r;
	settle_log(c);
	c->has_init_pcr = c->origin[KEY_INIT_PCR].from != FROM_DEFAULT;
	c->plain_http = c->kbs_url && strncasecmp(c->kbs_url, "http://", 7) == 0;
	return 0;
}
