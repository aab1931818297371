/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_MOUNTS_TMPDIR_H
#define TEST_MOUNTS_TMPDIR_H

#include "test/test.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of the test's own, removed when its process ends. Paths are relative to it. */
static char tmpdir_path[64];

static int tmpdir_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static void tmpdir_remove(void)
{
	(void)nftw(tmpdir_path, tmpdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Returns a descriptor of it. */
__attribute__((unused)) static int tmpdir_make(void)
{
	int fd;

	(void)snprintf(tmpdir_path, sizeof tmpdir_path, "/tmp/vouchsafe-unit-XXXXXX");
	CHECK(mkdtemp(tmpdir_path) != NULL);
	(void)atexit(tmpdir_remove);
	fd = open(tmpdir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

__attribute__((unused)) static void tmpdir_put(int dir, const char *path, const char *content)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	CHECK(fchmod(fd, 0640) == 0);
	CHECK(close(fd) == 0);
}

/* The content, good until the next call; "(none)" when it is not there. */
__attribute__((unused)) static const char *tmpdir_get(int dir, const char *path)
{
	static char text[65536];
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return "(none)";
	n = read(fd, text, sizeof text - 1);
	CHECK(n >= 0);
	text[n] = '\0';
	CHECK(close(fd) == 0);
	return text;
}

__attribute__((unused)) static bool tmpdir_is(int dir, const char *path, const char *content)
{
	const char *have = tmpdir_get(dir, path);

	if (strcmp(have, content) != 0)
		printf("     %s holds \"%.200s\"\n", path, have);
	return strcmp(have, content) == 0;
}

/* An absolute path below it, good until the next call. */
__attribute__((unused)) static const char *tmpdir_abs(const char *path)
{
	static char full[4096];

	(void)snprintf(full, sizeof full, "%s/%s", tmpdir_path, path);
	return full;
}

#endif
