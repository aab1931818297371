/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/attester/bootlog.h"
#include "test/unit/attester/vector.h"

#define LOGS "evidence/trustee/deps/eventlog/test_data/"

/* --- the recorded logs ------------------------------------------------------------------------ */

static const struct {
	const char *file;
	enum hash_alg alg;
	const char *begins[4]; /* registers 1..4, first digits; "0": all zero */
} recorded[] = {
	{ "CCEL_data", HASH_SHA384, { "2dc712306a963ead", "0fa3be56af61208b", "0", "0" } },
	{ "CCEL_data_ovmf", HASH_SHA384,
	  { "8566f998798db094", "775b9f6bfe99f8a3", "94eaf7a7bf398ed8", "0" } },
	{ "CCEL_data_grub", HASH_SHA384,
	  { "cec0a104f691f60d", "6c289e0c62182d41", "08919d017ba0e52c", "0" } },
	{ "CCEL_data_gcp", HASH_SHA384, { "3300980705adf09d", "204d49f78d29918f", "0", "0" } },
	{ "CCEL_AAEL_alibabacloud", HASH_SHA384,
	  { "b796e1c11396c198", "3b0b906140fcea68", "35f2801338c1b5fc", "5e4ecd49d3c7983d" } },
	{ "CCEL_data_csv", HASH_SM3,
	  { "d76c4b289abcdf0e", "0559c2040dc2045f", "287078930b845b37", "0" } },
};

static const char *log_path(const char *file, const char *suffix)
{
	static char path[256];

	snprintf(path, sizeof path, LOGS "%s%s", file, suffix);
	return test_shared(path);
}

static void open_log(struct tcg2_log *log, struct buf *raw, const char *file)
{
	struct err e;

	log_read(raw, log_path(file, ""));
	if (tcg2_open(log, buf_view(raw), TCG2_CCEL, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", file, e.msg);
}

TEST(tcg2_replay__recorded_logs__match_the_manifest)
{
	for (size_t i = 0; i < ARRAY_LEN(recorded); i++) {
		cleanup_buf struct buf raw = BUF_MAX(TCG2_LOG_MAX);
		struct tcg2_log log;
		struct tcg2_registers regs;
		struct err e;

		open_log(&log, &raw, recorded[i].file);
		CHECK_INT(tcg2_trustee_takes(&log, &e), 0);
		if (tcg2_replay(&regs, &log, recorded[i].alg, &e) < 0)
			test_fail(__FILE__, __LINE__, "%s: %s", recorded[i].file, e.msg);
		for (int r = 0; r < 4; r++) {
			char hex[2 * DIGEST_MAX + 1];
			const char *want = recorded[i].begins[r];

			enc_hex_str(hex, digest_view(&regs.value[r + 1]));
			if (strcmp(want, "0") == 0 ? strspn(hex, "0") != strlen(hex) :
						     strncmp(hex, want, 16) != 0)
				test_fail(__FILE__, __LINE__, "%s: register %d is %s, want %s",
					  recorded[i].file, r + 1, hex, want);
		}
	}
}

static void check_digests(const struct tcg2_event *ev, const struct json *want)
{
	const struct json *d = json_first(json_get(want, "digests"));

	for (size_t i = 0; i < ev->n_digests; i++, d = json_next(d)) {
		char hex[2 * DIGEST_MAX + 1];

		CHECK(d != NULL);
		enc_hex_str(hex, ev->digests[i].bytes);
		CHECK(strcmp(hex, vector_text(d, "digest")) == 0);
		CHECK(strcmp(tcg2_alg_name(ev->digests[i].alg), vector_text(d, "alg")) == 0);
	}
	CHECK(d == NULL);
}

/* What Trustee's claims say in words, where our words have the same source. */
static void check_details(const struct tcg2_event *ev, const struct json *details)
{
	cleanup_buf struct buf text = BUF_MAX(8192);
	const char *name = json_string(json_get(details, "unicode_name"));
	const char *string = json_string(json_get(details, "string"));
	const struct json *path = json_get(details, "device_paths");
	struct tcg2_variable v;
	struct tcg2_tag tag;

	if (name && strcmp(name, "AAEL") == 0) {
		CHECK(tcg2_tag(&tag, ev));
		CHECK_INT(tag.id, TCG2_TAG_AAEL);
	} else if (name) {
		CHECK(tcg2_variable(&v, ev));
		CHECK(tcg2_variable_is(&v, name));
	} else if (string && ev->type == TCG2_EV_IPL) {
		CHECK(tcg2_text(&text, ev));
		CHECK_INT(text.len, strlen(string));
		/* Ours has no control characters. */
		for (size_t i = 0; i < text.len; i++)
			CHECK(text.p[i] == (uint8_t)(string[i] < ' ' ? '?' : string[i]));
	} else if (string && string[0]) {
		tcg2_describe(&text, ev);
		if (!strstr(buf_str(&text), string) && strncmp(string, "td_", 3) != 0)
			test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", buf_str(&text), string);
	}
	for (path = json_first(path); path; path = json_next(path)) {
		const char *node = json_string(path);

		buf_reset(&text);
		CHECK(tcg2_image_path(&text, ev));
		if (strncmp(node, "File(", 5) == 0)
			CHECK(strstr(buf_str(&text), node) != NULL);
	}
}

static void check_parsed(const char *file)
{
	cleanup_buf struct buf raw = BUF_MAX(TCG2_LOG_MAX);
	struct json *doc = vector_json(log_path(file, "_out.json"));
	const struct json *want = json_first(json_get(doc, "uefi_event_logs"));
	struct tcg2_log log;
	struct tcg2_event ev;
	size_t n = 0, at;

	open_log(&log, &raw, file);
	at = log.first;
	for (; tcg2_next(&ev, &log, &at) == 1; want = json_next(want), n++) {
		cleanup_buf struct buf b64 = BUF_MAX(TCG2_LOG_MAX * 2);
		uint64_t index = 99;
		bool same = false;

		if (!want)
			test_fail(__FILE__, __LINE__, "%s has more than %zu events", file, n);
		CHECK(json_u64(&index, json_get(want, "index")));
		CHECK_INT(ev.index, index);
		CHECK(strcmp(tcg2_type_name(ev.type), vector_text(want, "type_name")) == 0);
		check_digests(&ev, want);
		enc_base64(&b64, ENC_B64, ev.data);
		CHECK(strcmp(buf_str(&b64), vector_text(want, "event")) == 0);
		CHECK_INT(tcg2_digest_true(&same, &ev, NULL), 0);
		if (same != json_is_true(json_get(want, "digest_matches_event")))
			test_fail(__FILE__, __LINE__, "%s: event %zu matches %d", file, n, same);
		check_details(&ev, json_get(want, "details"));
	}
	CHECK(want == NULL);
	CHECK_INT(n, log.n_events);
	json_free(doc);
}

TEST(tcg2_next__recorded_logs__equal_the_parsed_form)
{
	check_parsed("CCEL_data");
	check_parsed("CCEL_data_ovmf");
	check_parsed("CCEL_data_grub");
	check_parsed("CCEL_AAEL_alibabacloud");
	check_parsed("CCEL_data_csv");
}

/* --- one wrong field --------------------------------------------------------------------------- */

enum { SPEC = 32, ALGS = 60, RECORD = 69 }; /* of the log below */

/* Declares SHA-256 and SHA-1; one separator in register 7 with both digests; FF FF … */
static void small_log(struct buf *b, enum tcg2_framing framing)
{
	static const uint16_t algs[] = { TCG2_SHA256, TCG2_SHA1 }, sizes[] = { 32, 20 };

	log_begin(b, algs, sizes, 2);
	log_le(b, 7, 4);
	log_le(b, TCG2_EV_SEPARATOR, 4);
	log_le(b, 2, 4);
	log_le(b, TCG2_SHA256, 2);
	for (int i = 0; i < 32; i++)
		buf_putc(b, 0xaa);
	log_le(b, TCG2_SHA1, 2);
	for (int i = 0; i < 20; i++)
		buf_putc(b, 0xbb);
	log_le(b, 4, 4);
	log_le(b, 0, 4);
	if (framing == TCG2_CCEL)
		log_le(b, UINT64_MAX, 8);
}

TEST(tcg2_open__one_wrong_field__fails_and_leaves_out_untouched)
{
	static const struct {
		size_t at;
		uint8_t size;
		uint64_t value;
		int kind;
		const char *words;
	} rows[] = {
		{ 0, 4, 2, ERR_FORMAT, "another register" },
		{ 4, 4, 4, ERR_UNSUPPORTED, "no Spec ID event" },
		{ 8, 1, 1, ERR_FORMAT, "has a digest" },
		{ 27, 1, 1, ERR_FORMAT, "has a digest" },
		{ 28, 4, 36, ERR_FORMAT, "list is cut short" },
		{ 28, 4, 38, ERR_FORMAT, "size is not that of its content" },
		{ 28, 4, 15, ERR_FORMAT, "too short" },
		{ 28, 4, 28, ERR_FORMAT, "too short" },
		{ 28, 4, 36 + 76, ERR_FORMAT, "size is not that" },
		{ 28, 4, 200, ERR_FORMAT, "reach beyond" },
		{ 28, 4, UINT32_MAX, ERR_FORMAT, "reach beyond" },
		{ SPEC, 1, 'X', ERR_FORMAT, "Spec ID Event03" },
		{ SPEC + 14, 1, '0', ERR_UNSUPPORTED, "SHA-1 digests only" },
		{ SPEC + 14, 1, '2', ERR_UNSUPPORTED, "SHA-1 digests only" },
		{ SPEC + 24, 4, 0, ERR_LIMIT, "0 digest algorithms" },
		{ SPEC + 24, 4, 1, ERR_FORMAT, "more than algorithms" },
		{ SPEC + 24, 4, 3, ERR_FORMAT, "cut short" },
		{ SPEC + 24, 4, 9, ERR_LIMIT, "9 digest algorithms, allowed 1..8" },
		{ SPEC + 24, 4, 0x40000001, ERR_LIMIT, "allowed 1..8" },
		{ ALGS, 2, TCG2_SHA1, ERR_FORMAT, "not its algorithm's" },
		{ ALGS, 2, 0x99, ERR_FORMAT, "not declared" },
		{ ALGS + 2, 2, 31, ERR_FORMAT, "not its algorithm's" },
		{ ALGS + 2, 2, 0, ERR_FORMAT, "out of range" },
		{ ALGS + 4, 4, 0x0041000d, ERR_FORMAT, "out of range" },
		{ ALGS + 4, 4, 0x0020000b, ERR_FORMAT, "declared twice" },
		{ ALGS + 8, 1, 1, ERR_FORMAT, "size is not that" },
		{ RECORD + 8, 4, 0, ERR_FORMAT, "byte 69: it has no digest" },
		{ RECORD + 8, 4, 3, ERR_FORMAT, "more than algorithms" },
		{ RECORD + 8, 4, 0x10000002, ERR_FORMAT, "more than algorithms" },
		{ RECORD + 12, 2, TCG2_SHA384, ERR_FORMAT, "not declared" },
		{ RECORD + 46, 2, TCG2_SHA256, ERR_FORMAT, "two digests" },
		{ RECORD + 68, 4, 5 + 8, ERR_FORMAT, "reach beyond" },
		{ RECORD + 68, 4, UINT32_MAX, ERR_FORMAT, "reach beyond" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int framing = TCG2_CCEL; framing <= TCG2_TPM; framing++) {
			cleanup_buf struct buf b = BUF_MAX(4096);
			struct tcg2_log out = { .n_events = 42 };
			struct err e = { 0 };

			small_log(&b, (enum tcg2_framing)framing);
			for (unsigned k = 0; k < rows[i].size; k++)
				b.p[rows[i].at + k] = (uint8_t)(rows[i].value >> 8 * k);
			if (tcg2_open(&out, buf_view(&b), (enum tcg2_framing)framing, &e) !=
			    -rows[i].kind)
				test_fail(__FILE__, __LINE__, "row %zu: kind %d, \"%s\"", i, e.kind,
					  e.msg);
			if (!strstr(e.msg, rows[i].words))
				test_fail(__FILE__, __LINE__, "row %zu: \"%s\" lacks \"%s\"", i,
					  e.msg, rows[i].words);
			CHECK_INT(out.n_events, 42);
		}
	}
}

TEST(tcg2_open__cut_at_every_byte__only_whole_logs_are_taken)
{
	for (int framing = TCG2_CCEL; framing <= TCG2_TPM; framing++) {
		cleanup_buf struct buf b = BUF_MAX(4096);
		struct tcg2_log log;
		struct err e;

		small_log(&b, (enum tcg2_framing)framing);
		for (size_t n = 0; n < b.len; n++) {
			/* On the heap and exactly that long, so that a sanitizer sees more. */
			cleanup_free uint8_t *copy = malloc(n ? n : 1);
			int r;

			memcpy(copy, b.p, n);
			r = tcg2_open(&log, (struct view){ copy, n }, (enum tcg2_framing)framing, &e);
			/* A TPM's log is whole behind its first record, too. */
			CHECK_INT(r, framing == TCG2_TPM && n == RECORD ? 0 : -ERR_FORMAT);
		}
		CHECK_INT(tcg2_open(&log, buf_view(&b), (enum tcg2_framing)framing, &e), 0);
		CHECK_INT(log.n_events, 1);
		CHECK_INT(log.end, RECORD + 76);
	}
}

TEST(tcg2_open__end_mark__zeros_or_ones_and_nothing_behind_it_counts)
{
	for (int i = 0; i < 3; i++) {
		cleanup_buf struct buf b = BUF_MAX(4096);
		struct tcg2_log log;
		struct tcg2_event ev;
		struct err e;
		size_t at;

		small_log(&b, TCG2_TPM);
		log_le(&b, i == 0 ? 0 : i == 1 ? UINT64_MAX : UINT64_MAX - 1, 8);
		log_le(&b, 0x1234, 4);
		if (i == 2) {
			CHECK_ERR(tcg2_open(&log, buf_view(&b), TCG2_CCEL, &e), ERR_FORMAT, e,
				  "byte 145");
			continue;
		}
		CHECK_INT(tcg2_open(&log, buf_view(&b), TCG2_CCEL, &e), 0);
		at = log.first;
		CHECK_INT(tcg2_next(&ev, &log, &at), 1);
		CHECK_INT(ev.index, 7);
		CHECK_INT(tcg2_digest(&ev, HASH_SHA256).len, 32);
		CHECK_INT(tcg2_digest(&ev, HASH_SHA384).len, 0);
		CHECK_INT(tcg2_next(&ev, &log, &at), 0);
		CHECK_INT(tcg2_next(&ev, &log, &at), 0);
		/* To a TPM's log there is no end mark. */
		CHECK_ERR(tcg2_open(&log, buf_view(&b), TCG2_TPM, &e), ERR_FORMAT, e, "byte 145");
	}
}

TEST(tcg2_open__over_the_caps__is_refused)
{
	cleanup_buf struct buf b = BUF_MAX(TCG2_LOG_MAX + 16);
	struct tcg2_log log;
	struct err e;

	log_begin_one(&b, HASH_SHA256);
	while (b.len < TCG2_LOG_MAX + 1)
		buf_putc(&b, 0);
	CHECK_ERR(tcg2_open(&log, buf_view(&b), TCG2_CCEL, &e), ERR_LIMIT, e, "allowed 0..4194304");
	CHECK_INT(tcg2_open(&log, (struct view){ b.p, TCG2_LOG_MAX }, TCG2_CCEL, &e), 0);
	buf_reset(&b);
	log_begin_one(&b, HASH_SHA256);
	for (int i = 0; i <= TCG2_EVENTS_MAX; i++) {
		log_le(&b, 1 + (1ull << 34), 8);
		log_le(&b, 1, 4);
		log_le(&b, TCG2_SHA256, 2);
		for (int k = 0; k < 36; k++)
			buf_putc(&b, 0);
	}
	CHECK_ERR(tcg2_open(&log, buf_view(&b), TCG2_TPM, &e), ERR_LIMIT, e, "over 65536 records");
}

TEST(tcg2_type_name__every_number__is_known_as_trustee_knows_it)
{
	unsigned known = 0;

	for (uint32_t t = 0; t < 0x200; t++)
		known += !!tcg2_type_name(t) + !!tcg2_type_name(0x80000000u + t);
	CHECK_INT(known, 19 + 13 + 1 + 3);
	CHECK(tcg2_type_name(0x12) && !tcg2_type_name(0x13));
	CHECK(tcg2_type_name(0x8000000c) && !tcg2_type_name(0x8000000d));
	CHECK(tcg2_type_name(0x80000010) && !tcg2_type_name(0x80000011));
	CHECK(!tcg2_type_name(0x800000df) && tcg2_type_name(0x800000e2) &&
	      !tcg2_type_name(0x800000e3));
	CHECK(!tcg2_type_name(UINT32_MAX));
	CHECK(strcmp(tcg2_type_name(TCG2_EV_IPL), "EV_IPL") == 0);
	CHECK(strcmp(tcg2_type_name(0x80000010), "EV_EFI_HCRTM_EVENT") == 0);
}

/* --- replay ------------------------------------------------------------------------------------ */

static void locality(struct buf *b, uint8_t n)
{
	uint8_t data[17] = "StartupLocality";

	data[16] = n;
	log_event(b, HASH_SHA256, 0, TCG2_EV_NO_ACTION, view_str(""),
		  (struct view){ data, sizeof data });
}

static int replay(struct tcg2_registers *regs, const struct buf *b, enum tcg2_framing framing,
		  struct err *e)
{
	struct tcg2_log log;

	CHECK_INT(tcg2_open(&log, buf_view(b), framing, e), 0);
	return tcg2_replay(regs, &log, HASH_SHA256, e);
}

TEST(tcg2_replay__no_action__extends_a_ccel_and_no_tpm)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct tcg2_registers regs;
	struct err e;

	log_begin_one(&b, HASH_SHA256);
	log_event(&b, HASH_SHA256, 2, TCG2_EV_NO_ACTION, view_str("x"), view_str("x"));
	CHECK_INT(replay(&regs, &b, TCG2_TPM, &e), 0);
	CHECK_INT(regs.events[2], 0);
	CHECK_INT(regs.value[2].b[0], 0);
	/* PCRs of a dynamic launch begin at ones. */
	CHECK_INT(regs.value[16].b[0], 0);
	CHECK_INT(regs.value[17].b[0], 0xff);
	CHECK_INT(regs.value[22].b[31], 0xff);
	CHECK_INT(regs.value[23].b[0], 0);
	log_le(&b, 0, 8);
	CHECK_INT(replay(&regs, &b, TCG2_CCEL, &e), 0);
	CHECK_INT(regs.events[2], 1);
	CHECK(regs.value[2].b[0] != 0);
	CHECK_INT(regs.value[17].b[0], 0);
}

TEST(tcg2_replay__startup_locality__is_where_pcr_0_begins)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct tcg2_registers regs;
	struct err e;

	log_begin_one(&b, HASH_SHA256);
	locality(&b, 3);
	CHECK_INT(replay(&regs, &b, TCG2_TPM, &e), 0);
	CHECK_INT(regs.value[0].b[31], 3);
	locality(&b, 3);
	CHECK_ERR(replay(&regs, &b, TCG2_TPM, &e), ERR_FORMAT, e, "too late, or twice");
	buf_reset(&b);
	log_begin_one(&b, HASH_SHA256);
	log_event(&b, HASH_SHA256, 0, TCG2_EV_SEPARATOR, view_str(""), view_str(""));
	locality(&b, 3);
	CHECK_ERR(replay(&regs, &b, TCG2_TPM, &e), ERR_FORMAT, e, "too late, or twice");
	/* Also where PCR 0 happens to end with a zero, as it began. */
	for (unsigned i = 0;; i++) {
		char content[16];

		snprintf(content, sizeof content, "%u", i);
		buf_reset(&b);
		log_begin_one(&b, HASH_SHA256);
		log_event(&b, HASH_SHA256, 0, TCG2_EV_SEPARATOR, view_str(content), view_str(""));
		CHECK_INT(replay(&regs, &b, TCG2_TPM, &e), 0);
		if (regs.value[0].b[31] == 0)
			break;
	}
	locality(&b, 3);
	CHECK_ERR(replay(&regs, &b, TCG2_TPM, &e), ERR_FORMAT, e, "too late, or twice");
	buf_reset(&b);
	log_begin_one(&b, HASH_SHA256);
	locality(&b, 2);
	CHECK_ERR(replay(&regs, &b, TCG2_TPM, &e), ERR_FORMAT, e, "none of 0, 3, 4");
}

TEST(tcg2_replay__index_or_digest_out_of_place__is_refused)
{
	static const uint16_t algs[] = { TCG2_SHA256, TCG2_SHA384 }, sizes[] = { 32, 48 };
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct tcg2_registers regs = { .events = { 42 } };
	struct tcg2_log log;
	struct err e;

	log_begin_one(&b, HASH_SHA256);
	log_event(&b, HASH_SHA256, TCG2_REGISTERS, TCG2_EV_IPL, view_str(""), view_str(""));
	CHECK_ERR(replay(&regs, &b, TCG2_TPM, &e), ERR_LIMIT, e, "register 24, allowed 0..23");
	CHECK_INT(tcg2_open(&log, buf_view(&b), TCG2_TPM, &e), 0);
	CHECK_ERR(tcg2_replay(&regs, &log, HASH_SHA512, &e), ERR_UNSUPPORTED, e, "no sha512");
	buf_reset(&b);
	log_begin(&b, algs, sizes, 2);
	log_event(&b, HASH_SHA384, 1, TCG2_EV_IPL, view_str(""), view_str(""));
	CHECK_ERR(replay(&regs, &b, TCG2_TPM, &e), ERR_FORMAT, e, "no digest sha256");
	CHECK_INT(regs.events[0], 42);
}

/* --- words ------------------------------------------------------------------------------------- */

static void check_words(uint32_t type, const void *data, size_t n, const char *want)
{
	cleanup_buf struct buf out = BUF_MAX(4096);
	const struct tcg2_event ev = { .type = type, .data = { data, n } };

	tcg2_describe(&out, &ev);
	if (strcmp(buf_str(&out), want) != 0)
		test_fail(__FILE__, __LINE__, "\"%s\", want \"%s\"", buf_str(&out), want);
}

#define WORDS(type, bytes, want) check_words(type, bytes, sizeof(bytes) - 1, want)

TEST(tcg2_describe__kinds_of_data__one_plain_line)
{
	char longer[2000];

	WORDS(TCG2_EV_IPL, ".\0l\0i\0n\0u\0x\0\0\0", ".linux");
	WORDS(TCG2_EV_IPL, "grub_cmd ls\0garbage", "grub_cmd ls");
	WORDS(TCG2_EV_IPL, "a\x1b[2J\nb\xc2\x9b" "c", "a?[2J?b?c");
	WORDS(TCG2_EV_IPL, "a\0\x1b\0", "a?");
	WORDS(TCG2_EV_IPL, "a\0\x3d\xd8\x00\xde", "a\xf0\x9f\x98\x80");
	/* Half a pair and broken UTF-8 are no text. */
	WORDS(TCG2_EV_IPL, "a\0\x3d\xd8", "61003dd8");
	WORDS(TCG2_EV_IPL, "\xff\xfe", "fffe");
	WORDS(TCG2_EV_IPL, "", "0 bytes");
	WORDS(TCG2_EV_SEPARATOR, "\0\0\0\0", "separator 00000000");
	WORDS(TCG2_EV_NO_ACTION, "StartupLocality\0\3", "StartupLocality 3");
	WORDS(TCG2_EV_EVENT_TAG, "LEAA\3\0\0\0a b", "AAEL: a b");
	WORDS(TCG2_EV_EVENT_TAG, "\xed\x22\x3b\x8f\4\0\0\0opt\0", "kernel command line: opt");
	WORDS(TCG2_EV_EVENT_TAG, "\xec\x22\x3b\x8f\3\0\0\0\1\2\xff", "initrd: 0102ff");
	WORDS(0x8000000a, "\3abcd", "abc");
	WORDS(0x8000000a, "\x09" "abcd", "0961626364");
	memset(longer, 'x', sizeof longer);
	cleanup_buf struct buf out = BUF_MAX(4096);
	const struct tcg2_event ev = { .type = TCG2_EV_IPL, .data = { (uint8_t *)longer, 2000 } };

	tcg2_describe(&out, &ev);
	CHECK_INT(out.len, TCG2_WORDS_MAX);
	CHECK(strcmp(buf_str(&out) + TCG2_WORDS_MAX - 4, "x...") == 0);
}

TEST(tcg2_variable__one_wrong_size__is_none)
{
	/* GUID 16, name length 2, data length 1, "PK", data */
	uint8_t data[32 + 4 + 1] = { [16] = 2, [24] = 1, [32] = 'P', [34] = 'K', [36] = 7 };
	struct tcg2_event ev = { .type = TCG2_EV_EFI_VARIABLE_DRIVER_CONFIG,
				 .data = { data, sizeof data } };
	struct tcg2_variable v = { .data.len = 42 };

	CHECK(tcg2_variable(&v, &ev));
	CHECK(tcg2_variable_is(&v, "PK") && !tcg2_variable_is(&v, "PKx") &&
	      !tcg2_variable_is(&v, "P") && !tcg2_variable_is(&v, "KP"));
	CHECK_INT(v.data.len, 1);
	CHECK_INT(v.data.p[0], 7);
	v.data.len = 42;
	for (int at = 16; at < 32; at++) {
		data[at] ^= 1;
		CHECK(!tcg2_variable(&v, &ev));
		data[at] ^= 1;
		data[at] ^= 0x80;
		CHECK(!tcg2_variable(&v, &ev));
		data[at] ^= 0x80;
	}
	for (ev.data.len = 0; ev.data.len < sizeof data; ev.data.len++)
		CHECK(!tcg2_variable(&v, &ev));
	ev.type = TCG2_EV_IPL;
	CHECK(!tcg2_variable(&v, &ev));
	CHECK_INT(v.data.len, 42);
}

TEST(tcg2_image_path__nodes__as_text_or_none)
{
	static const struct {
		const char *path;
		size_t n;
		const char *want; /* NULL: none */
	} rows[] = {
#define ROW(bytes, want) { bytes, sizeof(bytes) - 1, want }
		ROW("\2\1\x0c\0\xd0\x41\x03\x0a\0\0\0\0\1\1\6\0\2\1\x7f\xff\4\0",
		    "PciRoot(0x0)/Pci(0x1,0x2)"),
		ROW("\4\4\x0c\0\\\0k\0a\0\0\0\x7f\xff\4\0", "File(\\ka)"),
		ROW("\4\4\x0c\0\\\0k\0a\0\0\0", "File(\\ka)"),
		ROW("\x55\7\5\0x", "Path(85,7)"),
		/* A node shorter than it should be, one shorter than its head, one too long. */
		ROW("\1\1\5\0\2", "Path(1,1)"),
		ROW("\1\1\3\0", NULL),
		ROW("\1\1\7\0\2\1", NULL),
		ROW("\1\1\6", NULL),
		ROW("\x7f\xff\4\0", NULL),
		ROW("", NULL),
#undef ROW
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf data = BUF_MAX(4096), out = BUF_MAX(4096);
		struct tcg2_event ev = { .type = TCG2_EV_EFI_BOOT_SERVICES_APPLICATION };
		bool is;

		log_le(&data, 0, 8);
		log_le(&data, 0, 8);
		log_le(&data, 0, 8);
		log_le(&data, rows[i].n, 8);
		buf_put(&data, rows[i].path, rows[i].n);
		ev.data = buf_view(&data);
		is = tcg2_image_path(&out, &ev);
		if (is != !!rows[i].want || strcmp(buf_str(&out), is ? rows[i].want : "") != 0)
			test_fail(__FILE__, __LINE__, "row %zu: \"%s\"", i, buf_str(&out));
		data.p[24]++;
		CHECK(!tcg2_image_path(&out, &ev));
	}
}
