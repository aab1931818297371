/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ATTESTER_FAKE_TSM_H
#define TEST_ATTESTER_FAKE_TSM_H

/*
 * configfs-tsm of plain files in a temporary root: libc's calls, replaced in the test's own binary.
 * mkdirat() makes the attributes, writing inblob makes the report, rmdir takes all away.
 * test/devices has the same as a file system, for whole programs.
 */
#include "agent/base/fs.h"
#include "attester/sev_guest.h"
#include "attester/tsm.h"
#include "test/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct {
	char root[64];
	int root_fd;
	const char *provider; /* with its newline */
	enum tee_kind kind;
	size_t report_len; /* of the report that is made; 0: the kind's own */
	const char *certs; /* NULL: no auxblob */
	bool wrong_data, empty;
	bool meddles; /* somebody writes while the report is read */
	const char *generation; /* what stands there after our write; NULL: "1\n" */
	/* A fault: errno at reading (or "mkdir", "rmdir", "inblob") that attribute, so many times. */
	const char *at;
	int sys;
	int times;
	int requests; /* folders made */
	char names[1024][16];
} fake;

static int fault(const char *at)
{
	if (!fake.at || strcmp(at, fake.at) != 0 || fake.times == 0)
		return 0;
	fake.times--;
	return errno = fake.sys;
}

static void put_file(int dir, const char *name, const void *p, size_t n)
{
	int fd = (int)syscall(SYS_openat, dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(syscall(SYS_write, fd, p, n), n);
	(void)close(fd);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	int item;

	if (fault("mkdir"))
		return -1;
	if (syscall(SYS_mkdirat, dir, name, mode) < 0)
		return -1;
	fake.requests++;
	item = (int)syscall(SYS_openat, dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	CHECK(item >= 0);
	put_file(item, "provider", fake.provider, strlen(fake.provider));
	put_file(item, "generation", "0\n", 2);
	put_file(item, "inblob", "", 0);
	put_file(item, "outblob", "", 0);
	if (fake.certs)
		put_file(item, "auxblob", fake.certs, strlen(fake.certs));
	(void)close(item);
	return 0;
}

int unlinkat(int dir, const char *name, int flags)
{
	int fd = (int)syscall(SYS_openat, dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (fault("rmdir")) {
		if (d)
			(void)closedir(d);
		return -1;
	}
	for (struct dirent *x = d ? readdir(d) : NULL; x; x = readdir(d))
		if (x->d_name[0] != '.')
			(void)syscall(SYS_unlinkat, fd, x->d_name, 0);
	if (d)
		(void)closedir(d);
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}

static int open_and_note(int dir, const char *name, int flags, mode_t mode)
{
	int fd = (int)syscall(SYS_openat, dir, name, flags, mode);

	if (fd >= 0 && fd < (int)ARRAY_LEN(fake.names))
		(void)snprintf(fake.names[fd], sizeof fake.names[fd], "%s", name);
	return fd;
}

int openat(int dir, const char *name, int flags, ...)
{
	va_list v;
	mode_t mode;

	va_start(v, flags);
	mode = va_arg(v, mode_t);
	va_end(v);
	return open_and_note(dir, name, flags, flags & O_CREAT ? mode : 0);
}

int __openat_2(int dir, const char *name, int flags);
int __openat_2(int dir, const char *name, int flags)
{
	return open_and_note(dir, name, flags, 0);
}

static const char *name_of(int fd)
{
	return fd >= 0 && fd < (int)ARRAY_LEN(fake.names) ? fake.names[fd] : "";
}

static int folder_of(int fd);

ssize_t read(int fd, void *p, size_t n)
{
	if (fake.meddles && strcmp(name_of(fd), "outblob") == 0) {
		int item = folder_of(fd);

		put_file(item, "generation", "2\n", 2);
		(void)close(item);
	}
	return fault(name_of(fd)) ? -1 : syscall(SYS_read, fd, p, n);
}

static void put_le(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* A report of the kind that carries data and nothing else that is true. */
static size_t make_report(uint8_t out[4096], const uint8_t data[TEE_DATA])
{
	size_t n = fake.kind == TEE_SNP ? SNP_REPORT_BYTES : 48 + 584 + 4 + 100;

	explicit_bzero(out, 4096);
	if (fake.kind == TEE_SNP) {
		out[0] = 3;
		memcpy(out + SNP_REPORT_DATA_AT, data, TEE_DATA);
	} else {
		put_le(out, 4, 2);
		put_le(out + 4, 0x81, 4);
		memcpy(out + 568, data, TEE_DATA);
		put_le(out + 632, 100, 4);
	}
	if (fake.wrong_data)
		out[fake.kind == TEE_SNP ? SNP_REPORT_DATA_AT + 63 : 568] ^= 1;
	return fake.empty ? 0 : fake.report_len ? fake.report_len : n;
}

/* The folder that an open file lies in. */
static int folder_of(int fd)
{
	char link[64], path[512];
	ssize_t n;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	CHECK(n > 0);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

ssize_t write(int fd, const void *p, size_t n)
{
	const char *g = fake.generation ? fake.generation : "1\n";
	uint8_t report[4096];
	int item;

	if (strcmp(name_of(fd), "inblob") != 0)
		return syscall(SYS_write, fd, p, n);
	if (fault("inblob"))
		return -1;
	CHECK_INT(n, TEE_DATA);
	item = folder_of(fd);
	CHECK(item >= 0);
	put_file(item, "outblob", report, make_report(report, p));
	put_file(item, "generation", g, strlen(g));
	(void)close(item);
	return (ssize_t)n;
}

static const char *fake_path(const char *path)
{
	static char full[512];

	(void)snprintf(full, sizeof full, "%s%s", fake.root, path);
	return full;
}

static void fake_begin(void)
{
	(void)snprintf(fake.root, sizeof fake.root, "/tmp/test_tsm.XXXXXX");
	CHECK(mkdtemp(fake.root));
	CHECK_INT(fs_mkdirs(fake_path(TSM_REPORT_DIR), 0755, NULL), 0);
	fake.root_fd = (int)syscall(SYS_openat, AT_FDCWD, fake.root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	CHECK(fake.root_fd >= 0);
	fake.provider = "sev_guest\n";
	fake.kind = TEE_SNP;
}

/* How many requests lie there. */
static int fake_left(void)
{
	DIR *d = opendir(fake_path(TSM_REPORT_DIR));
	int n = 0;

	CHECK(d);
	for (struct dirent *x = readdir(d); x; x = readdir(d))
		n += x->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

static void fake_end(void)
{
	static const char *const files[] = { "/dev/sev-guest", "/dev/tdx_guest" };
	static const char *const folders[] = { "/dev",
					       TSM_REPORT_DIR,
					       "/sys/kernel/config/tsm",
					       "/sys/kernel/config",
					       "/sys/kernel",
					       "/sys",
					       "" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlink(fake_path(files[i]));
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		(void)rmdir(fake_path(folders[i]));
	CHECK(access(fake.root, F_OK) < 0);
	(void)close(fake.root_fd);
}

#endif
