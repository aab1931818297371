/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_LUKS_HEADER_H
#define VOLUME_LUKS_HEADER_H

#include "agent/base/json.h"

/*
 * The LUKS2 header (LUKS2 On-Disk Format Specification 1.1.x), read by us before libcryptsetup sees
 * any of it. Of the format only one form is accepted: what vouchsafe and a plain
 * `cryptsetup luksFormat --type luks2 --cipher aes-xts-plain64 [--integrity hmac-sha256]` write.
 * doc/volumes.md has it member by member.
 *
 *   offset  size   what
 *        0  16384  first copy: 4096 bytes binary, then 12288 bytes JSON text padded with NUL
 *    16384  16384  second copy
 *    32768         binary areas of the keyslots, up to 32768 + keyslots_size <= 16 MiB
 *
 *   binary part, big-endian      0 magic[6]  6 version u16  8 hdr_size u64  16 seqid u64
 *     24 label[48]  72 checksum_alg[32]  104 salt[64]  168 uuid[40]  208 subsystem[48]
 *    256 hdr_offset u64  264 zero[184]  448 checksum[64], then zero
 *
 * What was checked is what is used: luks_header_put() writes both copies anew from it, and those
 * are what libcryptsetup is given.
 */
#define LUKS_COPY        16384u             /* bytes of one copy: the only accepted hdr_size */
#define LUKS_COPIES      (2 * LUKS_COPY)    /* what luks_header_load() is given */
#define LUKS_AREAS_END   (16u << 20)        /* no keyslot area goes further */
#define LUKS_DATA_OFFSET (16u << 20)        /* where the data of volumes made here begin */
#define LUKS_DATA_MAX    (64u << 20)        /* no accepted header has its data begin later */
#define LUKS_SLOTS       8                  /* keyslots of one header */
#define LUKS_AREA_MAX    (1u << 20)         /* bytes of one keyslot's area */
#define LUKS_PBKDF2_MAX  20000000           /* iterations of all keyslots and the digest together */
#define LUKS_ARGON2_KIB  (1 << 20)          /* memory of one keyslot */
#define LUKS_ARGON2_TIME 64                 /* passes of all keyslots together */
#define LUKS_TOKEN_BYTES 32                 /* of salt, check and tag */

struct luks_area {
	uint64_t offset, size;
};

/* The token of type "vouchsafe"; see luks_auth.h. */
struct luks_token {
	char fs[8]; /* "ext4", "xfs", "none" */
	uint8_t salt[LUKS_TOKEN_BYTES];
	uint8_t check[LUKS_TOKEN_BYTES];
	uint8_t tag[LUKS_TOKEN_BYTES];
	bool has_tag; /* false only while a header is being made */
};

struct luks_header {
	uint64_t seqid;
	char label[48], uuid[40], subsystem[48];
	struct buf text;  /* the metadata, canonical (RFC 8785): this, and not the disk's spelling */
	/* Set by luks_header_check(). */
	uint64_t data_offset;
	bool integrity; /* hmac(sha256) */
	size_t n_areas;
	struct luks_area areas[LUKS_SLOTS];
	bool tagged;
	struct luks_token token;
};

#define cleanup_luks_header __attribute__((cleanup(luks_header_done)))

/* True when the first bytes are a LUKS magic, of either version or copy. n: bytes at p. */
bool luks_header_detect(const uint8_t *p, size_t n);

/*
 * Read both copies and choose: both whole, then the one with the higher seqid (a writer was
 * interrupted between them), and with one seqid they must agree; one whole, then that one.
 * Nothing of the metadata is judged beyond being strict JSON: that is luks_header_check().
 *
 * out  initialised; set on success only, freed by luks_header_done()
 * raw  the first LUKS_COPIES bytes of the device
 *
 * Errors: volume.no-header, volume.header, ERR_NOMEM.
 */
int luks_header_load(struct luks_header *out, struct view raw, struct err *e) MUST_CHECK;

/*
 * Hold the metadata against the accepted form, and take the facts out of it.
 *
 * integrity  what the caller asked for
 *
 * Errors: volume.header, volume.header-null-cipher, -cipher, -segment, -integrity, -keyslot, -cost.
 */
int luks_header_check(struct luks_header *h, bool integrity, struct err *e) MUST_CHECK;

/*
 * Write both copies of h as they belong at offset 0, LUKS_COPIES bytes.
 * Errors: ERR_LIMIT (the text does not fit), ERR_CRYPTO.
 */
int luks_header_put(uint8_t *out, const struct luks_header *h, struct err *e) MUST_CHECK;

void luks_header_done(struct luks_header *h);

#endif
