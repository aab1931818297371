/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/luks_auth.h"

#include "agent/base/enc.h"
#include "agent/crypto/kdf.h"

#include <endian.h>

#define FOR_CHECK  "vouchsafe volume check 1"
#define FOR_HEADER "vouchsafe volume header 1"
#define FOR_INTENT "vouchsafe volume intent 1"
#define FOR_MARK   "vouchsafe volume mark 1"

static const char intent_magic[16] = { 'V', 'O', 'U', 'C', 'H', 'S', 'A', 'F',
				       'E', '-', 'I', 'N', 'T', 'E', 'N', 'T' };

/* The root of a caller's key and a salt, from which each purpose takes its own. */
static int root_of(struct key32 *out, const struct secret *key, const uint8_t *salt, struct err *e)
{
	struct view k = { secret_bytes(key), key->len }, s = { salt, LUKS_TOKEN_BYTES };

	if (luks_key_is_full(key))
		return kdf_hkdf(out, k, s, "vouchsafe volume root 1", e);
	return kdf_scrypt(out, k, s, e);
}

static int key_for(struct key32 *out, const struct key32 *root, const uint8_t *salt,
		   const char *purpose, struct err *e)
{
	return kdf_hkdf(out, (struct view){ root->b, sizeof root->b },
			(struct view){ salt, LUKS_TOKEN_BYTES }, purpose, e);
}

static int check_of(struct digest *out, const struct key32 *root, const uint8_t *salt,
		    const char *uuid, struct err *e)
{
	cleanup_key32 struct key32 k = { 0 };
	struct view part = view_str(uuid);
	int r = key_for(&k, root, salt, FOR_CHECK, e);

	return r < 0 ? r : hmac_sha256(out, &k, &part, 1, e);
}

/*
 * The member tag is cut out of the canonical text where it stands: its value is base64, so the
 * quoted name and value cannot occur inside another string, and the shape admits one such member.
 */
static int tag_of(struct digest *out, const struct luks_header *h, const struct digest *area,
		  const struct key32 *root, struct err *e)
{
	cleanup_key32 struct key32 k = { 0 };
	struct view text = buf_view(&h->text), head = text, tail = { 0 };
	int r = key_for(&k, root, h->token.salt, FOR_HEADER, e);

	if (r < 0)
		return r;
	if (h->token.has_tag) {
		const char name[] = "\"tag\":\"";
		size_t member = sizeof name - 1 + 44 + 2; /* the value, its quote and the comma behind */
		const uint8_t *at = memmem(text.p, text.len, name, sizeof name - 1);

		if (!at || text.len - (size_t)(at - text.p) < member || at[member - 1] != ',')
			return err_code(e, CODE_VOLUME_HEADER_AUTH, "vouchsafe's token is malformed");
		head.len = (size_t)(at - text.p);
		tail = (struct view){ at + member, text.len - head.len - member };
	}
	struct view parts[] = { { (const uint8_t *)h->uuid, strlen(h->uuid) + 1 },
				{ (const uint8_t *)h->label, strlen(h->label) + 1 },
				{ (const uint8_t *)h->subsystem, strlen(h->subsystem) + 1 },
				digest_view(area),
				head,
				tail };

	return hmac_sha256(out, &k, parts, ARRAY_LEN(parts), e);
}

static bool same32(const uint8_t *a, const uint8_t *b)
{
	uint8_t diff = 0;

	for (size_t i = 0; i < 32; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

static bool equal(const struct digest *d, const uint8_t *p)
{
	return same32(d->b, p);
}

static void put_token(struct buf *out, const char *fs, const uint8_t *salt, const uint8_t *check,
		      const uint8_t *tag)
{
	buf_printf(out, "{\"type\":\"vouchsafe\",\"keyslots\":[\"0\"],\"version\":1,\"fs\":\"%s\",\"salt\":\"",
		   fs);
	enc_base64(out, ENC_B64, (struct view){ salt, LUKS_TOKEN_BYTES });
	buf_puts(out, "\",\"check\":\"");
	enc_base64(out, ENC_B64, (struct view){ check, LUKS_TOKEN_BYTES });
	if (tag) {
		buf_puts(out, "\",\"tag\":\"");
		enc_base64(out, ENC_B64, (struct view){ tag, LUKS_TOKEN_BYTES });
	}
	buf_puts(out, "\"}");
}

int luks_auth_begin(struct buf *token, const char *uuid, const char *fs, const struct secret *key,
		    struct err *e)
{
	cleanup_key32 struct key32 root = { 0 };
	uint8_t salt[LUKS_TOKEN_BYTES];
	struct digest check = { 0 };
	int r = random_bytes(salt, sizeof salt, e);

	if (r == 0)
		r = root_of(&root, key, salt, e);
	if (r == 0)
		r = check_of(&check, &root, salt, uuid, e);
	if (r < 0)
		return r;
	put_token(token, fs, salt, check.b, NULL);
	return buf_check(token, "a token", e);
}

int luks_auth_end(struct buf *token, const struct luks_header *h, const struct digest *area,
		  const struct secret *key, struct err *e)
{
	cleanup_key32 struct key32 root = { 0 };
	struct digest tag = { 0 };
	int r = root_of(&root, key, h->token.salt, e);

	if (r == 0)
		r = tag_of(&tag, h, area, &root, e);
	if (r < 0)
		return r;
	put_token(token, h->token.fs, h->token.salt, h->token.check, tag.b);
	return buf_check(token, "a token", e);
}

int luks_auth_check(const struct luks_header *h, const struct digest *area, const struct secret *key,
		    struct err *e)
{
	cleanup_key32 struct key32 root = { 0 };
	struct digest d = { 0 };
	int r = root_of(&root, key, h->token.salt, e);

	if (r == 0)
		r = check_of(&d, &root, h->token.salt, h->uuid, e);
	if (r < 0)
		return r;
	if (!equal(&d, h->token.check))
		return err_code(e, CODE_VOLUME_WRONG_KEY, "the volume %s was made with another key", h->uuid);
	r = tag_of(&d, h, area, &root, e);
	if (r < 0)
		return r;
	if (!h->token.has_tag || !equal(&d, h->token.tag))
		return err_code(e, CODE_VOLUME_HEADER_AUTH, "the header of volume %s was altered", h->uuid);
	return 0;
}

static int mark_of(struct key32 *out, const uint8_t *volume_key, struct err *e)
{
	/* libcrypto wants a salt; what is random here is the key. */
	return kdf_hkdf(out, (struct view){ volume_key, LUKS_MARKED / 2 }, view_str(FOR_MARK), FOR_MARK, e);
}

int luks_mark_make(uint8_t *volume_key, struct err *e)
{
	cleanup_key32 struct key32 mark = { 0 };
	int r = mark_of(&mark, volume_key, e);

	if (r == 0)
		memcpy(volume_key + LUKS_MARKED / 2, mark.b, sizeof mark.b);
	return r;
}

int luks_mark_find(bool *out, const uint8_t *volume_key, struct err *e)
{
	cleanup_key32 struct key32 mark = { 0 };
	int r = mark_of(&mark, volume_key, e);

	*out = r == 0 && same32(mark.b, volume_key + LUKS_MARKED / 2);
	return r;
}

bool luks_intent_detect(const uint8_t *p, size_t n)
{
	return n >= sizeof intent_magic && memcmp(p, intent_magic, sizeof intent_magic) == 0;
}

static int intent_tag(struct digest *out, const uint8_t *p, const struct secret *key, struct err *e)
{
	cleanup_key32 struct key32 root = { 0 }, k = { 0 };
	struct view part = { p, 64 };
	int r = root_of(&root, key, p + 32, e);

	if (r == 0)
		r = key_for(&k, &root, p + 32, FOR_INTENT, e);
	return r < 0 ? r : hmac_sha256(out, &k, &part, 1, e);
}

static void intent_head(uint8_t *p, uint64_t device_size)
{
	uint32_t version = htobe32(1);
	uint64_t size = htobe64(device_size);

	memcpy(p, intent_magic, sizeof intent_magic);
	memcpy(p + 16, &version, sizeof version);
	memcpy(p + 24, &size, sizeof size);
}

int luks_intent_make(uint8_t *p, uint64_t device_size, const struct secret *key, struct err *e)
{
	uint8_t made[LUKS_INTENT] = { 0 };
	struct digest d = { 0 };
	int r;

	intent_head(made, device_size);
	r = random_bytes(made + 32, 32, e);
	if (r == 0)
		r = intent_tag(&d, made, key, e);
	if (r < 0)
		return r;
	memcpy(made + 64, d.b, 32);
	memcpy(p, made, sizeof made);
	return 0;
}

int luks_intent_check(const uint8_t *p, uint64_t device_size, const struct secret *key, struct err *e)
{
	uint8_t want[LUKS_INTENT] = { 0 };
	struct digest d = { 0 };
	int r;

	intent_head(want, device_size);
	memcpy(want + 32, p + 32, 64);
	if (memcmp(want, p, sizeof want) != 0)
		return err_code(e, CODE_VOLUME_INTERRUPTED,
				"formatting was begun on a device of another size, or its record is damaged");
	r = intent_tag(&d, p, key, e);
	if (r < 0)
		return r;
	if (!equal(&d, p + 64))
		return err_code(e, CODE_VOLUME_WRONG_KEY, "formatting was begun with another key");
	return 0;
}
