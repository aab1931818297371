/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ATTESTER_FAKE_TPM_H
#define TEST_ATTESTER_FAKE_TPM_H

#include "agent/crypto/digest.h"
#include "test/unit/attester/vector.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <termios.h>

/*
 * A TPM on a socket that knows one key and one quote, both recorded, and can misbehave. One client
 * at a time, as swtpm. A thread of the test's process.
 */
enum {
	CC_READ_PUBLIC = 0x173,
	CC_QUOTE = 0x158,
	CC_PCR_READ = 0x17e,
	CC_PCR_EXTEND = 0x182,
	CC_GET_CAPABILITY = 0x17a,
	CC_NV_READ_PUBLIC = 0x169,
	CC_NV_READ = 0x14e,
	CC_NV_WRITE = 0x137,
	CC_NV_DEFINE = 0x12a,
	CC_NV_UNDEFINE = 0x122,
};

/*
 * The socket orders what the test and the fake's thread do, which the thread sanitizer cannot see:
 * this tells it, around each call that sends commands.
 */
static atomic_uint fake_epoch;

static inline void fake_sync(void)
{
	fake_epoch++;
}

#define FAKE_SYNCED(call)                                                                          \
	({                                                                                         \
		fake_sync();                                                                       \
		__auto_type synced_ = (call);                                                      \
		fake_sync();                                                                       \
		synced_;                                                                           \
	})
#define tpm_nv_read(...)     FAKE_SYNCED(tpm_nv_read(__VA_ARGS__))
#define tpm_nv_peek(...)     FAKE_SYNCED(tpm_nv_peek(__VA_ARGS__))
#define tpm_nv_write(...)    FAKE_SYNCED(tpm_nv_write(__VA_ARGS__))
#define tpm_quote(...)       FAKE_SYNCED(tpm_quote(__VA_ARGS__))
#define attester_detect(...) FAKE_SYNCED(attester_detect(__VA_ARGS__))
#define az_detect(...)       FAKE_SYNCED(az_detect(__VA_ARGS__))

/* An NV index of it. */
struct fake_nv {
	uint32_t index;      /* 0: none */
	uint32_t attributes; /* OWNERREAD and OWNERWRITE where the owner may */
	size_t size;         /* as NV_ReadPublic says */
	struct buf bytes;    /* what is there */
};

struct fake_tpm {
	struct recorded vector;
	uint16_t port;
	int listener;

	/* Set before a command is sent. */
	atomic_uint answer[512];  /* by command & 511: a code to answer with, 0 none */
	atomic_uint answer_times; /* how often, then as usual; 0: always */
	atomic_uint patch_cc;     /* of each answer to that command the byte … */
	atomic_uint patch_at;     /* … at this offset of its parameters … */
	atomic_uint patch_xor;    /* … is changed so; 0: none */
	atomic_uint moves;        /* this many readings of PCR 23 see another value */
	atomic_bool hold;         /* answer only when it is false again */
	atomic_bool no_bank;
	atomic_bool bad_signature;
	atomic_bool bad_block;       /* a well-formed signature by nobody */
	void (*_Atomic raw)(int fd); /* answer every command in its own way */

	/* Azure's things; set before the first command. */
	struct buf public;     /* the AK's TPMT_PUBLIC instead of the recorded one; empty: that */
	const char *ak_handle; /* 4 bytes; NULL: 81010002 */
	struct fake_nv nv[2];
	unsigned chunk;                         /* NV_BUFFER_MAX; 0: 1024 */
	unsigned handles;                       /* GetCapability answers so many handles instead */
	size_t defined_size;                    /* what NV_DefineSpace makes of any size; 0: the size */
	void (*on_nv_read)(struct fake_tpm *f); /* before a reading at offset 0 */

	/* Counted. */
	atomic_uint quotes, reads, extends, clients, commands;
	atomic_uint nv_reads, nv_starts, nv_writes, nv_defines;
};

static inline void fake_u16(struct buf *b, unsigned x)
{
	buf_putc(b, (uint8_t)(x >> 8));
	buf_putc(b, (uint8_t)x);
}

static inline void fake_u32(struct buf *b, uint32_t x)
{
	fake_u16(b, x >> 16);
	fake_u16(b, x & 0xffff);
}

static inline void fake_sized(struct buf *b, struct view v)
{
	fake_u16(b, (unsigned)v.len);
	buf_putv(b, v);
}

static inline void fake_hex(struct buf *b, const struct json *doc, const char *key, bool sized)
{
	uint8_t bytes[1024];
	size_t n = strlen(vector_text(doc, key)) / 2;

	CHECK(n <= sizeof bytes);
	vector_hex(bytes, n, doc, key);
	if (sized)
		fake_sized(b, (struct view){ bytes, n });
	else
		buf_put(b, bytes, n);
}

static inline void fake_pcr_read(struct fake_tpm *f, struct buf *out, const uint8_t *command)
{
	const uint8_t *asked = command + 10 + 4 + 3;
	uint8_t mask[3] = { 0 };
	unsigned n = 0;
	bool moved = false;

	for (unsigned i = 0; i < 24 && n < 8 && !f->no_bank; i++)
		if (asked[i / 8] >> (i % 8) & 1) {
			mask[i / 8] |= (uint8_t)(1 << (i % 8));
			n++;
		}
	fake_u32(out, 7);
	fake_u32(out, 1);
	fake_u16(out, 0x0b);
	buf_putc(out, 3);
	buf_put(out, mask, 3);
	fake_u32(out, n);
	for (unsigned i = 0; i < 24; i++) {
		uint8_t value[32];

		if ((mask[i / 8] >> (i % 8) & 1) == 0)
			continue;
		memcpy(value, f->vector.quote.pcrs[i], 32);
		if (i == 23 && f->moves > 0) {
			value[0] ^= 1;
			moved = true;
		}
		fake_sized(out, (struct view){ value, 32 });
	}
	if (moved)
		f->moves--;
}

static inline void fake_quote(struct fake_tpm *f, struct buf *params)
{
	struct view sig = buf_view(&f->vector.quote.signature);

	fake_sized(params, buf_view(&f->vector.quote.message));
	if (f->bad_signature || f->bad_block) {
		buf_put(params, sig.p, sig.len - 1);
		buf_putc(params, sig.p[sig.len - 1] ^ 1);
		if (f->bad_signature)
			params->p[params->len - sig.len + 3] = 0x0c; /* SHA-384 */
	} else {
		buf_putv(params, sig);
	}
}

static inline uint32_t fake_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A name: SHA-256 with its algorithm before it. */
static inline void fake_name(struct buf *out, struct view of)
{
	struct digest d;

	CHECK_INT(digest_of(&d, HASH_SHA256, of, NULL), 0);
	fake_u16(out, 34);
	fake_u16(out, 0x0b);
	buf_putv(out, digest_view(&d));
}

static inline void fake_read_public(struct fake_tpm *f, struct buf *params)
{
	if (f->public.len == 0) {
		fake_hex(params, f->vector.doc, "public", false);
		fake_hex(params, f->vector.doc, "name", true);
		fake_hex(params, f->vector.doc, "qualified_name", true);
		return;
	}
	fake_sized(params, buf_view(&f->public));
	fake_name(params, buf_view(&f->public));
	fake_name(params, buf_view(&f->public));
}

static inline struct fake_nv *fake_nv(struct fake_tpm *f, uint32_t index)
{
	for (size_t i = 0; i < ARRAY_LEN(f->nv); i++)
		if (f->nv[i].index == index)
			return &f->nv[i];
	return NULL;
}

/* What NV commands answer; the code, or 0 with *params filled. n: bytes of the command. */
static inline uint32_t fake_nv_command(struct fake_tpm *f, uint32_t cc, struct buf *params,
				       const uint8_t *command, size_t n)
{
	struct fake_nv *nv = fake_nv(f, fake_get32(command + (cc == CC_NV_READ_PUBLIC ? 10 : 14)));
	const uint8_t *end = command + n;
	cleanup_buf struct buf public = BUF_MAX(64);
	size_t size, offset;

	if (cc == CC_NV_DEFINE) {
		/* TPMS_NV_PUBLIC is last: index, hash, attributes, no policy, size. */
		nv = fake_nv(f, 0);
		CHECK(nv != NULL);
		f->nv_defines++;
		nv->index = fake_get32(end - 14);
		nv->attributes = fake_get32(end - 8);
		nv->size = f->defined_size ? f->defined_size : (size_t)end[-2] << 8 | end[-1];
		nv->bytes = BUF_MAX(4096);
		return 0;
	}
	if (!nv)
		return 0x18b;
	switch (cc) {
	case CC_NV_READ_PUBLIC:
		fake_u32(&public, nv->index);
		fake_u16(&public, 0x0b);
		fake_u32(&public, nv->attributes);
		fake_u16(&public, 0);
		fake_u16(&public, (unsigned)nv->size);
		fake_sized(params, buf_view(&public));
		fake_name(params, buf_view(&public));
		return 0;
	case CC_NV_UNDEFINE:
		buf_done(&nv->bytes);
		*nv = (struct fake_nv){ 0 };
		return 0;
	case CC_NV_WRITE:
		f->nv_writes++;
		offset = (size_t)end[-2] << 8 | end[-1];
		size = nv->size;
		CHECK(offset == 0 && end - command > (ptrdiff_t)(size + 4));
		CHECK(((size_t)end[-(ptrdiff_t)size - 4] << 8 | end[-(ptrdiff_t)size - 3]) == size);
		buf_reset(&nv->bytes);
		buf_put(&nv->bytes, end - size - 2, size);
		return 0;
	default:
		f->nv_reads++;
		size = (size_t)end[-4] << 8 | end[-3];
		offset = (size_t)end[-2] << 8 | end[-1];
		if (offset == 0) {
			f->nv_starts++;
			if (f->on_nv_read)
				f->on_nv_read(f);
		}
		if (size > (f->chunk ? f->chunk : 1024))
			return 0x1c4;
		if (offset + size > nv->size)
			return 0x146;
		if (nv->bytes.len == 0)
			return 0x14a;
		if (offset > nv->bytes.len)
			offset = nv->bytes.len;
		if (size > nv->bytes.len - offset)
			size = nv->bytes.len - offset;
		fake_sized(params, (struct view){ nv->bytes.p + offset, size });
		return 0;
	}
}

/* The whole reply to one command, or a code. */
static inline void fake_answer(struct fake_tpm *f, struct buf *reply, const uint8_t *command,
			       size_t n)
{
	cleanup_buf struct buf params = BUF_MAX(4096);
	uint32_t cc = (uint32_t)command[8] << 8 | command[9];
	bool sessions = command[1] == 2;
	uint32_t code = f->answer[cc & 511];

	/* Also a command that is sent again is whole. */
	CHECK(cc != CC_QUOTE || memcmp(command + 10, f->ak_handle ? f->ak_handle : "\x81\x01\x00\x02", 4) == 0);
	if (code != 0 && f->answer_times > 0 && --f->answer_times == 0)
		f->answer[cc & 511] = 0;
	if (code == 0 && (cc == CC_NV_READ_PUBLIC || cc == CC_NV_READ || cc == CC_NV_WRITE ||
			  cc == CC_NV_DEFINE || cc == CC_NV_UNDEFINE))
		code = fake_nv_command(f, cc, &params, command, n);
	if (code != 0) {
		fake_u16(reply, 0x8001);
		fake_u32(reply, 10);
		fake_u32(reply, code);
		return;
	}
	if (cc == CC_READ_PUBLIC) {
		fake_read_public(f, &params);
	} else if (cc == CC_GET_CAPABILITY && f->handles) {
		buf_putc(&params, 0);
		fake_u32(&params, 1);
		fake_u32(&params, f->handles);
		for (unsigned i = 0; i < f->handles; i++)
			fake_u32(&params, 0x12c);
	} else if (cc == CC_GET_CAPABILITY) {
		buf_putc(&params, 0);
		fake_u32(&params, 6);
		fake_u32(&params, 1);
		fake_u32(&params, 0x12c);
		fake_u32(&params, f->chunk ? f->chunk : 1024);
	} else if (cc == CC_PCR_READ) {
		f->reads++;
		fake_pcr_read(f, &params, command);
	} else if (cc == CC_QUOTE) {
		f->quotes++;
		fake_quote(f, &params);
	} else if (cc == CC_PCR_EXTEND) {
		f->extends++;
	}
	if (f->patch_xor && cc == f->patch_cc && f->patch_at < params.len)
		params.p[f->patch_at] ^= (uint8_t)f->patch_xor;
	fake_u16(reply, sessions ? 0x8002 : 0x8001);
	fake_u32(reply, (uint32_t)(10 + params.len + (sessions ? 9 : 0)));
	fake_u32(reply, 0);
	if (sessions)
		fake_u32(reply, (uint32_t)params.len);
	buf_putv(reply, buf_view(&params));
	if (sessions)
		buf_put(reply, "\0\0\1\0\0", 5);
}

/* n bytes, or false when the client went. A pty without a client gives EIO. */
static inline bool fake_read(int fd, uint8_t *p, size_t n)
{
	for (size_t have = 0; have < n;) {
		ssize_t got = read(fd, p + have, n - have);

		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

static inline void fake_serve(struct fake_tpm *f, int fd)
{
	uint8_t command[4096];
	void (*raw)(int fd);

	while (fake_read(fd, command, 10)) {
		cleanup_buf struct buf reply = BUF_MAX(4096);
		size_t n = (size_t)command[4] << 8 | command[5];

		CHECK(n >= 10 && n <= sizeof command);
		CHECK(fake_read(fd, command + 10, n - 10));
		fake_sync();
		f->commands++;
		raw = f->raw;
		if (raw) {
			raw(fd);
			continue;
		}
		fake_answer(f, &reply, command, n);
		fake_sync();
		while (f->hold)
			(void)poll(NULL, 0, 1);
		/* In two parts: a stream need not keep them together. */
		CHECK(write(fd, reply.p, 5) == 5);
		CHECK(write(fd, reply.p + 5, reply.len - 5) == (ssize_t)(reply.len - 5));
	}
}

static inline void *fake_main(void *arg)
{
	struct fake_tpm *f = arg;
	int one = 1;

	for (;;) {
		cleanup_close int fd = accept(f->listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		f->clients++;
		/* Or the second part of a reply waits 40 ms for the first to be acknowledged. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		fake_serve(f, fd);
	}
}

static inline void *fake_device_main(void *arg)
{
	struct fake_tpm *f = arg;

	for (;;) {
		fake_serve(f, f->listener);
		(void)poll(NULL, 0, 1);
	}
	return NULL;
}

/* Never freed: it ends with the test's process. */
static inline struct fake_tpm *fake_tpm_start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	static struct fake_tpm f;
	pthread_t thread;

	(void)signal(SIGPIPE, SIG_IGN);
	/* One a process: a second start forgets what the first was told. */
	fake_sync();
	recorded_done(&f.vector);
	buf_done(&f.public);
	for (size_t i = 0; i < ARRAY_LEN(f.nv); i++)
		buf_done(&f.nv[i].bytes);
	f.nv[0] = f.nv[1] = (struct fake_nv){ 0 };
	f.vector = recorded_quote();
	if (f.port != 0)
		return &f;
	f.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(f.listener, (struct sockaddr *)&a, n) == 0);
	CHECK(listen(f.listener, 5) == 0);
	CHECK(getsockname(f.listener, (struct sockaddr *)&a, &n) == 0);
	f.port = ntohs(a.sin_port);
	CHECK(pthread_create(&thread, NULL, fake_main, &f) == 0 && pthread_detach(thread) == 0);
	return &f;
}

/* The same behind a character device: a pty. where is its path. */
static inline struct fake_tpm *fake_tpm_start_device(char where[64])
{
	static struct fake_tpm f;
	struct termios raw;
	pthread_t thread;
	int slave;

	f.listener = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (f.listener < 0 || grantpt(f.listener) < 0 || unlockpt(f.listener) < 0 ||
	    ptsname_r(f.listener, where, 64) != 0)
		test_skip("no pty here");
	slave = open(where, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		test_skip("no pty here");
	CHECK(tcgetattr(slave, &raw) == 0);
	cfmakeraw(&raw);
	CHECK(tcsetattr(slave, TCSANOW, &raw) == 0);
	/* slave stays open: so its settings stay too. */
	f.vector = recorded_quote();
	CHECK(pthread_create(&thread, NULL, fake_device_main, &f) == 0 &&
	      pthread_detach(thread) == 0);
	return &f;
}

#endif
