/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_CMDLINE_H
#define SETUP_CMDLINE_H

#include "agent/base/buf.h"

/*
 * The kernel command line, cut into words as the kernel does (Linux lib/cmdline.c, next_arg):
 * white space separates, double quotes protect it. So a name inside another parameter's quoted
 * value is not found, which a plain search would do. Whether anything on it may be believed is
 * the caller's business (design 5.2).
 */
#define CMDLINE_MAX 16384 /* bytes; Linux allows 2048 (x86, arm64) to 4096 (s390x) */

struct cmdline {
	struct buf text; /* words, each behind its NUL; owned */
};

#define cleanup_cmdline __attribute__((cleanup(cmdline_done)))

/*
 * out   zeroed by the caller; set on success only
 * text  at most CMDLINE_MAX bytes
 * Errors: ERR_LIMIT, ERR_FORMAT (a NUL, a quote without end), ERR_NOMEM.
 */
int cmdline_parse(struct cmdline *out, struct view text, struct err *e) MUST_CHECK;

/* The same for <root>/proc/cmdline; none there is an empty one. Errors besides: ERR_SYSTEM. */
int cmdline_read(struct cmdline *out, const char *root, struct err *e) MUST_CHECK;

/*
 * The value of NAME=value, borrowed. Returns 1 and sets *value, or 0 when there is none.
 * Errors: ERR_FORMAT (given twice: readers differ in which one they take; a value with quotes or
 * with anything but visible ASCII).
 */
int cmdline_get(const char **value, const struct cmdline *c, const char *name,
		struct err *e) MUST_CHECK;

void cmdline_done(struct cmdline *c);

#endif
