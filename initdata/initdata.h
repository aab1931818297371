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
	struct buf text;      /* the exact bytes; owned */
	struct toml *toml;    /* owned */
	enum hash_alg alg;
	struct digest digest; /* over text */
};

#define cleanup_initdata __attribute__((cleanup(initdata_done)))

/*
 * Read what was delivered: TOML text, or base64 (line breaks allowed) of gzip of it; which of
 * the two is decided by trying base64 first, since no initdata text is valid base64.
 *
 * out  zeroed by the caller; set on success only
 *
 * Errors: initdata.too-large, initdata.encoding, initdata.syntax (line and column),
 * initdata.schema, initdata.version, initdata.algorithm.
 */
int initdata_load(struct initdata *out, struct view delivered, struct err *e) MUST_CHECK;

/* The same for text only. */
int initdata_load_text(struct initdata *out, struct view text, struct err *e) MUST_CHECK;

void initdata_done(struct initdata *d);

/* A [data] member's text, NUL-terminated, borrowed; NULL when there is none. */
const char *initdata_get(const struct initdata *d, const char *key, size_t *len);

/* Append base64(gzip(text)), without a line break. */
int initdata_encode(struct buf *out, struct view text, struct err *e) MUST_CHECK;

/* What the registers hold for a digest. Source: spec/local-api.md 5.2. */
void initdata_pcr_event(uint8_t out[32], const struct digest *d); /* what extends the PCR: the first 32 bytes */
int initdata_pcr_value(uint8_t out[32], const struct digest *d, struct err *e) MUST_CHECK; /* SHA-256(0^32, event) */
void initdata_field(uint8_t *out, size_t size, const struct digest *d); /* HOST_DATA 32, MRCONFIGID 48: cut or padded with zeros */

/* CAA's initdata for a pod without: sha256, version 0.1.0, an empty aa.toml. Exact text of upstream, static. */
struct view initdata_dummy(void);

#endif
