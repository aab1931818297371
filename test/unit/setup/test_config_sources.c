/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/version.h"
#include "agent/setup/guest.h"
#include "test/unit/setup/texts.h"

#define KBC        "agent.aa_kbc_params=cc_kbc::http://[fd00::1]:8080"
#define RESOURCES  "cdh.kbs_resources=kbs:///x/y/z::" CREDENTIAL_DIR "/z"
#define PROXY      "agent.https_proxy=http://line:1"
#define POLICY     "agent.image_policy_file=kbs:///p/o/l"
#define WHY        "it is not on dm-verity"

/* initdata comes before the command line, and that before the default. */
TEST(config_sources__each_combination__has_one_winner)
{
	static const struct {
		const char *aa, *cdh, *line, *unmeasured;
		const char *want[3];
		const char *ignored; /* words of the first remark, NULL: there is none */
	} rows[] = {
		{ NULL, NULL, NULL, NULL, { "token_configs.kbs.url=none|default:0|-", "credentials=none|default" }, NULL },
		{ NULL, NULL, KBC " " RESOURCES, NULL,
		  { "token_configs.kbs.url=http://[fd00::1]:8080|kernel command line:0|y",
		    "credentials=" CREDENTIAL_DIR "/z = kbs:///x/y/z|kernel command line:0|y" }, NULL },
		{ NULL, NULL, KBC " " RESOURCES, WHY, { "token_configs.kbs.url=none|default", "credentials=none|default" },
		  "agent.aa_kbc_params, because " WHY },
		{ "[token_configs.kbs]\nurl = \"https://i\"\n", NULL, KBC, NULL,
		  { "token_configs.kbs.url=https://i|initdata aa.toml:2|y" }, "because the initdata says it" },
		/* Even an empty text is the initdata's word. */
		{ "[token_configs.kbs]\nurl = \"\"\n", NULL, KBC, NULL,
		  { "token_configs.kbs.url=none|initdata aa.toml:2|y" }, "because the initdata says it" },
		{ NULL, "kbc.name = \"cc_kbc\"\n", KBC, NULL, { "token_configs.kbs.url=none|default" },
		  "because the initdata says it" },
		{ NULL, "[kbc]\nname = \"cc_kbc\"\nurl = \"https://c\"\n", KBC, NULL,
		  { "token_configs.kbs.url=https://c|initdata cdh.toml:3|y" }, "because the initdata says it" },
		{ "[token_configs.kbs]\nurl = \"\"\n", "[kbc]\nname = \"cc_kbc\"\nurl = \"https://c\"\n", KBC, NULL,
		  { "token_configs.kbs.url=https://c|initdata cdh.toml:3|y" }, "because the initdata says it" },
		/* A pinned certificate goes with whatever URL there is. */
		{ "[token_configs.kbs]\ncert = \"C\"\n", NULL, KBC, NULL,
		  { "token_configs.kbs.url=http://[fd00::1]:8080|kernel command line",
		    "token_configs.kbs.cert=no PEM certificate (1 bytes)|initdata aa.toml:2|y" }, NULL },
		{ NULL, "credentials = []\n", RESOURCES, NULL, { "credentials=an empty list|initdata cdh.toml:1|y" },
		  "because the initdata says it" },
		{ NULL, NULL, PROXY, NULL, { "image.image_pull_proxy.https_proxy=http://line:1|kernel command line" }, NULL },
		{ NULL, "[image]\n", PROXY, NULL, { "image.image_pull_proxy.https_proxy=none|default" },
		  "because the initdata says it" },
		{ NULL, NULL, POLICY, NULL, { "image.image_security_policy_uri=none|default" },
		  "agent.enable_signature_verification=true" },
		{ NULL, NULL, POLICY " agent.enable_signature_verification=true", NULL,
		  { "image.image_security_policy_uri=kbs:///p/o/l|kernel command line" }, NULL },
		{ "[token_configs.kbs]\nurl = \"https://a\"\n", "[kbc]\nname = \"cc_kbc\"\nurl = \"https://b\"\n", NULL, NULL,
		  { "token_configs.kbs.url=https://a|initdata aa.toml:2" }, "kbc.url" },
		/* What does not count need not be right. */
		{ NULL, NULL, "agent.aa_kbc_params=nonsense", WHY, { "token_configs.kbs.url=none" }, WHY },
		{ NULL, NULL, KBC " " KBC, WHY, { "token_configs.kbs.url=none" }, WHY },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf shown = BUF_MAX(65536);
		struct guest_config c = { 0 };
		struct err e = { 0 };

		if (load_texts(&c, rows[i].aa, rows[i].cdh, NULL, rows[i].line, rows[i].unmeasured, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		config_explain(&c, true, show_all, &shown);
		for (size_t k = 0; k < 3 && rows[i].want[k]; k++)
			if (!has(&shown, rows[i].want[k]))
				test_fail(__FILE__, __LINE__, "row %zu", i);
		if ((c.ignored.n > 0) != (rows[i].ignored != NULL) ||
		    (c.ignored.n > 0 && !strstr(c.ignored.text[0], rows[i].ignored)))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, c.ignored.n ? c.ignored.text[0] : "nothing");
		guest_config_done(&c);
	}
}

TEST(config_sources__malformed_command_line_that_counts__is_an_error)
{
	static const struct {
		const char *line, *words;
	} rows[] = {
		{ "agent.aa_kbc_params=nonsense", "NAME::URL" },
		{ "agent.aa_kbc_params=x::http://h", "cc_kbc or offline_fs_kbc" },
		{ "agent.aa_kbc_params=cc_kbc::ftp://h", "http://" },
		{ KBC " " KBC, "given twice" },
		{ "cdh.kbs_resources=kbs:///a/b/c", "URI::PATH" },
		{ "cdh.kbs_resources=kbs:///a/b/c::/etc/passwd", "is not below" },
		{ "cdh.kbs_resources=http://x::" CREDENTIAL_DIR "/a", "cdh.kbs_resources" },
		{ RESOURCES ",kbs:///a/b/c::" CREDENTIAL_DIR "/../x", "segment" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_config c = { .n_hosts = 77 };
		struct err e = { 0 };

		CHECK_ERR(load_texts(&c, NULL, NULL, NULL, rows[i].line, NULL, &e), ERR_FORMAT, e, rows[i].words);
		CHECK_INT(e.code, CODE_CONFIG_VALUE);
		CHECK_INT(c.n_hosts, 77);
	}
}

TEST(config_sources__several_resources__are_all_credentials)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, NULL, NULL, NULL, RESOURCES ",kbs:///a/b/c::" CREDENTIAL_DIR "/d/e,", NULL, &e), 0);
	CHECK_INT(c.n_credentials, 2);
	CHECK(strcmp(c.credentials[1].path, CREDENTIAL_DIR "/d/e") == 0);
	CHECK(strcmp(c.credentials[1].uri, "kbs:///a/b/c") == 0);
	guest_config_done(&c);
}

TEST(config_explain__unbound_initdata__is_not_measured)
{
	cleanup_buf struct buf shown = BUF_MAX(65536);
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load_texts(&c, "[token_configs.kbs]\nurl = \"https://i\"\n", NULL, NULL, NULL, NULL, &e), 0);
	config_explain(&c, false, show_all, &shown);
	CHECK(has(&shown, "token_configs.kbs.url=https://i|initdata aa.toml:2|n\n"));
	guest_config_done(&c);
}

TEST(config_explain__passwords_and_long_texts__are_not_shown)
{
	cleanup_buf struct buf shown = BUF_MAX(65536), own = BUF_MAX(4096), cdh = BUF_MAX(4096);
	struct guest_config c = { 0 };
	struct err e = { 0 };

	buf_puts(&own, "[net]\nproxy = \"http://user:canary@proxy:1/x@y\"\nno_proxy = \"x");
	for (int i = 0; i < 150; i++)
		buf_puts(&own, "\xc3\xa4");
	buf_puts(&own, "\"\n");
	buf_puts(&cdh, "image.image_security_policy = \"canary\"\n"
		       "image.image_pull_proxy.http_proxy = \"http://canary@h\"\n");
	CHECK_INT(load_texts(&c, NULL, buf_str(&cdh), buf_str(&own), NULL, NULL, &e), 0);
	config_explain(&c, true, show_value, &shown);
	CHECK(!strstr(buf_str(&shown), "canary"));
	CHECK(has(&shown, "net.proxy=http://***@proxy:1/x@y\n"));
	CHECK(has(&shown, "\xa4... (301 bytes)\n"));
	CHECK(has(&shown, "image.image_security_policy=a text of 6 bytes\n"));
	CHECK(has(&shown, "image.image_pull_proxy.http_proxy=http://***@h\n"));
	guest_config_done(&c);
}

TEST(config_put_certificates__damaged__is_said)
{
	static const struct {
		const char *pem, *want;
	} rows[] = {
		{ "", "no PEM certificate (0 bytes)" },
		{ "-----BEGIN CERTIFICATE-----\nAAAA", "no PEM certificate (32 bytes)" },
		{ "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", "a damaged certificate" },
		{ "-----BEGIN CERTIFICATE-----\r\nYQ==\r\n-----END CERTIFICATE-----\n"
		  "-----BEGIN CERTIFICATE-----\nYg==\n-----END CERTIFICATE-----\n",
		  "SHA-256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, "
		  "SHA-256 3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(1024);

		config_put_certificates(&b, rows[i].pem);
		if (strcmp(buf_str(&b), rows[i].want) != 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, buf_str(&b));
	}
}

TEST(image_explain__unmeasured_file__is_named_as_such)
{
	cleanup_buf struct buf shown = BUF_MAX(4096);
	static char root[] = "/tmp/vouchsafe-test-XXXXXX";
	struct image_settings s;
	struct err e = { 0 };
	char path[128];

	CHECK(!version_is_dev && mkdtemp(root) != NULL);
	(void)snprintf(path, sizeof path, "%s/usr/lib/vouchsafe", root);
	CHECK_INT(fs_mkdirs(path, 0755, &e), 0);
	(void)snprintf(path, sizeof path, "%s/usr/lib/vouchsafe/vouchsafe.toml", root);
	CHECK_INT(fs_write(path, view_str("[tpm]\ndevice = \"/dev/tpm1\"\n"), 0644, &e), 0);
	CHECK_INT(measured_load(&s, root, &e), 0);
	image_explain(&s, show_all, &shown);
	CHECK(has(&shown, "tpm.device=/dev/tpm1|image vouchsafe.toml:2|n\n"));
	CHECK(has(&shown, "initdata.pcr=8|default:0|-\n"));
	CHECK(has(&shown, "permit.sample=false|default:0|-\n"));
}

static int open_config(struct guest *g, const char *cdh, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(4096);

	buf_puts(&b, "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n\"cdh.toml\" = ");
	toml_put_string(&b, view_str(cdh));
	buf_putc(&b, '\n');
	initdata_done(&g->initdata);
	guest_config_done(&g->config);
	CHECK_INT(initdata_load_text(&g->initdata, buf_view(&b), e), 0);
	return guest_open_config(g, e);
}

TEST(guest_open_config__command_line__counts_only_on_a_measured_image)
{
	static struct guest g;
	char path[300];
	struct err e = { 0 };

	(void)snprintf(g.root, sizeof g.root, "/tmp/vouchsafe-test-XXXXXX");
	(void)snprintf(g.image.why_not, sizeof g.image.why_not, WHY);
	CHECK(mkdtemp(g.root) != NULL);
	CHECK_INT(open_config(&g, "", &e), 0); /* no /proc: nothing to add */
	(void)snprintf(path, sizeof path, "%s/proc", g.root);
	CHECK_INT(fs_mkdirs(path, 0755, &e), 0);
	(void)snprintf(path, sizeof path, "%s/proc/cmdline", g.root);
	CHECK_INT(fs_write(path, view_str("ro " KBC "\n"), 0644, &e), 0);
	CHECK_INT(open_config(&g, "", &e), 0);
	CHECK(!g.config.kbs_url && strstr(g.config.ignored.text[0], WHY));
	g.image.measured = true;
	CHECK_INT(open_config(&g, "", &e), 0);
	CHECK(strcmp(g.config.kbs_url, "http://[fd00::1]:8080") == 0);
	CHECK_INT(fs_write(path, view_str("a=\"b\n"), 0644, &e), 0);
	CHECK_ERR(open_config(&g, "", &e), ERR_FORMAT, e, "quote without end");
	CHECK_INT(e.code, CODE_CONFIG_SYNTAX);
	g.image.measured = false;
	CHECK_INT(open_config(&g, "", &e), 0);
	CHECK_ERR(open_config(&g, "kbc.name = \"offline_fs_kbc\"\n", &e), ERR_DENIED, e, "offline_fs_kbc");
	CHECK_INT(e.code, CODE_CONFIG_NOT_PERMITTED);
	initdata_done(&g.initdata);
	guest_config_done(&g.config);
}
