/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_GUEST_H
#define SETUP_GUEST_H

#include "agent/kbs/client.h"
#include "agent/net/https.h"
#include "agent/secrets/sealed.h"
#include "agent/setup/measured.h"
#include "attester/attester.h"
#include "attester/tpm.h"
#include "initdata/initdata.h"

/*
 * This guest, put together once by each main that needs it (vouchsafed, vouchsafe doctor):
 * image settings, platform, the bound initdata, the configuration in it, the Trustee client.
 * Each step is a function, so that doctor can walk them one by one and report each.
 */

/* What the initdata's aa.toml, cdh.toml and vouchsafe.toml say; all of it measured. */
struct guest_config {
	char *kbs_url;       /* NULL: no Trustee */
	char *kbs_cert;      /* PEM, or NULL: the system's roots */
	enum teekey_alg key_alg;
	bool plain_http;     /* kbs_url begins http:// */
	bool skip_sealed_verification;
	/* vouchsafe.toml */
	bool allow_http_anchors;
	char **hosts;
	size_t n_hosts; /* [trust] hosts: KBS hosts that a URI may name */
	char **kids;
	size_t n_kids;
	char **bind_names, **bind_uris;
	size_t n_bind;
	unsigned *peer_uids;
	size_t n_peer_uids;
	char *proxy, *no_proxy;
};

struct guest {
	char root[256]; /* "" or --root */
	struct image_settings image;
	struct attester_env env;
	const struct attester *attester;
	struct initdata initdata;
	struct guest_config config;
	bool bound;             /* a register vouches for initdata */
	bool send_initdata;     /* its text may be sent to Trustee */
	struct https *https;
	struct kbs *kbs;        /* NULL when config names no Trustee */
	struct sealed_rules rules;
};

#define GUEST_INITDATA_PATH   "/run/confidential-containers/initdata/initdata.toml"
#define GUEST_CREDENTIAL_DIR  "/run/confidential-containers/cdh/sealed-secret"
#define GUEST_CDH_SOCKET      "/run/confidential-containers/cdh.sock"

/* Read the three texts of an initdata. Errors: config.syntax, config.value, config.unknown-key. */
int guest_config_load(struct guest_config *out, const struct initdata *d, struct err *e) MUST_CHECK;
void guest_config_done(struct guest_config *c);

/* Steps, in order; each needs those before it. *g is zeroed by the caller; root is in g->root. */
int guest_open_image(struct guest *g, struct err *e) MUST_CHECK;    /* settings */
int guest_open_platform(struct guest *g, struct err *e) MUST_CHECK; /* TPM, attester; platform.*, tpm.* */
int guest_open_initdata(struct guest *g, struct err *e) MUST_CHECK; /* read again, compare with the register */
int guest_open_config(struct guest *g, struct err *e) MUST_CHECK;
int guest_open_trustee(struct guest *g, struct err *e) MUST_CHECK;  /* clients; sends nothing */

/* All of them. */
int guest_open(struct guest *g, struct err *e) MUST_CHECK;
void guest_close(struct guest *g);

#endif
