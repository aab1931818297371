/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/shadow.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { META_MAX = 16384 };

/* FNV-1a. It spreads names; who finds two equal ones gets an error, since meta says whose it is. */
static uint64_t spread(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3u;
	return h;
}

static int set_name(struct shadow *s, const struct memfs *m, const struct shadow_id *id,
		    struct err *e)
{
	if (strlen(id->id) > SHADOW_ID_MAX || strlen(id->root) > SHADOW_ID_MAX)
		return err_set(e, ERR_LIMIT, "a container's name or --root over %d bytes",
			       SHADOW_ID_MAX);
	(void)snprintf(s->name, sizeof s->name, "%016llx%016llx",
		       (unsigned long long)spread(id->root), (unsigned long long)spread(id->id));
	(void)snprintf(s->path, sizeof s->path, "%s/%s", m->path, s->name);
	return 0;
}

static int write_meta(int dir, const struct shadow_id *id, struct err *e)
{
	cleanup_close int fd =
		openat(dir, "meta", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	cleanup_buf struct buf b = BUF_MAX(META_MAX);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "create a container's meta");
	buf_puts(&b, "{\"runtime\":");
	json_put_string(&b, view_str(id->runtime));
	buf_puts(&b, ",\"root\":");
	json_put_string(&b, view_str(id->root));
	buf_puts(&b, ",\"id\":");
	json_put_string(&b, view_str(id->id));
	buf_puts(&b, "}\n");
	r = buf_check(&b, "a container's meta", e);
	return r < 0 ? r : fs_write_fd(fd, buf_view(&b), "a container's meta", e);
}

/* out's strings belong to *doc. */
static int read_meta(struct shadow_id *out, struct json **doc, int dir, struct err *e)
{
	cleanup_close int fd = openat(dir, "meta", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_buf struct buf b = BUF_MAX(META_MAX);
	cleanup_json struct json *v = NULL;
	int r;

	if (fd < 0)
		return err_sys(e, errno, "open a container's meta");
	r = fs_read_fd(&b, fd, META_MAX, "a container's meta", e);
	if (r < 0 || (r = json_parse(&v, buf_view(&b), META_MAX, e)) < 0 ||
	    (r = json_need_string(&out->runtime, v, "runtime", "meta", e)) < 0 ||
	    (r = json_need_string(&out->root, v, "root", "meta", e)) < 0 ||
	    (r = json_need_string(&out->id, v, "id", "meta", e)) < 0)
		return r;
	*doc = take(v);
	return 0;
}

int shadow_create(struct shadow *out, const struct memfs *m, const struct shadow_id *id,
		  struct err *e)
{
	cleanup_shadow struct shadow s = SHADOW_CLOSED;
	int r = set_name(&s, m, id, e);

	if (r < 0)
		return r;
	if (mkdirat(m->fd, s.name, 0700) < 0)
		return errno == EEXIST ? err_code(e, CODE_OCI_EXISTS, "there is a container %.100s",
						  id->id) :
					 err_sys(e, errno, "mkdir %s", s.path);
	s.fd = openat(m->fd, s.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s.fd < 0 || flock(s.fd, LOCK_EX | LOCK_NB) < 0)
		return err_sys(e, errno, "open %s", s.path);
	r = write_meta(s.fd, id, e);
	if (r < 0) {
		(void)memfs_remove(m->fd, s.name, NULL);
		return r;
	}
	*out = s;
	s = SHADOW_CLOSED;
	return 0;
}

int shadow_find(struct shadow *out, const struct memfs *m, const struct shadow_id *id,
		struct err *e)
{
	cleanup_shadow struct shadow s = SHADOW_CLOSED;
	cleanup_json struct json *doc = NULL;
	struct shadow_id have;
	int r = set_name(&s, m, id, e);

	if (r < 0)
		return r;
	s.fd = openat(m->fd, s.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s.fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, "no container %.100s of ours",
						 id->id) :
					 err_sys(e, errno, "open %s", s.path);
	r = read_meta(&have, &doc, s.fd, e);
	if (r < 0)
		return r;
	if (strcmp(have.root, id->root) != 0 || strcmp(have.id, id->id) != 0)
		return err_set(e, ERR_FORMAT, "%s belongs to another container", s.path);
	*out = s;
	s = SHADOW_CLOSED;
	return 0;
}

void shadow_close(struct shadow *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	*s = SHADOW_CLOSED;
}

int shadow_finish(const struct shadow *s, struct err *e)
{
	cleanup_close int fd = openat(s->fd, "config.json", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	int r = 0;

	if (fd >= 0)
		r = memfs_zero(fd, e);
	if (renameat(s->fd, "sealed.json", s->fd, "config.json") < 0 && errno != ENOENT)
		return err_sys(e, errno, "put the sealed config in place");
	return r;
}

int shadow_mark_injected(const struct shadow *s, struct err *e)
{
	cleanup_close int fd =
		openat(s->fd, "injected", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(e, errno, "mark the container") : 0;
}

bool shadow_is_injected(const struct shadow *s)
{
	return faccessat(s->fd, "injected", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int shadow_remove(const struct memfs *m, const struct shadow *s, struct err *e)
{
	return memfs_remove(m->fd, s->name, e);
}

static bool is_ours(const char *name)
{
	return strlen(name) == MEMFS_NAME_LEN &&
	       strspn(name, "0123456789abcdef") == MEMFS_NAME_LEN;
}

static void sweep_one(const struct memfs *m, const char *name, shadow_known *known, void *ctx)
{
	cleanup_shadow struct shadow s = SHADOW_CLOSED;
	cleanup_json struct json *doc = NULL;
	struct shadow_id id;
	bool interrupted;

	(void)snprintf(s.name, sizeof s.name, "%.*s", MEMFS_NAME_LEN, name);
	s.fd = openat(m->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s.fd < 0 || flock(s.fd, LOCK_EX | LOCK_NB) < 0)
		return;
	/* Killed before it could write meta: the runtime was not yet called. */
	if (read_meta(&id, &doc, s.fd, NULL) < 0) {
		(void)shadow_remove(m, &s, NULL);
		return;
	}
	/* Interrupted until config.json is the sealed form and sealed.json is gone. */
	interrupted = faccessat(s.fd, "sealed.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
		      faccessat(s.fd, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	if (!known(ctx, &id, interrupted))
		(void)shadow_remove(m, &s, NULL);
	else if (interrupted)
		(void)shadow_finish(&s, NULL);
}

static void dir_closep(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

void shadow_sweep(const struct memfs *m, shadow_known *known, void *ctx)
{
	int copy = openat(m->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(dir_closep))) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;

	while (dir && (d = readdir(dir)) != NULL)
		if (is_ours(d->d_name))
			sweep_one(m, d->d_name, known, ctx);
	if (!dir && copy >= 0)
		(void)close(copy);
	memfs_sweep_exec_files(m);
}
