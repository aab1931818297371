/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/gunzip.h"
#include "initdata/blockdev.h"
#include "initdata/initdata.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static char root[64];

static void begin(void)
{
	char dev[80];

	(void)snprintf(root, sizeof root, "/tmp/test_blockdev.XXXXXX");
	CHECK(mkdtemp(root));
	(void)snprintf(dev, sizeof dev, "%s/dev", root);
	CHECK_INT(mkdir(dev, 0755), 0);
}

static const char *at(const char *name)
{
	static char full[512];

	(void)snprintf(full, sizeof full, "%s/dev/%s", root, name);
	return full;
}

static void end(void)
{
	DIR *d = opendir(at(""));

	CHECK(d);
	for (struct dirent *x = readdir(d); x; x = readdir(d))
		if (x->d_name[0] != '.' && unlink(at(x->d_name)) < 0)
			CHECK_INT(rmdir(at(x->d_name)), 0);
	(void)closedir(d);
	CHECK_INT(rmdir(at("")), 0);
	CHECK_INT(rmdir(root), 0);
}

static void disk(const char *name, struct view bytes)
{
	CHECK_INT(fs_write(at(name), bytes, 0600, NULL), 0);
}

/* A disk whose gzip data is that text, unpacked or not. */
static void text_disk(const char *name, const char *text)
{
	cleanup_buf struct buf image = BUF_MAX(65536);

	CHECK_INT(blockdev_image(&image, view_str(text), NULL), 0);
	CHECK_INT(image.len % 512, 0);
	disk(name, buf_view(&image));
}

static void expect(const char *name, const char *text)
{
	cleanup_blockdev struct blockdev b = { 0 };

	CHECK_INT(blockdev_find(&b, root, true, NULL), 1);
	if (strcmp(b.name, name) != 0 || !view_is(buf_view(&b.gzip), text))
		test_fail(__FILE__, __LINE__, "%s: %s", b.name, buf_str(&b.gzip));
}

static void expect_none(void)
{
	struct blockdev b = { .name = "x" };

	CHECK_INT(blockdev_find(&b, root, true, NULL), 0);
	CHECK(strcmp(b.name, "x") == 0 && !b.gzip.p);
}

TEST(blockdev_find__several_disks__takes_the_first_by_name_with_the_magic)
{
	begin();
	expect_none();
	text_disk("vdc", "third");
	expect("vdc", "third");
	text_disk("vdb", "second");
	expect("vdb", "second");
	text_disk("sdz", "by name");
	expect("sdz", "by name");
	/* Not initdata, too short, empty. */
	disk("sda", view_str("nothing of the kind, but long enough"));
	disk("sdb", view_str("initdata"));
	disk("sdc", view_str("initdata\x05\0\0\0\0\0"));
	disk("sdd", view_str(""));
	disk("sde", view_str("INITDATA12345678"));
	expect("sdz", "by name");
	end();
}

TEST(blockdev_find__other_names__are_not_looked_at)
{
	static const char *const names[] = { "xvda", "nvme0n1",
					     "hda",  "v",
					     "dvda", "loop0",
					     "VDA",  "vd2345678901234567890123456789012" };

	begin();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		text_disk(names[i], "x");
	expect_none();
	text_disk("vd23456789012345678901234567890", "x");
	expect("vd23456789012345678901234567890", "x");
	end();
}

TEST(blockdev_find__links_folders_and_fifos__are_passed_over)
{
	begin();
	text_disk("real", "x");
	CHECK_INT(symlink("real", at("vda")), 0);
	CHECK_INT(mkdir(at("vdb"), 0700), 0);
	CHECK_INT(mkfifo(at("vdc"), 0600), 0);
	expect_none();
	end();
}

TEST(blockdev_find__regular_file_outside_of_tests__is_no_disk)
{
	struct blockdev b = { 0 };

	begin();
	text_disk("vda", "x");
	CHECK_INT(blockdev_find(&b, root, false, NULL), 0);
	end();
}

TEST(blockdev_find__no_dev__is_none_and_what_is_no_folder_is_an_error)
{
	struct blockdev b = { 0 };
	struct err e;

	CHECK_INT(blockdev_find(&b, "/tmp/test_blockdev.none", true, NULL), 0);
	begin();
	end();
	CHECK_INT(mkdir(root, 0700), 0);
	{
		char path[80];

		(void)snprintf(path, sizeof path, "%s/dev", root);
		CHECK_INT(fs_write(path, view_str(""), 0600, NULL), 0);
		CHECK_ERR(blockdev_find(&b, root, true, &e), ERR_SYSTEM, e, "initdata disk: list");
		CHECK_INT(e.code, CODE_INITDATA_SOURCE);
		CHECK_INT(unlink(path), 0);
	}
	CHECK_INT(rmdir(root), 0);
}

TEST(blockdev_find__too_many_disks__is_refused)
{
	struct blockdev b = { 0 };
	char name[16];
	struct err e;

	begin();
	for (int i = 0; i < BLOCKDEV_NAMES_MAX; i++) {
		(void)snprintf(name, sizeof name, "vd%05d", i);
		CHECK_INT(mkdir(at(name), 0700), 0);
	}
	expect_none();
	text_disk("sda", "x");
	CHECK_ERR(blockdev_find(&b, root, true, &e), ERR_SYSTEM, e, "over 512 disks");
	end();
}

static struct view head(uint8_t out[16], uint64_t n)
{
	memcpy(out, "initdata", 8);
	for (int i = 0; i < 8; i++)
		out[8 + i] = (uint8_t)(n >> 8 * i);
	return (struct view){ out, 16 };
}

/* The length is looked at before memory is asked for, and before anything is read. */
TEST(blockdev_find__length_wrong__is_refused_by_name)
{
	static const struct {
		uint64_t n;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ 0, CODE_INITDATA_BLOCK, "vda: the length is 0" },
		{ 497, CODE_INITDATA_BLOCK, "vda: the length is 497, but the disk has 512 bytes" },
		{ 512, CODE_INITDATA_BLOCK, "has 512 bytes" },
		{ BLOCKDEV_GZIP_MAX, CODE_INITDATA_BLOCK, "has 512 bytes" },
		{ BLOCKDEV_GZIP_MAX + 1, CODE_INITDATA_TOO_LARGE,
		  "vda: the length is 1048577, allowed 1048576" },
		{ (uint64_t)1 << 32 | 5, CODE_INITDATA_TOO_LARGE, "4294967301" },
		{ (uint64_t)1 << 63, CODE_INITDATA_TOO_LARGE, "9223372036854775808" },
		{ UINT64_MAX - 15, CODE_INITDATA_TOO_LARGE, "18446744073709551600" },
		{ UINT64_MAX, CODE_INITDATA_TOO_LARGE, "18446744073709551615" },
		/* As big endian it would be 5. */
		{ (uint64_t)5 << 56, CODE_INITDATA_TOO_LARGE, "360287970189639680" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf image = BUF_MAX(512);
		struct blockdev b = { 0 };
		uint8_t h[16];
		struct err e = { 0 };
		int r;

		begin();
		buf_putv(&image, head(h, rows[i].n));
		while (image.len < 512)
			buf_putc(&image, 'x');
		disk("vda", buf_view(&image));
		/* A later one does not make up for it. */
		text_disk("vdb", "x");
		r = blockdev_find(&b, root, true, &e);
		if (r != -(int)err_entry(rows[i].code)->kind || e.code != rows[i].code ||
		    !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s", i, r, e.msg);
		CHECK(!b.gzip.p);
		end();
	}
}

TEST(blockdev_find__length_up_to_the_end__is_read)
{
	cleanup_buf struct buf image = BUF_MAX(4u << 20);
	cleanup_blockdev struct blockdev b = { 0 };
	uint8_t h[16];

	begin();
	buf_putv(&image, head(h, BLOCKDEV_GZIP_MAX));
	while (image.len < 16 + BLOCKDEV_GZIP_MAX)
		buf_putc(&image, 'y');
	disk("vda", buf_view(&image));
	CHECK_INT(blockdev_find(&b, root, true, NULL), 1);
	CHECK_INT(b.gzip.len, BLOCKDEV_GZIP_MAX);
	CHECK(b.gzip.p[0] == 'y' && b.gzip.p[BLOCKDEV_GZIP_MAX - 1] == 'y');
	end();
}

/* The device says that it is larger than what can be read of it. */
TEST(blockdev_read__size_is_a_lie__is_an_error)
{
	cleanup_buf struct buf gzip = BUF_MAX(BLOCKDEV_GZIP_MAX);
	cleanup_close int fd = -1;
	struct err e;

	begin();
	text_disk("vda", "x");
	fd = open(at("vda"), O_RDWR);
	CHECK(fd >= 0);
	CHECK_INT(pwrite(fd, "\xff\x0f", 2, 8), 2);
	CHECK_ERR(blockdev_read(&gzip, fd, 1u << 20, "vda", &e), ERR_FORMAT, e,
		  "its 4095 bytes cannot be read");
	CHECK_INT(gzip.len, 0);
	/* And smaller: not even the magic counts. */
	CHECK_INT(blockdev_read(&gzip, fd, 15, "vda", NULL), 0);
	end();
}

TEST(blockdev_image__over_the_cap__is_refused)
{
	cleanup_buf struct buf gz = BUF_MAX(4u << 20), image = BUF_MAX(4u << 20);
	struct err e;

	while (gz.len < BLOCKDEV_GZIP_MAX)
		buf_putc(&gz, 'x');
	CHECK_INT(blockdev_image(&image, buf_view(&gz), NULL), 0);
	CHECK_INT(image.len, BLOCKDEV_GZIP_MAX + 512);
	buf_putc(&gz, 'x');
	CHECK_ERR(blockdev_image(&image, buf_view(&gz), &e), ERR_LIMIT, e, "allowed 1048576");
}

TEST(blockdev_image__lengths_around_a_sector__are_padded_with_zeros)
{
	static const size_t rows[][2] = { { 1, 512 }, { 495, 512 }, { 496, 512 }, { 497, 1024 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf gz = BUF_MAX(4096), image = BUF_MAX(4096);

		while (gz.len < rows[i][0])
			buf_putc(&gz, 0xff);
		CHECK_INT(blockdev_image(&image, buf_view(&gz), NULL), 0);
		CHECK_INT(image.len, rows[i][1]);
		for (size_t k = 16 + gz.len; k < image.len; k++)
			CHECK_INT(image.p[k], 0);
	}
}

static void read_shared(struct buf *out, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof path, "local/initdata/%s", name);
	CHECK_INT(fs_read(out, test_shared(path), out->max, NULL), 0);
}

TEST(blockdev_find__shared_images__hold_their_texts)
{
	static const char *const names[][2] = {
		{ "kata-native-initdata.img", "kata-native-initdata.content" },
		{ "own-sha256.img", "own-sha256.toml" },
		{ "own-sha384.img", "own-sha384.toml" },
		{ "own-sha512.img", "own-sha512.toml" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cleanup_buf struct buf image = BUF_MAX(65536), want = BUF_MAX(65536),
				       text = BUF_MAX(65536);
		cleanup_blockdev struct blockdev b = { 0 };

		read_shared(&image, names[i][0]);
		read_shared(&want, names[i][1]);
		begin();
		disk("vdb", buf_view(&image));
		CHECK_INT(blockdev_find(&b, root, true, NULL), 1);
		end();
		CHECK_INT(gunzip(&text, buf_view(&b.gzip), 65536, NULL), 0);
		CHECK(view_eq(buf_view(&text), buf_view(&want)));
	}
}
