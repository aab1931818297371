/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/dm.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * dm.c over a device mapper of our own: ioctl(2) and the opening of its control node are answered
 * here. What the kernel's does is in test/vm/guest/luks-*.sh.
 */
static struct mapping {
	const char *name;
	uint32_t flags;
	int32_t open_count;
	int removed, asked;
} mappings[] = {
	{ "vt", DM_ACTIVE_PRESENT_FLAG, 1, 0, 0 },
	{ "temporary-cryptsetup-in-use", DM_ACTIVE_PRESENT_FLAG, 0, 0, 0 },
	{ "temporary-cryptsetup-no-table", 0, 0, 0, 0 },
	{ "temporary-cryptsetup-open", 0, 1, 0, 0 },
	{ "temporary-cryptsetup-inactive", DM_INACTIVE_PRESENT_FLAG, 0, 0, 0 },
	{ "other-no-table", 0, 0, 0, 0 },
	{ "temporary-cryptsetup", 0, 0, 0, 0 },
};

#define MAPPINGS (sizeof mappings / sizeof mappings[0])

static int full; /* the list does not fit */

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (strcmp(path, "/dev/mapper/control") == 0)
		return memfd_create("control", MFD_CLOEXEC);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void list(struct dm_ioctl *d)
{
	uint8_t *at = (uint8_t *)d + d->data_start;

	CHECK(d->data_size > 4096 && d->data_start == sizeof *d);
	if (full)
		d->flags |= DM_BUFFER_FULL_FLAG;
	for (size_t i = 0; !full && i < MAPPINGS; i++) {
		size_t name = strlen(mappings[i].name) + 1;
		size_t n = (offsetof(struct dm_name_list, name) + name + 7) / 8 * 8;
		struct dm_name_list row = { .dev = 253u << 8 | i, .next = i + 1 < MAPPINGS ? (uint32_t)n : 0 };

		memcpy(at, &row, offsetof(struct dm_name_list, name));
		memcpy(at + offsetof(struct dm_name_list, name), mappings[i].name, name);
		at += n;
	}
}

int ioctl(int fd, unsigned long what, ...)
{
	struct dm_ioctl *d;
	va_list ap;

	(void)fd;
	va_start(ap, what);
	d = va_arg(ap, struct dm_ioctl *);
	va_end(ap);
	if (what == DM_LIST_DEVICES) {
		list(d);
		return 0;
	}
	for (size_t i = 0; i < MAPPINGS; i++) {
		if (strcmp(d->name, mappings[i].name) != 0 || mappings[i].removed)
			continue;
		mappings[i].asked += what == DM_DEV_REMOVE;
		if (what == DM_DEV_REMOVE && mappings[i].open_count > 0) {
			errno = EBUSY;
			return -1;
		}
		mappings[i].removed = what == DM_DEV_REMOVE;
		d->flags = mappings[i].flags;
		d->open_count = mappings[i].open_count;
		return 0;
	}
	errno = ENXIO;
	return -1;
}

TEST(dm_remove_unmade__only_those_of_the_prefix_without_a_table)
{
	dm_remove_unmade("temporary-cryptsetup-");
	for (size_t i = 0; i < MAPPINGS; i++) {
		CHECK_INT(mappings[i].removed, i == 2 || i == 4);
		CHECK_INT(mappings[i].asked, mappings[i].removed);
	}
}

TEST(dm_remove_unmade__list_that_does_not_fit__none)
{
	full = 1;
	dm_remove_unmade("temporary-cryptsetup-");
	for (size_t i = 0; i < MAPPINGS; i++)
		CHECK_INT(mappings[i].removed, 0);
}

TEST(dm_remove__states__gone_busy_or_never_there)
{
	struct err e = { 0 };

	CHECK(dm_exists("vt") && !dm_exists("never"));
	CHECK_ERR(dm_remove("vt", &e), ERR_SYSTEM, e, "remove vt: EBUSY");
	CHECK_INT(e.code, CODE_VOLUME_BUSY);
	CHECK_INT(dm_remove("other-no-table", &e), 0);
	CHECK(!dm_exists("other-no-table"));
	CHECK_INT(dm_remove("never", &e), 0);
}
