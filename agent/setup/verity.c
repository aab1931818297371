/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/verity.h"
#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>

enum {
	MOUNTS_MAX = 1 << 20,
	SMALL_MAX = 4096,
	TABLE_MAX = 16384,
	LAYERS_MAX = 16,
	HASH_WORD = 8, /* of a verity target's parameters, from 0 */
};

/* One line of mountinfo (proc(5)); fields are still escaped. */
struct mount {
	struct view device, path, options, type, super;
};

static void say(struct verity_mount *m, const char *fmt, ...) PRINTF(2, 3);

static void say(struct verity_mount *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(m->why, sizeof m->why, fmt, ap);
	va_end(ap);
}

/* Cut off the word before the next separator. Empty at the end. */
static struct view cut(struct view *rest, char separator)
{
	const uint8_t *end = rest->len ? memchr(rest->p, separator, rest->len) : NULL;
	size_t n = end ? (size_t)(end - rest->p) : rest->len;
	struct view word = { rest->p, n };

	rest->p = rest->p ? rest->p + n + (end ? 1 : 0) : NULL;
	rest->len -= n + (end ? 1 : 0);
	return word;
}

/* id parent major:minor root path options [tags…] - type source super */
static bool parse_mount(struct mount *m, struct view line)
{
	struct view word;

	(void)cut(&line, ' ');
	(void)cut(&line, ' ');
	m->device = cut(&line, ' ');
	(void)cut(&line, ' ');
	m->path = cut(&line, ' ');
	m->options = cut(&line, ' ');
	do
		word = cut(&line, ' ');
	while (word.len > 0 && !view_is(word, "-"));
	m->type = cut(&line, ' ');
	(void)cut(&line, ' ');
	m->super = cut(&line, ' ');
	return m->device.len > 0 && m->path.len > 0 && m->type.len > 0;
}

/* path lies on that mount. */
static bool is_below(struct view path, struct view mount)
{
	if (view_is(mount, "/"))
		return true;
	return path.len >= mount.len && memcmp(path.p, mount.p, mount.len) == 0 &&
	       (path.len == mount.len || path.p[mount.len] == '/');
}

/* The mount that path is on: the longest, and of equals the last, which covers the others. */
static bool find_mount(struct mount *out, struct view all, struct view path)
{
	bool found = false;
	struct mount m;

	while (all.len > 0) {
		if (!parse_mount(&m, cut(&all, '\n')) || !is_below(path, m.path) ||
		    (found && m.path.len < out->path.len))
			continue;
		*out = m;
		found = true;
	}
	return found;
}

static bool has_option(struct view options, const char *name)
{
	while (options.len > 0)
		if (view_is(cut(&options, ','), name))
			return true;
	return false;
}

/* The value of NAME=value among them; empty when there is none. */
static struct view option_value(struct view options, const char *name)
{
	while (options.len > 0) {
		struct view word = cut(&options, ',');
		size_t n = strlen(name);

		if (view_starts(word, name) && word.len > n && word.p[n] == '=')
			return (struct view){ word.p + n + 1, word.len - n - 1 };
	}
	return (struct view){ NULL, 0 };
}

/* --- the mapping --------------------------------------------------------------------------------- */

/* A file of <root>/sys/dev/block/MAJOR:MINOR/dm, without its newline. */
static bool read_dm(char *out, size_t size, const char *root, struct view device, const char *what)
{
	cleanup_buf struct buf b = BUF_MAX(SMALL_MAX);
	cleanup_free char *path = NULL;

	if (asprintf(&path, "%s/sys/dev/block/%.*s/dm/%s", root, VIEW_ARG(device), what) < 0) {
		path = NULL;
		return false;
	}
	if (fs_read(&b, path, SMALL_MAX, NULL) < 0)
		return false;
	(void)snprintf(out, size, "%.*s", (int)strcspn(buf_str(&b), "\n"), buf_str(&b));
	return true;
}

int verity_params(char *out, const char *params, struct err *e)
{
	struct view rest = view_str(params), hash = { NULL, 0 };

	for (int i = 0; i <= HASH_WORD; i++)
		hash = cut(&rest, ' ');
	if (hash.len < 32 || hash.len > 128 || hash.len % 2)
		return err_set(e, ERR_FORMAT, "the table of the mapping has no root hash");
	for (size_t i = 0; i < hash.len; i++)
		if (!strchr("0123456789abcdef", hash.p[i]) || hash.p[i] == '\0')
			return err_set(e, ERR_FORMAT, "the mapping's root hash is no hex");
	while (rest.len > 0)
		if (view_is(cut(&rest, ' '), "ignore_corruption"))
			return err_set(e, ERR_VERIFY,
				       "the mapping ignores corruption: a changed block is read all "
				       "the same");
	memcpy(out, hash.p, hash.len);
	out[hash.len] = '\0';
	return 0;
}

/* The kernel's table of the mapping. Root only; ERR_SYSTEM else. */
static int read_table(char *hash, const char *root, const char *name, struct err *e)
{
	cleanup_free char *path = fs_join(root, "/dev/mapper/control");
	cleanup_free union {
		struct dm_ioctl io;
		char bytes[TABLE_MAX];
	} *t = calloc(1, sizeof *t);
	cleanup_close int fd = -1;
	const struct dm_target_spec *spec;

	if (!path || !t)
		return err_set(e, ERR_NOMEM, "no memory for a device-mapper table");
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	t->io.version[0] = DM_VERSION_MAJOR;
	t->io.data_size = TABLE_MAX - 1; /* and a NUL behind it */
	t->io.data_start = sizeof t->io;
	t->io.flags = DM_STATUS_TABLE_FLAG;
	(void)snprintf(t->io.name, sizeof t->io.name, "%s", name);
	if (ioctl(fd, DM_TABLE_STATUS, t) < 0)
		return err_sys(e, errno, "read the table of mapping %s", name);
	if (t->io.target_count != 1 || t->io.data_start > TABLE_MAX / 2 ||
	    (t->io.flags & DM_BUFFER_FULL_FLAG))
		return err_set(e, ERR_FORMAT, "mapping %s has not one target", name);
	/* The kernel aligns it. */
	spec = (const void *)(t->bytes + t->io.data_start);
	if (strncmp(spec->target_type, "verity", sizeof spec->target_type) != 0)
		return err_set(e, ERR_VERIFY, "mapping %s is called verity and is none", name);
	return verity_params(hash, (const char *)(spec + 1), e);
}

/* --- the mount ----------------------------------------------------------------------------------- */

/* The device is dm-verity; name and, where the kernel shows it, hash are taken. */
static bool on_verity(struct verity_mount *m, const char *root, struct view device)
{
	char uuid[160] = "";
	struct err e;
	int r;

	if (!read_dm(uuid, sizeof uuid, root, device, "uuid") ||
	    strncmp(uuid, "CRYPT-VERITY-", 13) != 0 ||
	    !read_dm(m->name, sizeof m->name, root, device, "name"))
		return false;
	r = read_table(m->hash, root, m->name, &e);
	if (r == 0)
		m->from = VERITY_HASH_TABLE;
	if (r == -ERR_VERIFY || r == -ERR_FORMAT) {
		say(m, "%.*s", VERITY_WHY - 1, e.msg);
		return false;
	}
	return true;
}

/* Every lower layer must lie on verity. False, and why, when one does not. */
static bool layers_on_verity(struct verity_mount *m, const char *root, struct view all,
			     struct view lower)
{
	unsigned n = 0;

	if (lower.len == 0) {
		say(m, "it is an overlay whose layers the kernel does not show");
		return false;
	}
	for (; lower.len > 0; n++) {
		struct view path = cut(&lower, ':');
		struct mount below;

		/* What an initrd mounted is often out of sight; its name may mean another thing now. */
		if (n == LAYERS_MAX || path.len == 0 || path.p[0] != '/' ||
		    !find_mount(&below, all, path) || view_is(below.type, "overlay")) {
			say(m, "it is an overlay, and its layer %.*s cannot be judged from here",
			    VIEW_ARG(path));
			return false;
		}
		if (!on_verity(m, root, below.device)) {
			if (!m->why[0])
				say(m, "it is an overlay, and its layer %.*s is %.*s, not on dm-verity",
				    VIEW_ARG(path), VIEW_ARG(below.type));
			return false;
		}
	}
	return true;
}

static void judge_mount(struct verity_mount *m, const char *root, struct view all,
			const struct mount *at)
{
	m->read_only = has_option(at->options, "ro") || has_option(at->super, "ro");
	(void)snprintf(m->type, sizeof m->type, "%.*s", VIEW_ARG(at->type));
	if (!view_is(at->type, "overlay")) {
		m->verity = on_verity(m, root, at->device);
		if (!m->verity && !m->why[0])
			say(m, "it is %s, not on dm-verity", m->type);
		return;
	}
	if (!layers_on_verity(m, root, all, option_value(at->super, "lowerdir")))
		return;
	m->verity = option_value(at->super, "upperdir").len == 0;
	m->lower_only = !m->verity;
	if (m->lower_only)
		say(m, "it is an overlay: what was written to its upper layer is not on dm-verity");
}

/* The command line's hash where the table could not be read; and whether it is the measured one. */
static void judge_hash(struct verity_mount *m, const struct bootfacts *facts)
{
	const char *key = strcmp(m->name, "usr") == 0 ? "usrhash" : "roothash";
	struct view line = view_str(facts->cmdline);
	char named[65] = "";
	bool told = uki_root_hash(named, line, key);

	if (m->from == VERITY_HASH_UNKNOWN && told &&
	    (strcmp(m->name, "root") == 0 || strcmp(m->name, "usr") == 0)) {
		(void)snprintf(m->hash, sizeof m->hash, "%s", named);
		m->from = VERITY_HASH_CMDLINE;
	}
	if (m->from == VERITY_HASH_UNKNOWN)
		say(m, "its root hash is not known: only root may read the mapping's table");
	else if (!told || strcmp(named, m->hash) != 0)
		say(m, "the kernel command line has no %s= with that root hash", key);
	else if (!facts->cmdline_measured)
		say(m, "%s", facts->why);
	else
		m->measured = true;
}

void verity_look(struct verity_mount *out, const char *root, const char *path,
		 const struct bootfacts *facts)
{
	cleanup_free char *file = fs_join(root, "/proc/self/mountinfo");
	cleanup_buf struct buf all = BUF_MAX(MOUNTS_MAX);
	struct verity_mount m = { .path = path };
	struct mount at;
	struct err e = { 0 };

	if (!file || fs_read(&all, file, MOUNTS_MAX, &e) < 0) {
		say(&m, "%.*s", VERITY_WHY - 1, file ? e.msg : "no memory for a path");
	} else if (!find_mount(&at, buf_view(&all), view_str(path))) {
		say(&m, "no mount of it is listed in /proc/self/mountinfo");
	} else {
		m.known = true;
		m.own = view_is(at.path, path);
		judge_mount(&m, root, buf_view(&all), &at);
		if (m.verity)
			judge_hash(&m, facts);
	}
	*out = m;
}
