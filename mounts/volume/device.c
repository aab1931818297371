/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/device.h"

#include "agent/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define UEVENT_MAX 4096u
#define CHUNK      (1u << 20)

/* DEVNAME of a block device's uevent into a path below /dev. */
static int kernel_name(char out[DEVICE_PATH], unsigned maj, unsigned min, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(UEVENT_MAX);
	struct err why = { 0 };
	const char *p, *key = "DEVNAME=";
	char path[64];
	size_t n;

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/uevent", maj, min);
	if (fs_read(&text, path, UEVENT_MAX, &why) < 0)
		return err_code(e, CODE_VOLUME_DEVICE_MISSING, "block device %u:%u: %s", maj, min, why.msg);
	p = buf_str(&text);
	while (p && strncmp(p, key, strlen(key)) != 0) {
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
	n = p ? strcspn(p += strlen(key), "\n") : 0;
	if (n == 0 || n > DEVICE_PATH - 8 || memmem(p, n, "..", 2))
		return err_code(e, CODE_VOLUME_DEVICE_MISSING, "block device %u:%u has no name", maj, min);
	(void)snprintf(out, DEVICE_PATH, "/dev/%.*s", (int)n, p);
	return 0;
}

bool device_allowed(const struct volume_rules *rules, const char *path)
{
	if (rules->n_devices == 0)
		return true;
	for (size_t i = 0; i < rules->n_devices; i++) {
		const char *rule = rules->devices[i];
		size_t n = strlen(rule);

		if (n > 0 && rule[n - 1] == '*' ? strncmp(path, rule, n - 1) == 0 : strcmp(path, rule) == 0)
			return true;
	}
	return false;
}

int device_size(uint64_t *out, int fd, const char *path, struct err *e)
{
	struct stat st;
	uint64_t n = 0;

	if (fstat(fd, &st) < 0 || (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &n) < 0))
		return err_code(e, CODE_VOLUME_DEVICE, "%s: its size: %s", path, strerrorname_np(errno));
	*out = S_ISBLK(st.st_mode) ? n : (uint64_t)st.st_size;
	return 0;
}

/* The path that a caller gave, followed to its end, which must be below /dev. */
static int follow(char out[DEVICE_PATH], const char *path, struct err *e)
{
	cleanup_free char *real = NULL;

	if (strncmp(path, "/dev/", 5) != 0)
		return err_code(e, CODE_VOLUME_NOT_ALLOWED, "%.100s: is not below /dev", path);
	/* The rules are held against the words of it too: "/dev/disk/by-id/../../sda" has the wrong ones. */
	if (strstr(path, "/../"))
		return err_code(e, CODE_VOLUME_NOT_ALLOWED, "%.100s: has a .. in it", path);
	real = realpath(path, NULL);
	if (!real)
		return err_code(e, CODE_VOLUME_DEVICE_MISSING, "%.100s: %s", path, strerrorname_np(errno));
	if (strncmp(real, "/dev/", 5) != 0 || strlen(real) >= DEVICE_PATH)
		return err_code(e, CODE_VOLUME_NOT_ALLOWED, "%.100s: leads to %.100s, which is not below /dev",
				path, real);
	memcpy(out, real, strlen(real) + 1);
	return 0;
}

/* Open path and see that it is the block device maj:min, or with want false learn which it is. */
static int open_block(struct device *d, bool want, struct err *e)
{
	struct stat st;
	int ro = 0, r;

	d->fd = open(d->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (d->fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV || errno == ENOMEDIUM))
		return err_code(e, CODE_VOLUME_DEVICE_MISSING, "%s: %s", d->path, strerrorname_np(errno));
	if (d->fd < 0 || fstat(d->fd, &st) < 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: cannot be opened: %s", d->path,
				strerrorname_np(errno));
	if (!S_ISBLK(st.st_mode))
		return err_code(e, CODE_VOLUME_DEVICE, "%s: is not a block device", d->path);
	if (want && (major(st.st_rdev) != d->major || minor(st.st_rdev) != d->minor))
		return err_code(e, CODE_VOLUME_DEVICE, "%s: is not block device %u:%u", d->path, d->major,
				d->minor);
	d->major = major(st.st_rdev);
	d->minor = minor(st.st_rdev);
	if (ioctl(d->fd, BLKROGET, &ro) < 0 || ro != 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: is read-only", d->path);
	r = device_size(&d->size, d->fd, d->path, e);
	if (r == 0 && d->size % 4096 != 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: its size of %llu bytes is no multiple of 4096",
				d->path, (unsigned long long)d->size);
	return r;
}

int device_open(struct device *out, const struct volume_rules *rules, const struct volume_spec *spec,
		struct err *e)
{
	cleanup_device struct device d = { .fd = -1, .major = spec->major, .minor = spec->minor };
	char kernel[DEVICE_PATH] = { 0 };
	int r = spec->device ? follow(d.path, spec->device, e) :
			       kernel_name(d.path, spec->major, spec->minor, e);

	if (r < 0)
		return r;
	if (!device_allowed(rules, d.path) && !(spec->device && device_allowed(rules, spec->device)))
		return err_code(e, CODE_VOLUME_NOT_ALLOWED, "%.100s: no rule allows this device", d.path);
	r = open_block(&d, spec->device == NULL, e);
	if (r < 0)
		return r;
	/* One name for one device in the records, whatever link led to it. */
	if (spec->device && kernel_name(kernel, d.major, d.minor, NULL) == 0) {
		struct stat st;

		if (stat(kernel, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == makedev(d.major, d.minor))
			memcpy(d.path, kernel, sizeof kernel);
	}
	*out = d;
	d.fd = -1;
	return 0;
}

/* The disk that a partition is of. False when it is no partition (or gone). */
static bool disk_of(unsigned out[2], unsigned maj, unsigned min)
{
	cleanup_buf struct buf text = BUF_MAX(64);
	char path[80];

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/partition", maj, min);
	if (access(path, F_OK) < 0)
		return false;
	/* The entry is a link to the partition's folder, which lies in that of its disk. */
	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/../dev", maj, min);
	return fs_read(&text, path, 64, NULL) == 0 &&
	       sscanf(buf_str(&text), "%u:%u", &out[0], &out[1]) == 2;
}

bool device_shared(unsigned major_a, unsigned minor_a, unsigned major_b, unsigned minor_b)
{
	unsigned a[2] = { major_a, minor_a }, b[2] = { major_b, minor_b }, disk[2];

	if (memcmp(a, b, sizeof a) == 0 ||
	    (disk_of(disk, major_a, minor_a) && memcmp(disk, b, sizeof disk) == 0))
		return true;
	return disk_of(disk, major_b, minor_b) && memcmp(disk, a, sizeof disk) == 0;
}

int device_free(const struct device *d, struct err *e)
{
	cleanup_close int fd = open(d->path, O_RDWR | O_EXCL | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && errno == EBUSY)
		return err_code(e, CODE_VOLUME_BUSY, "%s: is mounted, mapped or otherwise in use", d->path);
	if (fd < 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: cannot be opened: %s", d->path,
				strerrorname_np(errno));
	return 0;
}

int device_read(const struct device *d, uint64_t at, uint8_t *p, size_t n, struct err *e)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = pread(d->fd, p + done, n - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return err_code(e, CODE_VOLUME_DEVICE, "%s: reading at %llu: %s", d->path,
					(unsigned long long)(at + done),
					got == 0 ? "end of device" : strerrorname_np(errno));
		done += (size_t)got;
	}
	return 0;
}

static int write_at(int fd, const char *path, uint64_t at, const uint8_t *p, size_t n, struct err *e)
{
	for (size_t done = 0; done < n;) {
		ssize_t put = pwrite(fd, p + done, n - done, (off_t)(at + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return err_code(e, CODE_VOLUME_DEVICE, "%s: writing at %llu: %s", path,
					(unsigned long long)(at + done),
					put == 0 ? "nothing taken" : strerrorname_np(errno));
		done += (size_t)put;
	}
	return 0;
}

int device_write(const struct device *d, uint64_t at, struct view bytes, struct err *e)
{
	int r = write_at(d->fd, d->path, at, bytes.p, bytes.len, e);

	if (r == 0 && fdatasync(d->fd) < 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: sync: %s", d->path, strerrorname_np(errno));
	return r;
}

int device_zero(const char *path, uint64_t at, uint64_t n, struct deadline d, const char *step,
		const struct volume_progress *progress, struct err *e)
{
	bool direct = at % 4096 == 0 && n % 4096 == 0;
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
	cleanup_free void *zeros = NULL;
	int64_t told = clock_boot_ms();

	if (fd < 0 && errno == EINVAL)
		fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: cannot be opened: %s", path,
				strerrorname_np(errno));
	zeros = aligned_alloc(4096, CHUNK);
	if (!zeros)
		return err_set(e, ERR_NOMEM, "no memory to zero a device");
	explicit_bzero(zeros, CHUNK);
	for (uint64_t done = 0; done < n;) {
		size_t some = n - done < CHUNK ? (size_t)(n - done) : CHUNK;
		int r = write_at(fd, path, at + done, zeros, some, e);

		if (r < 0)
			return r;
		done += some;
		if (deadline_left_ms(d) == 0)
			return err_code(e, CODE_VOLUME_DEADLINE, "%s: %llu of %llu bytes were written", path,
					(unsigned long long)done, (unsigned long long)n);
		if (step && progress && progress->tell && clock_boot_ms() - told >= 1000) {
			told = clock_boot_ms();
			progress->tell(progress->ctx, step, done, n);
		}
	}
	if (fdatasync(fd) < 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: sync: %s", path, strerrorname_np(errno));
	return 0;
}

void device_done(struct device *d)
{
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
}
