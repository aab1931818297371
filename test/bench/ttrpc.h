/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_BENCH_TTRPC_H
#define TEST_BENCH_TTRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Calls of UnsealSecret, framed by hand (spec/local-api.md 1.3, 1.4), so that the bench shares
 * nothing with what it measures. What goes wrong ends the program through die().
 */
#define SEALED_MAX (16 * 1024) /* bytes of one sealed secret */
#define WAIT_MS    (60 * 1000) /* for anything */

/* Print, end the child, exit. In load.c. */
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...);

/* A request ready to be sent but for its stream id. */
struct call {
	uint8_t *p;
	size_t len;
};

struct call call_make(const char *sealed);

/* One connection, one call at a time. */
struct peer {
	const char *path;
	int fd;
	uint32_t stream;
	uint8_t *in;
	size_t have, room;
};

/* False with errno when nobody listens there. */
bool peer_try(struct peer *c, const char *path);
void peer_open(struct peer *c, const char *path);
void peer_close(struct peer *c);

/* What a Response says. */
struct answer {
	uint64_t code, len; /* len: of the plaintext */
	char message[1024]; /* of a failure */
};

void peer_call(struct peer *c, const struct call *q, struct answer *a);

/* The length of the plaintext; anything else ends the program. */
size_t peer_unseal(struct peer *c, const struct call *q);

#endif
