/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_SETUP_TEXTS_H
#define TEST_SETUP_TEXTS_H

#include "agent/base/fs.h"
#include "agent/setup/config.h"
#include "test/test.h"

/* Load a configuration of these texts (NULL: absent), with a command line where given. */
static inline int load_texts(struct guest_config *c, const char *aa, const char *cdh, const char *own,
			     const char *line, const char *unmeasured, struct err *e)
{
	const char *const keys[] = { "aa.toml", "cdh.toml", "vouchsafe.toml" };
	const char *const texts[] = { aa, cdh, own };
	cleanup_buf struct buf b = BUF_MAX(1 << 20);
	cleanup_initdata struct initdata d = { 0 };
	cleanup_cmdline struct cmdline words = { 0 };

	buf_puts(&b, "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!texts[i])
			continue;
		buf_printf(&b, "\"%s\" = ", keys[i]);
		toml_put_string(&b, view_str(texts[i]));
		buf_putc(&b, '\n');
	}
	CHECK_INT(initdata_load_text(&d, buf_view(&b), e), 0);
	if (line)
		CHECK_INT(cmdline_parse(&words, view_str(line), e), 0);
	return guest_config_load_with(c, &d, line ? &words : NULL, unmeasured, e);
}

/* A shared vector as text; good until the next call. */
static inline const char *shared_text(const char *path)
{
	static struct buf b;
	struct err e;

	buf_done(&b);
	b = BUF_MAX(1 << 20);
	CHECK_INT(fs_read(&b, test_shared(path), 1 << 20, &e), 0);
	return buf_str(&b);
}

/* Everything that explain shows, without sources. */
static inline void show_value(void *ctx, const struct config_item *item)
{
	buf_printf(ctx, "%s=%s\n", item->key, item->value);
}

static inline void show_all(void *ctx, const struct config_item *item)
{
	buf_printf(ctx, "%s=%s|%s:%u|%c\n", item->key, item->value, item->source, item->line,
		   "ny-"[item->measured]);
}

static inline bool has(const struct buf *b, const char *line)
{
	bool found = strstr(buf_str(b), line) != NULL;

	if (!found)
		printf("no \"%s\" in\n%s", line, buf_str(b));
	return found;
}

#endif
