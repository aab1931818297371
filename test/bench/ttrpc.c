/* SPDX-License-Identifier: Apache-2.0 */
#include "test/bench/ttrpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEAD = 10, FRAME_MAX = 4 << 20, FIRST_ROOM = 64 * 1024 };

/* --- messages -----------------------------------------------------------------------------------
 */

static uint8_t *put_varint(uint8_t *p, uint64_t n)
{
	for (; n > 0x7f; n >>= 7)
		*p++ = (uint8_t)(n | 0x80);
	*p++ = (uint8_t)n;
	return p;
}

static uint8_t *put_field(uint8_t *p, unsigned number, const void *bytes, size_t n)
{
	p = put_varint(p, number << 3 | 2);
	p = put_varint(p, n);
	memcpy(p, bytes, n);
	return p + n;
}

static void put_u32(uint8_t *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* UnsealSecret(text) with a time-out of WAIT_MS. */
struct call call_make(const char *text)
{
	static const char service[] = "api.SealedSecretService", method[] = "UnsealSecret";
	size_t n = strlen(text);
	uint8_t *inner = malloc(n + 16), *p;
	struct call c = { malloc(n + 256), 0 };

	if (!inner || !c.p)
		die("no memory");
	n = (size_t)(put_field(inner, 1, text, n) - inner);
	p = put_field(c.p + HEAD, 1, service, strlen(service));
	p = put_field(p, 2, method, strlen(method));
	p = put_field(p, 3, inner, n);
	p = put_varint(p, 4 << 3);
	p = put_varint(p, UINT64_C(1000000) * WAIT_MS);
	free(inner);
	c.len = (size_t)(p - c.p);
	put_u32(c.p, (uint32_t)(c.len - HEAD));
	c.p[8] = 1; /* request */
	c.p[9] = 0;
	return c;
}

static bool get_varint(uint64_t *out, const uint8_t **p, const uint8_t *end)
{
	*out = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t b = *(*p)++;

		*out |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return true;
	}
	return false;
}

/* The next field: its number; bytes or value. */
static bool get_field(unsigned *number, const uint8_t **bytes, uint64_t *n, const uint8_t **p,
		      const uint8_t *end)
{
	uint64_t key;

	*bytes = NULL;
	if (!get_varint(&key, p, end) || !get_varint(n, p, end))
		return false;
	*number = (unsigned)(key >> 3);
	if ((key & 7) == 0)
		return true;
	if ((key & 7) != 2 || *n > (uint64_t)(end - *p))
		return false;
	*bytes = *p;
	*p += *n;
	return true;
}

static bool get_status(struct answer *a, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *bytes;
	unsigned number;
	uint64_t n;

	while (p < end) {
		if (!get_field(&number, &bytes, &n, &p, end))
			return false;
		if (number == 1 && !bytes)
			a->code = n;
		if (number == 2 && bytes)
			(void)snprintf(a->message, sizeof a->message, "%.*s", (int)n,
				       (const char *)bytes);
	}
	return true;
}

static bool get_answer(struct answer *a, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *bytes, *inner;
	unsigned number;
	uint64_t n;

	*a = (struct answer){ 0 };
	while (p < end) {
		if (!get_field(&number, &bytes, &n, &p, end))
			return false;
		if (number == 1 && bytes && !get_status(a, bytes, bytes + n))
			return false;
		if (number == 2 && bytes) {
			const uint8_t *q = bytes, *stop = bytes + n;

			if (!get_field(&number, &inner, &a->len, &q, stop) || number != 1 || !inner)
				return false;
		}
	}
	return true;
}

/* --- calls --------------------------------------------------------------------------------------
 */

bool peer_try(struct peer *c, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const struct timeval wait = { .tv_sec = WAIT_MS / 1000 };

	if (strlen(path) >= sizeof a.sun_path)
		die("%s: the path is too long", path);
	memcpy(a.sun_path, path, strlen(path));
	*c = (struct peer){ .path = path,
			    .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
			    .stream = 1 };
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	if (connect(c->fd, (struct sockaddr *)&a, sizeof a) == 0) {
		c->room = FIRST_ROOM;
		c->in = malloc(c->room);
		if (!c->in)
			die("no memory");
		return true;
	}
	(void)close(c->fd);
	return false;
}

void peer_open(struct peer *c, const char *path)
{
	if (!peer_try(c, path))
		die("%s: %s", path, strerror(errno));
}

void peer_close(struct peer *c)
{
	(void)close(c->fd);
	free(c->in);
}

/* Read until a whole frame is there; its length with the header. */
static size_t read_frame(struct peer *c)
{
	size_t want = HEAD;

	c->have = 0;
	while (c->have < want) {
		ssize_t n = recv(c->fd, c->in + c->have, c->room - c->have, 0);

		if (n <= 0)
			die("%s: %s", c->path, n == 0 ? "closed by the server" : strerror(errno));
		c->have += (size_t)n;
		if (c->have >= HEAD)
			want = HEAD + get_u32(c->in);
		if (want > FRAME_MAX)
			die("a frame of %zu bytes", want);
		if (want > c->room) {
			c->in = realloc(c->in, want);
			c->room = want;
			if (!c->in)
				die("no memory");
		}
	}
	if (c->have != want)
		die("more than one answer");
	return want;
}

void peer_call(struct peer *c, const struct call *q, struct answer *a)
{
	uint8_t frame[SEALED_MAX + 512];
	size_t n;

	memcpy(frame, q->p, q->len);
	put_u32(frame + 4, c->stream);
	if (send(c->fd, frame, q->len, MSG_NOSIGNAL) != (ssize_t)q->len)
		die("%s: %s", c->path, strerror(errno));
	n = read_frame(c);
	if (get_u32(c->in + 4) != c->stream || c->in[8] != 2 ||
	    !get_answer(a, c->in + HEAD, c->in + n))
		die("that is no answer to stream %u", c->stream);
	c->stream += 2;
}

size_t peer_unseal(struct peer *c, const struct call *q)
{
	struct answer a;

	peer_call(c, q, &a);
	if (a.code != 0)
		die("status %llu: %s", (unsigned long long)a.code, a.message);
	if (a.len == 0)
		die("an empty secret");
	return (size_t)a.len;
}
