/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/luks_header.h"
#include "agent/crypto/digest.h"

#include <endian.h>

#define BINARY   4096u
#define JSON_MAX (LUKS_COPY - BINARY - 1) /* a NUL follows the text */

static const uint8_t magics[2][6] = { { 'L', 'U', 'K', 'S', 0xba, 0xbe },
				      { 'S', 'K', 'U', 'L', 0xba, 0xbe } };

/* The binary part as it is on the disk. */
struct binary {
	uint8_t magic[6];
	uint16_t version;
	uint64_t hdr_size, seqid;
	char label[48], checksum_alg[32];
	uint8_t salt[64];
	char uuid[40], subsystem[48];
	uint64_t hdr_offset;
	uint8_t zero[184], checksum[64], rest[BINARY - 512];
} __attribute__((packed));

_Static_assert(sizeof(struct binary) == BINARY, "LUKS2 binary header");

bool luks_header_detect(const uint8_t *p, size_t n)
{
	return n >= 6 && (memcmp(p, magics[0], 6) == 0 || memcmp(p, magics[1], 6) == 0);
}

static bool all_zero(const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n > 0 && b[n - 1] == 0)
		n--;
	return n == 0;
}

/* Printable ASCII, then only NUL, at least one. */
static bool text_field(const char *p, size_t n)
{
	size_t len = strnlen(p, n);

	for (size_t i = 0; i < len; i++)
		if (p[i] < ' ' || p[i] > '~')
			return false;
	return len < n && all_zero(p + len, n - len);
}

static bool uuid_field(const char *p, size_t n)
{
	if (!text_field(p, n) || strlen(p) != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23 ? p[i] != '-' :
							      !strchr("0123456789abcdef", p[i]))
			return false;
	}
	return true;
}

static int checksum(struct digest *out, const uint8_t *copy, struct err *e)
{
	static const uint8_t zero[64];
	size_t at = offsetof(struct binary, checksum);
	struct view parts[] = { { copy, at },
				{ zero, sizeof zero },
				{ copy + at + sizeof zero, LUKS_COPY - at - sizeof zero } };

	return digest_parts(out, HASH_SHA256, parts, ARRAY_LEN(parts), e);
}

static int load_text(struct buf *out, const uint8_t *p, int which, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	size_t len = strnlen((const char *)p, JSON_MAX + 1);
	struct err why = { 0 };

	if (len > JSON_MAX || !all_zero(p + len, JSON_MAX + 1 - len))
		return err_code(e, CODE_VOLUME_HEADER,
				"copy %d: the metadata is not text followed by zeros", which + 1);
	if (json_parse(&doc, (struct view){ p, len }, JSON_MAX, &why) < 0 ||
	    json_canonical(out, doc, &why) < 0)
		return err_code(e, CODE_VOLUME_HEADER, "copy %d: metadata: %s", which + 1, why.msg);
	return 0;
}

/* One copy: 0 (first) or 1. */
static int load_copy(struct luks_header *out, const uint8_t *p, int which, struct err *e)
{
	cleanup_luks_header struct luks_header h = { .text = BUF_MAX(JSON_MAX) };
	struct digest want = { 0 };
	struct binary b;
	int r;

	memcpy(&b, p, sizeof b);
	if (memcmp(b.magic, magics[which], 6) != 0)
		return err_code(e, CODE_VOLUME_NO_HEADER, "no LUKS header");
	if (be16toh(b.version) != 2)
		return err_code(e, CODE_VOLUME_HEADER, "LUKS version %u, only 2 is accepted",
				be16toh(b.version));
	if (be64toh(b.hdr_size) != LUKS_COPY || be64toh(b.hdr_offset) != (uint64_t)which * LUKS_COPY)
		return err_code(e, CODE_VOLUME_HEADER,
				"copy %d: %llu bytes at offset %llu, accepted is %u at %u", which + 1,
				(unsigned long long)be64toh(b.hdr_size),
				(unsigned long long)be64toh(b.hdr_offset), LUKS_COPY,
				(unsigned)which * LUKS_COPY);
	if (strncmp(b.checksum_alg, "sha256", sizeof b.checksum_alg) != 0 ||
	    !text_field(b.checksum_alg, sizeof b.checksum_alg))
		return err_code(e, CODE_VOLUME_HEADER, "copy %d: its checksum is not sha256", which + 1);
	r = checksum(&want, p, e);
	if (r < 0)
		return r;
	if (memcmp(b.checksum, want.b, want.len) != 0)
		return err_code(e, CODE_VOLUME_HEADER, "copy %d: its checksum does not match", which + 1);
	if (!text_field(b.label, sizeof b.label) || !text_field(b.subsystem, sizeof b.subsystem) ||
	    !uuid_field(b.uuid, sizeof b.uuid) || !all_zero(b.zero, sizeof b.zero) ||
	    !all_zero(b.checksum + want.len, sizeof b.checksum - want.len) ||
	    !all_zero(b.rest, sizeof b.rest))
		return err_code(e, CODE_VOLUME_HEADER,
				"copy %d: label, subsystem, uuid or padding is malformed", which + 1);
	r = load_text(&h.text, p + BINARY, which, e);
	if (r < 0)
		return r;
	h.seqid = be64toh(b.seqid);
	memcpy(h.label, b.label, sizeof h.label);
	memcpy(h.uuid, b.uuid, sizeof h.uuid);
	memcpy(h.subsystem, b.subsystem, sizeof h.subsystem);
	*out = h;
	h.text = (struct buf){ 0 };
	return 0;
}

static bool same(const struct luks_header *a, const struct luks_header *b)
{
	return strcmp(a->label, b->label) == 0 && strcmp(a->subsystem, b->subsystem) == 0 &&
	       view_eq(buf_view(&a->text), buf_view(&b->text));
}

static void move(struct luks_header *out, struct luks_header *from)
{
	luks_header_done(out);
	*out = *from;
	from->text = (struct buf){ 0 };
}

int luks_header_load(struct luks_header *out, struct view raw, struct err *e)
{
	cleanup_luks_header struct luks_header a = { 0 }, b = { 0 };
	struct err first = { 0 }, second = { 0 };
	int ra, rb;

	if (raw.len != LUKS_COPIES)
		return err_code(e, CODE_VOLUME_NO_HEADER, "%zu bytes, a header has %u", raw.len,
				LUKS_COPIES);
	ra = load_copy(&a, raw.p, 0, &first);
	rb = load_copy(&b, raw.p + LUKS_COPY, 1, &second);
	if (ra < 0 && rb < 0) {
		/* What is wrong says the copy that is there. */
		bool none = first.code == CODE_VOLUME_NO_HEADER;

		if (e)
			*e = none ? second : first;
		return none ? rb : ra;
	}
	if (ra == 0 && rb == 0) {
		if (strcmp(a.uuid, b.uuid) != 0 || (a.seqid == b.seqid && !same(&a, &b)))
			return err_code(e, CODE_VOLUME_HEADER, "its two copies differ");
		move(out, a.seqid >= b.seqid ? &a : &b);
		return 0;
	}
	move(out, ra == 0 ? &a : &b);
	return 0;
}

int luks_header_put(uint8_t *out, const struct luks_header *h, struct err *e)
{
	if (h->text.len == 0 || h->text.len > JSON_MAX)
		return err_set(e, ERR_LIMIT, "metadata of %zu bytes, allowed 1..%u", h->text.len, JSON_MAX);
	for (int which = 0; which < 2; which++) {
		uint8_t *p = out + (size_t)which * LUKS_COPY;
		struct binary b = { .version = htobe16(2),
				    .hdr_size = htobe64(LUKS_COPY),
				    .seqid = htobe64(h->seqid),
				    .checksum_alg = "sha256",
				    .hdr_offset = htobe64((uint64_t)which * LUKS_COPY) };
		struct digest d = { 0 };
		int r = random_bytes(b.salt, sizeof b.salt, e);

		if (r < 0)
			return r;
		memcpy(b.magic, magics[which], sizeof b.magic);
		memcpy(b.label, h->label, sizeof b.label);
		memcpy(b.uuid, h->uuid, sizeof b.uuid);
		memcpy(b.subsystem, h->subsystem, sizeof b.subsystem);
		memcpy(p, &b, sizeof b);
		for (size_t i = BINARY; i < LUKS_COPY; i++)
			p[i] = i - BINARY < h->text.len ? h->text.p[i - BINARY] : 0;
		r = checksum(&d, p, e);
		if (r < 0)
			return r;
		memcpy(p + offsetof(struct binary, checksum), d.b, d.len);
	}
	return 0;
}

void luks_header_done(struct luks_header *h)
{
	buf_done(&h->text);
	*h = (struct luks_header){ 0 };
}
