/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/blockdev.h"
#include "initdata/initdata.h"

#include <sys/mman.h>

/* A disk that the host attached. What is found and read is wrapped and found again. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int disk(const void *p, size_t n)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("disk", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, p, n, 0) != (ssize_t)n)
		abort();
	return fd;
}

static void again(const struct buf *gzip)
{
	cleanup_buf struct buf image = BUF_MAX(BLOCKDEV_GZIP_MAX + 1024);
	cleanup_buf struct buf same = BUF_MAX(BLOCKDEV_GZIP_MAX);

	if (blockdev_image(&image, buf_view(gzip), NULL) < 0 || image.len % 512 != 0)
		abort();
	if (blockdev_read(&same, disk(image.p, image.len), image.len, "vda", NULL) != 1 ||
	    !view_eq(buf_view(&same), buf_view(gzip)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	cleanup_buf struct buf gzip = BUF_MAX(BLOCKDEV_GZIP_MAX), text = BUF_MAX(INITDATA_TEXT_MAX);
	cleanup_initdata struct initdata d = { 0 };
	struct err e = { 0 };
	int r = blockdev_read(&gzip, disk(p, n), n, "vda", &e);

	if (r < 0 && (e.code == CODE_OK || gzip.len > 0))
		abort();
	if (r <= 0)
		return 0;
	again(&gzip);
	if (initdata_gunzip(&text, buf_view(&gzip), NULL) < 0)
		return 0;
	if (initdata_load_text(&d, buf_view(&text), NULL) < 0 && (d.text.p || d.toml))
		abort();
	return 0;
}
