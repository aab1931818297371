/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FLATJSON_H
#define BASE_FLATJSON_H

#include "agent/base/mem.h"

/*
 * A flat JSON object of strings, cut in place. For a reply that holds a private key: a JSON
 * library would copy it into memory that is neither locked nor erased. Members' values stay
 * escaped; nothing is allocated.
 *
 *   struct flatjson in;
 *   bool good = flatjson_begin(&in, text);
 *
 *   while (good && flatjson_next(&in, &key, &value))
 *           …
 *   if (!good || !flatjson_end(&in))
 *           malformed
 */
struct flatjson {
	struct view rest;
	bool first;
};

/* Enter the object. text is borrowed. False when it begins otherwise. */
bool flatjson_begin(struct flatjson *in, struct view text);

/* The next member; both views are between their quotes. False at the end, or at what is no member.
 */
bool flatjson_next(struct flatjson *in, struct view *key, struct view *value);

/* After the last member: true when the object, and nothing else, ends here. */
bool flatjson_end(struct flatjson *in);

#endif
