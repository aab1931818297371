/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/fields.h"
#include "agent/api/secure_mount.h"
#include "agent/api/wire.h"
#include "test/test.h"

struct pair {
	const char *key, *value; /* value NULL: the option is left out */
};

#define OPTIONS_MAX 80

static void put_option(struct buf *out, struct view key, struct view value)
{
	cleanup_buf struct buf entry = BUF_MAX(1u << 18);

	field_put_bytes(&entry, 1, key);
	field_put_bytes(&entry, 2, value);
	field_put_bytes(out, 2, buf_view(&entry));
}

/* A good request whose options are overridden and added to by those of `more`. */
static void build(struct buf *out, const char *type, const char *at, const struct pair *more, size_t n)
{
	static const struct pair usual[] = {
		{ "devicePath", "/dev/vdb" },
		{ "sourceType", "empty" },
		{ "targetType", "fileSystem" },
		{ "encryptionType", "luks2" },
	};

	field_put_bytes(out, 1, view_str(type));
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		bool again = false;

		for (size_t k = 0; k < n; k++)
			again = again || strcmp(more[k].key, usual[i].key) == 0;
		if (!again)
			put_option(out, view_str(usual[i].key), view_str(usual[i].value));
	}
	for (size_t k = 0; k < n; k++)
		if (more[k].value)
			put_option(out, view_str(more[k].key), view_str(more[k].value));
	field_put_bytes(out, 3, view_str("ro"));
	field_put_bytes(out, 4, view_str(at));
}

static int parse(struct secure_mount *m, const struct pair *more, size_t n, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(1u << 20);

	build(&b, "block-device", "/run/x", more, n);
	CHECK(buf_check(&b, "request", NULL) == 0);
	return secure_mount_parse(m, buf_view(&b), e);
}

#define PARSE(m, e, ...)                                                                           \
	parse((m), (const struct pair[]){ __VA_ARGS__ },                                           \
	      sizeof((const struct pair[]){ __VA_ARGS__ }) / sizeof(struct pair), (e))

TEST(secure_mount__least__is_ext4_without_integrity_and_without_key)
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	struct err e;

	CHECK_INT(parse(&m, NULL, 0, &e), 0);
	CHECK(strcmp(m.volume.device, "/dev/vdb") == 0 && strcmp(m.volume.mount_point, "/run/x") == 0);
	CHECK(!m.volume.encrypted && m.volume.filesystem && !m.volume.xfs && !m.volume.integrity);
	CHECK(!m.volume.keyed && m.kind == SECURE_MOUNT_KEYLESS && m.key == NULL);
	CHECK(m.volume.mapper == NULL);
	CHECK_INT(m.volume.n_mkfs_args, 0);
}

TEST(secure_mount__trusted_store_as_kata_agent_calls_it)
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	struct err e;

	CHECK_INT(PARSE(&m, &e, { "devicePath", NULL }, { "deviceId", "253:16" },
			{ "sourceType", "empty" }, { "targetType", "fileSystem" },
			{ "filesystemType", "ext4" }, { "mkfsOpts", "-E lazy_journal_init" },
			{ "encryptionType", "luks2" }, { "dataIntegrity", "true" }),
		  0);
	CHECK(m.volume.device == NULL);
	CHECK_INT(m.volume.major, 253);
	CHECK_INT(m.volume.minor, 16);
	CHECK(m.volume.integrity);
	CHECK_INT(m.volume.n_mkfs_args, 2);
	CHECK(strcmp(m.volume.mkfs_args[0], "-E") == 0);
	CHECK(strcmp(m.volume.mkfs_args[1], "lazy_journal_init") == 0);
}

TEST(secure_mount__cloud_volume_as_the_forwarder_calls_it)
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	struct err e;

	CHECK_INT(PARSE(&m, &e, { "devicePath", "/dev/disk/azure/scsi1/lun3" },
			{ "sourceType", "encrypted" }, { "targetType", "fileSystem" },
			{ "encryptionType", "luks2" }, { "filesystemType", "xfs" },
			{ "key", "kbs:///default/key/v1" }, { "mapperName", "caa-data" }),
		  0);
	CHECK(m.volume.encrypted && m.volume.xfs && m.volume.keyed);
	CHECK(m.kind == SECURE_MOUNT_KBS && strcmp(m.key, "kbs:///default/key/v1") == 0);
	CHECK(strcmp(m.volume.mapper, "caa-data") == 0);
}

TEST(secure_mount__device_id__wins_over_the_path)
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	struct err e;

	CHECK_INT(PARSE(&m, &e, { "devicePath", "/dev/vdb" }, { "deviceId", "8:0" },
			{ "unknown", "is ignored" }),
		  0);
	CHECK(m.volume.device == NULL);
	CHECK_INT(m.volume.major, 8);
}

TEST(secure_mount__key__is_told_by_its_beginning)
{
	static const struct {
		const char *given, *kept;
		enum secure_mount_key kind;
	} rows[] = {
		{ "sealed.fakejwsheader.e30.x", "sealed.fakejwsheader.e30.x", SECURE_MOUNT_SEALED },
		{ "kbs:///a/b/c", "kbs:///a/b/c", SECURE_MOUNT_KBS },
		{ "kbs+pkcs11:///a/b/c", "kbs+pkcs11:///a/b/c", SECURE_MOUNT_KBS },
		{ "file:///run/keys/a", "/run/keys/a", SECURE_MOUNT_FILE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secure_mount struct secure_mount m = { 0 };
		struct err e;

		CHECK_INT(PARSE(&m, &e, { "key", rows[i].given }), 0);
		CHECK(m.volume.keyed);
		CHECK_INT(m.kind, rows[i].kind);
		CHECK(strcmp(m.key, rows[i].kept) == 0);
	}
}

TEST(secure_mount__mkfs_opts__are_split_at_ascii_space_and_nothing_else)
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	struct err e;

	CHECK_INT(PARSE(&m, &e, { "mkfsOpts", "  -O ^has_journal\t-m\n0\f'a b'\v\xc2\xa0z\r" }), 0);
	CHECK_INT(m.volume.n_mkfs_args, 6);
	CHECK(strcmp(m.volume.mkfs_args[1], "^has_journal") == 0);
	CHECK(strcmp(m.volume.mkfs_args[4], "'a") == 0);
	/* Neither a vertical tab nor a no-break space separates. */
	CHECK(strcmp(m.volume.mkfs_args[5], "b'\v\xc2\xa0z") == 0);
}

TEST(secure_mount__bad_option__is_named_and_out_is_left_alone)
{
	static const struct {
		struct pair o;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ { "devicePath", NULL }, CODE_VOLUME_OPTION, "neither deviceId nor devicePath" },
		{ { "devicePath", "" }, CODE_VOLUME_OPTION, "devicePath is \"\"" },
		{ { "devicePath", "vdb" }, CODE_VOLUME_OPTION, "devicePath is \"vdb\": want an absolute" },
		{ { "deviceId", "" }, CODE_VOLUME_OPTION, "deviceId is \"\": want MAJ:MIN" },
		{ { "deviceId", "8" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", "8:" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", ":8" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", "8:0:1" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", "8:-1" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", " 8:0" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", "8:4294967296" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", "8:99999999999" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "deviceId", "0x8:0" }, CODE_VOLUME_OPTION, "want MAJ:MIN" },
		{ { "sourceType", NULL }, CODE_VOLUME_OPTION, "sourceType is missing: want empty or encrypted" },
		{ { "sourceType", "" }, CODE_VOLUME_OPTION, "sourceType is \"\"" },
		{ { "sourceType", "Empty" }, CODE_VOLUME_OPTION, "sourceType is \"Empty\"" },
		{ { "targetType", NULL }, CODE_VOLUME_OPTION, "targetType is missing: want device or fileSystem" },
		{ { "targetType", "filesystem" }, CODE_VOLUME_OPTION, "targetType is \"filesystem\"" },
		{ { "encryptionType", NULL }, CODE_VOLUME_OPTION, "encryptionType is missing: want luks2" },
		{ { "encryptionType", "luks" }, CODE_VOLUME_OPTION, "encryptionType is \"luks\"" },
		{ { "encryptionType", "zfs" }, CODE_VOLUME_ZFS, "zfs" },
		{ { "filesystemType", "" }, CODE_VOLUME_OPTION, "filesystemType is \"\": want ext4 or xfs" },
		{ { "filesystemType", "ext3" }, CODE_VOLUME_OPTION, "filesystemType is \"ext3\"" },
		{ { "dataIntegrity", "" }, CODE_VOLUME_OPTION, "dataIntegrity is \"\": want false or true" },
		{ { "dataIntegrity", "True" }, CODE_VOLUME_OPTION, "dataIntegrity is \"True\"" },
		{ { "dataIntegrity", "1" }, CODE_VOLUME_OPTION, "dataIntegrity is \"1\"" },
		{ { "mapperName", "" }, CODE_VOLUME_OPTION, "mapperName of 0 bytes, allowed 1..127" },
		{ { "key", "" }, CODE_VOLUME_KEY_SCHEME, "key of 0 bytes begins with none of" },
		{ { "key", "hunter2" }, CODE_VOLUME_KEY_SCHEME, "key of 7 bytes begins with none of" },
		{ { "key", "file://" }, CODE_VOLUME_KEY_SCHEME, "file:// without an absolute path" },
		{ { "key", "file://run/key" }, CODE_VOLUME_KEY_SCHEME, "file:// without an absolute path" },
		{ { "key", "https://x/y" }, CODE_VOLUME_KEY_SCHEME, "begins with none of" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct secure_mount m = { .kind = SECURE_MOUNT_FILE };
		struct err e;
		int r = parse(&m, &rows[i].o, 1, &e);

		CHECK_INT(r, -(int)err_entry(rows[i].code)->kind);
		CHECK_INT(e.code, rows[i].code);
		if (!strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: \"%s\" lacks \"%s\"", i, e.msg, rows[i].words);
		/* A key written into the option itself stands in no message. */
		CHECK(strstr(e.msg, "hunter2") == NULL);
		CHECK(m.kind == SECURE_MOUNT_FILE && m.key == NULL && m.volume.device == NULL);
	}
}

TEST(secure_mount__volume_type_and_mount_point__are_checked)
{
	static const struct {
		const char *type, *at;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ "", "/run/x", CODE_VOLUME_TYPE, "volume_type \"\"" },
		{ "alibaba-cloud-oss", "/run/x", CODE_VOLUME_TYPE, "alibaba-cloud-oss" },
		{ "Block-Device", "/run/x", CODE_VOLUME_TYPE, "Block-Device" },
		{ "block-device", "", CODE_VOLUME_OPTION, "mount_point is \"\"" },
		{ "block-device", "run/x", CODE_VOLUME_OPTION, "mount_point is \"run/x\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(4096);
		struct secure_mount m = { 0 };
		struct err e;

		build(&b, rows[i].type, rows[i].at, NULL, 0);
		CHECK(secure_mount_parse(&m, buf_view(&b), &e) < 0);
		CHECK_INT(e.code, rows[i].code);
		CHECK(strstr(e.msg, rows[i].words) != NULL);
	}
}

/* Texts of a length, for the limits. */
static const char *long_text(const char *begin, size_t n)
{
	static char text[WIRE_VALUE_MAX + 16];
	size_t k = strlen(begin);

	for (size_t i = 0; i < n; i++)
		text[i] = i < k ? begin[i] : 'a';
	text[n] = '\0';
	return text;
}

TEST(secure_mount__limits__hold_to_the_byte)
{
	static const struct {
		const char *key, *begin;
		size_t max;
		enum err_code code;
	} rows[] = {
		{ "devicePath", "/dev/", 4095, CODE_VOLUME_OPTION },
		{ "mapperName", "m", 127, CODE_VOLUME_OPTION },
		{ "mkfsOpts", "-O", 4095, CODE_VOLUME_OPTION },
		{ "key", "kbs://", 4095, CODE_VOLUME_KEY_SCHEME },
		{ "key", "file:///", 4095 + 7, CODE_VOLUME_KEY_SCHEME },
		{ "key", "sealed.", 65536, CODE_API_MALFORMED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secure_mount struct secure_mount m = { 0 };
		struct err e;

		CHECK_INT(PARSE(&m, &e, { rows[i].key, long_text(rows[i].begin, rows[i].max) }), 0);
		secure_mount_done(&m);
		CHECK(PARSE(&m, &e, { rows[i].key, long_text(rows[i].begin, rows[i].max + 1) }) < 0);
		CHECK_INT(e.code, rows[i].code);
	}
}

TEST(secure_mount__mkfs_words__are_counted)
{
	for (size_t n = MOUNTD_ARGS_MAX; n <= MOUNTD_ARGS_MAX + 1; n++) {
		cleanup_buf struct buf words = BUF_MAX(4096);
		cleanup_secure_mount struct secure_mount m = { 0 };
		struct err e;

		for (size_t i = 0; i < n; i++)
			buf_puts(&words, " -F");
		CHECK_INT(PARSE(&m, &e, { "mkfsOpts", buf_str(&words) }),
			  n > MOUNTD_ARGS_MAX ? -(int)ERR_FORMAT : 0);
		if (n > MOUNTD_ARGS_MAX)
			CHECK(strstr(e.msg, "mkfsOpts has over 64 words") != NULL);
	}
}

TEST(wire_mount__malformed__says_why)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *words;
	} rows[] = {
#define ROW(s, words) { s, sizeof(s) - 1, words }
		ROW("\x0a", "not a SecureMountRequest"),
		ROW("\x08\x01", "not a SecureMountRequest"),             /* volume_type is a number */
		ROW("\x12\x05\x0a\x01", "not a SecureMountRequest"),     /* an entry that is cut off */
		ROW("\x12\x02\x08\x01", "not a SecureMountRequest"),     /* a key that is a number */
		ROW("\x12\x05\x0a\x01k\x10\x01", "not a SecureMountRequest"), /* a value that is one: true */
		ROW("\x22\xff\xff\xff\xff\x0f", "not a SecureMountRequest"),
		ROW("\x0a\x01\xff", "volume_type is not UTF-8"),
		ROW("\x0a\x02x\0", "volume_type contains a NUL"),
		ROW("\x22\x02/\0", "mount_point contains a NUL"),
		ROW("\x12\x03\x0a\x01\xff", "the name of an option is not UTF-8"),
		ROW("\x12\x05\x0a\x01k\x12\x00\x12\x05\x0a\x01k\x12\x00", "the option k is given twice"),
		ROW("\x12\x06\x0a\x01k\x12\x01\0", "the value of an option contains a NUL"),
#undef ROW
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wire_mount w = { .n_options = 42 };
		struct err e;

		CHECK_ERR(wire_mount_decode(&w, (struct view){ (const uint8_t *)rows[i].bytes, rows[i].len }, &e),
			  ERR_FORMAT, e, rows[i].words);
		CHECK_INT(e.code, CODE_API_MALFORMED);
		CHECK_INT(w.n_options, 42);
	}
}

TEST(wire_mount__too_many_options_or_flags__are_refused)
{
	for (unsigned field = 2; field <= 3; field++) {
		for (size_t n = WIRE_OPTIONS_MAX; n <= WIRE_OPTIONS_MAX + 1; n++) {
			cleanup_buf struct buf b = BUF_MAX(65536);
			struct wire_mount w = { 0 };
			char key[32];
			struct err e;

			for (size_t i = 0; i < n; i++) {
				(void)snprintf(key, sizeof key, "k%zu", i);
				if (field == 2)
					put_option(&b, view_str(key), view_str("v"));
				else
					field_put_bytes(&b, 3, view_str("f"));
			}
			CHECK_INT(wire_mount_decode(&w, buf_view(&b), &e),
				  n > WIRE_OPTIONS_MAX ? -(int)ERR_FORMAT : 0);
			wire_mount_done(&w);
		}
	}
}
