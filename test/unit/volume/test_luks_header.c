/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/volume/header.h"

#include "agent/crypto/digest.h"

static uint8_t raw[LUKS_COPIES];

static int load(struct luks_header *h, struct err *e)
{
	return luks_header_load(h, (struct view){ raw, sizeof raw }, e);
}

/* The checksum of a copy, after something in it was changed. */
static void fix(int which)
{
	uint8_t *p = raw + which * LUKS_COPY;
	struct digest d;

	for (int i = 0; i < 64; i++)
		p[448 + i] = 0;
	CHECK_INT(digest_of(&d, HASH_SHA256, (struct view){ p, LUKS_COPY }, NULL), 0);
	memcpy(p + 448, d.b, 32);
}

TEST(luks_header_check__as_cryptsetup_writes_it__facts)
{
	cleanup_luks_header struct luks_header h = { 0 };
	struct err e = { 0 };

	header_write(raw, header_plain, 3);
	CHECK_INT(load(&h, &e), 0);
	CHECK_INT(luks_header_check(&h, false, &e), 0);
	CHECK_INT(h.seqid, 3);
	CHECK(strcmp(h.uuid, "89998562-85f8-4968-bd0a-164714232ce7") == 0);
	CHECK_INT(h.data_offset, 16777216);
	CHECK_INT(h.n_areas, 1);
	CHECK_INT(h.areas[0].offset, 32768);
	CHECK_INT(h.areas[0].size, 258048);
	CHECK(!h.tagged);
	CHECK(!h.integrity);
}

TEST(luks_header_check__with_token_and_integrity__facts)
{
	cleanup_free char *a = header_replace(header_plain, "\"tokens\":{}", HEADER_TOKEN, 1);
	cleanup_free char *b = header_replace(a, "\"key_size\":64", "\"key_size\":96", 1);
	cleanup_free char *c = header_replace(b, "\"sector_size\":4096",
					      "\"sector_size\":4096,\"integrity\":{\"type\":\"hmac(sha256)\","
					      "\"journal_encryption\":\"none\",\"journal_integrity\":\"none\"}", 1);
	cleanup_free char *d = header_replace(c, "258048", "385024", 1);
	cleanup_luks_header struct luks_header h = { 0 };
	struct err e = { 0 };

	header_write(raw, d, 1);
	CHECK_INT(load(&h, &e), 0);
	CHECK_INT(luks_header_check(&h, true, &e), 0);
	CHECK(h.tagged && h.token.has_tag && h.integrity);
	CHECK(strcmp(h.token.fs, "ext4") == 0);
	CHECK_INT(h.token.salt[0], 0x6e);
	CHECK_ERR(luks_header_check(&h, false, &e), ERR_VERIFY, e, "does not ask");
	CHECK_INT(e.code, CODE_VOLUME_HEADER_INTEGRITY);
}

static const struct row {
	const char *from, *to;
	int nth;
	enum err_code code;
	const char *words;
} rows[] = {
	{ "aes-xts-plain64", "cipher_null-ecb", 2, CODE_VOLUME_HEADER_NULL_CIPHER, "segment" },
	{ "aes-xts-plain64", "null", 2, CODE_VOLUME_HEADER_NULL_CIPHER, "segment" },
	{ "aes-xts-plain64", "cipher_null-ecb", 1, CODE_VOLUME_HEADER_NULL_CIPHER, "keyslot" },
	{ "aes-xts-plain64", "aes-cbc-plain64", 2, CODE_VOLUME_HEADER_CIPHER, "segment" },
	{ "aes-xts-plain64", "aes-xts-plain", 2, CODE_VOLUME_HEADER_CIPHER, "segment" },
	{ "aes-xts-plain64", "serpent-xts-plain64", 1, CODE_VOLUME_HEADER_CIPHER, "keyslot" },
	{ "\"encryption\":\"aes-xts-plain64\"", "\"encryption\":7", 2, CODE_VOLUME_HEADER_CIPHER, "segment" },
	{ "\"type\":\"crypt\"", "\"type\":\"linear\"", 1, CODE_VOLUME_HEADER_SEGMENT, "type crypt" },
	{ "\"16777216\"", "\"0\"", 1, CODE_VOLUME_HEADER_SEGMENT, "begins at 0" },
	{ "\"16777216\"", "\"16781313\"", 1, CODE_VOLUME_HEADER_SEGMENT, "begins at" },
	{ "\"16777216\"", "\"67112960\"", 1, CODE_VOLUME_HEADER_SEGMENT, "begins at" },
	{ "\"16777216\"", "\"016777216\"", 1, CODE_VOLUME_HEADER_SEGMENT, "whole device" },
	{ "\"16777216\"", "16777216", 1, CODE_VOLUME_HEADER_SEGMENT, "whole device" },
	{ "\"dynamic\"", "\"1048576\"", 1, CODE_VOLUME_HEADER_SEGMENT, "whole device" },
	{ "\"iv_tweak\":\"0\"", "\"iv_tweak\":\"8\"", 1, CODE_VOLUME_HEADER_SEGMENT, "whole device" },
	{ "\"sector_size\":4096", "\"sector_size\":8192", 1, CODE_VOLUME_HEADER_SEGMENT, "whole device" },
	{ "\"sector_size\":4096", "\"sector_size\":1536", 1, CODE_VOLUME_HEADER_SEGMENT, "whole device" },
	{ "\"sector_size\":4096", "\"sector_size\":4096,\"flags\":[\"backup-final\"]", 1, CODE_VOLUME_HEADER_SEGMENT, "whole device" },
	{ "\"sector_size\":4096}", "\"sector_size\":4096},\"1\":{\"type\":\"linear\",\"offset\":\"16777216\",\"size\":\"dynamic\"}", 1, CODE_VOLUME_HEADER_SEGMENT, "2 segments" },
	{ "\"segments\":{\"0\"", "\"segments\":{\"1\"", 1, CODE_VOLUME_HEADER_SEGMENT, "segments" },
	{ "\"sector_size\":4096", "\"sector_size\":4096,\"integrity\":{\"type\":\"hmac(sha256)\",\"journal_encryption\":\"none\",\"journal_integrity\":\"none\"}", 1, CODE_VOLUME_HEADER_INTEGRITY, "does not ask" },
	{ "\"type\":\"luks2\"", "\"type\":\"reencrypt\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "not a luks2" },
	{ "\"key_size\":64", "\"key_size\":32", 1, CODE_VOLUME_HEADER_KEYSLOT, "64 bytes" },
	{ "\"key_size\":64", "\"key_size\":32", 2, CODE_VOLUME_HEADER_KEYSLOT, "area is malformed" },
	{ "\"stripes\":4000", "\"stripes\":1", 1, CODE_VOLUME_HEADER_KEYSLOT, "af is malformed" },
	{ "\"type\":\"luks1\"", "\"type\":\"none\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "af is malformed" },
	{ "\"offset\":\"32768\"", "\"offset\":\"0\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"offset\":\"32768\"", "\"offset\":\"16777216\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"offset\":\"32768\"", "\"offset\":\"16781312\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"offset\":\"32768\"", "\"offset\":\"16531456\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"offset\":\"32768\"", "\"offset\":\"999999999999999999\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"258048\"", "\"4096\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"258048\"", "\"2097152\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"258048\"", "\"999999999999999999\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "does not lie within" },
	{ "\"keyslots\":{\"0\"", "\"keyslots\":{\"32\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "not a luks2" },
	{ "\"keyslots\":{\"0\"", "\"keyslots\":{\"00\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "not a luks2" },
	{ "\"keyslots\":{\"0\"", "\"keyslots\":{\"1\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "vouch for exactly" },
	{ "\"kdf\":{\"type\":\"pbkdf2\"", "\"kdf\":{\"type\":\"argon2i\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "kdf" },
	{ "\"iterations\":1000", "\"iterations\":999", 1, CODE_VOLUME_HEADER_KEYSLOT, "kdf" },
	{ "\"iterations\":1000", "\"iterations\":-1", 1, CODE_VOLUME_HEADER_KEYSLOT, "kdf" },
	{ "\"iterations\":1000", "\"iterations\":20000000", 1, CODE_VOLUME_HEADER_COST, "granted" },
	{ "\"iterations\":1000", "\"iterations\":2147483647", 1, CODE_VOLUME_HEADER_COST, "granted" },
	{ "\"iterations\":1000", "\"iterations\":2147483647", 2, CODE_VOLUME_HEADER_COST, "granted" },
	{ "\"iterations\":1000", "\"iterations\":10", 2, CODE_VOLUME_HEADER_KEYSLOT, "digests" },
	{ "\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000", "\"argon2id\",\"time\":4,\"memory\":4194304,\"cpus\":1", 1, CODE_VOLUME_HEADER_COST, "4194304 KiB" },
	{ "\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000", "\"argon2id\",\"time\":1000,\"memory\":65536,\"cpus\":1", 1, CODE_VOLUME_HEADER_COST, "1000 passes" },
	{ "\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000", "\"argon2id\",\"time\":4,\"memory\":65536,\"cpus\":64", 1, CODE_VOLUME_HEADER_COST, "64 threads" },
	{ "\"salt\":\"" HEADER_SALT "\"", "\"salt\":\"AAAA\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "kdf" },
	{ "\"salt\":\"" HEADER_SALT "\"", "\"salt\":\"not base64!\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "kdf" },
	{ "\"digest\":\"" HEADER_SALT "\"", "\"digest\":\"AAAA\"", 1, CODE_VOLUME_HEADER_KEYSLOT, "digests" },
	{ "\"keyslots\":[\"0\"]", "\"keyslots\":[]", 1, CODE_VOLUME_HEADER_KEYSLOT, "vouch for exactly" },
	{ "\"keyslots\":[\"0\"]", "\"keyslots\":[\"0\",\"0\"]", 1, CODE_VOLUME_HEADER_KEYSLOT, "digest 0" },
	{ "\"keyslots\":[\"0\"]", "\"keyslots\":[\"0\",\"1\"]", 1, CODE_VOLUME_HEADER_KEYSLOT, "vouch for exactly" },
	{ "\"segments\":[\"0\"]", "\"segments\":[\"1\"]", 1, CODE_VOLUME_HEADER_KEYSLOT, "digests" },
	{ "\"segments\":[\"0\"]", "\"segments\":[]", 1, CODE_VOLUME_HEADER_KEYSLOT, "digests" },
	{ "\"keyslots_size\":\"16744448\"", "\"keyslots_size\":\"16748544\"", 1, CODE_VOLUME_HEADER, "config" },
	{ "\"json_size\":\"12288\"", "\"json_size\":\"4096\"", 1, CODE_VOLUME_HEADER, "config" },
	{ "\"json_size\":\"12288\"", "\"flags\":[\"allow-discards\"],\"json_size\":\"12288\"", 1, CODE_VOLUME_HEADER, "config" },
	{ "\"json_size\":\"12288\"", "\"requirements\":{\"mandatory\":[\"online-reencrypt\"]},\"json_size\":\"12288\"", 1, CODE_VOLUME_HEADER, "config" },
	{ "\"tokens\":{}", "\"tokens\":{\"0\":{\"type\":\"luks2-keyring\",\"keyslots\":[\"0\"],\"key_description\":\"x\"}}", 1, CODE_VOLUME_HEADER, "tokens" },
	{ "\"tokens\":{}", "\"tokens\":{\"0\":{\"type\":\"vouchsafe\"}}", 1, CODE_VOLUME_HEADER_AUTH, "malformed" },
	{ "\"tokens\":{}", "\"tokens\":[]", 1, CODE_VOLUME_HEADER, "tokens" },
	{ "\"tokens\":{},", "", 1, CODE_VOLUME_HEADER, "lacks a member" },
	{ "\"tokens\":{}", "\"tokens\":{},\"more\":{}", 1, CODE_VOLUME_HEADER, "lacks a member" },
};

TEST(luks_header_check__one_member_changed__refused_by_name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		cleanup_free char *text = header_replace(header_plain, r->from, r->to, r->nth);
		cleanup_luks_header struct luks_header h = { 0 };
		struct err e = { 0 };

		header_write(raw, text, 1);
		CHECK_INT(load(&h, &e), 0);
		if (luks_header_check(&h, false, &e) == 0)
			test_fail(__FILE__, __LINE__, "row %zu (%s) is accepted", i, r->to);
		if (e.code != r->code || !strstr(e.msg, r->words))
			test_fail(__FILE__, __LINE__, "row %zu (%s): %s: %s", i, r->to, err_name(&e), e.msg);
	}
}

/* Two keyslots are accepted, each within its own area. */
TEST(luks_header_check__two_keyslots__only_apart)
{
	char second[600];
	static const char where[] = "},\"tokens\"";

	for (int i = 0; i < 2; i++) {
		cleanup_luks_header struct luks_header h = { 0 };
		cleanup_free char *a = NULL, *b = NULL;
		struct err e = { 0 };

		(void)snprintf(second, sizeof second,
			       ",\"3\":{\"type\":\"luks2\",\"key_size\":64,\"af\":{\"type\":\"luks1\",\"stripes\":4000,"
			       "\"hash\":\"sha256\"},\"area\":{\"type\":\"raw\",\"offset\":\"%s\",\"size\":\"258048\","
			       "\"encryption\":\"aes-xts-plain64\",\"key_size\":64},\"kdf\":{\"type\":\"argon2id\","
			       "\"time\":4,\"memory\":32768,\"cpus\":2,\"salt\":\"" HEADER_SALT "\"}}%s",
			       i == 0 ? "290816" : "286720", where);
		a = header_replace(header_plain, where, second, 1);
		b = header_replace(a, "\"keyslots\":[\"0\"]", "\"keyslots\":[\"0\",\"3\"]", 1);
		header_write(raw, b, 1);
		CHECK_INT(load(&h, &e), 0);
		if (i == 0) {
			CHECK_INT(luks_header_check(&h, false, &e), 0);
			CHECK_INT(h.n_areas, 2);
		} else {
			CHECK_ERR(luks_header_check(&h, false, &e), ERR_VERIFY, e, "overlaps");
		}
	}
}

TEST(luks_header_load__one_byte_of_the_binary_part__refused)
{
	static const struct {
		unsigned at;
		uint8_t to;
		bool fixed; /* with a right checksum */
		const char *words;
	} bad[] = {
		{ 7, 1, true, "version 1" },
		{ 14, 0x80, true, "32768 bytes" },
		{ 13, 1, true, "bytes at offset" },
		{ 24, 0xff, true, "label" },
		{ 30, 'x', true, "label" }, /* behind the label's end */
		{ 72, 'S', true, "not sha256" },
		{ 168, 'G', true, "uuid" },
		{ 176, '0', true, "uuid" },
		{ 205, 'a', true, "uuid" },
		{ 262, 0x10, true, "offset 4096" },
		{ 300, 1, true, "padding" },
		{ 600, 1, true, "padding" },
		{ 110, 1, false, "checksum does not match" },
		{ 4100, 1, false, "checksum does not match" },
		{ 16000, 1, false, "checksum does not match" },
		{ 16383, 1, true, "followed by zeros" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_luks_header struct luks_header h = { 0 };
		struct err e = { 0 };

		header_write(raw, header_plain, 1);
		raw[bad[i].at] = bad[i].to;
		if (bad[i].fixed)
			fix(0);
		raw[LUKS_COPY] = 0; /* no second copy to fall back to */
		CHECK_ERR(load(&h, &e), ERR_FORMAT, e, bad[i].words);
		CHECK_INT(e.code, CODE_VOLUME_HEADER);
		CHECK(h.text.p == NULL);
	}
}

TEST(luks_header_load__json_that_is_not_strict__refused)
{
	static const struct {
		const char *from, *to;
	} bad[] = {
		{ "\"tokens\":{}", "\"tokens\":{},\"tokens\":{}" },
		{ "\"iterations\":1000", "\"iterations\":01000" },
		{ "\"iterations\":1000", "\"iterations\":1000.5" },
		{ "}}", "}} x" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_free char *text = header_replace(header_plain, bad[i].from, bad[i].to, 1);
		cleanup_luks_header struct luks_header h = { 0 };
		struct err e = { 0 };

		header_write(raw, text, 1);
		CHECK_ERR(load(&h, &e), ERR_FORMAT, e, "metadata");
	}
}

TEST(luks_header_load__copies__chosen_or_refused)
{
	cleanup_free char *other = header_replace(header_plain, "\"iterations\":1000", "\"iterations\":2000", 1);
	cleanup_luks_header struct luks_header h = { 0 };
	static uint8_t second[LUKS_COPIES];
	struct err e = { 0 };

	/* The same seqid and another text: nobody writes that. */
	header_write(second, other, 5);
	header_write(raw, header_plain, 5);
	memcpy(raw + LUKS_COPY, second + LUKS_COPY, LUKS_COPY);
	CHECK_ERR(load(&h, &e), ERR_FORMAT, e, "differ");

	/* A writer was stopped between the copies: the newer one. */
	header_write(raw, header_plain, 4);
	memcpy(raw + LUKS_COPY, second + LUKS_COPY, LUKS_COPY);
	CHECK_INT(load(&h, &e), 0);
	CHECK_INT(h.seqid, 5);
	CHECK(memmem(h.text.p, h.text.len, "2000", 4) != NULL);

	/* Either alone. */
	header_write(raw, header_plain, 4);
	raw[5000] ^= 1;
	CHECK_INT(load(&h, &e), 0);
	header_write(raw, header_plain, 4);
	raw[LUKS_COPY + 5000] ^= 1;
	CHECK_INT(load(&h, &e), 0);
	raw[5000] ^= 1;
	CHECK_ERR(load(&h, &e), ERR_FORMAT, e, "copy 1");

	/* Another volume's second copy. */
	header_write(raw, header_plain, 9);
	raw[168] = 'a';
	fix(0);
	CHECK_ERR(load(&h, &e), ERR_FORMAT, e, "differ");
}

TEST(luks_header_load__no_header__says_so)
{
	cleanup_luks_header struct luks_header h = { 0 };
	static const uint8_t zero[LUKS_COPIES];
	struct err e = { 0 };

	CHECK_ERR(luks_header_load(&h, (struct view){ zero, sizeof zero }, &e), ERR_FORMAT, e, "no LUKS header");
	CHECK_INT(e.code, CODE_VOLUME_NO_HEADER);
	CHECK_ERR(luks_header_load(&h, (struct view){ zero, 4096 }, &e), ERR_FORMAT, e, "4096 bytes");
}

/* What is handed on is the text that was judged, not the disk's spelling of it. */
TEST(luks_header_put__after_load__the_same_facts_again)
{
	cleanup_luks_header struct luks_header h = { 0 }, again = { 0 };
	struct err e = { 0 };

	header_write(raw, header_plain, 7);
	CHECK_INT(load(&h, &e), 0);
	CHECK_INT(luks_header_put(raw, &h, &e), 0);
	CHECK_INT(load(&again, &e), 0);
	CHECK(view_eq(buf_view(&h.text), buf_view(&again.text)));
	CHECK_INT(again.seqid, 7);
	CHECK_INT(luks_header_check(&again, false, &e), 0);
}
