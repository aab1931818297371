/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/bundle.h"
#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int bad(const char *what, const char *why, struct err *e)
{
	return err_code(e, CODE_OCI_CONFIG, "%s %s", what, why);
}

int bundle_read(struct buf *text, struct json **doc, int dirfd, const char *path, const char *what,
		struct err *e)
{
	cleanup_close int fd =
		openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	cleanup_buf struct buf t = BUF_MAX(BUNDLE_CONFIG_MAX);
	cleanup_json struct json *v = NULL;
	struct stat st;
	int r;

	if (fd < 0)
		return bad(what,
			   errno == ENOENT || errno == ENOTDIR ? "is not there" :
			   errno == ELOOP		       ? "is a symbolic link" :
								 "cannot be opened",
			   e);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat %s", what);
	if (!S_ISREG(st.st_mode))
		return bad(what, "is not a regular file", e);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return bad(what, "belongs to another user", e);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return bad(what, "can be written by its group or by others", e);
	r = fs_read_fd(&t, fd, BUNDLE_CONFIG_MAX, what, e);
	if (r == -(int)ERR_LIMIT)
		return err_wrap_code(e, CODE_OCI_CONFIG, "size");
	if (r < 0)
		return r;
	r = json_parse(&v, buf_view(&t), BUNDLE_CONFIG_MAX, e);
	if (r == -(int)ERR_NOMEM)
		return r;
	if (r < 0)
		return err_wrap_code(e, CODE_OCI_CONFIG, "%s", what);
	if (!json_is_object(v))
		return bad(what, "is not a JSON object", e);
	buf_done(text);
	*text = t;
	t = BUF_MAX(0);
	*doc = take(v);
	return 0;
}

int bundle_open(struct bundle *out, const char *dir, const char *config, struct err *e)
{
	cleanup_close int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *path = NULL;
	int r;

	if (fd < 0)
		return bad("the bundle's folder", "is not there", e);
	path = realpath(dir, NULL);
	if (!path)
		return err_sys(e, errno, "path of the bundle");
	r = bundle_read(&out->text, &out->doc, fd, config, "config.json", e);
	if (r == 0)
		out->path = take(path);
	return r;
}

struct node bundle_node(const struct bundle *b)
{
	return node_root(buf_view(&b->text), b->doc);
}

void bundle_done(struct bundle *b)
{
	free(b->path);
	buf_done(&b->text);
	json_free(b->doc);
	*b = (struct bundle){ 0 };
}
