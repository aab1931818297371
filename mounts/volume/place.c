/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/place.h"

#include "agent/base/enc.h"
#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NODE_MAX (VOLUME_MAPPER_MAX + 16)

static void node_path(char out[NODE_MAX], const char *mapper)
{
	(void)snprintf(out, NODE_MAX, "/dev/mapper/%s", mapper);
}

int place_normal(char out[PLACE_PATH], const char *path, struct err *e)
{
	size_t n = strlen(path);

	if (n > 1 && path[n - 1] == '/')
		n--;
	if (path[0] != '/' || n < 2 || n >= PLACE_PATH)
		return err_code(e, CODE_VOLUME_MOUNT_POINT, "\"%.100s\": want an absolute path of 2 to %d bytes",
				path, PLACE_PATH - 1);
	if (!enc_is_utf8((struct view){ (const uint8_t *)path, n }))
		return err_code(e, CODE_VOLUME_MOUNT_POINT, "the path is not UTF-8");
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)path[i] < ' ' || path[i] == 0x7f)
			return err_code(e, CODE_VOLUME_MOUNT_POINT, "the path has a control character");
	for (size_t i = 0; i < n;) {
		size_t len = strcspn(path + i + 1, "/");

		if (i + 1 + len > n)
			len = n - i - 1;
		if (len == 0 || (len == 1 && path[i + 1] == '.') ||
		    (len == 2 && path[i + 1] == '.' && path[i + 2] == '.'))
			return err_code(e, CODE_VOLUME_MOUNT_POINT,
					"\"%.100s\": has an empty component, . or ..", path);
		i += 1 + len;
	}
	memcpy(out, path, n);
	out[n] = '\0';
	return 0;
}

bool place_allowed(const struct volume_rules *rules, const char *path)
{
	if (rules->n_mount_prefixes == 0)
		return true;
	for (size_t i = 0; i < rules->n_mount_prefixes; i++) {
		const char *prefix = rules->mount_prefixes[i];
		size_t n = strlen(prefix);

		while (n > 0 && prefix[n - 1] == '/')
			n--;
		if (strncmp(path, prefix, n) == 0 && (path[n] == '/' || path[n] == '\0'))
			return true;
	}
	return false;
}

/* The same without openat2(2), which systemd's RestrictSUIDSGID= refuses. A link is ENOTDIR here. */
static int walk_folder(const char *path)
{
	cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	path += strspn(path, "/");
	if (root < 0 || *path == '\0')
		return take_fd(root);
	return fs_walk(root, path, O_PATH | O_DIRECTORY, 0);
}

/* n bytes of path, as an O_PATH descriptor of a folder; -1 and errno. */
static int open_folder(const char *path, size_t n)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	char copy[PLACE_PATH] = { 0 };
	long fd;

	memcpy(copy, path, n);
	do
		fd = syscall(SYS_openat2, AT_FDCWD, n == 0 ? "/" : copy, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0 && errno == ENOSYS)
		return walk_folder(copy);
	return (int)fd;
}

static int cannot(const char *path, int errnum, struct err *e)
{
	return err_code(e, CODE_VOLUME_MOUNT_POINT, "%.200s: %s (%s)", path,
			errnum == ELOOP   ? "has a symlink in it" :
			errnum == ENOENT  ? "does not exist" :
			errnum == ENOTDIR ? "is not a folder" :
			errnum == EEXIST  ? "exists already" :
					    "cannot be used",
			strerrorname_np(errnum) ?: "?");
}

/* The folder that a link goes into, and its name there. */
static int open_parent(const char *path, const char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	int fd = open_folder(path, (size_t)(slash - path));

	if (fd < 0)
		return cannot(path, errno, e);
	*name = slash + 1;
	return fd;
}

int place_check(const char *path, enum volume_target target, struct err *e)
{
	const char *name = NULL;
	cleanup_close int fd = -1;
	struct stat st;

	if (target == VOLUME_FILESYSTEM) {
		fd = open_folder(path, strlen(path));
		return fd < 0 ? cannot(path, errno, e) : 0;
	}
	fd = open_parent(path, &name, e);
	if (fd < 0)
		return fd;
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return cannot(path, EEXIST, e);
	return errno == ENOENT ? 0 : cannot(path, errno, e);
}

int place_mount(const char *path, const char *mapper, enum volume_fs fs, struct err *e)
{
	cleanup_close int fd = open_folder(path, strlen(path));
	const char *type = fs == VOLUME_XFS ? "xfs" : "ext4";
	char node[NODE_MAX], via[32];

	if (fd < 0)
		return cannot(path, errno, e);
	node_path(node, mapper);
	(void)snprintf(via, sizeof via, "/proc/self/fd/%d", fd);
	/* nosuid would be seen: images unpacked there have set-user-id programs. */
	if (mount(node, via, type, MS_NOATIME | MS_NODEV, NULL) < 0)
		return err_code(e, CODE_VOLUME_MOUNT, "mount %s as %s at %.200s: %s", node, type, path,
				strerrorname_np(errno));
	return 0;
}

int place_link(const char *path, const char *mapper, struct err *e)
{
	const char *name = NULL;
	cleanup_close int fd = open_parent(path, &name, e);
	char node[NODE_MAX];

	if (fd < 0)
		return fd;
	node_path(node, mapper);
	return symlinkat(node, fd, name) < 0 ? cannot(path, errno, e) : 0;
}

static bool is_link_to(int dir, const char *name, const char *node)
{
	char to[NODE_MAX + 1];
	ssize_t n = readlinkat(dir, name, to, sizeof to);

	return n >= 0 && (size_t)n == strlen(node) && memcmp(to, node, (size_t)n) == 0;
}

bool place_has(const char *path, const char *mapper, enum volume_target target)
{
	const char *name = NULL;
	cleanup_close int fd = -1;
	char node[NODE_MAX];
	struct stat dev, there;

	node_path(node, mapper);
	if (target == VOLUME_DEVICE) {
		fd = open_parent(path, &name, NULL);
		return fd >= 0 && is_link_to(fd, name, node);
	}
	fd = open_folder(path, strlen(path));
	return fd >= 0 && stat(node, &dev) == 0 && fstat(fd, &there) == 0 && S_ISBLK(dev.st_mode) &&
	       there.st_dev == dev.st_rdev;
}

int place_remove(const char *path, const char *mapper, enum volume_target target, struct err *e)
{
	const char *name = NULL;
	cleanup_close int fd = -1;
	char via[PLACE_PATH + 32];

	if (!place_has(path, mapper, target))
		return 0;
	fd = open_parent(path, &name, e);
	if (fd < 0)
		return fd;
	if (target == VOLUME_DEVICE)
		return unlinkat(fd, name, 0) < 0 ? cannot(path, errno, e) : 0;
	/* By the folder above: a descriptor of the mount would keep it, a path may have a new symlink in it. */
	(void)snprintf(via, sizeof via, "/proc/self/fd/%d/%s", fd, name);
	if (umount2(via, UMOUNT_NOFOLLOW) == 0)
		return 0;
	return err_code(e, errno == EBUSY ? CODE_VOLUME_BUSY : CODE_VOLUME_MOUNT, "unmount %.200s: %s", path,
			strerrorname_np(errno));
}
