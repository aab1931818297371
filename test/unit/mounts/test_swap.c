/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/swap.h"
#include "agent/base/fs.h"
#include "test/unit/mounts/tmpdir.h"

#include <sys/sysmacros.h>

/* A /proc/swaps with a swap file of ours, and a sysfs that says what its device is. */
struct fixture {
	int dir;
	char device[128]; /* of the swap file's file system, below the root */
};

static struct fixture make(void)
{
	struct fixture f = { .dir = tmpdir_make() };
	struct stat st;
	char line[256];

	CHECK(mkdirat(f.dir, "proc", 0700) == 0);
	tmpdir_put(f.dir, "swap file", "");
	(void)snprintf(line, sizeof line, "Filename Type Size Used Priority\n%s/swap\\040file file 1 0 -2\n",
		       tmpdir_path);
	tmpdir_put(f.dir, "proc/swaps", line);
	CHECK(fstat(f.dir, &st) == 0);
	(void)snprintf(f.device, sizeof f.device, "sys/dev/block/%u:%u", major(st.st_dev),
		       minor(st.st_dev));
	return f;
}

static void put(const struct fixture *f, const char *dir, const char *name, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	CHECK_INT(fs_mkdirs(tmpdir_abs(path), 0700, NULL), 0);
	CHECK(unlinkat(f->dir, path, AT_REMOVEDIR) == 0);
	tmpdir_put(f->dir, path, text);
}

static bool is_clear(void)
{
	char name[256];
	bool clear;

	CHECK_INT(swap_in_clear(tmpdir_path, &clear, name, NULL), 0);
	CHECK(clear == (name[0] != '\0'));
	return clear;
}

TEST(swap_in_clear__no_swap__is_none)
{
	struct fixture f = make();

	tmpdir_put(f.dir, "proc/swaps", "Filename Type Size Used Priority\n");
	CHECK(!is_clear());
	tmpdir_put(f.dir, "proc/swaps", "");
	CHECK(!is_clear());
	CHECK(unlinkat(f.dir, "proc/swaps", 0) == 0);
	CHECK(!is_clear());
}

TEST(swap_in_clear__device_that_nothing_is_known_of__is_clear)
{
	struct fixture f = make();
	char name[256];
	bool clear;

	CHECK_INT(swap_in_clear(tmpdir_path, &clear, name, NULL), 0);
	CHECK(clear && strcmp(name, tmpdir_abs("swap file")) == 0);
	tmpdir_put(f.dir, "proc/swaps", "Filename\n/nonexistent/device partition 1 0 -2\n");
	CHECK(is_clear());
}

TEST(swap_in_clear__dm_crypt__is_not_and_dm_verity_is)
{
	static const struct {
		const char *uuid;
		bool clear;
	} rows[] = {
		{ "CRYPT-LUKS2-0123-swap\n", false }, { "CRYPT-PLAIN-swap\n", false },
		{ "CRYPT-VERITY-0123-x\n", true },    { "LVM-0123\n", true },
		{ "\n", true },
	};
	struct fixture f = make();
	char path[256];

	(void)snprintf(path, sizeof path, "%s/dm/uuid", f.device);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put(&f, f.device, "dm/uuid", rows[i].uuid);
		CHECK_INT(is_clear(), rows[i].clear);
		CHECK(unlinkat(f.dir, path, 0) == 0);
	}
}

TEST(swap_in_clear__volume_over_several__is_safe_only_when_all_are)
{
	struct fixture f = make();
	char slaves[192];

	put(&f, f.device, "dm/uuid", "LVM-x\n");
	put(&f, "sys/block/dm-0", "dm/uuid", "CRYPT-LUKS2-a\n");
	put(&f, "sys/block/dm-1", "dm/uuid", "CRYPT-LUKS2-b\n");
	(void)snprintf(slaves, sizeof slaves, "%s/slaves", f.device);
	CHECK(mkdirat(f.dir, slaves, 0700) == 0);
	CHECK(is_clear());
	(void)snprintf(slaves, sizeof slaves, "%s/slaves/dm-0", f.device);
	CHECK(symlinkat("../../../../block/dm-0", f.dir, slaves) == 0);
	CHECK(!is_clear());
	(void)snprintf(slaves, sizeof slaves, "%s/slaves/dm-1", f.device);
	CHECK(symlinkat("../../../../block/dm-1", f.dir, slaves) == 0);
	CHECK(!is_clear());
	tmpdir_put(f.dir, "sys/block/dm-1/dm/uuid", "LVM-c\n");
	CHECK(is_clear());
}

/* The device's name is what its link resolves to. */
static void device_is(const struct fixture *f, const char *real)
{
	char up[256];

	CHECK_INT(fs_mkdirs(tmpdir_abs("sys/dev/block"), 0700, NULL), 0);
	(void)snprintf(up, sizeof up, "../../../%s", real);
	CHECK(symlinkat(up, f->dir, f->device) == 0);
}

TEST(swap_in_clear__zram__is_memory_unless_it_writes_back)
{
	struct fixture f = make();

	put(&f, "sys/block/zram0", "disksize", "1\n");
	device_is(&f, "sys/block/zram0");
	CHECK(!is_clear());
	tmpdir_put(f.dir, "sys/block/zram0/backing_dev", "none\n");
	CHECK(!is_clear());
	tmpdir_put(f.dir, "sys/block/zram0/backing_dev", "/dev/sda1\n");
	CHECK(is_clear());
}

TEST(swap_in_clear__partition__is_what_its_disk_is)
{
	struct fixture f = make();

	put(&f, "sys/block/md0/md0p1", "partition", "1\n");
	put(&f, "sys/block/md0", "size", "1\n");
	device_is(&f, "sys/block/md0/md0p1");
	CHECK(is_clear());
	put(&f, "sys/block/md0/slaves/dm-0", "dm/uuid", "CRYPT-PLAIN\n");
	CHECK(!is_clear());
}
