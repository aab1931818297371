/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/luks_header.h"

#include "agent/base/enc.h"

/* luks_header_check(): the one accepted form of the metadata, member by member. */

#define CIPHER  "aes-xts-plain64"
#define STRIPES 4000

struct check {
	struct luks_header *h;
	int64_t iterations, passes; /* of all keyslots and the digest so far */
	uint64_t areas_end;
	int64_t key_size;
	unsigned slots; /* bit n: there is a keyslot n */
	struct err *e;
};

/*
 * v is an object with exactly the members of names, separated by one space; '?' before one that
 * may be missing.
 */
static bool has_only(const struct json *v, const char *names)
{
	size_t found = 0, listed = 0;

	if (!json_is_object(v))
		return false;
	for (const char *p = names; *p != '\0';) {
		size_t n = strcspn(p, " ");
		char name[24] = { 0 };
		bool maybe = *p == '?';

		if (n - maybe >= sizeof name)
			return false;
		memcpy(name, p + maybe, n - maybe);
		if (json_get(v, name))
			found++;
		else if (!maybe)
			return false;
		listed++;
		p += n + (p[n] == ' ');
	}
	return found <= listed && found == json_count(v);
}

static bool is(const struct json *object, const char *key, const char *want)
{
	const char *s = json_string(json_get(object, key));

	return s && strcmp(s, want) == 0;
}

static bool integer(int64_t *out, const struct json *object, const char *key, int64_t min, int64_t max)
{
	return json_integer(out, json_get(object, key)) && *out >= min && *out <= max;
}

/* A number written as a string, as LUKS2 does for 64 bits: no sign, no leading zero. */
static bool decimal(uint64_t *out, const struct json *object, const char *key)
{
	const char *s = json_string(json_get(object, key));
	uint64_t n = 0;

	if (!s || *s == '\0' || strlen(s) > 18 || (s[0] == '0' && s[1] != '\0'))
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
	}
	*out = n;
	return true;
}

/* Base64 of min to 64 bytes. */
static bool base64(const struct json *object, const char *key, size_t min)
{
	const char *s = json_string(json_get(object, key));
	uint8_t bytes[64];
	size_t len = sizeof bytes;

	return s && enc_base64_decode_into(bytes, &len, ENC_B64, view_str(s), NULL) == 0 && len >= min;
}

/* The number of a keyslot, or -1. */
static int slot_number(const char *s)
{
	if (!s || s[0] < '0' || s[0] > '9' || (s[1] != '\0' && (s[0] == '0' || s[0] > '3')))
		return -1;
	if (s[1] == '\0')
		return s[0] - '0';
	if (s[1] < '0' || s[1] > '9' || s[2] != '\0' || (s[0] == '3' && s[1] > '1'))
		return -1;
	return (s[0] - '0') * 10 + s[1] - '0';
}

static int cipher(const struct check *c, const struct json *object, const char *where)
{
	const char *s = json_string(json_get(object, "encryption"));

	if (s && strcmp(s, CIPHER) == 0)
		return 0;
	if (s && strstr(s, "null"))
		return err_code(c->e, CODE_VOLUME_HEADER_NULL_CIPHER, "%s: cipher \"%.40s\"", where, s);
	return err_code(c->e, CODE_VOLUME_HEADER_CIPHER, "%s: cipher \"%.40s\", only " CIPHER " is accepted",
			where, s ? s : "");
}

static int spend(struct check *c, int64_t iterations, int64_t passes)
{
	c->iterations += iterations;
	c->passes += passes;
	if (c->iterations > LUKS_PBKDF2_MAX || c->passes > LUKS_ARGON2_TIME)
		return err_code(c->e, CODE_VOLUME_HEADER_COST,
				"pbkdf2 with %lld iterations and argon2id with %lld passes in all, "
				"granted are %d and %d",
				(long long)c->iterations, (long long)c->passes, LUKS_PBKDF2_MAX,
				LUKS_ARGON2_TIME);
	return 0;
}

static int kdf(struct check *c, const struct json *v, int slot)
{
	int64_t n, memory, cpus;

	if (is(v, "type", "pbkdf2") && has_only(v, "type hash iterations salt") &&
	    (is(v, "hash", "sha256") || is(v, "hash", "sha512")) && base64(v, "salt", 8) &&
	    integer(&n, v, "iterations", 1000, INT32_MAX))
		return spend(c, n, 0);
	if (is(v, "type", "argon2id") && has_only(v, "type time memory cpus salt") &&
	    base64(v, "salt", 8) && integer(&n, v, "time", 1, INT32_MAX) &&
	    integer(&memory, v, "memory", 8, UINT32_MAX) && integer(&cpus, v, "cpus", 1, UINT32_MAX)) {
		if (memory > LUKS_ARGON2_KIB || cpus > 4)
			return err_code(c->e, CODE_VOLUME_HEADER_COST,
					"keyslot %d: argon2id with %lld KiB and %lld threads, granted "
					"are %d and 4",
					slot, (long long)memory, (long long)cpus, LUKS_ARGON2_KIB);
		return spend(c, 0, n);
	}
	return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT,
			"keyslot %d: kdf is neither pbkdf2 nor argon2id of the accepted form", slot);
}

static int area(struct check *c, const struct json *v, int slot)
{
	struct luks_area a;
	int64_t key;

	if (!has_only(v, "type offset size encryption key_size") || !is(v, "type", "raw") ||
	    !integer(&key, v, "key_size", 64, 64) || !decimal(&a.offset, v, "offset") ||
	    !decimal(&a.size, v, "size"))
		return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT, "keyslot %d: area is malformed", slot);
	if (a.offset < LUKS_COPIES || a.offset > c->areas_end || a.size > c->areas_end - a.offset ||
	    a.size > LUKS_AREA_MAX || a.size < (uint64_t)c->key_size * STRIPES || a.offset % 4096 != 0 ||
	    a.size % 4096 != 0)
		return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT,
				"keyslot %d: area of %llu bytes at %llu does not lie within the keyslots",
				slot, (unsigned long long)a.size, (unsigned long long)a.offset);
	for (size_t i = 0; i < c->h->n_areas; i++) {
		const struct luks_area *o = &c->h->areas[i];

		if (a.offset < o->offset + o->size && o->offset < a.offset + a.size)
			return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT,
					"keyslot %d: its area overlaps another", slot);
	}
	c->h->areas[c->h->n_areas++] = a;
	return 0;
}

static int keyslot(struct check *c, const struct json *v)
{
	const struct json *af = json_get(v, "af"), *where = json_get(v, "area");
	int slot = slot_number(json_key(v)), r;
	int64_t n;

	if (slot < 0 || !has_only(v, "type key_size af area kdf ?priority") || !is(v, "type", "luks2") ||
	    !integer(&n, v, "key_size", c->key_size, c->key_size) ||
	    (json_get(v, "priority") && !integer(&n, v, "priority", 1, 2)))
		return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT,
				"keyslot \"%.8s\" is not a luks2 one for a key of %lld bytes", json_key(v),
				(long long)c->key_size);
	if (!has_only(af, "type stripes hash") || !is(af, "type", "luks1") ||
	    !integer(&n, af, "stripes", STRIPES, STRIPES) ||
	    (!is(af, "hash", "sha256") && !is(af, "hash", "sha512")))
		return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT, "keyslot %d: af is malformed", slot);
	r = cipher(c, where, "keyslot");
	if (r < 0)
		return r;
	r = area(c, where, slot);
	if (r < 0)
		return r;
	c->slots |= 1u << slot;
	return kdf(c, json_get(v, "kdf"), slot);
}

static int keyslots(struct check *c, const struct json *v)
{
	if (!json_is_object(v) || json_count(v) == 0 || json_count(v) > LUKS_SLOTS)
		return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT, "%zu keyslots, accepted are 1 to %d",
				json_count(v), LUKS_SLOTS);
	for (const struct json *s = json_first(v); s; s = json_next(s)) {
		int r = keyslot(c, s);

		if (r < 0)
			return r;
	}
	return 0;
}

static int digest(struct check *c, const struct json *v)
{
	const struct json *d = json_get(v, "0"), *segments = json_get(d, "segments");
	const char *segment = json_string(json_first(segments));
	unsigned seen = 0;
	int64_t n;

	if (!json_is_object(v) || json_count(v) != 1 ||
	    !has_only(d, "type keyslots segments hash iterations salt digest") ||
	    !is(d, "type", "pbkdf2") || (!is(d, "hash", "sha256") && !is(d, "hash", "sha512")) ||
	    !base64(d, "salt", 8) || !base64(d, "digest", 32) ||
	    !integer(&n, d, "iterations", 1000, INT32_MAX) || !json_is_array(segments) ||
	    json_count(segments) != 1 || !segment || strcmp(segment, "0") != 0 ||
	    !json_is_array(json_get(d, "keyslots")))
		return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT,
				"digests is not one pbkdf2 digest over segment 0");
	for (const struct json *s = json_first(json_get(d, "keyslots")); s; s = json_next(s)) {
		int slot = slot_number(json_string(s));

		if (slot < 0 || (seen & 1u << slot))
			return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT, "digest 0: keyslots is malformed");
		seen |= 1u << slot;
	}
	if (seen != c->slots)
		return err_code(c->e, CODE_VOLUME_HEADER_KEYSLOT,
				"digest 0 does not vouch for exactly the keyslots that there are");
	return spend(c, n, 0);
}

static int integrity(struct check *c, const struct json *v, bool want)
{
	int64_t n;

	if (!v != !want)
		return err_code(c->e, CODE_VOLUME_HEADER_INTEGRITY,
				v ? "the volume has integrity protection, the request does not ask for it" :
				    "the request asks for integrity protection, the volume has none");
	if (v && (!has_only(v, "type journal_encryption journal_integrity ?key_size") ||
		  !is(v, "type", "hmac(sha256)") || !is(v, "journal_encryption", "none") ||
		  !is(v, "journal_integrity", "none") ||
		  (json_get(v, "key_size") && !integer(&n, v, "key_size", 32, 32))))
		return err_code(c->e, CODE_VOLUME_HEADER_INTEGRITY,
				"integrity is of another form than hmac(sha256)");
	c->h->integrity = want;
	return 0;
}

static int segment(struct check *c, const struct json *v, bool want)
{
	const struct json *s = json_get(v, "0");
	int64_t sector;
	int r;

	if (!json_is_object(v) || json_count(v) != 1 || !s)
		return err_code(c->e, CODE_VOLUME_HEADER_SEGMENT, "%zu segments, accepted is one, number 0",
				json_count(v));
	if (!is(s, "type", "crypt"))
		return err_code(c->e, CODE_VOLUME_HEADER_SEGMENT, "segment 0 is not of type crypt");
	r = cipher(c, s, "segment");
	if (r < 0)
		return r;
	if (!has_only(s, "type offset size iv_tweak encryption sector_size ?integrity") ||
	    !decimal(&c->h->data_offset, s, "offset") || !is(s, "size", "dynamic") ||
	    !is(s, "iv_tweak", "0") || !integer(&sector, s, "sector_size", 512, 4096) ||
	    (sector & (sector - 1)) != 0)
		return err_code(c->e, CODE_VOLUME_HEADER_SEGMENT,
				"segment 0 is not one over the whole device from its offset");
	if (c->h->data_offset < c->areas_end || c->h->data_offset > LUKS_DATA_MAX ||
	    c->h->data_offset % 4096 != 0)
		return err_code(c->e, CODE_VOLUME_HEADER_SEGMENT, "segment 0 begins at %llu, accepted is %llu to %u",
				(unsigned long long)c->h->data_offset, (unsigned long long)c->areas_end,
				LUKS_DATA_MAX);
	return integrity(c, json_get(s, "integrity"), want);
}

static bool token_bytes(uint8_t *out, const struct json *v, const char *key)
{
	const char *s = json_string(json_get(v, key));
	size_t len = LUKS_TOKEN_BYTES;

	return s && enc_base64_decode_into(out, &len, ENC_B64, view_str(s), NULL) == 0 &&
	       len == LUKS_TOKEN_BYTES;
}

static int token(struct check *c, const struct json *v)
{
	const struct json *t = json_get(v, "0"), *slots = json_get(t, "keyslots");
	struct luks_token *out = &c->h->token;
	const char *slot = json_string(json_first(slots)), *fs;
	int64_t n;

	if (!json_is_object(v) || json_count(v) > 1 || (json_count(v) == 1 && !is(t, "type", "vouchsafe")))
		return err_code(c->e, CODE_VOLUME_HEADER, "tokens other than vouchsafe's own are not accepted");
	if (json_count(v) == 0)
		return 0;
	fs = json_string(json_get(t, "fs"));
	if (!has_only(t, "type keyslots version fs salt check ?tag") || !integer(&n, t, "version", 1, 1) ||
	    !json_is_array(slots) || json_count(slots) != 1 || !slot || strcmp(slot, "0") != 0 ||
	    c->slots != 1 || !fs ||
	    (strcmp(fs, "ext4") != 0 && strcmp(fs, "xfs") != 0 && strcmp(fs, "none") != 0) ||
	    !token_bytes(out->salt, t, "salt") || !token_bytes(out->check, t, "check") ||
	    (json_get(t, "tag") && !token_bytes(out->tag, t, "tag")))
		return err_code(c->e, CODE_VOLUME_HEADER_AUTH, "vouchsafe's token is malformed");
	memcpy(out->fs, fs, strlen(fs) + 1);
	out->has_tag = json_get(t, "tag") != NULL;
	c->h->tagged = true;
	return 0;
}

static int config(struct check *c, const struct json *v)
{
	uint64_t size;

	if (!has_only(v, "json_size keyslots_size") || !is(v, "json_size", "12288") ||
	    !decimal(&size, v, "keyslots_size") || size > LUKS_AREAS_END - LUKS_COPIES || size % 4096 != 0)
		return err_code(c->e, CODE_VOLUME_HEADER,
				"config has flags, requirements or sizes that are not accepted");
	c->areas_end = LUKS_COPIES + size;
	return 0;
}

int luks_header_check(struct luks_header *h, bool want_integrity, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	struct check c = { .h = h, .key_size = want_integrity ? 96 : 64, .e = e };
	int r;

	h->n_areas = 0;
	h->tagged = false;
	h->token = (struct luks_token){ 0 };
	r = json_parse(&doc, buf_view(&h->text), LUKS_COPY, e);
	if (r < 0)
		return r;
	if (!has_only(doc, "keyslots tokens segments digests config"))
		return err_code(e, CODE_VOLUME_HEADER, "metadata lacks a member or has one too many");
	r = config(&c, json_get(doc, "config"));
	if (r == 0)
		r = segment(&c, json_get(doc, "segments"), want_integrity);
	if (r == 0)
		r = keyslots(&c, json_get(doc, "keyslots"));
	if (r == 0)
		r = digest(&c, json_get(doc, "digests"));
	return r < 0 ? r : token(&c, json_get(doc, "tokens"));
}
