/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tee_wait.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

bool tee_wait(int64_t *pause_ms, struct deadline d)
{
	struct timespec t;
	uint32_t random = 0;
	int64_t ms = *pause_ms;

	if (deadline_left_ms(d) <= ms)
		return false;
	/* Two programs that met once shall not meet again. */
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
		random = (uint32_t)clock_boot_ms();
	ms = ms / 2 + (int64_t)random % (ms / 2 + 1);
	t = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
	*pause_ms = *pause_ms * 2 < TEE_PAUSE_MAX_MS ? *pause_ms * 2 : TEE_PAUSE_MAX_MS;
	return true;
}
