/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/guest.h"
#include "agent/base/fs.h"
#include "agent/base/version.h"
#include "attester/az.h"
#include "attester/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define USER_AGENT "vouchsafe"

/* What an attester finds in env besides devices. Nothing is sent yet. */
static int open_helpers(struct guest *g, struct err *e)
{
	const struct https_config direct = { .user_agent = USER_AGENT, .connect_ms = 3000 };
	int r = attester_cache_new(&g->env.cache, e);

	if (r == 0)
		r = https_new(&g->metadata, &direct, e);
	if (r < 0)
		return r;
	g->env.metadata = https_round_trip;
	g->env.metadata_ctx = g->metadata;
	return 0;
}

int guest_open_image(struct guest *g, struct err *e)
{
	if (pthread_mutex_init(&g->evidence_lock, NULL) != 0)
		return err_set(e, ERR_NOMEM, "no memory for a lock");
	g->env.files_root = g->root;
	g->env.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (g->env.root_fd < 0)
		return err_sys(e, errno, "open /");
	return measured_load(&g->image, g->root, e);
}

/* A guest without a TPM is fine unless its platform needs one: the attester says so. */
static int open_tpm(struct guest *g, struct err *e)
{
	int r;

	if (strncmp(g->image.tpm, "swtpm:", 6) == 0 && !g->image.swtpm)
		return err_code(e, CODE_PLATFORM_NOT_PERMITTED,
				"tpm.device is %s, a TPM over a socket", g->image.tpm);
	r = tpm_open(&g->env.tpm, g->image.tpm, e);
	if (r == 0)
		tpm_set_ak(g->env.tpm, g->image.ak_handle);
	return r;
}

/* Beside the platform. A TPM beside `sample` is opened here. */
static int open_devices(struct guest *g, struct err *e)
{
	for (size_t i = 0; i < g->image.n_additional; i++) {
		const char *name = g->image.additional[i];
		int r = device_by_name(&g->devices[i], view_str(name), g->attester, e);

		if (r == 0 && strcmp(name, "tpm") == 0 && !g->env.tpm)
			r = open_tpm(g, e);
		if (r < 0)
			return r;
		g->n_devices = i + 1;
	}
	return 0;
}

int guest_open_platform(struct guest *g, struct err *e)
{
	const char *name = g->image.platform;
	struct err tpm_err = { 0 };
	int r;

	g->env.initdata_pcr = g->image.initdata_pcr;
	g->env.permit_debug = g->image.debug;
	r = open_helpers(g, e);
	if (r == 0)
		r = guest_open_tee(g, e);
	if (r < 0)
		return r;
	if (strcmp(name, "sample") == 0 && !g->image.sample)
		return err_code(e, CODE_PLATFORM_NOT_PERMITTED, "platform is sample");
	if (strcmp(name, "sample") != 0)
		r = open_tpm(g, &tpm_err);
	g->attester = name[0] ? attester_by_name(name) : attester_detect(&g->env);
	if (!g->attester && name[0])
		return attester_unknown(name, e);
	/*
	 * What is there and does not work is named, where the platform is in it or might be; what is
	 * not there is not an error yet.
	 */
	if (r < 0 && (!g->attester || g->attester->bind) &&
	    (tpm_err.code != CODE_TPM_NONE || strcmp(name, "tpm") == 0)) {
		if (e)
			*e = tpm_err;
		return r;
	}
	/* A TPM whose answer would have told the platform: its trouble is the reason. */
	if (!g->attester && g->env.tpm && (r = az_has_none(&g->env, e)) < 0)
		return err_wrap(e, r, "detect the platform");
	if (!g->attester)
		return err_code(e, CODE_PLATFORM_NONE, "no platform found; %s", tpm_err.msg);
	return open_devices(g, e);
}

static int check_register(struct guest *g, struct err *e)
{
	struct view digest = digest_view(&g->initdata.digest);
	enum binding b;
	int r;

	if (!g->attester->binding) {
		if (!g->image.unbound)
			return err_code(e, CODE_INITDATA_UNBINDABLE,
					"platform %s has no register for the initdata",
					g->attester->name);
		g->bound = false;
		return 0;
	}
	r = g->attester->binding(&g->env, digest, &b, e);
	if (r < 0)
		return r;
	if (b == BINDING_EMPTY)
		return err_code(e, CODE_INITDATA_NOT_PROVISIONED,
				"the register is empty: nothing bound %s", GUEST_INITDATA_PATH);
	if (b != BINDING_MATCHES)
		return err_code(e, CODE_INITDATA_DIGEST_MISMATCH,
				"%s is not what the register holds", GUEST_INITDATA_PATH);
	g->bound = true;
	return 0;
}

int guest_open_initdata(struct guest *g, struct err *e)
{
	cleanup_free char *path =
		fs_join(g->root, g->initdata_path ? g->initdata_path : GUEST_INITDATA_PATH);
	cleanup_buf struct buf text = BUF_MAX(INITDATA_TEXT_MAX);
	bool absent;
	int r;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_read(&text, path, INITDATA_TEXT_MAX, e);
	absent = r == -ERR_NOTFOUND && g->native && !g->initdata_path;
	if (absent) {
		buf_putv(&text, initdata_dummy());
		r = buf_check(&text, "initdata", e);
	}
	if (r == -ERR_NOTFOUND)
		return err_code(e, CODE_INITDATA_NOT_PROVISIONED, "%s is not there", path);
	if (r < 0)
		return err_wrap_code(e, CODE_INITDATA_SOURCE, "provisioned initdata");
	r = initdata_load_text(&g->initdata, buf_view(&text), e);
	if (r < 0)
		return r;
	r = g->native ? guest_bind_native(g, absent, e) : check_register(g, e);
	if (r < 0)
		return r;
	/* Trustee's TPM verifiers break on other lengths, and judge no other PCR than 8. */
	g->send_initdata = !g->attester->text_needs_sha256 ||
			   (g->initdata.digest.len == 32 && g->image.initdata_pcr == 8);
	return 0;
}

int guest_open_config(struct guest *g, struct err *e)
{
	const char *unmeasured = g->image.measured ? NULL : g->image.why_not;
	cleanup_cmdline struct cmdline line = { 0 };
	int r = cmdline_read(&line, g->root, e);

	/* What does not count need not be well-formed either. */
	if (r < 0 && !unmeasured)
		return err_wrap_code(e, CODE_CONFIG_SYNTAX, "configuration");
	r = guest_config_load_with(&g->config, &g->initdata, r == 0 ? &line : NULL, unmeasured, e);
	if (r == 0 && g->config.offline && !version_is_dev)
		return err_code(e, CODE_CONFIG_NOT_PERMITTED,
				"kbc.name is offline_fs_kbc: resources of files that nobody measured");
	return r;
}

int guest_evidence(void *guest, struct view report_data, char **json, struct err *e)
{
	struct guest *g = guest;
	int r;

	(void)pthread_mutex_lock(&g->evidence_lock);
	r = g->attester->evidence(&g->env, report_data, json, e);
	(void)pthread_mutex_unlock(&g->evidence_lock);
	return r;
}

int guest_additional_evidence(void *guest, struct view report_data, char **text, struct err *e)
{
	struct guest *g = guest;
	int r;

	(void)pthread_mutex_lock(&g->evidence_lock);
	r = devices_evidence(text, g->devices, g->n_devices, &g->env, report_data, e);
	(void)pthread_mutex_unlock(&g->evidence_lock);
	return r;
}

static int add_trustee(struct guest *g, const char *host, const char *url, struct err *e)
{
	struct guest_trustee *t = &g->trustees[g->n_trustees];
	struct kbs_config config = {
		.url = url,
		.key_alg = g->config.key_alg,
		.evidence = { g->attester->name, guest_evidence, g, guest_additional_evidence },
		.round_trip = https_round_trip,
		.round_trip_ctx = g->https,
	};
	int r;

	if (g->send_initdata)
		config.initdata = buf_view(&g->initdata.text);
	/* It has a token of the configured Trustee only. */
	if (g->n_trustees == 0) {
		config.passport = g->passport;
		config.passport_ctx = g;
		config.key = g->key;
	}
	t->host = strdup(host);
	if (!t->host)
		return err_set(e, ERR_NOMEM, "no memory for a host name");
	r = kbs_new(&t->kbs, &config, e);
	if (r < 0) {
		free(take(t->host));
		return r;
	}
	g->n_trustees++;
	return 0;
}

int guest_open_trustee(struct guest *g, struct err *e)
{
	const struct https_config https = {
		.ca_pem = g->config.kbs_cert,
		.proxy = g->config.proxy,
		.no_proxy = g->config.no_proxy,
		.user_agent = USER_AGENT,
	};
	int r;

	if (!g->config.kbs_url)
		return 0;
	r = https_new(&g->https, &https, e);
	if (r < 0)
		return r;
	r = add_trustee(g, "", g->config.kbs_url, e);
	teekey_free(take(g->key));
	for (size_t i = 0; r == 0 && i < g->config.n_hosts; i++) {
		cleanup_free char *url = NULL;

		if (asprintf(&url, "%s%s", g->config.plain_http ? "http://" : "https://",
			     g->config.hosts[i]) < 0)
			return err_set(e, ERR_NOMEM, "no memory for a URL");
		r = add_trustee(g, g->config.hosts[i], url, e);
	}
	return r;
}

struct kbs *guest_trustee_for(struct guest *g, const struct uri *uri, struct err *e)
{
	for (size_t i = 1; i < g->n_trustees; i++)
		if (uri->host[0] && strcmp(g->trustees[i].host, uri->host) == 0)
			return g->trustees[i].kbs;
	if (g->n_trustees == 0) {
		(void)err_code(e, CODE_CONFIG_NO_TRUSTEE,
			       "the initdata has no [token_configs.kbs] url");
		return NULL;
	}
	return g->trustees[0].kbs;
}

void guest_sealed_rules(struct sealed_rules *out, const struct guest *g, char dir[512])
{
	const struct guest_config *c = &g->config;

	(void)snprintf(dir, 512, "%s%s", g->root, GUEST_CREDENTIAL_DIR);
	*out = (struct sealed_rules){
		.credential_dir = dir,
		.kbs_keys_allowed = !c->plain_http || c->allow_http_anchors,
		.skip_verification = c->skip_sealed_verification,
		.kids = (const char *const *)c->kids,
		.n_kids = c->n_kids,
		.bind_names = (const char *const *)c->bind_names,
		.bind_uris = (const char *const *)c->bind_uris,
		.n_bind = c->n_bind,
	};
}

void guest_close(struct guest *g)
{
	for (size_t i = 0; i < g->n_trustees; i++) {
		kbs_free(g->trustees[i].kbs);
		free(g->trustees[i].host);
	}
	g->n_trustees = 0;
	teekey_free(take(g->key));
	https_free(take(g->https));
	https_free(take(g->metadata));
	attester_cache_free(take(g->env.cache));
	guest_config_done(&g->config);
	initdata_done(&g->initdata);
	guest_close_tee(g);
	tpm_close(take(g->env.tpm));
	if (g->env.root_fd > 0)
		(void)close(g->env.root_fd);
	g->env.root_fd = -1;
}
