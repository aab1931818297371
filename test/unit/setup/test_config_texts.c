/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/setup/texts.h"

#define AA_VECTOR  "local/aa/config.example"
#define CDH_VECTOR "local/cdh/example.config"

TEST(guest_config__vector_aa__is_read_whole)
{
	cleanup_buf struct buf shown = BUF_MAX(65536);
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, shared_text(AA_VECTOR ".toml"), NULL, NULL, NULL, NULL, &e), 0);
	CHECK(strcmp(c.kbs_url, "https://127.0.0.1:8080") == 0 && !c.plain_http);
	CHECK(strcmp(c.coco_as_url, "http://127.0.0.1:8000") == 0);
	CHECK(strncmp(c.kbs_cert, "-----BEGIN CERTIFICATE-----\nMIIDljCC", 36) == 0);
	CHECK_INT(c.key_alg, TEEKEY_P256);
	CHECK(c.has_init_pcr && c.init_pcr == 17 && !c.eventlog_enabled);
	CHECK_INT(c.log_level, LOG_LEVEL_INFO);
	CHECK_INT(c.unknown.n + c.ignored.n, 0);
	config_explain(&c, true, show_all, &shown);
	CHECK(has(&shown, "token_configs.kbs.url=https://127.0.0.1:8080|initdata aa.toml:7|y\n"));
	CHECK(has(&shown, "token_configs.kbs.cert=SHA-256 917d5fa67c4f12d0"));
	CHECK(!strstr(buf_str(&shown), "MIID"));
	CHECK(has(&shown, "socket=unix:///run/confidential-containers/cdh.sock|default:0|-\n"));
	guest_config_done(&c);
}

TEST(guest_config__vectors_of_upstreams_tests__are_read)
{
	static const struct {
		const char *file, *url, *coco;
		bool pcr;
		enum log_level level;
	} rows[] = {
		{ "1", "https://127.0.0.1:8080", "http://127.0.0.1:8000", true, LOG_LEVEL_WARN },
		{ "2", "https://127.0.0.1:8080", NULL, true, LOG_LEVEL_WARN },
		{ "3", "https://127.0.0.1:8080", "http://127.0.0.1:8000", true, LOG_LEVEL_WARN },
		{ "4", NULL, NULL, false, LOG_LEVEL_WARN },
		{ "5", NULL, NULL, false, LOG_LEVEL_INFO },
		{ "6", NULL, NULL, false, LOG_LEVEL_INFO },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_config c = { 0 };
		struct err e = { 0 };
		char path[64];

		(void)snprintf(path, sizeof path, "local/aa/test-config%s.toml", rows[i].file);
		CHECK_INT(load_texts(&c, shared_text(path), NULL, NULL, NULL, NULL, &e), 0);
		CHECK((c.kbs_url == NULL) == (rows[i].url == NULL));
		CHECK(!c.kbs_url || strcmp(c.kbs_url, rows[i].url) == 0);
		CHECK((c.coco_as_url == NULL) == (rows[i].coco == NULL));
		CHECK_INT(c.has_init_pcr, rows[i].pcr);
		CHECK_INT(c.log_level, rows[i].level);
		CHECK_INT(c.unknown.n, 0);
		guest_config_done(&c);
	}
}

TEST(guest_config__vector_cdh__is_read_and_misplaced_keys_are_named)
{
	cleanup_buf struct buf shown = BUF_MAX(65536);
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, NULL, shared_text(CDH_VECTOR ".toml"), NULL, NULL, NULL, &e), 0);
	CHECK(strcmp(c.kbs_url, "http://example.io:8080") == 0 && c.plain_http && !c.offline);
	CHECK_INT(c.origin[KEY_KBS_URL].from, FROM_CDH);
	CHECK(strncmp(c.kbs_cert, "-----BEGIN", 10) == 0);
	CHECK_INT(c.n_credentials, 2);
	CHECK(strcmp(c.credentials[0].path,
		     CREDENTIAL_DIR "/kms-credential/aliyun/ecsRamRole.json") == 0);
	CHECK(strcmp(c.credentials[0].uri, "kbs:///default/aliyun/ecs_ram_role") == 0);
	CHECK(strcmp(c.credentials[1].path, CREDENTIAL_DIR "/test/file") == 0);
	CHECK(c.image.given && c.image.layers_at_once == 3 && c.image.registry);
	CHECK(strcmp(c.image.policy_uri, "kbs:///default/security-policy/test") == 0);
	CHECK(strcmp(c.image.https_proxy, "http://127.0.0.1:5432") == 0);
	/* They stand behind [[…mirror]], so they belong to it: spec/local-api.md 4.2. */
	CHECK_INT(c.unknown.n, 2);
	CHECK(strcmp(c.unknown.text[0],
		     "cdh.toml line 206: image.registry_config.registry.mirror.extra_root_certificates") == 0);
	CHECK(strstr(c.unknown.text[1], "mirror.work_dir") && c.image.n_roots == 0 && !c.image.work_dir);
	config_explain(&c, true, show_value, &shown);
	CHECK(has(&shown, "credentials=" CREDENTIAL_DIR "/kms-credential/aliyun/ecsRamRole.json = "
			  "kbs:///default/aliyun/ecs_ram_role, "));
	guest_config_done(&c);
}

TEST(guest_config__vector_of_cdhs_tests__asks_for_offline)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, NULL, shared_text("local/cdh/tests-cdh.toml"), NULL, NULL, NULL, &e), 0);
	CHECK(c.offline && !c.kbs_url && c.image.layers_at_once == 4);
	guest_config_done(&c);
}

static void check_twins(const char *toml_aa, const char *json_aa, const char *toml_cdh,
			const char *json_cdh)
{
	cleanup_buf struct buf one = BUF_MAX(65536), two = BUF_MAX(65536);
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, toml_aa, toml_cdh, NULL, NULL, NULL, &e), 0);
	config_explain(&c, true, show_value, &one);
	guest_config_done(&c);
	if (load_texts(&c, json_aa, json_cdh, NULL, NULL, NULL, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	config_explain(&c, true, show_value, &two);
	guest_config_done(&c);
	if (!view_eq(buf_view(&one), buf_view(&two)))
		test_fail(__FILE__, __LINE__, "%s\n--- but JSON:\n%s", buf_str(&one), buf_str(&two));
}

TEST(guest_config__json_twin__means_the_same)
{
	cleanup_free char *toml = strdup(shared_text(AA_VECTOR ".toml"));

	check_twins(toml, shared_text(AA_VECTOR ".json"), NULL, NULL);
	check_twins("log.level = \"debug\"\n[token_configs.kbs]\nurl = \"http://[::1]:1/\\u00e4\\\"\\\\\"\n",
		    " \r\n\t{\"log\":{\"level\":\"debug\"},\"token_configs\":{\"coco_as\":null,"
		    "\"kbs\":{\"url\":\"http://[::1]:1/\\u00e4\\\"\\\\\"}}}", NULL, NULL);
	check_twins(NULL, NULL,
		    "credentials = []\nskip_sealed_secret_verification = true\nx.y = 1.5\n"
		    "[image]\nextra_root_certificates = [\"a\\nb\", \"c\"]\n"
		    "[[image.registry_config.registry]]\nlocation = \"l\"\ninsecure = true\n",
		    "{\"credentials\":[],\"skip_sealed_secret_verification\":true,\"x\":{\"y\":1.5},"
		    "\"image\":{\"extra_root_certificates\":[\"a\\nb\",\"c\"],\"registry_config\":"
		    "{\"registry\":[{\"location\":\"l\",\"insecure\":true}]}}}");
	check_twins("", "{}", "", "{}");
}

/* Upstream's own twin: its JSON has the keys where they were meant. */
TEST(guest_config__vector_cdh_json__is_read)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, NULL, shared_text(CDH_VECTOR ".json"), NULL, NULL, NULL, &e), 0);
	CHECK_INT(c.n_credentials, 2);
	CHECK_INT(c.unknown.n, 0);
	CHECK(c.image.n_roots == 1 && strcmp(c.image.work_dir, "/run/image-rs") == 0);
	CHECK(c.image.policy && c.image.registry && c.origin[KEY_IMAGE_POLICY].line == 0);
	guest_config_done(&c);
}

TEST(guest_config__peers_leniency__is_ours_too)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c,
			     "[Token_Configs.KBS]\nURL = \"https://h\"\nTee_Key_Algorithm = \"RSA-OAEP-256\"\n"
			     "[eventlog_config]\ninit_pcr = \"15\"\nenable_eventlog = \"Yes\"\n",
			     "SKIP_SEALED_SECRET_VERIFICATION = 1\n[[Credentials]]\nPath = \"" CREDENTIAL_DIR
			     "/a\"\nResource_URI = \"kbs:///a/b/c\"\n[IMAGE.Registry_Config]\n"
			     "Unqualified-Search-Registries = [\"x\"]\n",
			     NULL, NULL, NULL, &e),
		  0);
	CHECK(strcmp(c.kbs_url, "https://h") == 0 && c.key_alg == TEEKEY_RSA);
	CHECK(c.has_init_pcr && c.init_pcr == 15 && c.eventlog_enabled);
	CHECK(c.skip_sealed_verification && c.n_credentials == 1 && c.image.registry);
	CHECK_INT(c.unknown.n, 0);
	guest_config_done(&c);
}

TEST(guest_config__log_level__is_that_of_a_tracing_filter)
{
	static const struct {
		const char *aa, *cdh;
		enum log_level want;
	} rows[] = {
		{ "log.level = \"DEBUG\"\n", "log.level = \"error\"\n", LOG_LEVEL_DEBUG },
		{ NULL, "log.level = \"error\"\n", LOG_LEVEL_ERROR },
		{ "log.level = \"tower=trace,warn\"\n", NULL, LOG_LEVEL_WARN },
		{ "log.level = \"trace\"\n", NULL, LOG_LEVEL_DEBUG },
		{ "log.level = \"attestation_agent=debug\"\n", NULL, LOG_LEVEL_INFO },
		{ "log.level = \"off\"\n", NULL, LOG_LEVEL_ERROR },
		{ "log.level = \"2\"\n", NULL, LOG_LEVEL_WARN },
		{ "log.level = \"\"\n", NULL, LOG_LEVEL_INFO },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_config c = { 0 };
		struct err e = { 0 };

		CHECK_INT(load_texts(&c, rows[i].aa, rows[i].cdh, NULL, NULL, NULL, &e), 0);
		if (c.log_level != rows[i].want)
			test_fail(__FILE__, __LINE__, "row %zu: %d", i, (int)c.log_level);
		guest_config_done(&c);
	}
}

TEST(guest_config__own_new_keys__are_read)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, NULL, NULL,
			     "[image_pull]\ndelegate = \"unix:///run/up.sock\"\n[rest]\n"
			     "token_without_key = true\n", NULL, NULL, &e),
		  0);
	CHECK(strcmp(c.image_pull_delegate, "unix:///run/up.sock") == 0 && c.rest_token_without_key);
	CHECK_INT(c.origin[KEY_DELEGATE].line, 2);
	guest_config_done(&c);
}

TEST(guest_config__unknown_keys__are_collected_and_counted)
{
	cleanup_buf struct buf many = BUF_MAX(65536);
	struct guest_config c = { 0 };
	struct err e = { 0 };

	buf_puts(&many, "[token_configs.kbs]\nulr = \"x\"\n\"token_configs.kbs.url\" = \"http://x\"\n"
			"[log]\n\"level.x\" = 1\n");
	for (int i = 0; i < CONFIG_REMARKS_MAX; i++)
		buf_printf(&many, "k%d = 1\n", i);
	CHECK_INT(load_texts(&c, buf_str(&many), NULL, NULL, NULL, NULL, &e), 0);
	CHECK(c.kbs_url == NULL);
	CHECK_INT(c.unknown.n, CONFIG_REMARKS_MAX);
	CHECK_INT(c.unknown.more, 3);
	CHECK(strcmp(c.unknown.text[0], "aa.toml line 2: token_configs.kbs.ulr") == 0);
	guest_config_done(&c);
}

TEST(guest_config__malformed_texts__are_named)
{
	static const struct {
		const char *aa, *cdh, *own;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ "[log]\nlevel = \"info\"\nLevel = \"warn\"\n", NULL, NULL, CODE_CONFIG_VALUE, "level stands there twice" },
		{ "[log]\n[LOG]\n", NULL, NULL, CODE_CONFIG_VALUE, "log stands there twice" },
		{ "{\"log\":{},}", NULL, NULL, CODE_CONFIG_SYNTAX, "aa.toml in the initdata" },
		{ "{} x", NULL, NULL, CODE_CONFIG_SYNTAX, "bytes behind" },
		{ "{\"log\":{\"level\":\"a\",\"level\":\"b\"}}", NULL, NULL, CODE_CONFIG_SYNTAX, "twice" },
		{ "{\"eventlog_config\":{\"init_pcr\":1.5}}", NULL, NULL, CODE_CONFIG_VALUE, "a float, want a number" },
		{ "eventlog_config.init_pcr = 24\n", NULL, NULL, CODE_CONFIG_VALUE, "allowed 0..23" },
		{ "eventlog_config.init_pcr = -1\n", NULL, NULL, CODE_CONFIG_VALUE, "allowed 0..23" },
		{ "eventlog_config.init_pcr = \"+1\"\n", NULL, NULL, CODE_CONFIG_VALUE, "want a number" },
		{ "eventlog_config.init_pcr = \"\"\n", NULL, NULL, CODE_CONFIG_VALUE, "want a number" },
		{ "eventlog_config.enable_eventlog = 2\n", NULL, NULL, CODE_CONFIG_VALUE, "true or false" },
		{ "token_configs.coco_as.url = \"127.0.0.1\"\n", NULL, NULL, CODE_CONFIG_VALUE, "coco_as.url" },
		{ "log = \"info\"\n", NULL, NULL, CODE_CONFIG_VALUE, "log.level" },
		{ NULL, "kbc.name = \"cc\"\n", NULL, CODE_CONFIG_VALUE, "cc_kbc or offline_fs_kbc" },
		{ NULL, "socket = \"127.0.0.1:50000\"\n", NULL, CODE_CONFIG_VALUE, "unix:///" },
		{ NULL, "aa.aa_socket = 1\n", NULL, CODE_CONFIG_VALUE, "aa.aa_socket" },
		{ NULL, "image = 1\n", NULL, CODE_CONFIG_VALUE, "image" },
		{ NULL, "image.work_dir = 1\n", NULL, CODE_CONFIG_VALUE, "work_dir" },
		{ NULL, "image.max_concurrent_layer_downloads_per_image = 65\n", NULL, CODE_CONFIG_VALUE, "0..64" },
		{ NULL, "image.extra_root_certificates = \"x\"\n", NULL, CODE_CONFIG_VALUE, "extra_root" },
		{ NULL, "image.registry_config = 1\n", NULL, CODE_CONFIG_VALUE, "registry_config" },
		{ NULL, "image.registry_config.registry = [1]\n", NULL, CODE_CONFIG_VALUE, "want tables" },
		{ NULL, "[[image.registry_config.registry]]\nblocked = \"maybe\"\n", NULL, CODE_CONFIG_VALUE, "blocked" },
		{ NULL, "[[image.registry_config.registry]]\n[[image.registry_config.registry.mirror]]\n", NULL,
		  CODE_CONFIG_VALUE, "location" },
		{ NULL, "credentials = 1\n", NULL, CODE_CONFIG_VALUE, "want an array" },
		{ NULL, "credentials = [1]\n", NULL, CODE_CONFIG_VALUE, "want tables" },
		{ NULL, "[[credentials]]\n", NULL, CODE_CONFIG_VALUE, "path and resource_uri" },
		{ NULL, "[[credentials]]\npath = \"" CREDENTIAL_DIR "/a\"\n", NULL, CODE_CONFIG_VALUE, "path and resource_uri" },
		{ NULL, "{\"credentials\":[null]}", NULL, CODE_CONFIG_VALUE, "want tables" },
		{ NULL, NULL, "[image_pull]\ndelegate = \"vsock://1\"\n", CODE_CONFIG_VALUE, "unix:///" },
		{ NULL, NULL, "[rest]\ntoken_without_key = \"yes\"\n", CODE_CONFIG_VALUE, "token_without_key" },
		{ NULL, NULL, "[REST]\n", CODE_CONFIG_UNKNOWN_KEY, "REST" },
		{ NULL, NULL, "\"net.proxy\" = \"http://x\"\n", CODE_CONFIG_UNKNOWN_KEY, "net.proxy" },
		{ NULL, NULL, "\"sealed.bind.A\" = \"kbs:///a/b/c\"\n", CODE_CONFIG_UNKNOWN_KEY, "sealed.bind.A" },
		{ NULL, NULL, "{}", CODE_CONFIG_SYNTAX, "vouchsafe.toml" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_config c = { .n_hosts = 77 };
		struct err e = { 0 };

		if (load_texts(&c, rows[i].aa, rows[i].cdh, rows[i].own, NULL, NULL, &e) >= 0)
			test_fail(__FILE__, __LINE__, "row %zu is accepted", i);
		if (e.code != rows[i].code || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %s: %s", i, err_name(&e), e.msg);
		CHECK_INT(c.n_hosts, 77);
	}
}

TEST(guest_config__credential_paths__stay_below_their_folder)
{
	static const struct {
		const char *path;
		bool fine;
	} rows[] = {
		{ CREDENTIAL_DIR "/a", true },
		{ CREDENTIAL_DIR "/a.b/..c/d", true },
		{ CREDENTIAL_DIR, false },
		{ CREDENTIAL_DIR "/", false },
		{ CREDENTIAL_DIR "x/a", false },
		{ CREDENTIAL_DIR "/a/", false },
		{ CREDENTIAL_DIR "/a//b", false },
		{ CREDENTIAL_DIR "/./a", false },
		{ CREDENTIAL_DIR "/a/..", false },
		{ CREDENTIAL_DIR "/../a", false },
		{ CREDENTIAL_DIR "/a b", false },
		{ CREDENTIAL_DIR "/a\\u0001", false },
		{ "/etc/passwd", false },
		{ "/run/../run/confidential-containers/cdh/kbs/a", false },
		{ "", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_config c = { 0 };
		struct err e = { 0 };
		char text[512];
		int r;

		(void)snprintf(text, sizeof text,
			       "[[credentials]]\nresource_uri = \"kbs:///a/b/c\"\npath = \"%s\"\n", rows[i].path);
		r = load_texts(&c, NULL, text, NULL, NULL, NULL, &e);
		if ((r == 0) != rows[i].fine || (r < 0 && e.code != CODE_CONFIG_VALUE))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s", i, r, e.msg);
		guest_config_done(&c);
	}
}
