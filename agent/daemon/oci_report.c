/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/daemon/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define JOURNAL "/run/systemd/journal/socket"

enum { LINE_BYTES = 2048 };

/*
 * The reason, for who may read the guest's journal. Source: systemd's native journal protocol:
 * a datagram of NAME=value lines. Without a journal there is nowhere to write it that the host
 * cannot read.
 */
static void to_journal(const struct oci *o, const struct err *e, const char *place, int priority)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = JOURNAL };
	cleanup_buf struct buf b = BUF_MAX(LINE_BYTES);
	char text[ERR_MSG_MAX];

	(void)snprintf(text, sizeof text, "%s", e->msg);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	buf_printf(&b, "MESSAGE=%s%s%s: %s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=vouchsafe-oci\n",
		   err_name(e), place[0] ? " " : "", place, text, priority);
	buf_printf(&b, "VOUCHSAFE_CODE=%s\n", err_name(e));
	if (place[0])
		buf_printf(&b, "VOUCHSAFE_PLACE=%s\n", place);
	if (o->id && strlen(o->id) < 256 && !strchr(o->id, '\n'))
		buf_printf(&b, "VOUCHSAFE_CONTAINER=%s\n", o->id);
	if (fd >= 0 && buf_check(&b, "journal", NULL) == 0)
		(void)sendto(fd, b.p, b.len, MSG_NOSIGNAL, (const struct sockaddr *)&a, sizeof a);
}

/* As logrus writes it, which is what engines read. level: "error", "warning". */
static void log_line_of(struct buf *out, const char *level, const char *message, bool json)
{
	char now[32];
	time_t t = time(NULL);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		now[0] = '\0';
	if (json) {
		buf_printf(out, "{\"level\":\"%s\",\"msg\":", level);
		json_put_string(out, view_str(message));
		buf_printf(out, ",\"time\":\"%s\"}\n", now);
	} else {
		buf_printf(out, "time=\"%s\" level=%s msg=", now, level);
		json_put_string(out, view_str(message));
		buf_putc(out, '\n');
	}
}

static bool is_json(const struct oci *o)
{
	const char *f = oci_args_value(&o->global, OPT_LOG_FORMAT);

	return f && strcmp(f, "json") == 0;
}

/* The engine's --log. True when the line went there. crun also knows file:, journald:, syslog:. */
static bool to_log(const struct oci *o, const char *level, const char *message)
{
	const char *path = oci_args_value(&o->global, OPT_LOG);
	cleanup_buf struct buf line = BUF_MAX(LINE_BYTES);
	cleanup_close int fd = -1;

	if (path && strncmp(path, "file:", 5) == 0)
		path += 5;
	if (!path || !path[0] || strncmp(path, "journald:", 9) == 0 ||
	    strncmp(path, "syslog:", 7) == 0)
		return false;
	log_line_of(&line, level, message, is_json(o));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0644);
	return fd >= 0 && buf_check(&line, "log", NULL) == 0 &&
	       fs_write_fd(fd, buf_view(&line), "the engine's log", NULL) == 0;
}

/* Code, place and what the code means in general; nothing that was found in the container. */
static void public_text(char out[512], const struct err *e, const char *place)
{
	(void)snprintf(out, 512, "vouchsafe-oci: %s%s%s: %s", err_name(e), place[0] ? " at " : "",
		       place, err_words(e->code)->cause);
}

int oci_fail(const struct oci *o, const struct err *e, const char *place, int code)
{
	char text[512];

	public_text(text, e, place);
	to_journal(o, e, place, 3);
	(void)to_log(o, "error", text);
	(void)dprintf(STDERR_FILENO, "%s\n", text);
	return code;
}

void oci_warn(const struct oci *o, const struct err *e)
{
	char text[512];

	public_text(text, e, "");
	to_journal(o, e, "", 4);
	/* Engines read the runtime's stderr as an error; so only where there is no log. */
	if (!to_log(o, "warning", text))
		(void)dprintf(STDERR_FILENO, "%s\n", text);
}
