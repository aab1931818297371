/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/attester/bootlog.h"

/* One record of that type and data. */
static int takes(uint32_t type, struct view data, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(64 << 10);
	struct tcg2_log log;

	log_begin_one(&b, HASH_SHA384);
	log_event(&b, HASH_SHA384, 1, type, view_str(""), data);
	log_le(&b, 0, 8);
	CHECK_INT(tcg2_open(&log, buf_view(&b), TCG2_CCEL, e), 0);
	return tcg2_trustee_takes(&log, e);
}

static void check(uint32_t type, struct view data, int kind, const char *words)
{
	struct err e = { 0 };
	int r = takes(type, data, &e);

	if (r != -kind || !strstr(e.msg, words))
		test_fail(__FILE__, __LINE__, "type %08x, %zu bytes: %d \"%s\", want %d \"%s\"", type,
			  data.len, r, e.msg, -kind, words);
}

#define BYTES(s) ((struct view){ (const uint8_t *)(s), sizeof(s) - 1 })

TEST(tcg2_trustee_takes__what_trustee_refuses__is_refused)
{
	static const struct {
		uint32_t type;
		struct view data;
		int kind;
		const char *words;
	} rows[] = {
		{ 0x13, BYTES(""), ERR_UNSUPPORTED, "event type 00000013" },
		{ 0x8000000d, BYTES(""), ERR_UNSUPPORTED, "event type 8000000d" },
		{ TCG2_EV_EVENT_TAG, BYTES("LEAA\0\0\0"), ERR_FORMAT, "disagree" },
		{ TCG2_EV_EVENT_TAG, BYTES("xxxx\1\0\0\0"), ERR_FORMAT, "disagree" },
		{ TCG2_EV_EVENT_TAG, BYTES("xxxx\1\0\0\0\xff"), 0, "" },
		{ TCG2_EV_EVENT_TAG, BYTES("xxxx\1\0\0\0xy"), 0, "" },
		{ TCG2_EV_EVENT_TAG, BYTES("LEAA\5\0\0\0a b c"), 0, "" },
		{ TCG2_EV_EVENT_TAG, BYTES("LEAA\2\0\0\0  "), 0, "" },
		{ TCG2_EV_EVENT_TAG, BYTES("LEAA\3\0\0\0a b c"), ERR_FORMAT, "domain, operation" },
		{ TCG2_EV_EVENT_TAG, BYTES("LEAA\5\0\0\0a b \xff"), ERR_FORMAT, "domain, operation" },
		{ TCG2_EV_POST_CODE, BYTES("\xff"), ERR_FORMAT, "no UTF-8" },
		{ TCG2_EV_ACTION, BYTES("\xc3"), ERR_FORMAT, "no UTF-8" },
		{ TCG2_EV_COMPACT_HASH, BYTES("\xff"), ERR_FORMAT, "no UTF-8" },
		{ TCG2_EV_OMIT_BOOT_DEVICE_EVENTS, BYTES("\xff"), ERR_FORMAT, "no UTF-8" },
		{ TCG2_EV_EFI_ACTION, BYTES("\xff"), ERR_FORMAT, "no UTF-8" },
		{ TCG2_EV_EFI_ACTION, BYTES("Calling EFI Application\0"), 0, "" },
		{ TCG2_EV_SEPARATOR, BYTES("\xff"), 0, "" },
		{ 0x0a, BYTES("\xff"), 0, "" },
		{ TCG2_EV_IPL, BYTES(""), ERR_FORMAT, "less than two" },
		{ TCG2_EV_IPL, BYTES("x"), ERR_FORMAT, "less than two" },
		{ TCG2_EV_IPL, BYTES("\xff\xff"), 0, "" },
		{ TCG2_EV_IPL, BYTES(".\0"), ERR_FORMAT, "no UTF-16" },
		{ TCG2_EV_IPL, BYTES(".\0l\0i"), ERR_FORMAT, "no UTF-16" },
		{ TCG2_EV_IPL, BYTES(".\0l\0"), 0, "" },
		{ TCG2_EV_EFI_PLATFORM_FIRMWARE_BLOB2, BYTES(""), ERR_FORMAT, "out of range" },
		{ TCG2_EV_EFI_PLATFORM_FIRMWARE_BLOB2, BYTES("\0xy"), ERR_FORMAT, "out of range" },
		{ TCG2_EV_EFI_PLATFORM_FIRMWARE_BLOB2, BYTES("\3xy"), 0, "" },
		{ TCG2_EV_EFI_HANDOFF_TABLES2, BYTES("\4xy"), ERR_FORMAT, "out of range" },
		{ TCG2_EV_EFI_HANDOFF_TABLES2, BYTES("\3x\xff"), ERR_FORMAT, "no UTF-8" },
		{ TCG2_EV_EFI_HANDOFF_TABLES2, BYTES("\2x\xff"), 0, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(rows[i].type, rows[i].data, rows[i].kind, rows[i].words);
}

TEST(tcg2_trustee_takes__sha1_digest__is_refused)
{
	static const uint16_t algs[] = { TCG2_SHA1 }, sizes[] = { 20 };
	static const uint8_t digest[20];
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct tcg2_log log;
	struct err e;

	log_begin(&b, algs, sizes, 1);
	log_le(&b, 1, 4);
	log_le(&b, TCG2_EV_SEPARATOR, 4);
	log_le(&b, 1, 4);
	log_le(&b, TCG2_SHA1, 2);
	buf_put(&b, digest, sizeof digest);
	log_le(&b, 0, 4);
	log_le(&b, 0, 8);
	CHECK_INT(tcg2_open(&log, buf_view(&b), TCG2_CCEL, &e), 0);
	CHECK_ERR(tcg2_trustee_takes(&log, &e), ERR_UNSUPPORTED, e, "algorithm 0004");
}

TEST(tcg2_trustee_takes__variables__sizes_and_names)
{
	static const struct {
		uint64_t name, data;
		struct view behind;
		const char *words; /* NULL: taken */
	} rows[] = {
		{ 2, 1, BYTES("d\0b\0x"), NULL },
		{ 2, 0, BYTES("d\0b\0x"), NULL },
		{ 2, 2, BYTES("d\0b\0x"), "beyond" },
		{ 3, 0, BYTES("d\0b\0x"), "beyond" },
		{ 1ull << 63, 0, BYTES("d\0b\0"), "beyond" },
		{ 0, UINT64_MAX, BYTES("d\0b\0"), "beyond" },
		{ 1, 0, BYTES("\0\xd8"), "no UTF-16" },
		{ 1, 0, BYTES("\0\xdc"), "no UTF-16" },
		{ 2, 0, BYTES("\0\xd8x\0"), "no UTF-16" },
		{ 2, 0, BYTES("\0\xd8\0\xdc"), NULL },
	};
	static const uint32_t types[] = { TCG2_EV_EFI_VARIABLE_DRIVER_CONFIG, TCG2_EV_EFI_VARIABLE_BOOT,
					  TCG2_EV_EFI_VARIABLE_BOOT2, TCG2_EV_EFI_VARIABLE_AUTHORITY };
	static const uint8_t guid[16];

	for (size_t t = 0; t < ARRAY_LEN(types); t++) {
		check(types[t], (struct view){ guid, 16 }, ERR_FORMAT, "cut short");
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			cleanup_buf struct buf b = BUF_MAX(256);

			buf_put(&b, guid, sizeof guid);
			log_le(&b, rows[i].name, 8);
			log_le(&b, rows[i].data, 8);
			buf_putv(&b, rows[i].behind);
			check(types[t], buf_view(&b), rows[i].words ? ERR_FORMAT : 0,
			      rows[i].words ? rows[i].words : "");
		}
	}
}

#define END "\x7f\xff\4\0"

TEST(tcg2_trustee_takes__paths_of_images__nodes_have_their_lengths)
{
	static const struct {
		int64_t claims; /* 0: what there is */
		struct view path;
		const char *words; /* NULL: taken */
	} rows[] = {
		{ 0, BYTES("\4\4\6\0x\0" END), NULL },
		{ 0, BYTES("\1\1\6\0\0\0\4\4\6\0x\0" END), NULL },
		{ 0, BYTES("\x63\x63\4\0" END), NULL },
		{ 8, BYTES("\x63\x63\4\0" END END), NULL },
		{ 0, BYTES(END), "out of range" },
		{ 3, BYTES("\x63\x63\4\0" END), "out of range" },
		{ 13, BYTES("\x63\x63\4\0" END), "out of range" },
		{ -1, BYTES("\x63\x63\4\0" END), "out of range" },
		{ 0, BYTES("\4\4\3\0" END), "cannot be" },
		{ 0, BYTES("\4\4\0\0" END), "cannot be" },
		{ 0, BYTES("\4\4\5\0" END), "cannot be" },
		{ 0, BYTES("\4\4\5\0x\4\4" END), "cannot be" },
	};
	static const uint8_t zeros[40];
	cleanup_buf struct buf none = BUF_MAX(64), longest = BUF_MAX(4096);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(256);
		int64_t n = rows[i].claims;

		buf_put(&b, zeros, 24);
		log_le(&b, n ? (uint64_t)n : rows[i].path.len, 8);
		buf_putv(&b, rows[i].path);
		check(TCG2_EV_EFI_BOOT_SERVICES_APPLICATION, buf_view(&b), rows[i].words ? ERR_FORMAT : 0,
		      rows[i].words ? rows[i].words : "");
		/* Drivers' paths are not looked at. */
		check(0x80000004, buf_view(&b), 0, "");
	}
	buf_put(&none, zeros, 32);
	check(TCG2_EV_EFI_BOOT_SERVICES_APPLICATION, buf_view(&none), 0, "");
	check(TCG2_EV_EFI_BOOT_SERVICES_APPLICATION, (struct view){ zeros, 31 }, ERR_FORMAT, "cut short");
	for (size_t n = 256; n <= 257; n++) {
		buf_reset(&longest);
		buf_put(&longest, zeros, 24);
		log_le(&longest, 4 * n + 4, 8);
		for (size_t i = 0; i < n; i++)
			buf_put(&longest, "\x63\x63\4\0", 4);
		buf_put(&longest, END, 4);
		check(TCG2_EV_EFI_BOOT_SERVICES_APPLICATION, buf_view(&longest), n > 256 ? ERR_FORMAT : 0,
		      n > 256 ? "cannot be" : "");
	}
	for (size_t n = 40; n <= 42; n++) {
		buf_reset(&longest);
		buf_put(&longest, zeros, 24);
		log_le(&longest, n + 4, 8);
		buf_put(&longest, "\4\1", 2);
		log_le(&longest, n, 2);
		buf_put(&longest, zeros, n - 4);
		buf_put(&longest, END, 4);
		check(TCG2_EV_EFI_BOOT_SERVICES_APPLICATION, buf_view(&longest), n == 41 ? ERR_FORMAT : 0,
		      n == 41 ? "hard drive" : "");
	}
}
