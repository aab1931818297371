/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Scope-bound ownership. Every owned local is declared with one of these and initialised
 * on the same line; it leaves the function only through take(). There is no goto.
 */
#define cleanup_free  __attribute__((cleanup(mem_freep)))
#define cleanup_close __attribute__((cleanup(mem_closep)))
#define cleanup_key32 __attribute__((cleanup(mem_key32p)))

/* Hand an owned pointer to someone else: yields it and leaves NULL behind. */
#define take(p)                                                                                    \
	({                                                                                         \
		__auto_type take_ = (p);                                                           \
		(p) = NULL;                                                                        \
		take_;                                                                             \
	})

/* The same for a file descriptor: leaves -1 behind. */
#define take_fd(fd)                                                                                \
	({                                                                                         \
		int take_ = (fd);                                                                  \
		(fd) = -1;                                                                         \
		take_;                                                                             \
	})

/* Borrowed bytes. Valid only as long as what it was cut from; never freed. */
struct view {
	const uint8_t *p;
	size_t len;
};

/* A symmetric key on the stack. Never a bare uint8_t[32]: that one nobody erases. */
struct key32 {
	uint8_t b[32];
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A string's bytes without its NUL. NULL gives the empty view. */
static inline struct view view_str(const char *s)
{
	return (struct view){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

static inline bool view_eq(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool view_is(struct view a, const char *s)
{
	return view_eq(a, view_str(s));
}

static inline bool view_starts(struct view a, const char *s)
{
	size_t n = strlen(s);

	return a.len >= n && memcmp(a.p, s, n) == 0;
}

/* For printf: "%.*s", VIEW_ARG(v), with at most 120 bytes, so that a message stays a message. */
#define VIEW_ARG(v) (int)((v).len > 120 ? 120 : (v).len), (const char *)((v).p ? (const void *)(v).p : "")

static inline void mem_freep(void *pp)
{
	free(*(void **)pp);
}

static inline void mem_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void mem_key32p(struct key32 *k)
{
	explicit_bzero(k, sizeof *k);
}

#endif
