/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "agent/setup/config_parts.h"

/*
 * JSON becomes TOML text on its way: one kind of tree, one set of readers, and the JSON twin of a
 * TOML file cannot mean anything else. Its strings hold no U+0000 and its keys no duplicates.
 */
static void put_text(struct buf *out, const char *text)
{
	buf_putc(out, '"');
	for (; *text; text++) {
		uint8_t c = (uint8_t)*text;

		if (c < ' ' || c == 0x7f || c == '"' || c == '\\')
			buf_printf(out, "\\u%04X", c);
		else
			buf_putc(out, c);
	}
	buf_putc(out, '"');
}

static void put_value(struct buf *out, const struct json *v)
{
	const char *gap = "";
	int64_t n;

	if (json_string(v)) {
		put_text(out, json_string(v));
	} else if (json_is_object(v) || json_is_array(v)) {
		buf_putc(out, json_is_object(v) ? '{' : '[');
		for (const struct json *m = json_first(v); m; m = json_next(m)) {
			if (json_is_object(v) && json_is_null(m))
				continue;
			buf_puts(out, gap);
			gap = ", ";
			if (json_is_object(v)) {
				put_text(out, json_key(m));
				buf_puts(out, " = ");
			}
			put_value(out, m);
		}
		buf_putc(out, json_is_object(v) ? '}' : ']');
	} else if (json_integer(&n, v)) {
		buf_printf(out, "%lld", (long long)n);
	} else if (json_is_true(v) || json_is_false(v) || json_is_null(v)) {
		/* null in a list: no key takes a list of booleans, so it is refused there. */
		buf_puts(out, json_is_true(v) ? "true" : "false");
	} else {
		/* No key takes a fraction: any one will do to be refused, or not looked at. */
		buf_puts(out, "0.5");
	}
}

static int put_document(struct buf *out, struct view text, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	int r = json_parse(&doc, text, TOML_TEXT_MAX, e);

	if (r < 0)
		return r;
	for (const struct json *m = json_first(doc); m; m = json_next(m)) {
		if (json_is_null(m))
			continue;
		put_text(out, json_key(m));
		buf_puts(out, " = ");
		put_value(out, m);
		buf_putc(out, '\n');
	}
	return buf_check(out, "JSON", e);
}

int config_parse(struct toml **out, bool *json, struct view text, struct err *e)
{
	cleanup_buf struct buf toml = BUF_MAX(TOML_TEXT_MAX);
	size_t at = 0;
	int r;

	while (at < text.len && text.p[at] && strchr(" \t\r\n", text.p[at]))
		at++;
	*json = at < text.len && text.p[at] == '{';
	if (*json) {
		r = put_document(&toml, text, e);
		if (r == 0)
			r = toml_parse(out, buf_view(&toml), e);
	} else {
		r = toml_parse(out, text, e);
	}
	return r;
}
