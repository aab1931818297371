/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/sealed.h"
#include "agent/setup/config_parts.h"

#define AT(field)           .at = offsetof(struct guest_config, field)
#define LIST(field, n, max_) AT(field), .at_n = offsetof(struct guest_config, n), .max = (max_)

enum { PCR_LAST = 23, LAYERS_MAX = 64, PEM_MAX = 16 };

/* clang-format off */
const struct config_row config_rows[CONFIG_KEYS] = {
	[KEY_KBS_URL] = { "token_configs.kbs.url", FROM_AA, KIND_URL, AT(kbs_url), .unset = "none" },
	[KEY_KBS_CERT] = { "token_configs.kbs.cert", FROM_AA, KIND_CERT, AT(kbs_cert),
			   .unset = "none: the image's own roots" },
	[KEY_KEY_ALG] = { "token_configs.kbs.tee_key_algorithm", FROM_AA, KIND_TEXT, AT(key_alg_name),
			  .unset = "ECDH-ES+A256KW-P256" },
	[KEY_COCO_AS_URL] = { "token_configs.coco_as.url", FROM_AA, KIND_URL, AT(coco_as_url), .unset = "none" },
	[KEY_INIT_PCR] = { "eventlog_config.init_pcr", FROM_AA, KIND_UINT, PCR_LAST, AT(init_pcr),
			   .unset = "the platform's own (a TPM: 15)" },
	[KEY_EVENTLOG] = { "eventlog_config.enable_eventlog", FROM_AA, KIND_BOOL, AT(eventlog_enabled), .unset = "false" },
	[KEY_LOG] = { "log.level", FROM_AA, KIND_TEXT, AT(log_filter), .unset = "info" },
	[KEY_SOCKET] = { "socket", FROM_CDH, KIND_TEXT, AT(cdh_socket),
			 .unset = "unix:///run/confidential-containers/cdh.sock" },
	[KEY_AA_SOCKET] = { "aa.aa_socket", FROM_CDH, KIND_TEXT, AT(aa_socket), .unset = NULL },
	[KEY_KBC_NAME] = { "kbc.name", FROM_CDH, KIND_TEXT, AT(kbc_name), .unset = "cc_kbc" },
	[KEY_KBC_URL] = { "kbc.url", FROM_CDH, KIND_URL, AT(kbc_url), .unset = NULL },
	[KEY_KBC_CERT] = { "kbc.kbs_cert", FROM_CDH, KIND_CERT, AT(kbc_cert), .unset = NULL },
	[KEY_CREDENTIALS] = { "credentials", FROM_CDH, KIND_TABLE, .unset = "none" },
	[KEY_SKIP_VERIFICATION] = { "skip_sealed_secret_verification", FROM_CDH, KIND_BOOL,
				    AT(skip_sealed_verification), .unset = "false" },
	[KEY_CDH_LOG] = { "log.level", FROM_CDH, KIND_TEXT, AT(cdh_log_filter), .unset = NULL },
	[KEY_IMAGE_WORK_DIR] = { "image.work_dir", FROM_CDH, KIND_TEXT, AT(image.work_dir),
				 .unset = "/run/kata-containers/image/" },
	[KEY_IMAGE_POLICY_URI] = { "image.image_security_policy_uri", FROM_CDH, KIND_URL, AT(image.policy_uri),
				   .unset = "none" },
	[KEY_IMAGE_POLICY] = { "image.image_security_policy", FROM_CDH, KIND_LONG, AT(image.policy), .unset = "none" },
	[KEY_IMAGE_SIGSTORE_URI] = { "image.sigstore_config_uri", FROM_CDH, KIND_URL, AT(image.sigstore_uri),
				     .unset = "none" },
	[KEY_IMAGE_SIGSTORE] = { "image.sigstore_config", FROM_CDH, KIND_LONG, AT(image.sigstore), .unset = "none" },
	[KEY_IMAGE_AUTH_URI] = { "image.authenticated_registry_credentials_uri", FROM_CDH, KIND_URL,
				 AT(image.auth_uri), .unset = "none" },
	[KEY_IMAGE_REGISTRY_URI] = { "image.registry_configuration_uri", FROM_CDH, KIND_URL,
				     AT(image.registry_uri), .unset = "none" },
	[KEY_IMAGE_REGISTRY] = { "image.registry_config", FROM_CDH, KIND_TABLE, .unset = "none" },
	[KEY_IMAGE_LAYERS] = { "image.max_concurrent_layer_downloads_per_image", FROM_CDH, KIND_UINT, LAYERS_MAX,
			       AT(image.layers_at_once), .unset = "3" },
	[KEY_IMAGE_HTTPS_PROXY] = { "image.image_pull_proxy.https_proxy", FROM_CDH, KIND_URL,
				    AT(image.https_proxy), .unset = "none" },
	[KEY_IMAGE_HTTP_PROXY] = { "image.image_pull_proxy.http_proxy", FROM_CDH, KIND_URL,
				   AT(image.http_proxy), .unset = "none" },
	[KEY_IMAGE_NO_PROXY] = { "image.image_pull_proxy.no_proxy", FROM_CDH, KIND_TEXT,
				 AT(image.no_proxy), .unset = "none" },
	[KEY_IMAGE_ROOTS] = { "image.extra_root_certificates", FROM_CDH, KIND_CERTS,
			      LIST(image.roots, image.n_roots, PEM_MAX), .unset = "none" },
	[KEY_HTTP_ANCHORS] = { "trust.allow_http_anchors", FROM_OWN, KIND_BOOL, AT(allow_http_anchors),
			       .unset = "false" },
	[KEY_HOSTS] = { "trust.hosts", FROM_OWN, KIND_LIST, LIST(hosts, n_hosts, CONFIG_LIST_MAX), .unset = "none" },
	[KEY_KIDS] = { "sealed.kids", FROM_OWN, KIND_LIST, LIST(kids, n_kids, SEALED_KIDS_MAX), .unset = "any" },
	[KEY_BIND] = { "sealed.bind", FROM_OWN, KIND_TABLE, .unset = "none" },
	[KEY_UIDS] = { "peers.uids", FROM_OWN, KIND_UIDS, .unset = "none besides root and vouchsafe's own" },
	[KEY_PROXY] = { "net.proxy", FROM_OWN, KIND_URL, AT(proxy), .unset = "none" },
	[KEY_NO_PROXY] = { "net.no_proxy", FROM_OWN, KIND_TEXT, AT(no_proxy), .unset = "none" },
	[KEY_DELEGATE] = { "image_pull.delegate", FROM_OWN, KIND_TEXT, AT(image_pull_delegate), .unset = "none" },
	[KEY_REST_TOKEN] = { "rest.token_without_key", FROM_OWN, KIND_BOOL, AT(rest_token_without_key),
			     .unset = "false" },
};
/* clang-format on */
