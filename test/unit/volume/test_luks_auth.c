/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/volume/header.h"

#include "agent/crypto/kdf.h"
#include "mounts/volume/luks_auth.h"

static void key_of(struct secret *s, const char *text)
{
	CHECK_INT(secret_alloc(s, 256, NULL), 0);
	CHECK_INT(secret_append(s, text, strlen(text), NULL), 0);
}

static const char full_key[] = "0123456789abcdef0123456789abcdef";
static const struct digest area = { .b = { 1, 2, 3 }, .len = 32 };
static const struct digest other_area = { .b = { 1, 2, 4 }, .len = 32 };

static void with_token(struct luks_header *h, const char *token)
{
	static uint8_t raw[LUKS_COPIES];
	cleanup_free char *tokens = NULL, *text = NULL;
	struct err e = { 0 };

	CHECK(asprintf(&tokens, "\"tokens\":{\"0\":%s}", token) > 0);
	text = header_replace(header_plain, "\"tokens\":{}", tokens, 1);
	header_write(raw, text, 1);
	if (luks_header_load(h, (struct view){ raw, sizeof raw }, &e) < 0 || luks_header_check(h, false, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

/* A header of header.h with its tag under this key. */
static void make(struct luks_header *out, const struct secret *key)
{
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_buf struct buf first = BUF_MAX(1024), second = BUF_MAX(1024);

	CHECK_INT(luks_auth_begin(&first, "89998562-85f8-4968-bd0a-164714232ce7", "ext4", key, NULL), 0);
	with_token(&h, buf_str(&first));
	CHECK(!h.token.has_tag);
	CHECK_INT(luks_auth_end(&second, &h, &area, key, NULL), 0);
	with_token(out, buf_str(&second));
	CHECK(out->token.has_tag);
}

TEST(luks_auth_check__own_header__authentic)
{
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_secret struct secret key = { 0 };
	struct err e = { 0 };

	test_need_memlock(1 << 16);
	key_of(&key, full_key);
	make(&h, &key);
	CHECK_INT(luks_auth_check(&h, &area, &key, &e), 0);
}

TEST(luks_auth_check__short_key__authentic)
{
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_secret struct secret key = { 0 }, wrong = { 0 };
	struct err e = { 0 };

	test_need_memlock(1 << 16);
	key_of(&key, "hunter2");
	key_of(&wrong, "hunter3");
	make(&h, &key);
	CHECK_INT(luks_auth_check(&h, &area, &key, &e), 0);
	CHECK_ERR(luks_auth_check(&h, &area, &wrong, &e), ERR_VERIFY, e, "another key");
	CHECK_INT(e.code, CODE_VOLUME_WRONG_KEY);
}

/* The derivation of doc/volumes.md, put together again: it is in volumes that exist. */
TEST(luks_auth_begin__check_value__as_documented)
{
	static const char *const keys[] = { full_key, "hunter2" };

	test_need_memlock(1 << 16);
	for (int i = 0; i < 2; i++) {
		cleanup_luks_header struct luks_header h = { 0 };
		cleanup_secret struct secret key = { 0 };
		struct view uuid, salt = { h.token.salt, LUKS_TOKEN_BYTES };
		struct key32 root, k;
		struct digest want;

		key_of(&key, keys[i]);
		make(&h, &key);
		if (i == 0)
			CHECK_INT(kdf_hkdf(&root, view_str(keys[i]), salt, "vouchsafe volume root 1", NULL), 0);
		else
			CHECK_INT(kdf_scrypt(&root, view_str(keys[i]), salt, NULL), 0);
		CHECK_INT(kdf_hkdf(&k, (struct view){ root.b, 32 }, salt, "vouchsafe volume check 1", NULL), 0);
		uuid = view_str(h.uuid);
		CHECK_INT(hmac_sha256(&want, &k, &uuid, 1, NULL), 0);
		CHECK(memcmp(want.b, h.token.check, 32) == 0);
	}
}

TEST(luks_auth_check__another_key__wrong_key)
{
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_secret struct secret key = { 0 }, wrong = { 0 };
	struct err e = { 0 };

	test_need_memlock(1 << 16);
	key_of(&key, full_key);
	key_of(&wrong, "0123456789abcdef0123456789abcdeg");
	make(&h, &key);
	CHECK_ERR(luks_auth_check(&h, &area, &wrong, &e), ERR_VERIFY, e, "another key");
	CHECK_INT(e.code, CODE_VOLUME_WRONG_KEY);
}

/* Everything that the tag covers, each alone. */
TEST(luks_auth_check__one_fact_changed__altered)
{
	cleanup_secret struct secret key = { 0 };

	test_need_memlock(1 << 16);
	key_of(&key, full_key);
	for (int i = 0; i < 8; i++) {
		cleanup_luks_header struct luks_header h = { 0 };
		const struct digest *a = &area;
		struct err e = { 0 };
		char *at;

		make(&h, &key);
		switch (i) {
		case 0: a = &other_area; break;
		case 1: h.label[0] = 'x'; break;
		case 2: h.subsystem[0] = 'x'; break;
		case 3: h.token.tag[31] ^= 1; break;
		case 4: h.token.has_tag = false; break;
		default:
			at = memmem(h.text.p, h.text.len, i == 5 ? "4096" : i == 6 ? "ext4" : "\"iterations\":1000",
				    4);
			CHECK(at != NULL);
			*at ^= 1;
		}
		CHECK_ERR(luks_auth_check(&h, a, &key, &e), ERR_VERIFY, e, "altered");
		CHECK_INT(e.code, CODE_VOLUME_HEADER_AUTH);
	}
}

/* The uuid is also what the check value is over. */
TEST(luks_auth_check__another_uuid__refused)
{
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_secret struct secret key = { 0 };
	struct err e = { 0 };

	test_need_memlock(1 << 16);
	key_of(&key, full_key);
	make(&h, &key);
	h.uuid[0] = 'f';
	CHECK_INT(luks_auth_check(&h, &area, &key, &e), -(int)ERR_VERIFY);
}

TEST(luks_intent__made_and_checked__only_this_key_and_device)
{
	cleanup_secret struct secret key = { 0 }, wrong = { 0 };
	uint8_t p[LUKS_INTENT], bad[LUKS_INTENT];
	struct err e = { 0 };

	test_need_memlock(1 << 16);
	key_of(&key, full_key);
	key_of(&wrong, "another key that has its 32 bytes");
	CHECK_INT(luks_intent_make(p, 1 << 30, &key, &e), 0);
	CHECK(luks_intent_detect(p, sizeof p));
	CHECK(!luks_intent_detect(p, 15));
	CHECK_INT(luks_intent_check(p, 1 << 30, &key, &e), 0);
	CHECK_ERR(luks_intent_check(p, 1 << 30, &wrong, &e), ERR_VERIFY, e, "another key");
	CHECK_INT(e.code, CODE_VOLUME_WRONG_KEY);
	CHECK_ERR(luks_intent_check(p, 1 << 29, &key, &e), ERR_FORMAT, e, "another size");
	for (size_t i = 0; i < sizeof p; i++) {
		memcpy(bad, p, sizeof p);
		bad[i] ^= 0x10;
		CHECK(luks_intent_check(bad, 1 << 30, &key, NULL) < 0);
	}
}

TEST(luks_mark__made__found_and_gone_with_one_bit)
{
	uint8_t key[LUKS_MARKED + 32];
	struct err e = { 0 };
	bool marked = true;

	CHECK_INT(random_bytes(key, sizeof key, &e), 0);
	CHECK_INT(luks_mark_find(&marked, key, &e), 0);
	CHECK(!marked);
	CHECK_INT(luks_mark_make(key, &e), 0);
	CHECK_INT(luks_mark_find(&marked, key, &e), 0);
	CHECK(marked);
	/* The integrity's key behind it has no part in it. */
	key[LUKS_MARKED] ^= 1;
	CHECK_INT(luks_mark_find(&marked, key, &e), 0);
	CHECK(marked);
	for (size_t i = 0; i < LUKS_MARKED; i += 7) {
		key[i] ^= 0x80;
		CHECK_INT(luks_mark_find(&marked, key, &e), 0);
		CHECK(!marked);
		key[i] ^= 0x80;
	}
}
