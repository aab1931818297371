/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/*
 * Time. Durations and deadlines count on CLOCK_BOOTTIME, which the host cannot set back and
 * which goes on while the VM is suspended; the wall clock is only for certificates.
 */

/* A point on CLOCK_BOOTTIME, milliseconds. Passed by value; the caller's deadline goes all the way down. */
struct deadline {
	int64_t at_ms;
};

/* Milliseconds of CLOCK_BOOTTIME. */
int64_t clock_boot_ms(void);

/* Seconds since 1970 of the wall clock, which may be wrong. */
int64_t clock_wall_s(void);

/* ms from now. */
struct deadline deadline_in(int64_t ms);

/* The earlier of the two. */
struct deadline deadline_min(struct deadline a, struct deadline b);

/* Milliseconds left, 0 when it has passed. Never negative. */
int64_t deadline_left_ms(struct deadline d);

/* "2026-08-20T14:03:11Z", for messages that name two times; "@SECONDS" for a year that has no such form. */
void clock_format(char out[24], int64_t wall_s);

#endif
