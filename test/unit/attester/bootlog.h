/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ATTESTER_BOOTLOG_H
#define TEST_ATTESTER_BOOTLOG_H

#include "agent/base/buf.h"
#include "agent/base/fs.h"
#include "attester/tcg2.h"
#include "test/test.h"

/* Boot logs made by hand, and read from files. */
static inline void log_le(struct buf *b, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_putc(b, (uint8_t)(v >> 8 * i));
}

/* The first record, declaring these algorithms. */
static inline void log_begin(struct buf *b, const uint16_t *algs, const uint16_t *sizes, unsigned n)
{
	log_le(b, 0, 4);
	log_le(b, 3, 4);
	for (int i = 0; i < 20; i++)
		buf_putc(b, 0);
	log_le(b, 16 + 8 + 4 + 4 * n + 1, 4);
	buf_put(b, "Spec ID Event03", 16);
	log_le(b, 0x0002020000000000, 8);
	log_le(b, n, 4);
	for (unsigned i = 0; i < n; i++) {
		log_le(b, algs[i], 2);
		log_le(b, sizes[i], 2);
	}
	buf_putc(b, 0);
}

static inline void log_begin_one(struct buf *b, enum hash_alg alg)
{
	const uint16_t id = tcg2_alg_id(alg), size = (uint16_t)hash_len(alg);

	log_begin(b, &id, &size, 1);
}

/* A record whose digest is that of `measured`. */
static inline void log_event(struct buf *b, enum hash_alg alg, uint32_t index, uint32_t type,
			     struct view measured, struct view data)
{
	struct digest d;

	CHECK_INT(digest_of(&d, alg, measured, NULL), 0);
	log_le(b, index, 4);
	log_le(b, type, 4);
	log_le(b, 1, 4);
	log_le(b, tcg2_alg_id(alg), 2);
	buf_putv(b, digest_view(&d));
	log_le(b, data.len, 4);
	buf_putv(b, data);
}

/* ASCII as UTF-16 with its NUL. */
static inline void log_wide(struct buf *b, const char *s)
{
	do
		log_le(b, (uint8_t)*s, 2);
	while (*s++);
}

static inline void log_read(struct buf *out, const char *path)
{
	struct err e;

	if (fs_read(out, path, TCG2_LOG_MAX, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

#endif
