/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/listenfds.h"
#include "agent/base/mem.h"

#include <errno.h>
#include <fcntl.h>

enum { FIRST = 3, CLOSE_MAX = 1024 };

/* Only digits, at most nine of them: -1 for anything else. */
static long number_of(const char *text)
{
	long n = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9'; i++) {
		if (i == 9)
			return -1;
		n = 10 * n + (text[i] - '0');
	}
	return i > 0 && text[i] == '\0' ? n : -1;
}

static int set_names(struct listen_fds *l, const char *names, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		size_t len = strcspn(names, ":");

		if (len > LISTEN_NAME_MAX)
			return err_set(e, ERR_LIMIT, "LISTEN_FDNAMES: a name of %zu bytes, allowed %d",
				       len, LISTEN_NAME_MAX);
		for (size_t k = 0; k < len; k++)
			if (names[k] < 0x21 || names[k] > 0x7e)
				return err_set(e, ERR_FORMAT, "LISTEN_FDNAMES: byte 0x%02x in a name",
					       (unsigned char)names[k]);
		if (len == 0)
			return err_set(e, ERR_FORMAT, "LISTEN_FDNAMES: name %zu is empty", i + 1);
		memcpy(l->at[i].name, names, len);
		l->at[i].name[len] = '\0';
		if ((names[len] == ':') != (i + 1 < l->n))
			return err_set(e, ERR_FORMAT, "LISTEN_FDNAMES and LISTEN_FDS=%zu disagree",
				       l->n);
		names += len + 1;
	}
	return 0;
}

static int take_all(struct listen_fds *l, long n, const char *names, struct err *e)
{
	int r;

	if (n > LISTEN_FDS_MAX)
		return err_set(e, ERR_LIMIT, "LISTEN_FDS=%ld, allowed %d", n, LISTEN_FDS_MAX);
	l->n = (size_t)n;
	for (size_t i = 0; i < l->n; i++) {
		l->at[i].fd = FIRST + (int)i;
		(void)memcpy(l->at[i].name, "unknown", sizeof "unknown");
	}
	r = names ? set_names(l, names, e) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->n; i++)
		if (fcntl(l->at[i].fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_sys(e, errno, "descriptor %d of LISTEN_FDS", l->at[i].fd);
	return 0;
}

int listen_fds_take(struct listen_fds *out, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	const char *given = getenv("LISTEN_FDNAMES");
	cleanup_free char *names = given ? strdup(given) : NULL;
	long p = pid ? number_of(pid) : 0, n = count ? number_of(count) : 0;
	int r = 0;

	*out = (struct listen_fds){ 0 };
	if (p < 0 || n < 0)
		r = err_set(e, ERR_FORMAT, "LISTEN_PID or LISTEN_FDS is no number");
	else if (given && !names)
		r = err_set(e, ERR_NOMEM, "no memory for LISTEN_FDNAMES");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (p != getpid() || n == 0)
		return r;
	if (r == 0)
		r = take_all(out, n, names, e);
	if (r == 0)
		return 0;
	for (long i = 0; i < n && i < CLOSE_MAX; i++)
		(void)close(FIRST + (int)i);
	*out = (struct listen_fds){ 0 };
	return r;
}

void listen_fds_close(struct listen_fds *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i].fd >= 0)
			(void)close(l->at[i].fd);
	l->n = 0;
}
