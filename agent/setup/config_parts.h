/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_CONFIG_PARTS_H
#define SETUP_CONFIG_PARTS_H

#include "agent/setup/config.h"
#include "agent/setup/settings.h"

/* What the files of config share; private to them, their tests and their fuzzer. */

#define CONFIG_LIST_MAX 64 /* elements of a list: hosts, uids, credentials, registries, … */

/* One key: reading and explaining both walk these. */
enum config_kind {
	KIND_TEXT,
	KIND_URL,  /* text; a password in it is not shown */
	KIND_LONG, /* text; its size is shown */
	KIND_CERT,
	KIND_BOOL,
	KIND_UINT,
	KIND_LIST,
	KIND_CERTS, /* a list of PEM texts */
	KIND_UIDS,
	KIND_TABLE, /* has members of its own, see config_known_below */
};

struct config_row {
	const char *name;
	enum config_from text;
	enum config_kind kind;
	uint32_t max;      /* of KIND_UINT, and of a list's elements */
	size_t at, at_n;   /* offsets in struct guest_config */
	const char *unset; /* what explain shows when nobody says it; NULL: not shown at all */
};

extern const struct config_row config_rows[CONFIG_KEYS];

/* The TOML or JSON text as a tree. *json: it was JSON, lines mean nothing. Errors: config.syntax. */
int config_parse(struct toml **out, bool *json, struct view text, struct err *e) MUST_CHECK;

/* Read one text of an initdata into *c. what: FROM_AA, FROM_CDH, FROM_OWN. Errors: config.*. */
int config_read_text(struct guest_config *c, enum config_from what, struct view text,
		     struct err *e) MUST_CHECK;

/* Keys with a form of their own. */
int config_read_cdh_lists(struct guest_config *c, const struct settings *s, struct err *e) MUST_CHECK;
int config_read_own_lists(struct guest_config *c, const struct settings *s, struct err *e) MUST_CHECK;

/* What is taken together from several keys, once all texts are read. Errors: config.value. */
int config_settle(struct guest_config *c, struct err *e) MUST_CHECK;

/* Errors: config.value, config.syntax. */
int config_apply_cmdline(struct guest_config *c, const struct cmdline *line, const char *unmeasured,
			 struct err *e) MUST_CHECK;

/* One credential more. name is what messages call it. Errors: config.value. */
int config_add_credential(struct guest_config *c, const char *name, struct view uri,
			  struct view path, struct err *e) MUST_CHECK;

void config_remark(struct config_remarks *r, const char *fmt, ...) PRINTF(2, 3);

#endif
