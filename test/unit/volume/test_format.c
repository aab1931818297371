/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/format.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* On a loop device over memory; skipped where there are none. Device mapper is not needed. */
#define SIZE (33u << 20)

static int backing = -1;
static char loop_path[32];
static const struct volume_rules any = { 0 };

static void detach(void)
{
	int fd = open(loop_path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)ioctl(fd, LOOP_CLR_FD, 0);
		(void)close(fd);
	}
}

static void attach(void)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1;

	if (control < 0)
		test_skip("no loop devices for this user");
	backing = memfd_create("disk", MFD_CLOEXEC);
	CHECK(backing >= 0 && ftruncate(backing, SIZE) == 0);
	for (int tries = 0; tries < 20; tries++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		CHECK(n >= 0);
		(void)snprintf(loop_path, sizeof loop_path, "/dev/loop%d", n);
		fd = open(loop_path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			test_skip("a loop device cannot be opened");
		if (ioctl(fd, LOOP_SET_FD, backing) == 0)
			break;
		CHECK(errno == EBUSY);
		CHECK(close(fd) == 0);
		fd = -1;
	}
	CHECK(fd >= 0);
	CHECK(close(fd) == 0 && close(control) == 0);
	(void)atexit(detach);
}

static void key_of(struct secret *s, const char *text)
{
	test_need_memlock(1 << 17);
	CHECK_INT(secret_alloc(s, 64, NULL), 0);
	CHECK_INT(secret_append(s, text, strlen(text), NULL), 0);
}

static struct volume_spec spec(void)
{
	return (struct volume_spec){ .device = loop_path, .target = VOLUME_DEVICE, .keyed = true };
}

/* A whole volume on the device, as far as that goes without a mapping. */
static void make(const struct device *d, const struct secret *key)
{
	cleanup_close int image = -1;
	cleanup_luks struct luks *l = NULL;
	const struct volume_spec s = spec();
	struct err e = { 0 };

	if (format_begin(&l, &image, d, &s, key, deadline_in(30000), &e) < 0 ||
	    format_finish(d, image, false, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

TEST(format__made__loads_with_its_key_only)
{
	cleanup_secret struct secret key = { 0 }, wrong = { 0 };
	cleanup_device struct device d = DEVICE_NONE;
	const struct volume_spec s = spec();
	enum device_state state;
	struct err e = { 0 };

	attach();
	key_of(&key, "0123456789abcdef0123456789abcdef");
	key_of(&wrong, "1123456789abcdef0123456789abcdef");
	CHECK_INT(device_open(&d, &any, &s, &e), 0);
	CHECK_INT(format_judge(&state, &d, &s, &key, &e), 0);
	CHECK_INT(state, STATE_EMPTY);
	make(&d, &key);
	CHECK_INT(format_judge(&state, &d, &s, &key, &e), 0);
	CHECK_INT(state, STATE_LUKS);
	for (int i = 0; i < 2; i++) {
		cleanup_close int image = -1;
		cleanup_luks struct luks *l = NULL;

		if (i == 0) {
			CHECK_INT(format_load(&l, &image, &d, &any, &s, &key, &e), 0);
			CHECK_INT(luks_activate(l, NULL, &key, false, &e), 0);
			CHECK_ERR(luks_activate(l, NULL, &wrong, false, &e), ERR_VERIFY, e, "no keyslot");
		} else {
			CHECK_ERR(format_load(&l, &image, &d, &any, &s, &wrong, &e), ERR_VERIFY, e, "another key");
			CHECK(l == NULL && image == -1);
		}
	}
}

/* The host changes the disk between the check and the use: what was checked is used. */
TEST(format_load__disk_changed_after_the_check__no_matter)
{
	static const uint8_t junk[1 << 20] = { 'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 2 };
	cleanup_secret struct secret key = { 0 };
	cleanup_device struct device d = DEVICE_NONE;
	cleanup_close int image = -1;
	cleanup_luks struct luks *l = NULL;
	const struct volume_spec s = spec();
	struct err e = { 0 };

	attach();
	key_of(&key, "0123456789abcdef0123456789abcdef");
	CHECK_INT(device_open(&d, &any, &s, &e), 0);
	make(&d, &key);
	CHECK_INT(format_load(&l, &image, &d, &any, &s, &key, &e), 0);
	CHECK_INT(device_write(&d, 0, (struct view){ junk, sizeof junk }, &e), 0);
	CHECK_INT(luks_activate(l, NULL, &key, false, &e), 0);
}

/* What interrupted formatting leaves belongs to its key, and is no volume. */
TEST(format_judge__interrupted__this_key_goes_on)
{
	cleanup_secret struct secret key = { 0 }, wrong = { 0 };
	cleanup_device struct device d = DEVICE_NONE;
	cleanup_close int image = -1;
	cleanup_luks struct luks *l = NULL;
	struct volume_spec s = spec();
	enum device_state state = STATE_EMPTY;
	struct err e = { 0 };

	attach();
	key_of(&key, "0123456789abcdef0123456789abcdef");
	key_of(&wrong, "another key that has its 32 bytes");
	CHECK_INT(device_open(&d, &any, &s, &e), 0);
	CHECK_INT(format_begin(&l, &image, &d, &s, &key, deadline_in(30000), &e), 0);
	CHECK_INT(format_judge(&state, &d, &s, &key, &e), 0);
	CHECK_INT(state, STATE_INTERRUPTED);
	CHECK_ERR(format_judge(&state, &d, &s, &wrong, &e), ERR_VERIFY, e, "another key");
	s.source = VOLUME_ENCRYPTED;
	CHECK_ERR(format_judge(&state, &d, &s, &key, &e), ERR_FORMAT, e, "never finished");
	CHECK_INT(e.code, CODE_VOLUME_INTERRUPTED);
	s.source = VOLUME_EMPTY;
	make(&d, &key);
	CHECK_INT(format_judge(&state, &d, &s, &key, &e), 0);
	CHECK_INT(state, STATE_LUKS);
}

/* The keys of volumes are nowhere in what is written. */
TEST(format__made__neither_key_on_the_device)
{
	static const char text[] = "canary-0123456789abcdef-canary-0";
	cleanup_secret struct secret key = { 0 };
	cleanup_device struct device d = DEVICE_NONE;
	const struct volume_spec s = spec();
	uint8_t *disk;
	struct err e = { 0 };

	attach();
	key_of(&key, text);
	CHECK_INT(device_open(&d, &any, &s, &e), 0);
	make(&d, &key);
	disk = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, backing, 0);
	CHECK(disk != MAP_FAILED);
	CHECK(memmem(disk, SIZE, text, 8) == NULL);
	CHECK(munmap(disk, SIZE) == 0);
}

TEST(device_allowed__rules__exact_or_prefix)
{
	const char *const rules[] = { "/dev/trusted_store", "/dev/vd*", "/dev/disk/by-id/data" };
	struct volume_rules r = { .devices = rules, .n_devices = 3 };

	CHECK(device_allowed(&r, "/dev/trusted_store"));
	CHECK(!device_allowed(&r, "/dev/trusted_store2"));
	CHECK(device_allowed(&r, "/dev/vdb"));
	CHECK(!device_allowed(&r, "/dev/sda"));
	CHECK(device_allowed(&r, "/dev/disk/by-id/data"));
	r.n_devices = 0;
	CHECK(device_allowed(&r, "/dev/sda"));
}

TEST(device_open__allowed_folder_and_out_of_it__refused)
{
	const char *const rules[] = { "/dev/pts/*" };
	const struct volume_rules r = { .devices = rules, .n_devices = 1 };
	char out[] = "/dev/pts/../null", null[] = "/dev/null";
	struct volume_spec s = { .device = out };
	cleanup_device struct device d = DEVICE_NONE;
	struct err e = { 0 };

	CHECK_INT(device_open(&d, &r, &s, &e), -(int)ERR_DENIED);
	CHECK_INT(e.code, CODE_VOLUME_NOT_ALLOWED);
	s.device = null;
	CHECK_INT(device_open(&d, &r, &s, &e), -(int)ERR_DENIED);
	CHECK_INT(e.code, CODE_VOLUME_NOT_ALLOWED);
}
