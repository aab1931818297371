/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "test/test.h"

#include <fcntl.h>
#include <unistd.h>

enum { FIRST = 10, LAST = 20 };

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Also a descriptor that took the place of a closed standard stream, and both the same or adjacent. */
TEST(fs_close_others__any_two__those_and_the_streams_stay)
{
	static const int rows[][2] = { { 12, 15 }, { 15, 12 }, { 14, 15 }, { 13, 13 },
				       { 0, 15 },  { 15, 2 },  { 3, 20 },  { 20, 3 } };

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int a = rows[i][0], b = rows[i][1];

		for (int fd = 3; fd <= LAST; fd++)
			if (fd == 3 || fd >= FIRST)
				CHECK_INT(dup2(2, fd), fd);
		fs_close_others(a, b);
		for (int fd = 0; fd <= LAST; fd++)
			if (is_open(fd) != (fd < 3 || fd == a || fd == b))
				test_fail(__FILE__, __LINE__, "row %zu: descriptor %d", i, fd);
	}
}
