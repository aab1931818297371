/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/secrets/sealed.h"
#include "test/test.h"

#include <stdio.h>
#include <sys/stat.h>

/* Every sealed secret of vectors/local/sealed-secret, as the data hub's caller would send it. */

#define LOCAL_KID "test-key" /* of own-vault-localkid.txt */

static const char *key_file;

static int give(struct secret *out, struct view v, struct err *e)
{
	int r = secret_alloc(out, v.len, e);

	return r < 0 ? r : secret_append(out, v.p, v.len, e);
}

static int resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		    struct err *e)
{
	(void)ctx;
	(void)d;
	return give(out, view_str(uri->text), e);
}

static int signing_key(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		       struct err *e)
{
	cleanup_buf struct buf key = BUF_MAX(4096);

	(void)ctx;
	(void)uri;
	(void)d;
	CHECK_INT(fs_read(&key, test_shared(key_file), 4096, e), 0);
	return give(out, buf_view(&key), e);
}

static int unseal(struct secret *out, const char *file, const char *dir, bool skip, struct err *e)
{
	const struct sealed_rules rules = { .resource = resource, .signing_key = signing_key,
					    .credential_dir = dir, .kbs_keys_allowed = true,
					    .skip_verification = skip };
	cleanup_buf struct buf text = BUF_MAX(65536);
	char path[256];

	(void)snprintf(path, sizeof path, "local/sealed-secret/%s", file);
	CHECK_INT(fs_read(&text, test_shared(path), 65536, e), 0);
	return sealed_unseal(out, &rules, NULL, buf_view(&text), deadline_in(1000), e);
}

TEST(sealed_unseal__shared_secrets_with_their_key__are_opened)
{
	static const struct {
		const char *file, *key;
	} rows[] = {
		{ "kata-precreated-test.txt", "local/sealed-secret/kata-signing-public.jwk" },
		{ "own-vault-kbskid.txt", "local/sealed-secret/test-key.json" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secret struct secret out = { 0 };
		struct err e = { 0 };

		key_file = rows[i].key;
		if (unseal(&out, rows[i].file, NULL, false, &e) < 0)
			test_fail(__FILE__, __LINE__, "%s: %s", rows[i].file, e.msg);
		CHECK(out.len > 7 && memcmp(secret_bytes(&out), "kbs:///", 7) == 0);
		/* Under the other key its signature is no signature. */
		key_file = "local/sealed-secret/test-key-2.json";
		CHECK(unseal(&out, rows[i].file, NULL, false, &e) < 0);
		CHECK_INT(e.code, CODE_SEALED_SIGNATURE);
	}
}

/* A credential folder with the key that LOCAL_KID names; dir is a template. */
static void put_local_key(char *dir, char path[128])
{
	cleanup_buf struct buf key = BUF_MAX(4096);
	struct err e = { 0 };

	CHECK_INT(fs_read(&key, test_shared("local/sealed-secret/test-key.json"), 4096, &e), 0);
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, 128, "%s/" LOCAL_KID, dir);
	CHECK_INT(fs_write(path, buf_view(&key), 0600, &e), 0);
}

TEST(sealed_unseal__shared_secret_with_a_local_kid__takes_the_key_from_its_folder)
{
	char dir[] = "/tmp/vouchsafe-test-XXXXXX", path[128];
	cleanup_secret struct secret out = { 0 };
	struct err e = { 0 };

	put_local_key(dir, path);
	if (unseal(&out, "own-vault-localkid.txt", dir, false, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	CHECK_INT(unlink(path), 0);
	CHECK(unseal(&out, "own-vault-localkid.txt", dir, false, &e) < 0);
	CHECK_INT(e.code, CODE_SEALED_KEY_MISSING);
	CHECK(unseal(&out, "own-vault-kid-traversal.txt", dir, false, &e) < 0);
	CHECK_INT(rmdir(dir), 0);
}

TEST(sealed_unseal__shared_bad_secrets__are_refused_by_code)
{
	static const struct {
		const char *file;
		enum err_code code;
	} rows[] = {
		{ "own-vault-alg-es384-header.txt", CODE_SEALED_ALGORITHM },
		{ "own-vault-badsig.txt", CODE_SEALED_SIGNATURE },
		{ "own-vault-fakejws.txt", CODE_SEALED_FORMAT },
		{ "own-vault-missing-provider_settings.txt", CODE_SEALED_FORMAT },
		{ "own-vault-nokid.txt", CODE_SEALED_FORMAT },
		{ "own-vault-version-0.2.0.txt", CODE_SEALED_VERSION },
	};

	char dir[] = "/tmp/vouchsafe-test-XXXXXX", path[128];

	key_file = "local/sealed-secret/test-key.json";
	put_local_key(dir, path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secret struct secret out = { 0 };
		struct err e = { 0 };

		CHECK(unseal(&out, rows[i].file, dir, false, &e) < 0);
		if (e.code != rows[i].code)
			test_fail(__FILE__, __LINE__, "%s: %s: %s", rows[i].file, err_name(&e), e.msg);
		CHECK(secret_bytes(&out) == NULL);
	}
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
}

TEST(sealed_unseal__shared_fake_signature_with_verification_off__is_opened)
{
	cleanup_secret struct secret out = { 0 };
	struct err e = { 0 };

	if (unseal(&out, "own-vault-fakejws.txt", NULL, true, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}
