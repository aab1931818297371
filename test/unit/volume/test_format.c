/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/format.h"
#include "test/unit/volume/loop.h"

#include <sys/mman.h>

static const struct volume_rules any = { 0 };
static struct loop disk;

static void attach(void)
{
	disk = loop_attach();
}

static void key_of(struct secret *s, const char *text)
{
	test_need_memlock(1 << 17);
	CHECK_INT(secret_alloc(s, 64, NULL), 0);
	CHECK_INT(secret_append(s, text, strlen(text), NULL), 0);
}

static struct volume_spec spec(void)
{
	return (struct volume_spec){ .device = disk.path, .target = VOLUME_DEVICE, .keyed = true };
}

/* A whole volume on the device, as far as that goes without a mapping. */
static void make(const struct device *d, const struct secret *key)
{
	cleanup_header struct header h = HEADER_NONE;
	const struct volume_spec s = spec();
	struct err e = { 0 };

	if (format_begin(&h, d, &s, key, deadline_in(30000), &e) < 0 || format_finish(d, &h, false, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

static int load(struct header *h, const struct device *d, const struct secret *key, struct err *e)
{
	const struct volume_spec s = spec();

	return format_load(h, d, &any, &s, key, deadline_in(30000), e);
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
		cleanup_header struct header h = HEADER_NONE;
		bool marked = false;

		if (i == 0) {
			CHECK_INT(load(&h, &d, &key, &e), 0);
			CHECK(h.tagged);
			CHECK_INT(luks_unlock(h.luks, &key, &marked, &e), 0);
			CHECK(marked);
			CHECK_ERR(luks_unlock(h.luks, &wrong, &marked, &e), ERR_VERIFY, e, "no keyslot");
		} else {
			CHECK_ERR(load(&h, &d, &wrong, &e), ERR_VERIFY, e, "another key");
			CHECK(h.luks == NULL && h.image == -1);
		}
	}
}

/* The host changes the disk between the check and the use: what was checked is used. */
TEST(format_load__disk_changed_after_the_check__no_matter)
{
	static const uint8_t junk[1 << 20] = { 'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 2 };
	cleanup_secret struct secret key = { 0 };
	cleanup_device struct device d = DEVICE_NONE;
	cleanup_header struct header h = HEADER_NONE;
	const struct volume_spec s = spec();
	bool marked = false;
	struct err e = { 0 };

	attach();
	key_of(&key, "0123456789abcdef0123456789abcdef");
	CHECK_INT(device_open(&d, &any, &s, &e), 0);
	make(&d, &key);
	CHECK_INT(load(&h, &d, &key, &e), 0);
	CHECK_INT(device_write(&d, 0, (struct view){ junk, sizeof junk }, &e), 0);
	CHECK_INT(luks_unlock(h.luks, &key, &marked, &e), 0);
}

/* What interrupted formatting leaves belongs to its key, and is no volume. */
TEST(format_judge__interrupted__this_key_goes_on)
{
	cleanup_secret struct secret key = { 0 }, wrong = { 0 };
	cleanup_device struct device d = DEVICE_NONE;
	cleanup_header struct header h = HEADER_NONE;
	struct volume_spec s = spec();
	enum device_state state = STATE_EMPTY;
	struct err e = { 0 };

	attach();
	key_of(&key, "0123456789abcdef0123456789abcdef");
	key_of(&wrong, "another key that has its 32 bytes");
	CHECK_INT(device_open(&d, &any, &s, &e), 0);
	CHECK_INT(format_begin(&h, &d, &s, &key, deadline_in(30000), &e), 0);
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
	uint8_t *bytes;
	struct err e = { 0 };

	attach();
	key_of(&key, text);
	CHECK_INT(device_open(&d, &any, &s, &e), 0);
	make(&d, &key);
	bytes = mmap(NULL, LOOP_SIZE, PROT_READ, MAP_SHARED, disk.backing, 0);
	CHECK(bytes != MAP_FAILED);
	CHECK(memmem(bytes, LOOP_SIZE, text, 8) == NULL);
	CHECK(munmap(bytes, LOOP_SIZE) == 0);
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
