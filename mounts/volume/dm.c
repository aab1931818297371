/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/dm.h"

#include "agent/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>

static int ask(unsigned long what, const char *name)
{
	cleanup_close int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	struct dm_ioctl d = { .version = { 4, 0, 0 }, .data_size = sizeof d, .data_start = sizeof d };

	if (fd < 0)
		return -1;
	if (strlen(name) >= sizeof d.name) {
		errno = ENXIO;
		return -1;
	}
	memcpy(d.name, name, strlen(name));
	return ioctl(fd, what, &d);
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
