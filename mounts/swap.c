/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/swap.h"
#include "agent/base/fs.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { SWAPS_MAX = 256 * 1024, SMALL_MAX = 4096, NESTED_MAX = 8 };

/* A file of sysfs below dir begins with / is these words. */
static bool begins(const char *dir, const char *name, const char *words)
{
	cleanup_buf struct buf b = BUF_MAX(SMALL_MAX);
	cleanup_free char *path = NULL;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return false;
	}
	return fs_read(&b, path, SMALL_MAX - 1, NULL) == 0 && view_starts(buf_view(&b), words);
}

static bool is_safe(const char *dir, unsigned level);

static void dir_closep(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* Every device below this one is safe, and there is one. */
static bool slaves_safe(const char *dir, unsigned level)
{
	cleanup_free char *slaves = fs_join(dir, "/slaves");
	__attribute__((cleanup(dir_closep))) DIR *d = slaves ? opendir(slaves) : NULL;
	const struct dirent *entry;
	size_t n = 0;

	while (d && (entry = readdir(d)) != NULL) {
		cleanup_free char *one = NULL;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&one, "%s/%s", slaves, entry->d_name) < 0) {
			one = NULL;
			return false;
		}
		if (!is_safe(one, level + 1))
			return false;
		n++;
	}
	return n > 0;
}

/* dir: the block device's folder in sysfs. */
static bool is_safe(const char *dir, unsigned level)
{
	cleanup_free char *real = realpath(dir, NULL), *parent = NULL, *part = NULL;
	const char *name;
	struct stat st;
	char *slash;

	if (!real || level > NESTED_MAX)
		return false;
	if (begins(real, "dm/uuid", "CRYPT-"))
		/* dm-verity has such a name too, and no secrecy. */
		return !begins(real, "dm/uuid", "CRYPT-VERITY");
	slash = strrchr(real, '/');
	name = slash ? slash + 1 : real;
	if (strncmp(name, "zram", 4) == 0)
		return begins(real, "backing_dev", "none") || !begins(real, "backing_dev", "");
	part = fs_join(real, "/partition");
	if (part && stat(part, &st) == 0 && slash) {
		parent = strndup(real, (size_t)(slash - real));
		return parent && is_safe(parent, level + 1);
	}
	return slaves_safe(real, level);
}

/* /proc/swaps writes white space and backslashes as three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static bool swaps_safely(const char *root, const char *path)
{
	cleanup_free char *dir = NULL;
	struct stat st;
	dev_t dev;

	if (stat(path, &st) < 0)
		return false;
	dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	if (asprintf(&dir, "%s/sys/dev/block/%u:%u", root, major(dev), minor(dev)) < 0) {
		dir = NULL;
		return false;
	}
	return is_safe(dir, 0);
}

int swap_in_clear(const char *root, bool *clear, char name[256], struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(SWAPS_MAX);
	cleanup_free char *path = fs_join(root, "/proc/swaps"), *all = NULL;
	char *line, *rest;
	int r;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_read(&text, path, SWAPS_MAX - 1, e);
	if (r < 0 && r != -(int)ERR_NOTFOUND)
		return r;
	all = buf_take(&text);
	if (!all)
		return err_set(e, ERR_NOMEM, "no memory for /proc/swaps");
	*clear = false;
	name[0] = '\0';
	/* The first line is the heading. */
	rest = strchr(all, '\n');
	while (rest && *++rest) {
		line = rest;
		rest = strchr(line, '\n');
		line[strcspn(line, " \t\n")] = '\0';
		unescape(line);
		if (line[0] && !swaps_safely(root, line)) {
			(void)snprintf(name, 256, "%s", line);
			*clear = true;
			return 0;
		}
	}
	return 0;
}
