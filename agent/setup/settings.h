/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_SETTINGS_H
#define SETUP_SETTINGS_H

#include "initdata/toml.h"

/*
 * Reading settings out of a TOML table: a wrong type is config.value and names the key and the
 * text it stands in.
 */
struct settings {
	const char *text_name; /* "vouchsafe.toml", "aa.toml": for messages */
	const struct toml *root;
	/*
	 * As peers read their texts: keys in any case (one key in two spellings is config.value),
	 * true/false/yes/no/on/off/1/0 for booleans, digits in quotes for numbers.
	 */
	bool lenient;
	bool no_lines; /* the text was JSON: lines of the tree are not its lines */
};

/*
 * Is there something at path ("a.b")? Returns 1 and its line (0 with no_lines), 0, or an error:
 * config.value when something on the way is no table.
 */
int settings_given(const struct settings *s, const char *path, unsigned *line,
		   struct err *e) MUST_CHECK;

/* The table at path, or NULL when absent. Errors: config.value (something else stands there). */
int settings_table(const struct toml **out, const struct settings *s, const char *path,
		   struct err *e) MUST_CHECK;

/* The array at path, or NULL when absent, of at most max elements. Errors: config.value. */
int settings_array(const struct toml **out, const struct settings *s, const char *path, size_t max,
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
 * Tell of each key that is not in the list of known paths ("net.proxy"; "sealed.bind.*" allows any
 * member; a path leads through arrays of tables). The first error of found() ends it.
 */
int settings_unknown(const struct settings *s, const char *const *known, size_t n,
		     int (*found)(void *ctx, const char *path, unsigned line, struct err *e),
		     void *ctx, struct err *e) MUST_CHECK;

/* Refuse such keys. Errors: config.unknown-key, naming the first and its line. */
int settings_only(const struct settings *s, const char *const *known, size_t n, struct err *e)
	MUST_CHECK;

void settings_list_free(char **list, size_t n);

#endif
