/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "agent/base/log.h"
#include "agent/cli/cli.h"

#include <stdio.h>

static void put_entry(struct buf *b, enum err_code code, bool json)
{
	const struct err_entry *c = err_entry(code);
	const struct err_words *w = err_words(code);
	char id[33];

	log_message_id(id, c->name);
	if (!json) {
		buf_printf(b,
			   "%s\n  means:      %s\n  whose side: %s\n  what to do: %s\n"
			   "  journal:    %s\n",
			   c->name, w->cause, err_side_name(c->side), w->remedy, id);
		return;
	}
	buf_printf(b, "{\"code\":\"%s\",\"kind\":\"%s\",\"side\":\"%s\",\"cause\":", c->name,
		   err_kind_name(c->kind), err_side_name(c->side));
	json_put_string(b, view_str(w->cause));
	buf_puts(b, ",\"remedy\":");
	json_put_string(b, view_str(w->remedy));
	buf_printf(b, ",\"message_id\":\"%s\"}", id);
}

static int list(bool json)
{
	cleanup_buf struct buf b = BUF_MAX(1u << 20);

	if (json)
		buf_putc(&b, '[');
	for (int i = CODE_OK + 1; i < (int)CODE_COUNT; i++) {
		const struct err_entry *c = err_entry((enum err_code)i);

		if (json && i > CODE_OK + 1)
			buf_putc(&b, ',');
		if (json)
			put_entry(&b, (enum err_code)i, true);
		else
			buf_printf(&b, "%-28s %s\n", c->name,
				   err_words((enum err_code)i)->cause);
	}
	if (json)
		buf_puts(&b, "]\n");
	return cli_print(&b);
}

int cmd_explain(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "explain",
		.operands = "[CODE]",
		.about = "Say what an error code means, at whose side to look and what to do.\n"
			 "Without CODE, list all of them.\n\n"
			 "  vouchsafe explain kbs.policy-denied",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.max_operands = 1,
	};
	cleanup_buf struct buf b = BUF_MAX(16384);
	const char *name;
	struct err e;
	int code;
	int r = cli_parse(&syntax, argc, argv, &name);

	if (r >= 0)
		return r;
	if (!name)
		return list(json);
	code = err_code_by_name(name);
	if (code < 0) {
		(void)err_set(&e, ERR_NOTFOUND, "no code \"%.60s\"; `vouchsafe explain` lists all", name);
		return cli_fail(&e, json);
	}
	put_entry(&b, (enum err_code)code, json);
	if (json)
		buf_putc(&b, '\n');
	return cli_print(&b);
}
