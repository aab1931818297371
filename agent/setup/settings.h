/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_SETTINGS_H
#define SETUP_SETTINGS_H

#include "initdata/toml.h"

/*
 * Reading settings out of a TOML table, strictly: a wrong type is config.value and names the key
 * and the text it stands in; a key that no reader asked for is config.unknown-key.
 */
struct settings {
	const char *text_name; /* "vouchsafe.toml", "aa.toml": for messages */
	const struct toml *root;
};

/* The table at path ("a.b"), or NULL when absent. Errors: config.value (something else stands there). */
int settings_table(const struct toml **out, const struct settings *s, const char *path,
		   struct err *e) MUST_CHECK;

/*
 * Readers: path as "table.key". When the key is absent *out is left alone and 0 is returned.
 * settings_text gives malloc'd text and frees what *out held before.
 */
int settings_text(char **out, const struct settings *s, const char *path, struct err *e) MUST_CHECK;
int settings_bool(bool *out, const struct settings *s, const char *path, struct err *e) MUST_CHECK;
int settings_uint(uint32_t *out, const struct settings *s, const char *path, uint32_t max,
		  struct err *e) MUST_CHECK;

/* An array of strings; n is at most max. Frees nothing: *out must be NULL before. */
int settings_list(char ***out, size_t *n, const struct settings *s, const char *path, size_t max,
		  struct err *e) MUST_CHECK;

/*
 * Refuse what is not in the list of known paths ("net.proxy"; "sealed.bind.*" allows any member).
 * Errors: config.unknown-key, naming it and its line.
 */
int settings_only(const struct settings *s, const char *const *known, size_t n, struct err *e)
	MUST_CHECK;

void settings_list_free(char **list, size_t n);

#endif
