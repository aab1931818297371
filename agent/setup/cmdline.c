/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/cmdline.h"
#include "agent/base/fs.h"

#define SPACE " \t\n\v\f\r"

static bool is_space(uint8_t c)
{
	return c && strchr(SPACE, c);
}

int cmdline_parse(struct cmdline *out, struct view text, struct err *e)
{
	cleanup_buf struct buf words = BUF_MAX(CMDLINE_MAX + 1);
	bool quoted = false, inside = false;
	int r;

	if (text.len > CMDLINE_MAX)
		return err_set(e, ERR_LIMIT, "kernel command line of %zu bytes, allowed %d", text.len,
			       CMDLINE_MAX);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.p[i];

		if (c == '\0')
			return err_set(e, ERR_FORMAT, "kernel command line has a NUL at offset %zu", i);
		if (!quoted && is_space(c)) {
			if (inside)
				buf_putc(&words, 0);
			inside = false;
			continue;
		}
		quoted ^= c == '"';
		inside = true;
		buf_putc(&words, c);
	}
	if (quoted)
		return err_set(e, ERR_FORMAT, "kernel command line has a quote without end");
	if (inside)
		buf_putc(&words, 0);
	r = buf_check(&words, "kernel command line", e);
	if (r < 0)
		return r;
	buf_done(&out->text);
	out->text = words;
	words = BUF_MAX(0);
	return 0;
}

int cmdline_read(struct cmdline *out, const char *root, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(CMDLINE_MAX);
	cleanup_free char *path = fs_join(root, "/proc/cmdline");
	int r;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_read(&text, path, CMDLINE_MAX, e);
	if (r < 0 && r != -(int)ERR_NOTFOUND)
		return r;
	return cmdline_parse(out, buf_view(&text), e);
}

static bool is_plain(const char *value)
{
	for (; *value; value++)
		if (*value <= ' ' || *value >= 0x7f || *value == '"')
			return false;
	return true;
}

int cmdline_get(const char **value, const struct cmdline *c, const char *name, struct err *e)
{
	const char *p = (const char *)c->text.p, *found = NULL;
	size_t n = strlen(name);

	for (size_t at = 0; at < c->text.len; at += strlen(p + at) + 1) {
		const char *word = p + at;

		/* "name=a value" in quotes as a whole is the same parameter to the kernel. */
		word += *word == '"';
		if (strncmp(word, name, n) != 0 || word[n] != '=')
			continue;
		if (found)
			return err_set(e, ERR_FORMAT, "kernel command line: %s is given twice", name);
		found = word + n + 1;
	}
	if (!found)
		return 0;
	if (!is_plain(found))
		return err_set(e, ERR_FORMAT,
			       "kernel command line: %s has a quote or a character that is no "
			       "visible ASCII", name);
	*value = found;
	return 1;
}

void cmdline_done(struct cmdline *c)
{
	buf_done(&c->text);
}
