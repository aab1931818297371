/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "attester/uki.h"
#include "test/unit/attester/bootlog.h"
#include "test/unit/attester/vector.h"

#include <stdio.h>

/* A PE file of our own: headers of 512 bytes, then sections of 512 each, then perhaps a tail. */
enum { PE = 64, OPT = PE + 24, TABLE = OPT + 240, HEADERS = 512, RAW = 512 };

static void set(struct buf *b, size_t at, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		b->p[at + i] = (uint8_t)(v >> 8 * i);
}

static void pe_begin(struct buf *b)
{
	for (int i = 0; i < HEADERS; i++)
		buf_putc(b, 0);
	buf_check(b, "file", NULL) == 0 ? (void)0 : abort();
	memcpy(b->p, "MZ", 2);
	set(b, 0x3c, PE, 4);
	memcpy(b->p + PE, "PE\0\0", 4);
	set(b, PE + 20, 240, 2);
	set(b, OPT, 0x20b, 2);
	set(b, OPT + 60, HEADERS, 4);
	set(b, OPT + 64, 0xaaaaaaaa, 4); /* checksum */
	set(b, OPT + 108, 16, 4);
}

static void pe_section(struct buf *b, const char *name, struct view content)
{
	unsigned n = b->p[PE + 6]++;
	size_t at = TABLE + 40 * n, from = b->len;

	CHECK(at + 40 <= HEADERS && content.len <= RAW);
	memcpy(b->p + at, name, strlen(name));
	set(b, at + 8, content.len, 4);
	set(b, at + 16, RAW, 4);
	set(b, at + 20, from, 4);
	buf_putv(b, content);
	while (b->len < from + RAW)
		buf_putc(b, 0);
}

static void kernel_file(struct buf *b)
{
	pe_begin(b);
	pe_section(b, ".text", view_str("code"));
	CHECK(b->len <= 2 * RAW);
}

#define MAGIC "#### LoaderInfo: systemd-stub 252.39-1 ####"

static void uki_file(struct buf *b, const char *magic)
{
	pe_begin(b);
	pe_section(b, ".sdmagic", view_str(magic));
	pe_section(b, ".sbat", view_str("sbat,1"));
	pe_section(b, ".cmdline", view_str("quiet roothash=x\n"));
	pe_section(b, ".linux", view_str("kernel"));
}


/* H(old, H(bytes)) by other means than the module's. */
static void extend(struct digest *pcr, struct view bytes)
{
	struct digest d;
	struct view parts[2];

	CHECK_INT(digest_of(&d, HASH_SHA256, bytes, NULL), 0);
	parts[0] = digest_view(pcr);
	parts[1] = digest_view(&d);
	CHECK_INT(digest_parts(pcr, HASH_SHA256, parts, 2, NULL), 0);
}

static void extend_part(struct digest *pcr, const char *name, const char *content)
{
	extend(pcr, (struct view){ (const uint8_t *)name, strlen(name) + 1 });
	extend(pcr, view_str(content));
}

TEST(uki_parse__sections__as_the_stub_sees_them)
{
	cleanup_buf struct buf b = BUF_MAX(65536);
	struct uki u;
	struct err e;

	uki_file(&b, MAGIC);
	CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
	CHECK_INT(u.stub, 252);
	CHECK_INT(u.n_sections, 4);
	CHECK(view_is(u.part[UKI_CMDLINE], "quiet roothash=x\n"));
	CHECK(view_is(u.part[UKI_LINUX], "kernel"));
	CHECK(u.part[UKI_INITRD].p == NULL);
}

TEST(uki_parse__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		size_t at;
		uint8_t size;
		uint64_t value;
		int kind;
		const char *words;
	} rows[] = {
		{ 0, 1, 'X', ERR_FORMAT, "MZ" },
		{ 1, 1, 'X', ERR_FORMAT, "MZ" },
		{ 0x3c, 4, PE + 1, ERR_FORMAT, "no PE header" },
		{ 0x3c, 4, HEADERS + 4 * RAW - 23, ERR_FORMAT, "no PE header" },
		{ 0x3c, 4, UINT32_MAX, ERR_FORMAT, "no PE header" },
		{ PE, 4, 0x4550 + 0x10000, ERR_FORMAT, "no PE header" },
		{ PE + 6, 2, 0, ERR_LIMIT, "0 sections, allowed 1..96" },
		{ PE + 6, 2, 97, ERR_LIMIT, "97 sections" },
		{ PE + 6, 2, 96, ERR_FORMAT, "table is cut short" },
		{ PE + 20, 2, 111, ERR_FORMAT, "optional header is cut short" },
		{ PE + 20, 2, 239, ERR_FORMAT, "do not fit" },
		{ PE + 20, 2, 0xffff, ERR_FORMAT, "optional header is cut short" },
		{ OPT, 2, 0x10b, ERR_FORMAT, "not PE32+" },
		{ OPT + 60, 4, TABLE - 1, ERR_FORMAT, "size of its headers" },
		{ OPT + 60, 4, HEADERS + 4 * RAW + 1, ERR_FORMAT, "size of its headers" },
		{ OPT + 108, 4, 17, ERR_FORMAT, "do not fit" },
		{ OPT + 108, 4, 0x20000001, ERR_FORMAT, "do not fit" },
		{ OPT + 144, 4, 1, ERR_FORMAT, "has no size" },
		{ OPT + 148, 4, 8, ERR_FORMAT, "not the file's end" },
		{ OPT + 144, 8, (8ull << 32) + HEADERS + 4 * RAW - 9, ERR_FORMAT, "file's end" },
		{ OPT + 144, 8, (8ull << 32) + HEADERS + 4 * RAW - 7, ERR_FORMAT, "file's end" },
		{ OPT + 144, 8, (0xffffffffull << 32) + HEADERS, ERR_FORMAT, "file's end" },
		{ TABLE + 80 + 8, 4, RAW + 1, ERR_UNSUPPORTED, ".cmdline reaches beyond" },
		{ TABLE + 80 + 16, 4, UINT32_MAX, ERR_FORMAT, "beyond the file" },
		{ TABLE + 80 + 20, 4, UINT32_MAX, ERR_FORMAT, "beyond the file" },
		{ TABLE + 80 + 20, 4, HEADERS + 3 * RAW + 1, ERR_FORMAT, "beyond the file" },
		{ TABLE + 80, 8, 0x78756e696c2e, ERR_FORMAT, ".linux is there twice" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(65536);
		struct uki u = { .stub = 42 };
		struct err e = { 0 };
		int r;

		uki_file(&b, MAGIC);
		set(&b, rows[i].at, rows[i].value, rows[i].size);
		/* The section whose end lies one byte behind the file must be the last byte of it. */
		if (rows[i].value == HEADERS + 3 * RAW + 1)
			b.len = HEADERS + 4 * RAW;
		r = uki_parse(&u, buf_view(&b), &e);
		if (r != -rows[i].kind || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d \"%s\", want \"%s\"", i, r, e.msg,
				  rows[i].words);
		CHECK_INT(u.stub, 42);
	}
}

TEST(uki_parse__cut_at_every_byte__fails)
{
	cleanup_buf struct buf b = BUF_MAX(65536);
	struct uki u;
	struct err e;

	uki_file(&b, MAGIC);
	for (size_t n = 0; n < b.len; n++) {
		cleanup_free uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, b.p, n);
		CHECK_INT(uki_parse(&u, (struct view){ copy, n }, &e), -ERR_FORMAT);
	}
}

TEST(uki_authenticode__checksum_and_certificates__do_not_count_all_else_does)
{
	cleanup_buf struct buf b = BUF_MAX(65536), signed_one = BUF_MAX(65536);
	struct digest before, after;
	struct uki u;
	struct err e;

	uki_file(&b, MAGIC);
	buf_puts(&b, "something behind");
	CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
	CHECK_INT(uki_authenticode(&before, &u, HASH_SHA256, &e), 0);
	for (size_t i = 0; i < b.len; i += 7) {
		bool counts = !(i >= OPT + 64 && i < OPT + 68);

		/* Fields that give the file another shape. */
		if (i < TABLE + 160 && !(i >= OPT + 16 && i < OPT + 56) &&
		    !(i >= OPT + 64 && i < OPT + 108))
			continue;
		b.p[i] ^= 1;
		CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
		CHECK_INT(uki_authenticode(&after, &u, HASH_SHA256, &e), 0);
		b.p[i] ^= 1;
		if (view_eq(digest_view(&before), digest_view(&after)) == counts)
			test_fail(__FILE__, __LINE__, "byte %zu counts: %d", i, counts);
	}
	buf_putv(&signed_one, buf_view(&b));
	buf_puts(&signed_one, "certific");
	set(&signed_one, OPT + 144, b.len, 4);
	set(&signed_one, OPT + 148, 8, 4);
	CHECK_INT(uki_parse(&u, buf_view(&signed_one), &e), 0);
	CHECK_INT(u.signature_size, 8);
	CHECK_INT(uki_authenticode(&after, &u, HASH_SHA256, &e), 0);
	CHECK(view_eq(digest_view(&before), digest_view(&after)));
}

TEST(uki_authenticode__sections_out_of_order__are_hashed_by_their_place_in_the_file)
{
	cleanup_buf struct buf b = BUF_MAX(65536);
	struct digest before, after;
	uint8_t first[40], table[80];
	struct uki u;
	struct err e;

	pe_begin(&b);
	pe_section(&b, ".a", view_str("first"));
	pe_section(&b, ".b", view_str("second"));
	CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
	CHECK_INT(u.sections[0].offset, HEADERS);
	CHECK_INT(uki_authenticode(&before, &u, HASH_SHA256, &e), 0);
	memcpy(table, b.p + TABLE, 80);
	memcpy(first, table, 40);
	memcpy(b.p + TABLE, table + 40, 40);
	memcpy(b.p + TABLE + 40, first, 40);
	CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
	CHECK_INT(u.sections[0].offset, HEADERS);
	CHECK_INT(u.sections[1].offset, HEADERS + RAW);
	CHECK_INT(uki_authenticode(&after, &u, HASH_SHA256, &e), 0);
	/* The headers differ, so the digest does; with them put aside it would not. */
	CHECK(!view_eq(digest_view(&before), digest_view(&after)));
}

TEST(uki_pcr11__by_hand__names_and_contents_in_the_stubs_order)
{
	static const struct {
		const char *magic;
		bool sbat;
	} rows[] = {
		{ MAGIC, false },
		{ "#### LoaderInfo: systemd-stub 253 ####", false },
		{ "#### LoaderInfo: systemd-stub 254~rc1 ####", true },
		{ "#### LoaderInfo: systemd-stub 257.9 ####", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(65536);
		struct digest want = { .len = 32 }, pcr;
		struct uki u;
		struct err e;

		uki_file(&b, rows[i].magic);
		extend_part(&want, ".linux", "kernel");
		extend_part(&want, ".cmdline", "quiet roothash=x\n");
		if (rows[i].sbat)
			extend_part(&want, ".sbat", "sbat,1");
		CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
		CHECK_INT(uki_pcr11(&pcr, &u, HASH_SHA256, &e), 0);
		CHECK(view_eq(digest_view(&pcr), digest_view(&want)));
		extend(&want, view_str("sysinit"));
		CHECK_INT(uki_pcr11_phase(&pcr, HASH_SHA256, "sysinit", &e), 0);
		CHECK(view_eq(digest_view(&pcr), digest_view(&want)));
	}
}

TEST(uki_pcr4__by_hand__action_separator_image_kernel)
{
	cleanup_buf struct buf b = BUF_MAX(65536), kernel = BUF_MAX(65536);
	struct digest want = { .len = 32 }, image, pcr;
	struct view parts[2];
	struct uki u;
	struct err e;

	kernel_file(&kernel);
	uki_file(&b, MAGIC);
	CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
	CHECK_ERR(uki_pcr4(&pcr, &u, HASH_SHA256, true, &e), ERR_FORMAT, e,
		  "kernel in section .linux");
	buf_reset(&b);
	pe_begin(&b);
	pe_section(&b, ".sdmagic", view_str(MAGIC));
	/* A kernel of two sections' room. */
	pe_section(&b, ".linux", (struct view){ kernel.p, RAW });
	buf_put(&b, kernel.p + RAW, RAW);
	set(&b, TABLE + 40 + 8, 2 * RAW, 4);
	set(&b, TABLE + 40 + 16, 2 * RAW, 4);
	CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
	extend(&want, view_str("Calling EFI Application from Boot Option"));
	extend(&want, (struct view){ (const uint8_t *)"\0\0\0\0", 4 });
	for (int i = 0; i < 2; i++) {
		struct uki x;

		CHECK_INT(uki_parse(&x, i ? buf_view(&kernel) : buf_view(&b), &e), 0);
		CHECK_INT(uki_authenticode(&image, &x, HASH_SHA256, &e), 0);
		parts[0] = digest_view(&want);
		parts[1] = digest_view(&image);
		CHECK_INT(digest_parts(&want, HASH_SHA256, parts, 2, &e), 0);
		CHECK_INT(uki_pcr4(&pcr, &u, HASH_SHA256, i == 1, &e), 0);
		CHECK(view_eq(digest_view(&pcr), digest_view(&want)));
	}
}

TEST(uki_pcr11__no_uki_or_several__is_unsupported)
{
	cleanup_buf struct buf b = BUF_MAX(65536), many = BUF_MAX(65536);
	struct digest pcr = { .len = 42 };
	struct uki u;
	struct err e;

	kernel_file(&b);
	CHECK_INT(uki_parse(&u, buf_view(&b), &e), 0);
	CHECK_INT(u.stub, 0);
	CHECK_ERR(uki_pcr11(&pcr, &u, HASH_SHA256, &e), ERR_UNSUPPORTED, e, "no unified kernel");
	uki_file(&many, MAGIC);
	memcpy(many.p + TABLE + 40, ".profile", 8);
	CHECK_INT(uki_parse(&u, buf_view(&many), &e), 0);
	CHECK_ERR(uki_pcr11(&pcr, &u, HASH_SHA256, &e), ERR_UNSUPPORTED, e, "several profiles");
	CHECK_INT(pcr.len, 42);
}

/* --- a boot's log -------------------------------------------------------------------------------- */

static void log_section(struct buf *b, uint32_t index, const char *name, const char *content)
{
	cleanup_buf struct buf wide = BUF_MAX(256);

	log_wide(&wide, name);
	log_event(b, HASH_SHA256, index, TCG2_EV_IPL,
		  (struct view){ (const uint8_t *)name, strlen(name) + 1 }, buf_view(&wide));
	log_event(b, HASH_SHA256, index, TCG2_EV_IPL, view_str(content), buf_view(&wide));
}

static int from_log(struct uki_boot *boot, const struct buf *b, enum tcg2_framing framing,
		    struct err *e)
{
	struct tcg2_log log;

	CHECK_INT(tcg2_open(&log, buf_view(b), framing, e), 0);
	return uki_from_log(boot, &log, HASH_SHA256, e);
}

TEST(uki_from_log__tpm_and_ccel__sections_secure_boot_and_images)
{
	static const uint8_t secure[] = {
		[16] = 10, [24] = 1, [32] = 'S', [34] = 'e', [36] = 'c', [38] = 'u', [40] = 'r',
		[42] = 'e', [44] = 'B', [46] = 'o', [48] = 'o', [50] = 't', [52] = 1,
	};

	for (int f = TCG2_CCEL; f <= TCG2_TPM; f++) {
		cleanup_buf struct buf b = BUF_MAX(65536);
		struct uki_boot boot;
		struct digest d;
		struct err e;
		uint32_t stub = f == TCG2_CCEL ? 3 : 11;

		log_begin_one(&b, HASH_SHA256);
		log_event(&b, HASH_SHA256, f == TCG2_CCEL ? 1 : 7, 0x80000001u,
			  (struct view){ secure, sizeof secure },
			  (struct view){ secure, sizeof secure });
		log_event(&b, HASH_SHA256, f == TCG2_CCEL ? 2 : 4, 0x80000003u, view_str("x"),
			  view_str("x"));
		log_section(&b, stub, ".linux", "kernel");
		log_section(&b, stub, ".cmdline", "quiet\n");
		log_event(&b, HASH_SHA256, f == TCG2_CCEL ? 2 : 4, 0x80000003u, view_str("y"),
			  view_str("y"));
		if (f == TCG2_CCEL)
			log_le(&b, 0, 8);
		CHECK_INT(from_log(&boot, &b, (enum tcg2_framing)f, &e), 0);
		CHECK(boot.is_uki && !boot.overridden);
		CHECK_INT(boot.images, 2);
		CHECK_INT(boot.secure_boot, 1);
		CHECK_INT(boot.content[UKI_INITRD].len, 0);
		CHECK_INT(digest_of(&d, HASH_SHA256, view_str("quiet\n"), NULL), 0);
		CHECK(view_eq(digest_view(&d), digest_view(&boot.content[UKI_CMDLINE])));
		if (f == TCG2_CCEL)
			b.len -= 8;
		log_event(&b, HASH_SHA256, f == TCG2_CCEL ? 3 : 12, TCG2_EV_IPL, view_str("other"),
			  view_str("other"));
		if (f == TCG2_CCEL)
			log_le(&b, 0, 8);
		CHECK_INT(from_log(&boot, &b, (enum tcg2_framing)f, &e), 0);
		CHECK(boot.overridden);
	}
}

/* What a record says is not what was measured: with the digest of "off" nobody reads "on". */
TEST(uki_from_log__secure_boot_that_its_digest_does_not_say__is_not_known)
{
	uint8_t secure[] = {
		[16] = 10, [24] = 1, [32] = 'S', [34] = 'e', [36] = 'c', [38] = 'u', [40] = 'r',
		[42] = 'e', [44] = 'B', [46] = 'o', [48] = 'o', [50] = 't', [52] = 0,
	};
	uint8_t lie[sizeof secure];

	memcpy(lie, secure, sizeof lie);
	lie[52] = 1;
	for (int i = 0; i < 2; i++) {
		cleanup_buf struct buf b = BUF_MAX(65536);
		struct uki_boot boot;
		struct err e;

		log_begin_one(&b, HASH_SHA256);
		log_event(&b, HASH_SHA256, 7, 0x80000001u, (struct view){ secure, sizeof secure },
			  (struct view){ i ? lie : secure, sizeof lie });
		CHECK_INT(from_log(&boot, &b, TCG2_TPM, &e), 0);
		CHECK_INT(boot.secure_boot, i ? -1 : 0);
	}
}

/* Types and words of records are not measured either: an override by another name is one. */
TEST(uki_from_log__records_beside_the_stubs_and_the_kernels__are_overrides)
{
	static const char options[] = "\xed\x22\x3b\x8f\x1a\0\0\0LOADED_IMAGE::LoadOptions";
	static const char initrd[] = "\xec\x22\x3b\x8f\x0d\0\0\0Linux initrd";
	const struct view tags[] = { { (const uint8_t *)options, sizeof options },
				     { (const uint8_t *)initrd, sizeof initrd } };
	static const struct {
		uint32_t type;
		int tag; /* of tags, or -1: words */
		bool overridden[2]; /* CCEL, TPM */
	} rows[] = {
		{ TCG2_EV_IPL, -1, { true, true } },
		{ TCG2_EV_ACTION, -1, { true, true } },
		{ TCG2_EV_EVENT_TAG, 0, { true, true } },
		{ TCG2_EV_EVENT_TAG, 1, { true, true } },
		{ TCG2_EV_NO_ACTION, -1, { true, false } }, /* extends an RTMR, but no PCR */
	};

	for (int f = TCG2_CCEL; f <= TCG2_TPM; f++) {
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			cleanup_buf struct buf b = BUF_MAX(65536);
			uint32_t kernel = f == TCG2_CCEL ? 3 : 9;
			struct uki_boot boot;
			struct err e;

			log_begin_one(&b, HASH_SHA256);
			log_section(&b, f == TCG2_CCEL ? 3 : 11, ".linux", "kernel");
			for (int k = 0; k < 2; k++)
				log_event(&b, HASH_SHA256, kernel, TCG2_EV_EVENT_TAG, view_str("x"),
					  tags[k]);
			if (f == TCG2_CCEL)
				log_le(&b, 0, 8);
			CHECK_INT(from_log(&boot, &b, (enum tcg2_framing)f, &e), 0);
			CHECK(!boot.overridden);
			if (f == TCG2_CCEL)
				b.len -= 8;
			log_event(&b, HASH_SHA256, f == TCG2_CCEL ? 3 : 12, rows[i].type,
				  view_str("y"), rows[i].tag < 0 ? view_str("y") : tags[rows[i].tag]);
			if (f == TCG2_CCEL)
				log_le(&b, 0, 8);
			CHECK_INT(from_log(&boot, &b, (enum tcg2_framing)f, &e), 0);
			if (boot.overridden != rows[i].overridden[f])
				test_fail(__FILE__, __LINE__, "framing %d, row %zu", f, i);
		}
	}
}

TEST(uki_from_log__sections_of_another_order_or_digest__are_refused)
{
	cleanup_buf struct buf wide = BUF_MAX(256);

	log_wide(&wide, ".linux");
	for (int i = 0; i < 3; i++) {
		static const char *const words[] = { "measured twice", "another digest than its name",
						     "where another's content" };
		cleanup_buf struct buf b = BUF_MAX(65536);
		struct uki_boot boot = { .images = 42 };
		struct err e;

		log_begin_one(&b, HASH_SHA256);
		if (i == 0) {
			log_section(&b, 11, ".linux", "kernel");
			log_section(&b, 11, ".linux", "kernel");
		} else if (i == 1) {
			log_event(&b, HASH_SHA256, 11, TCG2_EV_IPL, view_str(".linux"),
				  buf_view(&wide));
		} else {
			log_event(&b, HASH_SHA256, 11, TCG2_EV_IPL,
				  (struct view){ (const uint8_t *)".linux", 7 }, buf_view(&wide));
			log_section(&b, 11, ".cmdline", "quiet");
		}
		CHECK_ERR(from_log(&boot, &b, TCG2_TPM, &e), ERR_FORMAT, e, words[i]);
		CHECK_INT(boot.images, 42);
	}
}

TEST(uki_cmdline_is__ends_that_nobody_sees__are_allowed_and_no_other_text)
{
	static const char *const contents[] = { "a b", "a b\n", "a b ", "a b \n" };
	static const struct {
		const char *text;
		bool is;
	} rows[] = {
		{ "a b", true }, { "a b\n", true }, { "a b \n", true }, { "a c", false },
		{ "a b c", false }, { "a", false }, { "", false }, { " a b", false }, { "a  b", false },
	};

	for (size_t c = 0; c < ARRAY_LEN(contents); c++) {
		cleanup_buf struct buf b = BUF_MAX(65536);
		struct uki_boot boot;
		struct err e;

		log_begin_one(&b, HASH_SHA256);
		log_section(&b, 11, ".cmdline", contents[c]);
		CHECK_INT(from_log(&boot, &b, TCG2_TPM, &e), 0);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			bool is = !rows[i].is;

			CHECK_INT(uki_cmdline_is(&is, &boot, view_str(rows[i].text), &e), 0);
			if (is != rows[i].is)
				test_fail(__FILE__, __LINE__, "\"%s\" for \"%s\"", rows[i].text,
					  contents[c]);
		}
	}
	/* With a NUL, as some builders leave it. */
	struct uki_boot boot = { .alg = HASH_SHA256, .is_uki = true };
	bool is = false;

	CHECK_INT(digest_of(&boot.content[UKI_CMDLINE], HASH_SHA256,
			    (struct view){ (const uint8_t *)"a\n\0", 3 }, NULL),
		  0);
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str("a\n"), NULL), 0);
	CHECK(is);
	boot = (struct uki_boot){ .alg = HASH_SHA256 };
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str("a\n"), NULL), 0);
	CHECK(!is);
}

TEST(uki_cmdline_is__direct_boot__the_kernels_load_options)
{
	cleanup_buf struct buf b = BUF_MAX(65536), wide = BUF_MAX(256);
	static const char tag[] = "\xed\x22\x3b\x8f\x1a\0\0\0LOADED_IMAGE::LoadOptions";
	struct uki_boot boot;
	struct err e;
	bool is = false;

	log_wide(&wide, "console=ttyS0 x");
	log_begin_one(&b, HASH_SHA256);
	log_event(&b, HASH_SHA256, 9, TCG2_EV_EVENT_TAG, buf_view(&wide),
		  (struct view){ (const uint8_t *)tag, sizeof tag });
	CHECK_INT(from_log(&boot, &b, TCG2_TPM, &e), 0);
	CHECK_INT(boot.load_options.len, 32);
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str("console=ttyS0 x\n"), &e), 0);
	CHECK(is);
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str("console=ttyS0 y\n"), &e), 0);
	CHECK(!is);
	/* A UKI without a command line of its own took it from outside. */
	boot.is_uki = true;
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str("console=ttyS0 x\n"), &e), 0);
	CHECK(!is);
}

TEST(uki_root_hash__words_as_the_kernel_cuts_them__one_hash_or_none)
{
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	static const struct {
		const char *line;
		bool is;
	} rows[] = {
		{ "roothash=" HASH, true },
		{ "quiet roothash=" HASH "\n", true },
		{ "a\troothash=" HASH " b", true },
		{ "xroothash=" HASH, false },
		{ "roothash =" HASH, false },
		{ "usrhash=" HASH, false },
		{ "roothash=" HASH "0", false },
		{ "roothash=ABCDEF6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", false },
		{ "roothash=", false },
		{ "x=\"a roothash=" HASH "\"", false },
		{ "x=\"a roothash=" HASH " b\"", false },
		{ "roothash=" HASH " roothash=" HASH, false },
		{ "roothash=\"" HASH "\"", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[65] = "-";

		if (uki_root_hash(out, view_str(rows[i].line), "roothash") != rows[i].is)
			test_fail(__FILE__, __LINE__, "%s", rows[i].line);
		CHECK(strcmp(out, rows[i].is ? HASH : "-") == 0);
	}
}

/* --- a recorded boot ------------------------------------------------------------------------------- */

static void recorded_boot(struct buf *log, uint8_t pcrs[24][32], char *cmdline, size_t size)
{
	struct json *doc = vector_json(test_vector("attester/uki-boot.json"));
	const struct json *pcr = json_first(json_get(doc, "pcrs"));

	CHECK_INT(enc_base64_decode(log, ENC_B64, view_str(vector_text(doc, "log")), NULL), 0);
	for (int i = 0; i < 24; i++, pcr = json_next(pcr))
		CHECK_INT(enc_hex_decode(pcrs[i], 32, view_str(json_string(pcr)), NULL), 0);
	snprintf(cmdline, size, "%s", vector_text(doc, "cmdline"));
	json_free(doc);
}

TEST(uki_from_log__recorded_boot__replays_to_the_tpms_pcrs_and_has_the_running_command_line)
{
	cleanup_buf struct buf raw = BUF_MAX(65536);
	uint8_t pcrs[24][32];
	char cmdline[512], hash[65];
	struct tcg2_registers regs;
	struct tcg2_log log;
	struct uki_boot boot;
	struct err e;
	bool is = false;

	recorded_boot(&raw, pcrs, cmdline, sizeof cmdline);
	CHECK_INT(tcg2_open(&log, buf_view(&raw), TCG2_TPM, &e), 0);
	CHECK_INT(tcg2_replay(&regs, &log, HASH_SHA256, &e), 0);
	for (int i = 0; i < 24; i++)
		/* 10 is IMA's. */
		if (i != 10 && memcmp(regs.value[i].b, pcrs[i], 32) != 0)
			test_fail(__FILE__, __LINE__, "PCR %d", i);
	CHECK_INT(uki_from_log(&boot, &log, HASH_SHA256, &e), 0);
	CHECK(boot.is_uki && !boot.overridden);
	CHECK_INT(boot.images, 2);
	CHECK_INT(boot.secure_boot, 0);
	CHECK(boot.content[UKI_LINUX].len && boot.content[UKI_OSREL].len &&
	      boot.content[UKI_CMDLINE].len && boot.content[UKI_INITRD].len);
	/* Section .uname was in the file; this stub does not measure it. */
	CHECK_INT(boot.content[UKI_UNAME].len, 0);
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str(cmdline), &e), 0);
	CHECK(is);
	CHECK(uki_root_hash(hash, view_str(cmdline), "roothash"));
	/* Load options alone, as without a UKI: the kernel measured the same text. */
	boot.content[UKI_CMDLINE].len = 0;
	boot.is_uki = false;
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str(cmdline), &e), 0);
	CHECK(is);
	cmdline[0] ^= 1;
	CHECK_INT(uki_cmdline_is(&is, &boot, view_str(cmdline), &e), 0);
	CHECK(!is);
}

TEST(tcg2_replay__any_changed_digest_of_the_recorded_boot__is_seen_in_its_pcr)
{
	cleanup_buf struct buf raw = BUF_MAX(65536);
	uint8_t pcrs[24][32];
	char cmdline[512];
	struct tcg2_registers regs;
	struct tcg2_log log;
	struct tcg2_event ev;
	struct err e;

	recorded_boot(&raw, pcrs, cmdline, sizeof cmdline);
	CHECK_INT(tcg2_open(&log, buf_view(&raw), TCG2_TPM, &e), 0);
	for (size_t at = log.first; tcg2_next(&ev, &log, &at) == 1;) {
		size_t digest = (size_t)(tcg2_digest(&ev, HASH_SHA256).p - raw.p);

		if (ev.type == TCG2_EV_NO_ACTION)
			continue;
		raw.p[digest + 31] ^= 1;
		CHECK_INT(tcg2_replay(&regs, &log, HASH_SHA256, &e), 0);
		CHECK(memcmp(regs.value[ev.index].b, pcrs[ev.index], 32) != 0);
		raw.p[digest + 31] ^= 1;
	}
}
