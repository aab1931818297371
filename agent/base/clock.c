/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_boot_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

struct deadline deadline_in(int64_t ms)
{
	return (struct deadline){ clock_boot_ms() + ms };
}

struct deadline deadline_min(struct deadline a, struct deadline b)
{
	return a.at_ms < b.at_ms ? a : b;
}

int64_t deadline_left_ms(struct deadline d)
{
	int64_t left = d.at_ms - clock_boot_ms();

	return left > 0 ? left : 0;
}

void clock_format(char out[24], int64_t wall_s)
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		(void)snprintf(out, 24, "@%lld", (long long)wall_s);
}
