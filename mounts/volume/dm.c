/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/dm.h"

#include "agent/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define LIST_MAX (64u << 10) /* bytes of the names of all mappings */

static int ask_for(struct dm_ioctl *d, unsigned long what, const char *name)
{
	cleanup_close int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);

	*d = (struct dm_ioctl){ .version = { 4, 0, 0 }, .data_size = sizeof *d, .data_start = sizeof *d };
	if (fd < 0)
		return -1;
	if (strlen(name) >= sizeof d->name) {
		errno = ENXIO;
		return -1;
	}
	memcpy(d->name, name, strlen(name));
	return ioctl(fd, what, d);
}

static int ask(unsigned long what, const char *name)
{
	struct dm_ioctl d;

	return ask_for(&d, what, name);
}

bool dm_exists(const char *name)
{
	/* Where nobody could be asked: what is taken for gone is forgotten, and stays mapped. */
	return ask(DM_DEV_STATUS, name) == 0 || errno == EMFILE || errno == ENFILE || errno == ENOMEM;
}

int dm_remove(const char *name, struct err *e)
{
	char node[DM_NAME_LEN + 16];

	if (ask(DM_DEV_REMOVE, name) < 0 && errno != ENXIO)
		return err_code(e, errno == EBUSY ? CODE_VOLUME_BUSY : CODE_VOLUME_MAPPING, "remove %s: %s",
				name, strerrorname_np(errno));
	/* Where udev runs it is gone already, or will be. */
	(void)snprintf(node, sizeof node, "/dev/mapper/%s", name);
	(void)unlink(node);
	return 0;
}

static bool is_unmade(const char *name)
{
	struct dm_ioctl d;

	return ask_for(&d, DM_DEV_STATUS, name) == 0 && !(d.flags & DM_ACTIVE_PRESENT_FLAG) &&
	       d.open_count == 0;
}

void dm_remove_unmade(const char *prefix)
{
	cleanup_close int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	cleanup_free uint8_t *buf = calloc(1, LIST_MAX);
	struct dm_ioctl d = { .version = { 4, 0, 0 }, .data_size = LIST_MAX, .data_start = sizeof d };
	struct dm_name_list row;
	size_t at;

	if (fd < 0 || !buf)
		return;
	memcpy(buf, &d, sizeof d);
	if (ioctl(fd, DM_LIST_DEVICES, buf) < 0)
		return;
	memcpy(&d, buf, sizeof d);
	if (d.flags & DM_BUFFER_FULL_FLAG)
		return;
	for (at = d.data_start; at <= LIST_MAX - DM_NAME_LEN - sizeof row; at += row.next) {
		const char *name = (const char *)buf + at + offsetof(struct dm_name_list, name);

		memcpy(&row, buf + at, sizeof row);
		if (row.dev != 0 && strncmp(name, prefix, strlen(prefix)) == 0 && is_unmade(name))
			(void)!dm_remove(name, NULL);
		if (row.next == 0)
			break;
	}
}
