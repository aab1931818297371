/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_LUKS_AUTH_H
#define VOLUME_LUKS_AUTH_H

#include "agent/base/secret.h"
#include "agent/crypto/digest.h"
#include "mounts/volume/luks_header.h"

/*
 * What binds a device to the caller's key before anything on it is used: the tag of a header and
 * the record that formatting was begun. Their key:
 *
 *   a key of LUKS_FULL bytes or more   HKDF-SHA256(key, salt, purpose)
 *   a shorter one                      HKDF-SHA256(scrypt(key, salt), salt, purpose)
 *
 * so that a password is not guessed faster at the tag than at the keyslot.
 *
 * The token in the header, with `tag` last made:
 *
 *   {"type":"vouchsafe","keyslots":["0"],"version":1,"fs":"ext4"|"xfs"|"none",
 *    "salt":b64(32),"check":b64(32),"tag":b64(32)}
 *
 *   check  HMAC-SHA256(key "vouchsafe volume check 1", uuid): tells a wrong key from an altered header
 *   tag    HMAC-SHA256(key "vouchsafe volume header 1",
 *            uuid ‖ 0 ‖ label ‖ 0 ‖ subsystem ‖ 0 ‖ SHA-256(keyslot's area) ‖ metadata)
 *          metadata in canonical form (RFC 8785) without the member tag
 */
#define LUKS_FULL 32

/* True when keys of that length are taken for random ones. */
static inline bool luks_key_is_full(const struct secret *key)
{
	return key->len >= LUKS_FULL;
}

/*
 * The text of a token without its tag, for a header that is being made.
 * Errors: ERR_CRYPTO, ERR_NOMEM.
 */
int luks_auth_begin(struct buf *token, const char *uuid, const char *fs, const struct secret *key,
		    struct err *e) MUST_CHECK;

/*
 * The text of the same token with its tag.
 * h     checked, as it is after the token of luks_auth_begin() was put in
 * area  SHA-256 of the keyslot's binary area
 * Errors: ERR_CRYPTO, ERR_NOMEM.
 */
int luks_auth_end(struct buf *token, const struct luks_header *h, const struct digest *area,
		  const struct secret *key, struct err *e) MUST_CHECK;

/*
 * Authenticate a checked header that is tagged.
 * Errors: volume.wrong-key, volume.header-auth, ERR_CRYPTO.
 */
int luks_auth_check(const struct luks_header *h, const struct digest *area, const struct secret *key,
		    struct err *e) MUST_CHECK;

/*
 * The mark of a volume key that was made here: its second 32 bytes, the tweak's key of XTS, are
 * HKDF-SHA256 of its first 32, which are random. Whoever has the volume key sees it, nobody else
 * does; and the keyslot keeps the volume key, so nobody can take the mark away as the host can take
 * the token away. So a header without a tag that opens to a marked key had one.
 */
#define LUKS_MARKED 64 /* bytes at the beginning of a volume key */

/* Fill bytes 32 to 63 of a volume key. Errors: ERR_CRYPTO. */
int luks_mark_make(uint8_t *volume_key, struct err *e) MUST_CHECK;

/* Does it have the mark? Errors: ERR_CRYPTO. */
int luks_mark_find(bool *out, const uint8_t *volume_key, struct err *e) MUST_CHECK;

/*
 * The record of formatting begun, in the first 512 bytes of the device until its header is whole:
 *
 *   offset  size  what
 *        0    16  "VOUCHSAFE-INTENT"
 *       16     4  1, big-endian
 *       20     4  zero
 *       24     8  bytes of the device, big-endian
 *       32    32  salt
 *       64    32  HMAC-SHA256(key "vouchsafe volume intent 1", bytes 0..63)
 *       96   416  zero
 */
#define LUKS_INTENT 512

bool luks_intent_detect(const uint8_t *p, size_t n);

/* Fill p (LUKS_INTENT bytes). Errors: ERR_CRYPTO. */
int luks_intent_make(uint8_t *p, uint64_t device_size, const struct secret *key,
		     struct err *e) MUST_CHECK;

/*
 * Was this record made with this key, for a device of this size?
 * Errors: volume.interrupted (malformed, or another device's), volume.wrong-key, ERR_CRYPTO.
 */
int luks_intent_check(const uint8_t *p, uint64_t device_size, const struct secret *key,
		      struct err *e) MUST_CHECK;

#endif
