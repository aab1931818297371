/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/secretdir.h"
#include "agent/base/fs.h"
#include "mounts/sealedtext.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>

struct walk {
	struct secretdir_budget *budget;
	secretdir_sealed *sealed;
	void *ctx;
	struct secretdir_counts *counts;
	bool copy;
	char data[NAME_MAX + 1]; /* where ..data points; "" when there is none */
};

/* One folder of the walk. */
struct level {
	int src, dst;
	const char *path; /* relative to the top, "" for it */
	unsigned depth;
};

static int files_error(struct err *e, const char *what)
{
	return err_code(e, CODE_OCI_SECRET_DIR, "%s", what);
}

static int vanished(struct err *e)
{
	return err_set(e, ERR_NOTFOUND, "a secret file vanished while it was read");
}

static int spend(size_t *left, size_t n, const char *what, struct err *e)
{
	if (n > *left)
		return err_code(e, CODE_OCI_SECRET_DIR, "more than the container's limit of %s", what);
	*left -= n;
	return 0;
}

int secretdir_read_sealed(struct buf *text, int fd, struct err *e)
{
	const size_t n = strlen(SEALED_PREFIX);
	cleanup_buf struct buf t = BUF_MAX(SEALED_TEXT_MAX);
	char head[16];
	ssize_t got = pread(fd, head, n, 0);
	int r;

	buf_reset(text);
	if (got < 0)
		return err_sys(e, errno, "read a secret file");
	if ((size_t)got < n || memcmp(head, SEALED_PREFIX, n) != 0)
		return 0;
	r = fs_read_fd(&t, fd, SEALED_TEXT_MAX, "a sealed file", e);
	if (r == -(int)ERR_LIMIT)
		return err_wrap_code(e, CODE_OCI_SECRET_DIR, "sealed file");
	if (r < 0)
		return r;
	/* It may have been another file's content at pread's time. */
	if (!sealedtext_is(buf_view(&t)))
		return vanished(e);
	t.len = sealedtext_trim(buf_view(&t)).len;
	buf_done(text);
	*text = t;
	t = BUF_MAX(0);
	return 0;
}

static int set_owner(int fd, const struct stat *st, struct err *e)
{
	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0)
		return err_sys(e, errno, "owner and mode of a replicated file");
	return 0;
}

static int create(int dst, const char *name, struct err *e)
{
	int fd = openat(dst, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(e, errno, "create a replicated file") : fd;
}

int secretdir_write(int dst, const char *path, const struct stat *st, struct view content,
		    struct err *e)
{
	cleanup_close int fd =
		fs_open_beneath(dst, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, e);
	int r = fd < 0 ? fd : fs_write_fd(fd, content, "a secret file", e);

	return r < 0 ? r : set_owner(fd, st, e);
}

static int copy(int from, int dst, const char *name, const struct stat *st, struct walk *w,
		struct err *e)
{
	cleanup_close int to = create(dst, name, e);
	off_t at = 0;

	if (to < 0)
		return to;
	for (;;) {
		ssize_t n = sendfile(to, from, &at, w->budget->bytes + 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "copy a secret file");
		if (n == 0)
			return set_owner(to, st, e);
		if (spend(&w->budget->bytes, (size_t)n, "bytes in secret files", e) < 0)
			return -(int)ERR_LIMIT;
	}
}

static int visit_file(struct walk *w, const struct level *l, const char *name, const char *path,
		      struct err *e)
{
	cleanup_close int fd = openat(
		l->src, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);
	size_t skip = strlen(w->data);
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ?
			       vanished(e) :
			       err_sys(e, errno, "open a secret file");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vanished(e);
	w->counts->files++;
	r = secretdir_read_sealed(&text, fd, e);
	if (r < 0)
		return r;
	if (text.len == 0)
		return w->copy ? copy(fd, l->dst, name, &st, w, e) : 0;
	w->counts->sealed++;
	r = spend(&w->budget->bytes, text.len, "bytes in secret files", e);
	if (r < 0)
		return r;
	if (skip > 0 && strncmp(path, w->data, skip) == 0 && path[skip] == '/')
		skip++;
	else
		skip = 0;
	return w->sealed(w->ctx,
			 &(struct secretdir_file){ path, path + skip, &st, buf_view(&text) }, e);
}

/* The link's target, followed from a folder `depth` below the top, never leaves the top. */
static bool stays_within(const char *target, unsigned depth)
{
	if (target[0] == '/' || target[0] == '\0')
		return false;
	while (*target) {
		size_t n = strcspn(target, "/");

		if (n == 2 && strncmp(target, "..", 2) == 0) {
			if (depth == 0)
				return false;
			depth--;
		} else if (n > 0 && !(n == 1 && target[0] == '.')) {
			depth++;
		}
		target += n + (target[n] == '/');
	}
	return true;
}

static int visit_link(struct walk *w, const struct level *l, const char *name, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(l->src, name, target, sizeof target - 1);
	struct stat st;

	if (n < 0)
		return errno == ENOENT || errno == EINVAL ? vanished(e) :
							    err_sys(e, errno, "read a link");
	target[n] = '\0';
	if (l->depth == 0 && w->data[0] && strcmp(name, "..data") == 0)
		(void)snprintf(target, sizeof target, "%s", w->data);
	if (!stays_within(target, l->depth)) {
		w->counts->odd++;
		return w->copy ? files_error(e, "a link leads out of the folder of secret files") : 0;
	}
	if (!w->copy)
		return 0;
	if (symlinkat(target, l->dst, name) < 0)
		return err_sys(e, errno, "replicate a link");
	if (fstatat(l->src, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fchownat(l->dst, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "owner of a replicated link");
	return 0;
}

static int walk_level(struct walk *w, const struct level *l, struct err *e);

static int visit_dir(struct walk *w, const struct level *l, const char *name, const char *path,
		     struct err *e)
{
	cleanup_close int src =
		openat(l->src, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_close int dst = -1;
	struct stat st;
	int r;

	if (src < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ?
			       vanished(e) :
			       err_sys(e, errno, "open a folder of secret files");
	if (l->depth + 1 > SECRETDIR_DEPTH_MAX)
		return err_code(e, CODE_OCI_SECRET_DIR, "folders more than %d deep",
				SECRETDIR_DEPTH_MAX);
	if (w->copy) {
		if (mkdirat(l->dst, name, 0700) < 0)
			return err_sys(e, errno, "replicate a folder");
		dst = openat(l->dst, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dst < 0 || fstat(src, &st) < 0)
			return err_sys(e, errno, "replicate a folder");
	}
	r = walk_level(w, &(struct level){ src, dst, path, l->depth + 1 }, e);
	return r < 0 || !w->copy ? r : set_owner(dst, &st, e);
}

static int visit(struct walk *w, const struct level *l, const char *name, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;
	int n, r;

	/* The updater's: a folder being filled, one about to go, a link about to be renamed. */
	if (l->depth == 0 && w->data[0] && strncmp(name, "..", 2) == 0 &&
	    strcmp(name, "..data") != 0 && strcmp(name, w->data) != 0)
		return 0;
	r = spend(&w->budget->names, 1, "1024 files, folders and links", e);
	if (r < 0)
		return r;
	n = snprintf(path, sizeof path, "%s%s%s", l->path, l->path[0] ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof path)
		return files_error(e, "a path of over 4095 bytes");
	if (fstatat(l->src, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? vanished(e) : err_sys(e, errno, "stat a secret file");
	if (S_ISREG(st.st_mode))
		return visit_file(w, l, name, path, e);
	if (S_ISDIR(st.st_mode))
		return visit_dir(w, l, name, path, e);
	if (S_ISLNK(st.st_mode))
		return visit_link(w, l, name, e);
	w->counts->odd++;
	return w->copy ? files_error(e, "something that is no file, folder or link") : 0;
}

struct names {
	char *list[SECRETDIR_NAMES_MAX];
	size_t n;
};

static void names_freep(struct names **p)
{
	struct names *names = *p;

	for (size_t i = 0; names && i < names->n; i++)
		free(names->list[i]);
	free(names);
}

static void dir_closep(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct names *out, int src, struct err *e)
{
	int fd = openat(src, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(dir_closep))) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return err_sys(e, errno, "open a folder of secret files");
	}
	while ((errno = 0, d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (out->n == SECRETDIR_NAMES_MAX)
			return err_code(e, CODE_OCI_SECRET_DIR,
					"more than %d files, folders and links", SECRETDIR_NAMES_MAX);
		out->list[out->n] = strdup(d->d_name);
		if (!out->list[out->n])
			return err_set(e, ERR_NOMEM, "no memory for names");
		out->n++;
	}
	if (errno != 0)
		return err_sys(e, errno, "read a folder of secret files");
	qsort(out->list, out->n, sizeof out->list[0], by_name);
	return 0;
}

static int walk_level(struct walk *w, const struct level *l, struct err *e)
{
	__attribute__((cleanup(names_freep))) struct names *names = calloc(1, sizeof *names);
	int r;

	if (!names)
		return err_set(e, ERR_NOMEM, "no memory for names");
	r = read_names(names, l->src, e);
	for (size_t i = 0; r == 0 && i < names->n; i++)
		r = visit(w, l, names->list[i], e);
	return r;
}

int secretdir_walk(int src, int dst, struct secretdir_budget *budget, secretdir_sealed *sealed,
		   void *ctx, struct secretdir_counts *counts, struct err *e)
{
	struct walk w = { budget, sealed, ctx, counts, dst >= 0, "" };
	ssize_t n = readlinkat(src, "..data", w.data, sizeof w.data - 1);

	*counts = (struct secretdir_counts){ 0 };
	/* Only the updater's own shape counts; any other ..data is a link like others. */
	if (n <= 2 || (size_t)n >= sizeof w.data - 1 || strncmp(w.data, "..", 2) != 0 ||
	    strchr(w.data, '/'))
		w.data[0] = '\0';
	else
		w.data[n] = '\0';
	return walk_level(&w, &(struct level){ src, dst, "", 0 }, e);
}
