/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_INITDATA_H
#define INITDATA_INITDATA_H

#include "agent/base/buf.h"
#include "agent/crypto/digest.h"
#include "initdata/toml.h"

/*
 * The pod's initdata: a TOML text with version, algorithm and a table [data] of strings. Its
 * digest is over the exact bytes of the text. Source: spec/local-api.md 5, spec/evidence.md 4.
 */
#define INITDATA_ENCODED_MAX (1u << 20) /* base64 of gzip, or text, as delivered; bytes */
#define INITDATA_TEXT_MAX    (4u << 20) /* after gunzip; bytes */

struct initdata {
	struct buf text;   /* the exact bytes; owned */
	struct toml *toml; /* owned */
	enum hash_alg alg;
	struct digest digest; /* over text */
};

#define cleanup_initdata __attribute__((cleanup(initdata_done)))

/*
 * Read what was delivered: base64 (line breaks allowed) of gzip of TOML text, or the text itself.
 * Text has blanks, quotes or brackets, which base64 has not: that decides.
 *
 * out        zeroed by the caller; set on success only
 * delivered  at most INITDATA_ENCODED_MAX bytes
 *
 * Errors: initdata.too-large, initdata.encoding, initdata.syntax (line and column),
 * initdata.schema, initdata.version, initdata.algorithm; ERR_NOMEM, ERR_CRYPTO.
 */
int initdata_load(struct initdata *out, struct view delivered, struct err *e) MUST_CHECK;

/* The same for text only, of at most INITDATA_TEXT_MAX bytes. */
int initdata_load_text(struct initdata *out, struct view text, struct err *e) MUST_CHECK;

/*
 * The first half of initdata_load(): append the text, whose TOML is not looked at.
 * Errors: initdata.too-large, initdata.encoding; ERR_NOMEM.
 */
int initdata_decode(struct buf *text, struct view delivered, struct err *e) MUST_CHECK;

/* The same for gzip of the text, of at most INITDATA_ENCODED_MAX bytes. */
int initdata_gunzip(struct buf *text, struct view gz, struct err *e) MUST_CHECK;

/*
 * Append what base64 with line breaks stands for; strict otherwise.
 * Errors: ERR_FORMAT, ERR_LIMIT (out's cap), ERR_NOMEM.
 */
int initdata_unfold(struct buf *out, struct view code, struct err *e) MUST_CHECK;

void initdata_done(struct initdata *d);

/* A [data] member's text, NUL-terminated, borrowed; NULL when there is none. len may be NULL. */
const char *initdata_get(const struct initdata *d, const char *key, size_t *len);

/* The table [data], for who wants all members: each is a string. */
const struct toml *initdata_data(const struct initdata *d);

/* Append base64(gzip(text)), without a line break. Errors: ERR_NOMEM, ERR_LIMIT (out's cap). */
int initdata_encode(struct buf *out, struct view text, struct err *e) MUST_CHECK;

/* What registers hold for a digest. Source: spec/local-api.md 5.2. */

/* The PCR once it was extended, from zero, with the first 32 bytes: SHA-256(32 zeros, these). Errors: ERR_CRYPTO. */
int initdata_pcr_value(uint8_t out[32], const struct digest *d, struct err *e) MUST_CHECK;

/* A field of `size` bytes (HOST_DATA 32, MRCONFIGID 48): cut, or padded with zeros at its end. */
void initdata_field(uint8_t *out, size_t size, const struct digest *d);

/*
 * The initdata of a pod without: sha256, version 0.1.0, an empty aa.toml. Static. Every byte
 * counts, because images and owners compare its digest. Source: spec/local-api.md 5.6.
 */
struct view initdata_dummy(void);

#endif
