/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_SEALEDTEXT_H
#define MOUNTS_SEALEDTEXT_H

#include "agent/base/mem.h"

/* Recognising sealed secrets: text that begins "sealed." (spec/local-api.md 2.3). */
#define SEALED_PREFIX   "sealed."
#define SEALED_TEXT_MAX (1u << 20) /* bytes of one sealed secret in a file */

static inline bool sealedtext_is(struct view v)
{
	return view_starts(v, SEALED_PREFIX);
}

/* Without white space at its end, which editors and echo leave there. */
struct view sealedtext_trim(struct view v);

/*
 * A sealed secret stands in an argument: it begins with "sealed.", or has it behind '=', or
 * anywhere a whole one (sealed.A.B.C of base64url). A path like /etc/sealed.txt is none.
 */
bool sealedtext_within(struct view v);

#endif
