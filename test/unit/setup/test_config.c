/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/version.h"
#include "agent/setup/guest.h"
#include "agent/setup/measured.h"
#include "test/test.h"

#include <stdio.h>

/* An initdata whose [data] holds these texts (NULL: absent). */
static struct initdata initdata(const char *aa, const char *cdh, const char *own)
{
	cleanup_buf struct buf b = BUF_MAX(65536);
	struct initdata d = { 0 };
	struct err e = { 0 };
	const char *const keys[] = { "aa.toml", "cdh.toml", "vouchsafe.toml" };
	const char *const texts[] = { aa, cdh, own };

	buf_puts(&b, "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!texts[i])
			continue;
		buf_printf(&b, "\"%s\" = ", keys[i]);
		toml_put_string(&b, view_str(texts[i]));
		buf_putc(&b, '\n');
	}
	if (initdata_load_text(&d, buf_view(&b), &e) < 0)
		test_fail(__FILE__, __LINE__, "%s in %s", e.msg, buf_str(&b));
	return d;
}

static int load(struct guest_config *c, const char *aa, const char *cdh, const char *own, struct err *e)
{
	cleanup_initdata struct initdata d = initdata(aa, cdh, own);

	return guest_config_load(c, &d, e);
}

TEST(guest_config__full__is_read)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load(&c,
		       "[token_configs.kbs]\nurl = \"https://kbs:8080/\"\ncert = \"PEM\"\n"
		       "tee_key_algorithm = \"RSA-OAEP-256\"\nunknown = 1\n",
		       "skip_sealed_secret_verification = true\n",
		       "[trust]\nallow_http_anchors = true\nhosts = [\"other:1\"]\n"
		       "[sealed]\nkids = [\"kbs:///a/b/c\"]\nbind = { A = \"kbs:///x/y/z\" }\n"
		       "[peers]\nuids = [1000, 0]\n[net]\nproxy = \"http://p:1\"\nno_proxy = \"x\"\n",
		       &e),
		  0);
	CHECK(strcmp(c.kbs_url, "https://kbs:8080/") == 0);
	CHECK(strcmp(c.kbs_cert, "PEM") == 0);
	CHECK_INT(c.key_alg, TEEKEY_RSA);
	CHECK(!c.plain_http && c.skip_sealed_verification && c.allow_http_anchors);
	CHECK(c.n_hosts == 1 && c.n_kids == 1 && c.n_bind == 1 && c.n_peer_uids == 2);
	CHECK(strcmp(c.bind_names[0], "A") == 0 && strcmp(c.bind_uris[0], "kbs:///x/y/z") == 0);
	CHECK(c.peer_uids[0] == 1000 && strcmp(c.proxy, "http://p:1") == 0);
	guest_config_done(&c);
}

TEST(guest_config__nothing__has_no_trustee)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load(&c, NULL, NULL, NULL, &e), 0);
	CHECK(c.kbs_url == NULL && !c.skip_sealed_verification);
	guest_config_done(&c);
	CHECK_INT(load(&c, "[token_configs.kbs]\nurl = \"\"\ncert = \"\"\n", NULL, NULL, &e), 0);
	CHECK(c.kbs_url == NULL && c.kbs_cert == NULL);
	guest_config_done(&c);
}

TEST(guest_config__only_cdh__names_the_trustee)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load(&c, NULL, "[kbc]\nname = \"cc_kbc\"\nurl = \"http://kbs\"\nkbs_cert = \"C\"\n",
		       NULL, &e),
		  0);
	CHECK(strcmp(c.kbs_url, "http://kbs") == 0 && c.plain_http && strcmp(c.kbs_cert, "C") == 0);
	guest_config_done(&c);
}

TEST(guest_config__cdh_of_another_trustee__gives_no_certificate)
{
	struct guest_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(load(&c, "[token_configs.kbs]\nurl = \"https://one\"\n",
		       "[kbc]\nname = \"cc_kbc\"\nurl = \"https://two\"\nkbs_cert = \"C\"\n", NULL, &e),
		  0);
	CHECK(strcmp(c.kbs_url, "https://one") == 0 && c.kbs_cert == NULL);
	guest_config_done(&c);
}

TEST(guest_config__malformed__is_named_and_leaves_out_untouched)
{
	static const struct {
		const char *aa, *cdh, *own;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ "x = \n", NULL, NULL, CODE_CONFIG_SYNTAX, "aa.toml in the initdata: line 1" },
		{ NULL, "[", NULL, CODE_CONFIG_SYNTAX, "cdh.toml" },
		{ NULL, NULL, "]", CODE_CONFIG_SYNTAX, "vouchsafe.toml" },
		{ "[token_configs.kbs]\nurl = 1\n", NULL, NULL, CODE_CONFIG_VALUE, "url is" },
		{ "token_configs = 1\n", NULL, NULL, CODE_CONFIG_VALUE, "token_configs" },
		{ "[token_configs.kbs]\nurl = \"ftp://x\"\n", NULL, NULL, CODE_CONFIG_VALUE, "http://" },
		{ "[token_configs.kbs]\nurl = \"http://x\"\ntee_key_algorithm = \"RSA1_5\"\n", NULL, NULL,
		  CODE_CONFIG_VALUE, "tee_key_algorithm" },
		{ NULL, "skip_sealed_secret_verification = \"maybe\"\n", NULL, CODE_CONFIG_VALUE, "skip" },
		{ NULL, NULL, "[trust]\nhost = []\n", CODE_CONFIG_UNKNOWN_KEY, "line 2: unknown key trust.host" },
		{ NULL, NULL, "seald = 1\n", CODE_CONFIG_UNKNOWN_KEY, "seald" },
		{ NULL, NULL, "[sealed]\nbind = { A = \"http://x\" }\n", CODE_CONFIG_VALUE, "sealed.bind A" },
		{ NULL, NULL, "[sealed]\nbind = 1\n", CODE_CONFIG_UNKNOWN_KEY, "sealed.bind" },
		{ NULL, NULL, "[sealed]\nkids = [1]\n", CODE_CONFIG_VALUE, "strings only" },
		{ NULL, NULL, "[peers]\nuids = [-1]\n", CODE_CONFIG_VALUE, "user ids" },
		{ NULL, NULL, "[peers]\nuids = [4294967295]\n", CODE_CONFIG_VALUE, "user ids" },
		{ NULL, NULL, "[net]\nproxy = true\n", CODE_CONFIG_VALUE, "net.proxy" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_config c = { .n_hosts = 77 };
		struct err e = { 0 };

		if (load(&c, rows[i].aa, rows[i].cdh, rows[i].own, &e) >= 0)
			test_fail(__FILE__, __LINE__, "row %zu is accepted", i);
		if (e.code != rows[i].code || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %s: %s", i, err_name(&e), e.msg);
		CHECK_INT(c.n_hosts, 77);
	}
}

static const char *image(const char *text)
{
	static char root[] = "/tmp/vouchsafe-test-XXXXXX";
	char path[256];
	struct err e = { 0 };

	CHECK(mkdtemp(root) != NULL);
	(void)snprintf(path, sizeof path, "%s/usr/lib/vouchsafe", root);
	CHECK_INT(fs_mkdirs(path, 0755, &e), 0);
	(void)snprintf(path, sizeof path, "%s/usr/lib/vouchsafe/vouchsafe.toml", root);
	CHECK_INT(fs_write(path, view_str(text), 0644, &e), 0);
	return root;
}

TEST(measured_load__no_file__is_the_defaults_without_permits)
{
	struct image_settings s;
	struct err e = { 0 };

	CHECK_INT(measured_load(&s, "/no/such/root", &e), 0);
	CHECK(!s.present && !s.measured && !s.unbound && !s.sample && !s.swtpm && !s.allow_swap &&
	      !s.debug);
	CHECK(strcmp(s.tpm, "/dev/tpmrm0") == 0 && s.ak_handle == 0x81010002 && s.initdata_pcr == 8);
	CHECK(strstr(s.why_not, "not there") != NULL);
}

TEST(measured_load__unmeasured_file__may_choose_a_device_but_no_permit)
{
	struct image_settings s = { .initdata_pcr = 99 };
	struct err e = { 0 };

	CHECK(!version_is_dev);
	CHECK_INT(measured_load(&s, image("[tpm]\ndevice = \"/dev/tpm1\"\nak_handle = 0x81010003\n"), &e), 0);
	CHECK(s.present && !s.measured && strstr(s.why_not, "dm-verity"));
	CHECK(strcmp(s.tpm, "/dev/tpm1") == 0 && s.ak_handle == 0x81010003);
}

TEST(measured_load__permit_in_an_unmeasured_file__is_refused)
{
	static const char *const texts[] = {
		"[permit]\nsample = true\n",     "[permit]\nunbound = true\n", "[permit]\nswtpm = true\n",
		"[permit]\nallow_swap = true\n", "[permit]\ndebug = true\n",   "[initdata]\npcr = 11\n",
	};
	/* One row a process: image() makes one folder. */
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct image_settings s = { .initdata_pcr = 99 };
		struct err e = { 0 };
		char path[256];
		static const char *root;

		if (!root)
			root = image("");
		(void)snprintf(path, sizeof path, "%s/usr/lib/vouchsafe/vouchsafe.toml", root);
		CHECK_INT(fs_write(path, view_str(texts[i]), 0644, &e), 0);
		CHECK_ERR(measured_load(&s, root, &e), ERR_VERIFY, e, "dm-verity");
		CHECK_INT(e.code, CODE_CONFIG_UNMEASURED);
		CHECK_INT(s.initdata_pcr, 99);
	}
}

TEST(measured_load__unknown_key_or_syntax__is_named)
{
	struct image_settings s;
	struct err e = { 0 };

	CHECK_INT(measured_load(&s, image("[permits]\nsample = false\n"), &e), -ERR_FORMAT);
	CHECK_INT(e.code, CODE_CONFIG_UNKNOWN_KEY);
}
