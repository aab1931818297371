/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_VOLUME_LOOP_H
#define TEST_VOLUME_LOOP_H

#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Loop devices over memory; a test is skipped where there are none. Device mapper is not needed. */
#define LOOP_SIZE       (33u << 20)
#define LOOPS           4
#define LOOP_PARTITIONS 2 /* that a test may make on one */

struct loop {
	int backing; /* a memfd */
	char path[32];
};

static char loop_paths[LOOPS][32];

/* They outlive what the loop device is over. */
static void loop_drop_partition(int fd, int number)
{
	struct blkpg_partition part = { .pno = number };
	struct blkpg_ioctl_arg drop = { .op = BLKPG_DEL_PARTITION, .datalen = sizeof part, .data = &part };

	(void)ioctl(fd, BLKPG, &drop);
}

static void loop_detach(void)
{
	for (int i = 0; i < LOOPS; i++) {
		int fd = loop_paths[i][0] ? open(loop_paths[i], O_RDONLY | O_CLOEXEC) : -1;

		if (fd >= 0) {
			for (int n = 1; n <= LOOP_PARTITIONS; n++)
				loop_drop_partition(fd, n);
			(void)ioctl(fd, LOOP_CLR_FD, 0);
			(void)close(fd);
		}
	}
}

/* An empty disk, detached when the test ends. */
static struct loop loop_attach(void)
{
	struct loop l = { .backing = memfd_create("disk", MFD_CLOEXEC) };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1, mine = 0;

	if (control < 0)
		test_skip("no loop devices for this user");
	CHECK(l.backing >= 0 && ftruncate(l.backing, LOOP_SIZE) == 0);
	for (int tries = 0; tries < 20; tries++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		CHECK(n >= 0);
		(void)snprintf(l.path, sizeof l.path, "/dev/loop%d", n);
		fd = open(l.path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			test_skip("a loop device cannot be opened");
		if (ioctl(fd, LOOP_SET_FD, l.backing) == 0)
			break;
		CHECK(errno == EBUSY);
		CHECK(close(fd) == 0);
		fd = -1;
	}
	CHECK(fd >= 0);
	CHECK(close(fd) == 0 && close(control) == 0);
	while (mine < LOOPS && loop_paths[mine][0])
		mine++;
	CHECK(mine < LOOPS);
	memcpy(loop_paths[mine], l.path, sizeof l.path);
	if (mine == 0)
		(void)atexit(loop_detach);
	return l;
}

#endif
