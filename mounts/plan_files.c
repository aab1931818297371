/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/memfs.h"
#include "mounts/plan_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

enum { TRIES = 3 };

/* Reading a kernel's file may wait, or take something away; secrets never lie there. */
static bool is_kernel_fs(int fd)
{
	static const unsigned long magic[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC,	     NSFS_MAGIC,	 CGROUP_SUPER_MAGIC,
		DEBUGFS_MAGIC,	  TRACEFS_MAGIC,     CGROUP2_SUPER_MAGIC, SECURITYFS_MAGIC,
		BPF_FS_MAGIC,	  DEVPTS_SUPER_MAGIC, SELINUX_MAGIC,	 PSTOREFS_MAGIC,
	};
	struct statfs sf;

	if (fstatfs(fd, &sf) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(magic); i++)
		if ((unsigned long)sf.f_type == magic[i])
			return true;
	return false;
}

/*
 * The source, by its path as the runtime will take it (links are followed), without opening it.
 * magic  out: it is only reached through a magic link, and then it is not used
 */
static int open_path(const char *path, bool *magic)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
	long fd;

	*magic = false;
	do
		fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0 && errno == ELOOP) {
		*magic = true;
		return open(path, O_PATH | O_CLOEXEC);
	}
	return (int)fd;
}

/* The very thing that an O_PATH descriptor stands for. */
static int reopen(int fd, int flags)
{
	char link[40];

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return open(link, flags | O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int refuse_magic(struct err *e)
{
	return err_code(e, CODE_OCI_SECRET_DIR, "its source is reached through a magic link");
}

static int add_file(struct plan *p, const struct plan_mount *m, size_t ordinal, const char *path,
		    const char *shown, const struct stat *st, struct view sealed, struct err *e)
{
	struct plan_file *f;
	int r = plan_grow((void **)&p->files, &p->room_files, p->n_files, sizeof *p->files,
			  PLAN_SECRETS_MAX, "sealed files", e);

	if (r < 0)
		return r;
	f = &p->files[p->n_files++];
	f->mount = m->index;
	f->ordinal = ordinal;
	f->st = *st;
	f->sealed = BUF_MAX(sealed.len);
	buf_putv(&f->sealed, sealed);
	if (asprintf(&f->path, "f/%zu%s%s", m->index, path[0] ? "/" : "", path) < 0 ||
	    asprintf(&f->name, "%s%s%s", m->destination, shown[0] ? "/" : "", shown) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	return buf_check(&f->sealed, "a sealed file", e);
}

static int look_file(struct plan *p, struct plan_mount *m, int path_fd, bool magic,
		     struct secretdir_budget *budget, struct err *e)
{
	cleanup_close int fd = reopen(path_fd, 0);
	cleanup_buf struct buf text = BUF_MAX(SECRETDIR_BYTES_MAX);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_code(e, CODE_OCI_SECRET_DIR, "it cannot be read: %s",
				strerrorname_np(errno));
	r = secretdir_read_sealed(&text, fd, e);
	if (r < 0)
		return r;
	m->verdict = text.len > 0 ? PLAN_FILE_SEALED : PLAN_FILE;
	if (text.len == 0)
		return 0;
	if (magic)
		return refuse_magic(e);
	if (budget->names == 0 || text.len > budget->bytes)
		return err_code(e, CODE_OCI_SECRET_DIR, "more than %d secret files, or %u bytes",
				SECRETDIR_NAMES_MAX, SECRETDIR_BYTES_MAX);
	budget->names--;
	budget->bytes -= text.len;
	return add_file(p, m, 0, "", "", &st, buf_view(&text), e);
}

struct collect {
	struct plan *p;
	struct plan_mount *m;
	size_t n;
};

static int collect(void *ctx, const struct secretdir_file *f, struct err *e)
{
	struct collect *c = ctx;

	PLAN_PLACE(c->p, "mounts[%zu] file %zu", c->m->index, c->n);
	return add_file(c->p, c->m, c->n++, f->path, f->shown, f->st, f->sealed, e);
}

/* Forget what a walk that failed halfway has collected. */
static void forget(struct plan *p, size_t keep)
{
	while (p->n_files > keep) {
		struct plan_file *f = &p->files[--p->n_files];

		free(f->path);
		free(f->name);
		buf_done(&f->sealed);
		*f = (struct plan_file){ 0 };
	}
}

static int replicate(struct plan *p, struct plan_mount *m, int src, int shadow,
		     struct secretdir_budget *budget, struct err *e)
{
	struct collect c = { p, m, 0 };
	cleanup_close int dst = -1;
	struct stat st;
	char name[32];
	int r;

	(void)snprintf(name, sizeof name, "f/%zu", m->index);
	r = memfs_remove(shadow, name, e);
	if (r < 0)
		return r;
	if (mkdirat(shadow, name, 0700) < 0)
		return err_sys(e, errno, "mkdir %s", name);
	dst = openat(shadow, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dst < 0 || fstat(src, &st) < 0)
		return err_sys(e, errno, "open %s", name);
	r = secretdir_walk(src, dst, budget, collect, &c, &m->counts, e);
	if (r < 0)
		return r;
	if (fchown(dst, st.st_uid, st.st_gid) < 0 || fchmod(dst, st.st_mode & 07777) < 0)
		return err_sys(e, errno, "owner and mode of %s", name);
	/* Emptied since the first look: nothing to replace. */
	if (m->counts.sealed == 0) {
		m->verdict = PLAN_DIR;
		return memfs_remove(shadow, name, e);
	}
	m->verdict = PLAN_DIR_SEALED;
	return 0;
}

static int look_dir(struct plan *p, struct plan_mount *m, int path_fd, bool magic, int shadow,
		    struct secretdir_budget *budget, struct err *e)
{
	cleanup_close int src = reopen(path_fd, O_DIRECTORY);
	size_t keep = p->n_files;
	int r = -1;

	if (magic)
		return refuse_magic(e);
	if (src < 0)
		return err_code(e, CODE_OCI_SECRET_DIR, "it cannot be read: %s",
				strerrorname_np(errno));
	for (int i = 0; i < TRIES; i++) {
		struct secretdir_budget left = *budget;
		struct collect c = { p, m, 0 };

		/* Most have nothing sealed in them, and are then not copied in vain. */
		r = secretdir_walk(src, -1, &left, collect, &c, &m->counts, e);
		m->verdict = m->counts.sealed > 0 ? PLAN_DIR_SEALED : PLAN_DIR;
		if (r == 0 && m->verdict == PLAN_DIR_SEALED && shadow >= 0) {
			forget(p, keep);
			left = *budget;
			r = replicate(p, m, src, shadow, &left, e);
		}
		if (r == 0 && m->verdict == PLAN_DIR_SEALED)
			*budget = left;
		if (r != -(int)ERR_NOTFOUND)
			return r;
		forget(p, keep);
	}
	return err_code(e, CODE_OCI_SECRET_DIR, "it kept changing while it was read");
}

/* By the path in the config, the real one behind it, or where the container sees it. */
static bool is_under(const struct plan_rules *rules, const struct plan_mount *m, int fd)
{
	cleanup_free char *source = plan_clean_path(m->source),
			  *destination = plan_clean_path(m->destination);
	char link[40], real[4096];
	ssize_t n;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, real, sizeof real - 1);
	real[n > 0 ? n : 0] = '\0';
	for (size_t i = 0; source && destination && i < rules->n; i++)
		if (plan_under(rules->prefixes[i], source) ||
		    plan_under(rules->prefixes[i], destination) ||
		    (real[0] == '/' && plan_under(rules->prefixes[i], real)))
			return true;
	return !source || !destination;
}

static int look(struct plan *p, struct plan_mount *m, const struct plan_rules *rules, int shadow,
		struct secretdir_budget *budget, struct err *e)
{
	cleanup_close int fd = -1;
	struct stat st;
	bool magic;

	m->verdict = PLAN_NOT_BIND;
	if (!m->bind)
		return 0;
	m->verdict = PLAN_ABSENT;
	if (!m->source)
		return 0;
	fd = open_path(m->source, &magic);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ?
			       0 :
			       err_code(e, CODE_OCI_SECRET_DIR, "its source cannot be opened: %s",
					strerrorname_np(errno));
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat the source");
	m->verdict = PLAN_OTHER;
	if (is_kernel_fs(fd))
		return 0;
	if (S_ISREG(st.st_mode))
		return look_file(p, m, fd, magic, budget, e);
	if (!S_ISDIR(st.st_mode))
		return 0;
	m->verdict = PLAN_DIR_OUTSIDE;
	return m->annotated || is_under(rules, m, fd) ?
		       look_dir(p, m, fd, magic, shadow, budget, e) :
		       0;
}

int plan_files(struct plan *p, const struct plan_rules *rules, int shadow, struct err *e)
{
	struct secretdir_budget budget = SECRETDIR_BUDGET;
	int r = 0;

	if (shadow >= 0 && mkdirat(shadow, "f", 0700) < 0)
		return err_sys(e, errno, "mkdir f");
	for (size_t i = 0; r == 0 && i < p->n_mounts; i++) {
		PLAN_PLACE(p, "mounts[%zu]", i);
		r = look(p, &p->mounts[i], rules, shadow, &budget, e);
	}
	return r;
}
