/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_LE_H
#define ATTESTER_LE_H

#include "agent/base/mem.h"

/* Little-endian numbers of the hardware: the caller has checked that they are there. */
static inline uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32(const uint8_t *p)
{
	return (uint32_t)le16(p) | (uint32_t)le16(p + 2) << 16;
}

static inline uint64_t le64(const uint8_t *p)
{
	return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* n bytes of v, lowest first. */
static inline void le_put(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline bool all_zero(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] != 0)
			return false;
	return true;
}

/* n bytes at; the caller has checked that they are there. */
static inline struct view view_at(struct view v, size_t at, size_t n)
{
	return (struct view){ v.p + at, n };
}

#endif
