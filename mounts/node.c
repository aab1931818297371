/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/node.h"
#include "mounts/span.h"

struct node node_root(struct view text, const struct json *doc)
{
	return (struct node){ text, doc, span_root(text) };
}

bool node_first(struct node *child, struct node container)
{
	struct node c = { .text = container.text };

	if (!container.v)
		return false;
	c.v = json_first(container.v);
	if (!c.v || !span_first(&c.at, c.text, container.at))
		return false;
	*child = c;
	return true;
}

bool node_next(struct node *child)
{
	struct node c = *child;

	c.v = json_next(c.v);
	if (!c.v || !span_next(&c.at, c.text))
		return false;
	*child = c;
	return true;
}

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* As encoding/json of Go folds: ASCII case, U+017F is an s, U+212A is a k. */
static bool folds_to(const char *name, const char *key)
{
	while (*name && *key) {
		if (strncmp(name, "\xc5\xbf", 2) == 0 && lower((unsigned char)*key) == 's')
			name += 2;
		else if (strncmp(name, "\xe2\x84\xaa", 3) == 0 && lower((unsigned char)*key) == 'k')
			name += 3;
		else if (lower((unsigned char)*name) == lower((unsigned char)*key))
			name++;
		else
			return false;
		key++;
	}
	return *name == *key;
}

int node_get(struct node *out, struct node object, const char *key, struct err *e)
{
	struct node m, found = { .text = object.text };

	if (!object.v || !json_is_object(object.v) || !node_first(&m, object)) {
		*out = found;
		return 0;
	}
	do {
		const char *name = json_key(m.v);

		if (strcmp(name, key) == 0)
			found = m;
		else if (folds_to(name, key))
			return err_set(e, ERR_FORMAT,
				       "a member \"%.40s\" beside the name \"%s\", which some "
				       "runtimes take for the same",
				       name, key);
	} while (node_next(&m));
	*out = found;
	return 0;
}
