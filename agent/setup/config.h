/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_CONFIG_H
#define SETUP_CONFIG_H

#include "agent/base/log.h"
#include "agent/crypto/teekey.h"
#include "agent/setup/cmdline.h"
#include "agent/setup/measured.h"
#include "initdata/initdata.h"

/*
 * What the initdata's aa.toml, cdh.toml (spec/local-api.md 4) and vouchsafe.toml say, and where
 * each value came from. Delivered files and the environment are never read.
 *
 * aa.toml and cdh.toml are read as leniently as peers read them: TOML or JSON (a text that begins
 * with '{'), keys in any case, true/false/yes/no/on/off/1/0 for booleans, digits in quotes for
 * numbers; unknown keys are collected, not refused. Twice the same key in two spellings is an
 * error, because peers differ in which one they take. vouchsafe.toml is ours and strict.
 *
 * The kernel command line comes after initdata and before the defaults, when the image is
 * measured (design 5.2), and never for a key that the initdata has.
 */
enum config_from {
	FROM_DEFAULT,
	FROM_AA, /* the initdata's aa.toml, … */
	FROM_CDH,
	FROM_OWN,
	FROM_CMDLINE,
	FROM_IMAGE,
	FROM_BUILD, /* a development build's permits */
};

enum config_key {
	KEY_KBS_URL,
	KEY_KBS_CERT,
	KEY_KEY_ALG,
	KEY_COCO_AS_URL,
	KEY_INIT_PCR,
	KEY_EVENTLOG,
	KEY_LOG,
	KEY_SOCKET,
	KEY_AA_SOCKET,
	KEY_KBC_NAME,
	KEY_KBC_URL,
	KEY_KBC_CERT,
	KEY_CREDENTIALS,
	KEY_SKIP_VERIFICATION,
	KEY_CDH_LOG,
	KEY_IMAGE_WORK_DIR,
	KEY_IMAGE_POLICY_URI,
	KEY_IMAGE_POLICY,
	KEY_IMAGE_SIGSTORE_URI,
	KEY_IMAGE_SIGSTORE,
	KEY_IMAGE_AUTH_URI,
	KEY_IMAGE_REGISTRY_URI,
	KEY_IMAGE_REGISTRY,
	KEY_IMAGE_LAYERS,
	KEY_IMAGE_HTTPS_PROXY,
	KEY_IMAGE_HTTP_PROXY,
	KEY_IMAGE_NO_PROXY,
	KEY_IMAGE_ROOTS,
	KEY_HTTP_ANCHORS,
	KEY_HOSTS,
	KEY_KIDS,
	KEY_BIND,
	KEY_UIDS,
	KEY_PROXY,
	KEY_NO_PROXY,
	KEY_DELEGATE,
	KEY_REST_TOKEN,
	CONFIG_KEYS
};

struct config_origin {
	enum config_from from;
	unsigned line; /* in that text, from 1; 0 when there is none (JSON, command line) */
};

/* Lines for the log and doctor; what does not fit is counted. */
#define CONFIG_REMARKS_MAX 32
struct config_remarks {
	char *text[CONFIG_REMARKS_MAX];
	size_t n;
	size_t more;
};

#define CREDENTIAL_DIR "/run/confidential-containers/cdh/kbs"

struct guest_credential {
	char *path; /* below CREDENTIAL_DIR, checked */
	char *uri;  /* canonical */
	bool written;
};

/* cdh.toml [image]; validated and kept for who pulls images. */
struct guest_image {
	bool given;           /* there is such a table, be it empty */
	char *work_dir;       /* NULL: the default */
	char *policy_uri, *policy;
	char *sigstore_uri, *sigstore;
	char *auth_uri;
	char *registry_uri;
	const struct toml *registry; /* [image.registry_config], of checked types, or NULL */
	uint32_t layers_at_once;     /* default 3 */
	char *https_proxy, *http_proxy, *no_proxy;
	char **roots; /* PEM */
	size_t n_roots;
};

struct guest_config {
	/* aa.toml; kbs_url and kbs_cert also from cdh.toml [kbc] */
	char *kbs_url;  /* NULL: no Trustee */
	char *kbs_cert; /* PEM, or NULL: the system's roots */
	enum teekey_alg key_alg;
	bool plain_http; /* kbs_url begins http:// */
	char *coco_as_url;
	bool eventlog_enabled;
	bool has_init_pcr;
	uint32_t init_pcr;
	enum log_level log_level; /* of aa.toml, else of cdh.toml; default info */
	/* cdh.toml */
	char *cdh_socket; /* "unix:///…", or NULL: the default */
	bool offline;     /* kbc.name is offline_fs_kbc: for development builds only */
	struct guest_credential *credentials;
	size_t n_credentials;
	bool skip_sealed_verification;
	struct guest_image image;
	/* vouchsafe.toml */
	bool allow_http_anchors; /* [trust] signing keys over plain http */
	char **hosts;            /* [trust] hosts: KBS hosts that a URI may name */
	size_t n_hosts;
	char **kids; /* [sealed] kids */
	size_t n_kids;
	char **bind_names, **bind_uris; /* [sealed] bind, URIs canonical */
	size_t n_bind;
	unsigned *peer_uids; /* [peers] uids */
	size_t n_peer_uids;
	char *proxy, *no_proxy;    /* [net] */
	char *image_pull_delegate; /* [image_pull] delegate, "unix:///…"; NULL: none */
	bool rest_token_without_key; /* [rest] */

	struct config_origin origin[CONFIG_KEYS];
	struct config_remarks unknown; /* "aa.toml line 3: token_configs.kbs.ulr" */
	struct config_remarks ignored; /* what is known and does not count, with the reason */

	/* As read; who wants what is effective looks above. */
	char *key_alg_name, *log_filter, *cdh_log_filter, *aa_socket;
	char *kbc_name, *kbc_url, *kbc_cert;
	struct toml *cdh; /* owns image.registry */
};

/*
 * Read the three texts of an initdata.
 * out  set on success only
 * Errors: config.syntax (line and column), config.value, config.unknown-key (vouchsafe.toml).
 */
int guest_config_load(struct guest_config *out, const struct initdata *d, struct err *e) MUST_CHECK;

/*
 * The same, and what the kernel command line adds.
 * unmeasured  why it does not count (what it has is then in out->ignored), or NULL: it counts
 */
int guest_config_load_with(struct guest_config *out, const struct initdata *d,
			   const struct cmdline *line, const char *unmeasured,
			   struct err *e) MUST_CHECK;

void guest_config_done(struct guest_config *c);

/* One line of `vouchsafe config explain`; texts are good during the visit only. */
enum config_measured { MEASURED_NO, MEASURED_YES, MEASURED_BUILT_IN };

struct config_item {
	const char *key;
	const char *value;  /* certificates by fingerprint, no passwords; may hold control characters */
	const char *source; /* "initdata aa.toml", "image vouchsafe.toml", "default", … */
	unsigned line;      /* 0: none */
	enum config_measured measured;
};

/* Visit every effective key. bound: a register vouches for the initdata. */
void config_explain(const struct guest_config *c, bool bound,
		    void (*visit)(void *ctx, const struct config_item *item), void *ctx);

/* The same for the image's settings. */
void image_explain(const struct image_settings *s,
		   void (*visit)(void *ctx, const struct config_item *item), void *ctx);

/* "initdata aa.toml"; static. */
const char *config_from_name(enum config_from from);

/* Append the SHA-256 of each certificate of a PEM text; says so where there is none. */
void config_put_certificates(struct buf *out, const char *pem);

#endif
