/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/mkfs.h"

#include <stdio.h>

/* The words of mkfsOpts: which are accepted, and what is added to them. */

struct option_list {
	const char *with_value, *alone;
	const char *never[4]; /* not in the value of an option of `in` */
	const char *in;
};

static const struct option_list lists[] = {
	[VOLUME_EXT4] = { "bCEgGiIJLmMNOTU", "DFjKqv", { "device", "offset", "journal_dev" }, "JEO" },
	[VOLUME_XFS] = { "bdilmnsL", "fKq", { "name", "file", "dev" }, "dl" },
};

/* Judge the value of one option. */
static int value(const struct option_list *l, char letter, const char *v, struct err *e)
{
	if (!strchr(l->in, letter))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(l->never) && l->never[i]; i++)
		if (strstr(v, l->never[i]))
			return err_code(e, CODE_VOLUME_MKFS_OPTIONS, "-%c \"%.60s\": \"%s\" is not accepted",
					letter, v, l->never[i]);
	return 0;
}

int mkfs_check(enum volume_fs fs, char *const *args, size_t n, struct err *e)
{
	const struct option_list *l = &lists[fs];

	if (n > VOLUME_ARGS_MAX)
		return err_code(e, CODE_VOLUME_MKFS_OPTIONS, "%zu words, allowed are %d", n, VOLUME_ARGS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *w = args[i], *v = NULL;
		int r;

		if (w[0] != '-' || w[1] == '\0')
			return err_code(e, CODE_VOLUME_MKFS_OPTIONS, "\"%.60s\" is no option", w);
		if (strspn(w + 1, l->alone) == strlen(w + 1))
			continue;
		if (!strchr(l->with_value, w[1]))
			return err_code(e, CODE_VOLUME_MKFS_OPTIONS, "\"%.60s\" is not accepted", w);
		if (w[2] != '\0')
			v = w + 2;
		else if (i + 1 < n)
			v = args[++i];
		if (!v || v[0] == '-')
			return err_code(e, CODE_VOLUME_MKFS_OPTIONS, "\"%.60s\" lacks its value", w);
		r = value(l, w[1], v, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool mentioned(char *const *args, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (strstr(args[i], what))
			return true;
	return false;
}

/* Give the word at i away for the same with ",more" behind. */
static int extend(struct mkfs_words *w, size_t i, const char *more, struct err *e)
{
	char *longer;

	if (asprintf(&longer, "%s,%s", w->word[i], more) < 0)
		return err_set(e, ERR_NOMEM, "no memory for mkfs options");
	if (w->owned[i])
		free(w->word[i]);
	w->word[i] = longer;
	w->owned[i] = true;
	return 0;
}

static int append(struct mkfs_words *w, const char *text, struct err *e)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory for mkfs options");
	w->owned[w->n] = true;
	w->word[w->n++] = copy;
	w->word[w->n] = NULL;
	return 0;
}

/* Add an extended option to the last -E there is, or a new one. */
static int extended(struct mkfs_words *w, const char *option, struct err *e)
{
	size_t at = SIZE_MAX;
	int r;

	for (size_t i = 0; i < w->n; i++) {
		if (strncmp(w->word[i], "-E", 2) != 0)
			continue;
		if (w->word[i][2] != '\0')
			at = i;
		else if (i + 1 < w->n)
			at = ++i;
	}
	if (at != SIZE_MAX)
		return extend(w, at, option, e);
	r = append(w, "-E", e);
	return r < 0 ? r : append(w, option, e);
}

int mkfs_merge(struct mkfs_words *out, char *const *args, size_t n, bool journal, struct err *e)
{
	cleanup_mkfs_words struct mkfs_words w = { 0 };
	int r = 0;

	if (n > VOLUME_ARGS_MAX)
		return err_code(e, CODE_VOLUME_MKFS_OPTIONS, "%zu words, allowed are %d", n, VOLUME_ARGS_MAX);
	for (size_t i = 0; i < n; i++)
		w.word[w.n++] = args[i];
	if (!mentioned(args, n, "lazy_itable_init"))
		r = extended(&w, "lazy_itable_init=0", e);
	if (r == 0 && journal && mentioned(args, n, "lazy_journal_init"))
		r = extended(&w, "lazy_journal_init=0", e);
	if (r < 0)
		return r;
	*out = w;
	w = (struct mkfs_words){ 0 };
	return 0;
}

void mkfs_words_done(struct mkfs_words *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->owned[i])
			free(w->word[i]);
	*w = (struct mkfs_words){ 0 };
}

/* "Creating filesystem with 51200 1k blocks and …" */
static uint64_t block_size(const char *text)
{
	const char *p = strstr(text, "k blocks");
	uint64_t k = 0, unit = 1;

	for (; p && p > text && p[-1] >= '0' && p[-1] <= '9' && unit <= 1000; p--, unit *= 10)
		k += (uint64_t)(p[-1] - '0') * unit;
	return k > 0 ? k * 1024 : 4096;
}

size_t mkfs_backups(uint64_t *out, size_t max, const char *text)
{
	static const char line[] = "Superblock backups stored on blocks:";
	const char *p = strstr(text, line);
	uint64_t size = block_size(text);
	size_t n = 0;

	if (!p)
		return 0;
	for (p += sizeof line - 1; n < max;) {
		p += strspn(p, " \t\n,");
		if (*p < '0' || *p > '9')
			break;
		out[n] = 0;
		for (; *p >= '0' && *p <= '9' && out[n] < 1ull << 48; p++)
			out[n] = out[n] * 10 + (uint64_t)(*p - '0');
		p += strspn(p, "0123456789");
		out[n] = __builtin_mul_overflow(out[n], size, &out[n]) ? UINT64_MAX : out[n];
		n++;
	}
	return n;
}
