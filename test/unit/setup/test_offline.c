/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/setup/offline.h"
#include "test/test.h"

#include <stdio.h>

static char root[] = "/tmp/vouchsafe-test-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[128];
	struct err e;

	(void)snprintf(path, sizeof path, "%s/etc", root);
	CHECK_INT(fs_mkdirs(path, 0755, &e), 0);
	(void)snprintf(path, sizeof path, "%s/etc/aa-offline_fs_kbc-%s.json", root, name);
	CHECK_INT(fs_write(path, view_str(text), 0644, &e), 0);
}

static int find(struct secret *out, const char *uri, struct err *e)
{
	struct uri u;

	CHECK_INT(uri_parse(&u, view_str(uri), e), 0);
	return offline_find(root, out, &u, e);
}

TEST(offline_find__two_files__are_read_afresh_and_the_last_wins)
{
	cleanup_secret struct secret s = { 0 };
	struct err e = { 0 };

	CHECK(mkdtemp(root) != NULL);
	CHECK_ERR(find(&s, "kbs:///a/b/c", &e), ERR_NOTFOUND, e, "a/b/c");
	CHECK_INT(e.code, CODE_KBS_NOT_FOUND);
	put("keys", "{\"a/b/c\": \"b25l\", \"a/b/d\": \"\"}");
	CHECK_INT(find(&s, "kbs:///a/b/c", &e), 0);
	CHECK(secret_eq(&s, "one", 3));
	CHECK_INT(find(&s, "kbs://any.host:1/a/b/d", &e), 0);
	CHECK_INT(s.len, 0);
	put("resources", "{\"a/b/c\": \"dHdv\"}");
	CHECK_INT(find(&s, "kbs:///a/b/c", &e), 0);
	CHECK(secret_eq(&s, "two", 3));
	CHECK_ERR(find(&s, "kbs+plugin:///a/b/c", &e), ERR_NOTFOUND, e, "plugin");
	CHECK(secret_eq(&s, "two", 3));
}

TEST(offline_find__malformed__is_named_without_its_value)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "[]", "object" },
		{ "{\"a/b/c\": 1}", "\"a/b/c\" is no string" },
		{ "{\"a/b/c\": \"b25l\", \"x\": \"c2VjcmV0*\"}", "\"x\"" },
		{ "{\"a/b/c\": \"b25l\", \"x\": \"c2VjcmV\"}", "\"x\"" },
		{ "{\"a/b/c\": \"c2VjcmV0\",}", "keys.json" },
		{ "", "keys.json" },
	};

	CHECK(mkdtemp(root) != NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secret struct secret s = { 0 };
		struct err e = { 0 };

		put("keys", rows[i].text);
		CHECK_ERR(find(&s, "kbs:///a/b/c", &e), ERR_FORMAT, e, rows[i].words);
		CHECK_INT(e.code, CODE_CONFIG_SYNTAX);
		CHECK(!strstr(e.msg, "c2Vj") && s.p == NULL);
	}
}

TEST(offline_find__upstreams_files__give_their_keys)
{
	cleanup_buf struct buf b = BUF_MAX(65536);
	cleanup_secret struct secret s = { 0 };
	struct err e = { 0 };

	CHECK_INT(fs_read(&b, test_shared("local/kbc-offline/image-rs-keys.json"), 65536, &e), 0);
	CHECK(mkdtemp(root) != NULL);
	put("keys", buf_str(&b));
	CHECK_INT(find(&s, "kbs:///default/key/ssh-demo", &e), 0);
	CHECK_INT(s.len, 32);
	buf_reset(&b);
	CHECK_INT(fs_read(&b, test_shared("local/kbc-offline/podvm-aa-offline_fs_kbc-keys.json"), 65536,
			  &e), 0);
	put("keys", buf_str(&b));
	CHECK_INT(find(&s, "kbs:///default/key/ssh-demo", &e), -(int)ERR_NOTFOUND);
}

TEST(offline_resource__normal_build__is_not_permitted)
{
	static struct guest g;
	cleanup_secret struct secret s = { 0 };
	struct err e = { 0 };
	struct uri u;

	g.config.offline = true;
	CHECK_INT(uri_parse(&u, view_str("kbs:///a/b/c"), &e), 0);
	CHECK_ERR(offline_resource(&g, &s, &u, &e), ERR_DENIED, e, "offline_fs_kbc");
	CHECK_INT(e.code, CODE_CONFIG_NOT_PERMITTED);
}
