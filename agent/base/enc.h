/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ENC_H
#define BASE_ENC_H

#include "agent/base/buf.h"

/*
 * Hex, and the two alphabets of RFC 4648 in their strict forms. Which one a field uses is in
 * spec/trustee.md; a peer refuses the other.
 *
 *   ENC_B64   standard alphabet, padding required   (nonce, annotation packets, tpm evidence)
 *   ENC_B64U  URL-safe alphabet, padding forbidden  (JWK, JWS, JWE, JWT)
 *
 * Strict: no white space, no bits set behind the last byte, no characters of the other alphabet.
 */
enum enc_alphabet { ENC_B64, ENC_B64U };

/* Append the encoding of in to *out. */
void enc_base64(struct buf *out, enum enc_alphabet a, struct view in);

/* Append the decoded bytes to *out. Errors: ERR_FORMAT (with the offset), ERR_LIMIT, ERR_NOMEM. */
int enc_base64_decode(struct buf *out, enum enc_alphabet a, struct view in, struct err *e) MUST_CHECK;

/*
 * Decode into a fixed array.
 * len  in: room in p; out: bytes written, on success only
 * Errors: ERR_FORMAT, ERR_LIMIT (more bytes than room; nothing is written then).
 */
int enc_base64_decode_into(uint8_t *p, size_t *len, enum enc_alphabet a, struct view in,
			   struct err *e) MUST_CHECK;

/* Append lower-case hex. */
void enc_hex(struct buf *out, struct view in);

/* Write 2 * in.len lower-case digits and a NUL; out has room for 2 * in.len + 1. */
void enc_hex_str(char *out, struct view in);

/* Decode hex of either case, exactly n bytes, into p. Errors: ERR_FORMAT. */
int enc_hex_decode(uint8_t *p, size_t n, struct view in, struct err *e) MUST_CHECK;

/* True when the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms). NUL is valid. */
bool enc_is_utf8(struct view in);

#endif
