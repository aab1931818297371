/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "initdata/toml.h"

#include <math.h>
#include <stdio.h>

/*
 * Our reading of TOML texts as JSON with tagged values (the form of toml-lang/toml-test), for
 * comparison with another reader. Input: frames of a big-endian 32-bit length and that many bytes,
 * on standard input. Output: one line a frame, {"value":…} or {"kind":…,"error":…}.
 */

static void put_value(struct buf *out, const struct toml *v);

static void put_container(struct buf *out, const struct toml *v)
{
	bool table = toml_type(v) == TOML_TABLE;

	buf_putc(out, table ? '{' : '[');
	for (const struct toml *m = toml_first(v); m; m = toml_next(m)) {
		if (m != toml_first(v))
			buf_putc(out, ',');
		if (table) {
			json_put_string(out, toml_key_view(m));
			buf_putc(out, ':');
		}
		put_value(out, m);
	}
	buf_putc(out, table ? '}' : ']');
}

/* "datetime", "datetime-local", "date-local", "time-local" by the form of the text. */
static const char *datetime_tag(const char *s)
{
	const char *t = strchr(s, 'T');

	if (s[2] == ':')
		return "time-local";
	if (!t)
		return "date-local";
	return strpbrk(t, "Z+-") ? "datetime" : "datetime-local";
}

static void put_float(struct buf *out, double x)
{
	if (isnan(x))
		buf_puts(out, "nan");
	else if (isinf(x))
		buf_puts(out, x < 0 ? "-inf" : "inf");
	else
		buf_printf(out, "%.17g", x);
}

static void put_value(struct buf *out, const struct toml *v)
{
	const char *tag = NULL;
	int64_t integer = 0;
	double number = 0;
	bool flag = false;
	size_t len = 0;

	switch (toml_type(v)) {
	case TOML_TABLE:
	case TOML_ARRAY:
		put_container(out, v);
		return;
	case TOML_STRING:
		tag = toml_string(v, &len);
		buf_puts(out, "{\"type\":\"string\",\"value\":");
		json_put_string(out, (struct view){ (const uint8_t *)tag, len });
		buf_putc(out, '}');
		return;
	case TOML_INTEGER:
		(void)toml_integer(&integer, v);
		buf_printf(out, "{\"type\":\"integer\",\"value\":\"%lld\"}", (long long)integer);
		return;
	case TOML_FLOAT:
		(void)toml_float(&number, v);
		buf_puts(out, "{\"type\":\"float\",\"value\":\"");
		put_float(out, number);
		buf_puts(out, "\"}");
		return;
	case TOML_BOOL:
		(void)toml_bool(&flag, v);
		buf_printf(out, "{\"type\":\"bool\",\"value\":\"%s\"}", flag ? "true" : "false");
		return;
	case TOML_DATETIME:
		buf_printf(out, "{\"type\":\"%s\",\"value\":\"%s\"}",
			   datetime_tag(toml_datetime(v)), toml_datetime(v));
		return;
	}
}

static int one(struct view text)
{
	cleanup_toml struct toml *root = NULL;
	cleanup_buf struct buf out = BUF_MAX(64u << 20);
	struct err e;

	if (toml_parse(&root, text, &e) == 0) {
		buf_puts(&out, "{\"value\":");
		put_value(&out, root);
	} else {
		buf_printf(&out, "{\"kind\":\"%s\",\"error\":", err_kind_name(e.kind));
		json_put_string(&out, view_str(e.msg));
	}
	buf_puts(&out, "}\n");
	return buf_check(&out, "output", &e) < 0 ||
	       fs_write_fd(STDOUT_FILENO, buf_view(&out), "standard output", &e) < 0;
}

int main(void)
{
	uint8_t head[4];

	while (fread(head, 1, sizeof head, stdin) == sizeof head) {
		size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 |
			   head[3];
		cleanup_free uint8_t *text = malloc(n + 1);

		if (!text || fread(text, 1, n, stdin) != n || one((struct view){ text, n }) != 0)
			return 1;
	}
	return 0;
}
