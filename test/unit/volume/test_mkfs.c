/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/mkfs.h"
#include "test/test.h"

#include <fcntl.h>

#define MAX 8

/* Cut text at spaces into words. */
static size_t cut(char *words[MAX + 1], char *text)
{
	size_t n = 0;

	for (char *p = text; *p != '\0' && n < MAX;) {
		words[n++] = p;
		p += strcspn(p, " ");
		if (*p == ' ')
			*p++ = '\0';
	}
	return n;
}

TEST(mkfs_check__what_callers_send__accepted)
{
	static const struct {
		enum volume_fs fs;
		const char *text;
	} good[] = {
		{ VOLUME_EXT4, "" },
		{ VOLUME_EXT4, "-E lazy_journal_init" },
		{ VOLUME_EXT4, "-O ^has_journal -m 0 -i 163840 -I 128" },
		{ VOLUME_EXT4, "-m0 -Fq -Elazy_itable_init=1 -L data" },
		{ VOLUME_EXT4, "-J size=16" },
		{ VOLUME_XFS, "-K -i size=512 -L data -m reflink=0" },
		{ VOLUME_XFS, "-d agcount=4 -l size=16m" },
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char text[100], *words[MAX + 1];
		struct err e = { 0 };

		(void)snprintf(text, sizeof text, "%s", good[i].text);
		if (mkfs_check(good[i].fs, words, cut(words, text), &e) < 0)
			test_fail(__FILE__, __LINE__, "%s: %s", good[i].text, e.msg);
	}
}

TEST(mkfs_check__what_reaches_elsewhere_or_makes_nothing__refused)
{
	static const struct {
		enum volume_fs fs;
		const char *text, *words;
	} bad[] = {
		{ VOLUME_EXT4, "/dev/vda", "no option" },
		{ VOLUME_EXT4, "-F 4096", "no option" },
		{ VOLUME_EXT4, "-", "no option" },
		{ VOLUME_EXT4, "--", "not accepted" },
		{ VOLUME_EXT4, "-n", "not accepted" },
		{ VOLUME_EXT4, "-Fn", "not accepted" },
		{ VOLUME_EXT4, "-d /etc", "not accepted" },
		{ VOLUME_EXT4, "-l /etc/shadow", "not accepted" },
		{ VOLUME_EXT4, "-z /tmp/undo", "not accepted" },
		{ VOLUME_EXT4, "-c", "not accepted" },
		{ VOLUME_EXT4, "-Fc", "not accepted" },
		{ VOLUME_EXT4, "-J device=/dev/vda", "device" },
		{ VOLUME_EXT4, "-Jdevice=/dev/vda", "device" },
		{ VOLUME_EXT4, "-E offset=4096", "offset" },
		{ VOLUME_EXT4, "-O extent,journal_dev", "journal_dev" },
		{ VOLUME_EXT4, "-E", "lacks its value" },
		{ VOLUME_EXT4, "-m -F", "lacks its value" },
		{ VOLUME_XFS, "-N", "not accepted" },
		{ VOLUME_XFS, "-p /etc/proto", "not accepted" },
		{ VOLUME_XFS, "-r rtdev=/dev/vda", "not accepted" },
		{ VOLUME_XFS, "-l logdev=/dev/vda", "dev" },
		{ VOLUME_XFS, "-d name=/dev/vda", "name" },
		{ VOLUME_XFS, "-d file", "file" },
		{ VOLUME_XFS, "-c options=/etc/x", "not accepted" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[100], *words[MAX + 1];
		struct err e = { 0 };
		size_t n;

		(void)snprintf(text, sizeof text, "%s", bad[i].text);
		n = cut(words, text);
		if (mkfs_check(bad[i].fs, words, n, &e) == 0)
			test_fail(__FILE__, __LINE__, "%s is accepted", bad[i].text);
		if (e.code != CODE_VOLUME_MKFS_OPTIONS || !strstr(e.msg, bad[i].words))
			test_fail(__FILE__, __LINE__, "%s: %s", bad[i].text, e.msg);
	}
}

/* spec/local-api.md 7.2. */
TEST(mkfs_merge__lazy_itable_init__as_upstream)
{
	static const struct {
		const char *given, *want;
		bool journal;
	} rows[] = {
		{ "", "-E lazy_itable_init=0", false },
		{ "-m 0", "-m 0 -E lazy_itable_init=0", false },
		{ "-E lazy_journal_init", "-E lazy_journal_init,lazy_itable_init=0", false },
		{ "-E stride=2 -m 0 -E discard", "-E stride=2 -m 0 -E discard,lazy_itable_init=0", false },
		{ "-Estride=2", "-Estride=2,lazy_itable_init=0", false },
		{ "-E lazy_itable_init=1", "-E lazy_itable_init=1", false },
		{ "-E lazy_itable_init", "-E lazy_itable_init", false },
		{ "-E lazy_journal_init", "-E lazy_journal_init,lazy_itable_init=0,lazy_journal_init=0", true },
		{ "-m 0", "-m 0 -E lazy_itable_init=0", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_mkfs_words struct mkfs_words w = { 0 };
		char text[100], *words[MAX + 1];
		cleanup_buf struct buf got = BUF_MAX(1000);

		(void)snprintf(text, sizeof text, "%s", rows[i].given);
		CHECK_INT(mkfs_merge(&w, words, cut(words, text), rows[i].journal, NULL), 0);
		for (size_t k = 0; k < w.n; k++) {
			buf_puts(&got, k > 0 ? " " : "");
			buf_puts(&got, w.word[k]);
		}
		CHECK(w.word[w.n] == NULL);
		if (strcmp(buf_str(&got), rows[i].want) != 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, buf_str(&got));
	}
}

TEST(mkfs_backups__words_of_mkfs__numbers)
{
	uint64_t b[4];

	CHECK_INT(mkfs_backups(b, 4, "x\nSuperblock backups stored on blocks: \n\t32768, 98304,\n\t163840\n\nAllocating"), 3);
	CHECK_INT(b[0], 32768 * 4096);
	CHECK_INT(b[2], 163840 * 4096);
	CHECK_INT(mkfs_backups(b, 4, "with 204800 1k blocks and 5\nSuperblock backups stored on blocks: 8193\n"), 1);
	CHECK_INT(b[0], 8193 * 1024);
	CHECK_INT(mkfs_backups(b, 4, "Superblock backups stored on blocks: 99999999999999999999"), 1);
	CHECK(b[0] > 1ull << 60);
	CHECK_INT(mkfs_backups(b, 4, "Creating filesystem"), 0);
	CHECK_INT(mkfs_backups(b, 4, "Superblock backups stored on blocks: "), 0);
	CHECK_INT(mkfs_backups(b, 2, "Superblock backups stored on blocks: 1 2 3 4"), 2);
}

static const char *image(uint64_t size)
{
	static char path[] = "/tmp/vouchsafe-mkfs-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	CHECK(close(fd) == 0);
	return path;
}

static bool holds(const char *path, long at, const char *bytes, size_t n)
{
	char have[8] = { 0 };
	int fd = open(path, O_RDONLY);

	CHECK(fd >= 0 && pread(fd, have, n, at) == (ssize_t)n && close(fd) == 0);
	return memcmp(have, bytes, n) == 0;
}

TEST(mkfs_run__ext4_on_a_file__made)
{
	const char *path = image(32u << 20);
	char o[] = "-O", v[] = "^has_journal", *words[] = { o, v };
	struct err e = { 0 };
	int r;

	if (access("/usr/sbin/mkfs.ext4", X_OK) < 0 && access("/sbin/mkfs.ext4", X_OK) < 0)
		test_skip("mkfs.ext4 is not installed");
	r = mkfs_run(VOLUME_EXT4, path, words, 2, false, false, deadline_in(60000), NULL, &e);
	CHECK(r < 0 || holds(path, 1080, "\x53\xef", 2));
	(void)unlink(path);
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

/* As on dm-integrity: the places are zeroed first, at the blocks that mkfs itself names. */
TEST(mkfs_run__ext4_fresh__backup_places_are_written)
{
	const char *path = image(200u << 20);
	struct err e = { 0 };
	int r;

	if (access("/usr/sbin/mkfs.ext4", X_OK) < 0 && access("/sbin/mkfs.ext4", X_OK) < 0)
		test_skip("mkfs.ext4 is not installed");
	r = mkfs_run(VOLUME_EXT4, path, NULL, 0, true, true, deadline_in(60000), NULL, &e);
	CHECK(r < 0 || holds(path, 1080, "\x53\xef", 2));
	(void)unlink(path);
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

TEST(mkfs_run__too_small__its_last_words)
{
	const char *path = image(64u << 10);
	struct err e = { 0 };
	int r;

	if (access("/usr/sbin/mkfs.xfs", X_OK) < 0 && access("/sbin/mkfs.xfs", X_OK) < 0)
		test_skip("mkfs.xfs is not installed");
	r = mkfs_run(VOLUME_XFS, path, NULL, 0, false, false, deadline_in(60000), NULL, &e);
	(void)unlink(path);
	CHECK_INT(r, -(int)ERR_DEVICE);
	CHECK_INT(e.code, CODE_VOLUME_MKFS);
	CHECK(strstr(e.msg, "mkfs.xfs ended with status 1") != NULL);
}

TEST(mkfs_run__deadline_passed__killed)
{
	const char *path = image(32u << 20);
	struct err e = { 0 };
	int r = mkfs_run(VOLUME_EXT4, path, NULL, 0, false, false, deadline_in(0), NULL, &e);

	(void)unlink(path);
	CHECK_INT(r, -(int)ERR_TIMEOUT);
	CHECK_INT(e.code, CODE_VOLUME_DEADLINE);
}
