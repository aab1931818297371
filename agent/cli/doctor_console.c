/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/doctor_console.h"
#include "agent/base/fs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { STAT_MAX = 4096, NAME_ROOM = 64, PTY_FIRST = 136, PTY_LAST = 143 };

/* A process and the terminal that controls it. */
struct seat {
	long pid;
	char program[NAME_ROOM], terminal[NAME_ROOM];
};

static void close_folder(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* The kernel's name of a terminal, or its number. */
static void name_terminal(char out[NAME_ROOM], const struct doctor *d, unsigned major,
			  unsigned minor)
{
	cleanup_buf struct buf b = BUF_MAX(STAT_MAX);
	char path[64];

	(void)snprintf(path, sizeof path, "/sys/dev/char/%u:%u/uevent", major, minor);
	(void)snprintf(out, NAME_ROOM, "%u:%u", major, minor);

	cleanup_free char *full = fs_join(d->guest.root, path);
	const char *name = full && fs_read(&b, full, STAT_MAX, NULL) == 0
				   ? strstr(buf_str(&b), "DEVNAME=")
				   : NULL;

	if (name)
		(void)snprintf(out, NAME_ROOM, "%.*s", (int)strcspn(name + 8, "\n"), name + 8);
}

/* Has this process a terminal that is no pty? Source: proc(5), /proc/PID/stat. */
static bool has_terminal(struct seat *out, const struct doctor *d, const char *pid)
{
	cleanup_buf struct buf b = BUF_MAX(STAT_MAX);
	const char *text, *from, *to;
	unsigned tty = 0, major;
	char name[NAME_ROOM];

	(void)snprintf(name, sizeof name, "/proc/%.32s/stat", pid);

	cleanup_free char *path = fs_join(d->guest.root, name);

	if (!path || fs_read(&b, path, STAT_MAX, NULL) < 0)
		return false; /* it has ended */
	text = buf_str(&b);
	/* The name may hold anything, brackets too. */
	from = strchr(text, '(');
	to = strrchr(text, ')');
	if (!from || !to || to < from || sscanf(to + 1, " %*c %*d %*d %*d %u", &tty) != 1)
		return false;
	major = tty >> 8 & 0xfff;
	if (tty == 0 || (major >= PTY_FIRST && major <= PTY_LAST))
		return false;
	*out = (struct seat){ .pid = strtol(pid, NULL, 10) };
	(void)snprintf(out->program, NAME_ROOM, "%.*s", (int)(to - from - 1), from + 1);
	name_terminal(out->terminal, d, major, (tty & 0xff) | (tty >> 12 & 0xfff00));
	return true;
}

void doctor_check_console(struct doctor *d)
{
	cleanup_free char *path = fs_join(d->guest.root, "/proc"), *init = fs_join(d->guest.root, "/proc/1/stat");
	__attribute__((cleanup(close_folder))) DIR *proc = path && init ? opendir(path) : NULL;
	const struct dirent *entry;
	bool any = false;
	struct seat s;

	while (proc && (entry = readdir(proc)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		any = true;
		if (!has_terminal(&s, d, entry->d_name))
			continue;
		doctor_advise(d, "console",
			      "Leave login prompts and shells out of the image: mask getty@, "
			      "serial-getty@, "
			      "console-getty, debug-shell, emergency and rescue.",
			      "%s (process %ld) sits at the terminal %s, which is the host's",
			      s.program, s.pid, s.terminal);
		return;
	}
	if (any && access(init, F_OK) == 0)
		doctor_say(d, "console", VERDICT_OK, "no login prompt or shell sits at a console");
	else if (proc && access(init, F_OK) < 0)
		doctor_say(d, "console", VERDICT_SKIP, "/proc shows this user only processes of its own");
	else
		doctor_say(d, "console", VERDICT_SKIP, "no processes in /proc");
}
