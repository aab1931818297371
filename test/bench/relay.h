/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_BENCH_RELAY_H
#define TEST_BENCH_RELAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A character device before a swtpm (or paravisor) on the loopback: a thread passes whole commands
 * and answers between the swtpm and a pty, which stays open as /dev/tpmrm0 does. A swtpm itself
 * serves one connection at a time, so that each use of it costs a new one.
 */
extern atomic_uint relay_commands; /* passed on so far */

/*
 * The device's path. The relay has the last processor from now on and the calling thread, with those
 * that it makes, the others, where there are two. Once a process; on a failure the program ends.
 */
const char *relay_start(uint16_t port);

/* n bytes; false when there are no more. */
bool take_all(int fd, uint8_t *p, size_t n);

#endif
