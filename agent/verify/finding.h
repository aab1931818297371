/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERIFY_FINDING_H
#define VERIFY_FINDING_H

#include "agent/base/buf.h"

/*
 * What verification finds: a list of named statements, each of which holds, does not hold, could
 * not be decided, or is worth a look. A check adds its finding whether it holds or not, so that a
 * reader sees what was looked at; only the parser's refusals are errors.
 */
#define FINDINGS_MAX     64
#define FINDING_TEXT_MAX 512 /* bytes with the NUL */

enum finding_state {
	FINDING_OK,
	FINDING_BAD,     /* it does not hold: Trustee would refuse, or should */
	FINDING_UNKNOWN, /* nothing here can decide it: not given, or only a service knows */
	FINDING_WARN,    /* it holds, or is no part of the proof, but a person should know */
};

struct finding {
	const char *name; /* stable: "snp.signature"; static */
	enum finding_state state;
	char text[FINDING_TEXT_MAX]; /* one line, no control characters */
};

struct findings {
	size_t n;
	bool overflow; /* some did not fit; counts as bad */
	struct finding list[FINDINGS_MAX];
};

/* Add one. Control characters in the text become '?'. */
void finding_add(struct findings *f, const char *name, enum finding_state state, const char *fmt,
		 ...) PRINTF(4, 5);

/* Add the outcome of a check: with r negative bad and e's words, else ok and these. */
void finding_of(struct findings *f, const char *name, int r, const struct err *e, const char *fmt,
		...) PRINTF(5, 6);

/* True when one is bad, or did not fit. */
bool findings_bad(const struct findings *f);

/* The first of that name, or NULL. */
const struct finding *finding_get(const struct findings *f, const char *name);

/* "ok", "bad", "unknown", "warn". */
const char *finding_state_name(enum finding_state state);

/* Append one line each: state, name, text. */
void findings_text(struct buf *out, const struct findings *f);

/* Append an array of {"name","state","text"}. */
void findings_json(struct buf *out, const struct findings *f);

#endif
