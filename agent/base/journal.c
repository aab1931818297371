/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log_line.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

enum { DATAGRAM_MAX = 8192 };

static const char *socket_path; /* of log_use_journal() */
static bool ours;               /* stderr is the journal's stream */
static atomic_int journal_fd = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void log_use_journal(const char *path)
{
	socket_path = path;
}

/* Source: systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream, in decimal. */
static void look(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	ours = socket_path || (text && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
			       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
			       st.st_ino == inode);
}

bool journal_is_stderr(void)
{
	(void)pthread_once(&once, look);
	return ours;
}

void log_message_id(char out[33], const char *text)
{
	static const char space[] = "vouchsafe/";
	const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;
	unsigned __int128 h = (unsigned __int128)0x6c62272e07bb0142 << 64 | 0x62b821756295c58d;

	for (const char *p = space; *p; p++)
		h = (h ^ (uint8_t)*p) * prime;
	for (const char *p = text; *p; p++)
		h = (h ^ (uint8_t)*p) * prime;
	/* Version 8 and the variant of RFC 9562. */
	h &= ~((unsigned __int128)0xf000 << 64 | (unsigned __int128)3 << 62);
	h |= (unsigned __int128)0x8000 << 64 | (unsigned __int128)2 << 62;
	(void)snprintf(out, 33, "%016llx%016llx", (unsigned long long)(h >> 64),
		       (unsigned long long)h);
}

struct datagram {
	char b[DATAGRAM_MAX];
	size_t len;
	bool full;
};

static void put(struct datagram *d, const char *fmt, ...) PRINTF(2, 3);
static void put(struct datagram *d, const char *fmt, ...)
{
	size_t room = sizeof d->b - d->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(d->b + d->len, room, fmt, ap);
	va_end(ap);
	/* A field that does not fit is left out whole. */
	if (n > 0 && (size_t)n < room)
		d->len += (size_t)n;
	else
		d->full = true;
}

static void put_field(struct datagram *d, const struct log_field *f)
{
	char key[48];
	size_t n;

	if (f->key.len == 0 || f->key.len >= sizeof key)
		return;
	for (n = 0; n < f->key.len; n++) {
		if (!islower(f->key.p[n]) && !isdigit(f->key.p[n]) && f->key.p[n] != '_')
			return;
		key[n] = (char)toupper(f->key.p[n]);
	}
	key[n] = '\0';
	put(d, "VOUCHSAFE_%s=%.*s\n", key, (int)f->value.len, (const char *)f->value.p);
}

/* What the id is of: a known code among the fields, else the message. */
static void put_id(struct datagram *d, const struct log_event *event)
{
	const char *of = event->message;
	char id[33];

	for (size_t i = 0; i < event->n_fields; i++) {
		char name[64];

		if (!view_is(event->fields[i].key, "code") ||
		    event->fields[i].value.len >= sizeof name)
			continue;
		(void)snprintf(name, sizeof name, "%.*s", VIEW_ARG(event->fields[i].value));
		if (err_code_by_name(name) >= 0)
			of = err_entry((enum err_code)err_code_by_name(name))->name;
	}
	log_message_id(id, of);
	put(d, "MESSAGE_ID=%s\n", id);
}

/* Opened at the first line, also when a sandbox is shut by then: it allows unix sockets. */
static int descriptor(void)
{
	int fd = atomic_load(&journal_fd), none = -1;

	if (fd >= 0)
		return fd;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !atomic_compare_exchange_strong(&journal_fd, &none, fd)) {
		(void)close(fd);
		fd = none;
	}
	return fd;
}

bool journal_send(const struct log_event *event)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct datagram d = { .len = 0 };
	int saved = errno, fd;
	ssize_t n;

	if (!journal_is_stderr())
		return false;
	put(&d, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=%.400s%s%s\n", (int)event->level,
	    program_invocation_short_name, event->message, event->len > 0 ? " " : "", event->text);
	put_id(&d, event);
	put(&d, "VOUCHSAFE_EVENT=%.400s\n", event->message);
	for (size_t i = 0; i < event->n_fields; i++)
		put_field(&d, &event->fields[i]);
	fd = descriptor();
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s",
		       socket_path ? socket_path : JOURNAL_SOCKET);
	/* Never wait for a journal that is busy: stderr has a queue of its own. */
	n = fd < 0 ? -1 :
		     sendto(fd, d.b, d.len, MSG_NOSIGNAL | MSG_DONTWAIT,
			    (const struct sockaddr *)&a, sizeof a);
	errno = saved;
	return n >= 0;
}
